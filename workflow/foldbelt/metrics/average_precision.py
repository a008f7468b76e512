"""Average precision of image labels: the one metric of labels that training looks at, too.

It has a module of its own so that a change to another metric of labels trains nothing again.
"""

import numpy as np


def average_precision(
    truth: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Mean over the labels of the average precision: how well scores rank the images that have it.

    Σ (R_n − R_{n−1}) P_n over falling thresholds, as in scikit-learn; equal scores are one
    threshold. Nothing need be decided for it, unlike for accuracy, and it stays sharp where a label
    is rare, where the area under the ROC curve is near 1 for every model.

    Parameters
    ----------
    truth
        (N,L), 0 or 1, NaN where it is not known: such a label of an image does not count.
    score
        (N,L), higher where the label is more likely.
    weights
        (N,) how often each image counts; None: once.

    Returns
    -------
    float
        Labels that no image has leave the mean: they rank nothing. 0 if there is no other.

    Examples
    --------
    >>> truth = np.array([[1, 0], [0, 0], [1, 0]])
    >>> round(average_precision(truth, np.array([[0.9, 0], [0.8, 0], [0.1, 0]])), 3)
    0.833
    """
    precisions = average_precisions(truth, score, weights)
    precisions = precisions[~np.isnan(precisions)]
    return float(np.mean(precisions)) if len(precisions) else 0.0


def average_precisions(
    truth: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Give the average precision of every label, (L,) float64; NaN where no image has it.

    Parameters
    ----------
    truth, score, weights
        As for :func:`average_precision`.
    """
    count = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)
    precisions = np.full(truth.shape[1], np.nan)
    for k, (has_label, ranks) in enumerate(zip(truth.T, score.T, strict=True)):
        known = ~np.isnan(has_label) & (count > 0)
        has, ranked, each = has_label[known] > 0.5, ranks[known], count[known]
        if has.any():
            order = np.argsort(-ranked, kind="stable")
            ends = np.flatnonzero(np.append(np.diff(ranked[order]) != 0, True))
            hits = np.cumsum(each[order] * has[order])[ends]
            gains = np.diff(hits, prepend=0)
            number = np.cumsum(each[order])[ends]
            precisions[k] = (gains * hits / number).sum() / hits[-1]
    return precisions
