"""Scores of image labels: accuracy, balanced accuracy, AUC, log loss, mean average precision.

Every metric takes weights of images, so that a fold or a draw of the bootstrap is a vector of them.
Labels that exclude each other (one a row) are decided by the largest probability, others by a
threshold each. A label that is not known does not count; where labels exclude each other and one
of them is not known, nor does the image.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from foldbelt.files import InputError
from foldbelt.metrics.average_precision import average_precision as average_precision
from foldbelt.metrics.average_precision import average_precisions

Metric = Literal["accuracy", "balanced_accuracy", "auc", "log_loss", "mean_average_precision"]
"""The metrics of labels."""

METRICS: tuple[str, ...] = get_args(Metric)
DECIDED = ("accuracy", "balanced_accuracy")
"""Metrics of labels that were decided, by thresholds or the largest probability."""

FALLING = ("log_loss",)
"""Metrics that are better the lower they are."""

LEAST = 1e-6
"""Probabilities count as at least so far from 0 and 1, where logarithms end."""


def score(
    metric: str,
    truth: np.ndarray,
    prob: np.ndarray,
    exclusive: bool = False,
    weights: np.ndarray | None = None,
    threshold: ArrayLike = 0.5,
) -> float:
    """Score label probabilities by the metric of that name.

    Parameters
    ----------
    metric
        One of `METRICS`.
    truth
        (N, L), 0, 1 or between, NaN where not known. Above .5 an image has the label; the log loss
        alone takes soft labels as they are.
    prob
        (N, L) probabilities, finite where the truth is known.
    exclusive
        Whether labels exclude each other.
    weights
        (N,) how often each image counts, none negative; None: once.
    threshold
        One for all or (L,): a label is given where its probability is above. Not used where labels
        exclude each other.

    Returns
    -------
    float
        NaN where nothing is known, or no label has images with and without it (`auc`,
        `balanced_accuracy`) or with it (`mean_average_precision`).

    Raises
    ------
    InputError
        If the metric is unknown, shapes differ or a probability that counts is not finite.
    """
    truth, prob, count = _checked(metric, truth, prob, exclusive, weights)
    if exclusive and metric in ("accuracy", "log_loss"):
        # A mean over images, whatever their label.
        values = _right(truth, prob) if metric == "accuracy" else _losses(truth, prob).sum(axis=1)
        known = ~np.isnan(truth[:, 0])
        return _mean(values[known], count[known])
    labels = _of_labels(metric, truth, prob, exclusive, count, threshold)
    labels = labels[~np.isnan(labels)]
    return float(labels.mean()) if len(labels) else float("nan")


def by_label(
    metric: str,
    truth: np.ndarray,
    prob: np.ndarray,
    exclusive: bool = False,
    weights: np.ndarray | None = None,
    threshold: ArrayLike = 0.5,
) -> np.ndarray:
    """Score every label, (L,) float64; NaN where nothing can be said.

    Of labels that exclude each other accuracy is the share of a label's images that are given it,
    and the log loss the mean over them.

    Parameters
    ----------
    metric, truth, prob, exclusive, weights, threshold
        As for :func:`score`.
    """
    truth, prob, count = _checked(metric, truth, prob, exclusive, weights)
    return _of_labels(metric, truth, prob, exclusive, count, threshold)


def accuracy(
    truth: np.ndarray,
    prob: np.ndarray,
    exclusive: bool = False,
    weights: np.ndarray | None = None,
    threshold: ArrayLike = 0.5,
) -> float:
    """Share of the images whose label is right; without `exclusive`, the mean over the labels.

    See :func:`score`.
    """
    return score("accuracy", truth, prob, exclusive, weights, threshold)


def balanced_accuracy(
    truth: np.ndarray,
    prob: np.ndarray,
    exclusive: bool = False,
    weights: np.ndarray | None = None,
    threshold: ArrayLike = 0.5,
) -> float:
    """Mean over the labels that occur of the share of their images that are given them.

    Without `exclusive`: the mean over the labels of half the sum of sensitivity and specificity.
    See :func:`score`.
    """
    return score("balanced_accuracy", truth, prob, exclusive, weights, threshold)


def auc(truth: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean over the labels of the area under the ROC curve; ties count half. See :func:`score`."""
    return score("auc", truth, prob, weights=weights)


def log_loss(
    truth: np.ndarray,
    prob: np.ndarray,
    exclusive: bool = False,
    weights: np.ndarray | None = None,
) -> float:
    """Cross-entropy in nats; without `exclusive`, the mean over the labels.

    Probabilities of labels that exclude each other are first divided by their sum. See
    :func:`score`.
    """
    return score("log_loss", truth, prob, exclusive, weights)


def mean_average_precision(
    truth: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Mean over the labels that occur of the average precision; see :func:`average_precision`."""
    return score("mean_average_precision", truth, prob, weights=weights)


def area(truth: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Give the chance that an image with a label is given a higher probability than one without.

    Parameters
    ----------
    truth
        (N,), above .5 an image has the label.
    prob
        (N,); ties count half.
    weights
        (N,) how often each image counts; None: once.

    Returns
    -------
    float
        Mann-Whitney's U, divided by its largest value; NaN if all images have the label, or none.
    """
    count = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)
    has = truth > 0.5
    _, place = np.unique(prob, return_inverse=True)
    positive, negative = np.bincount(place, count * has), np.bincount(place, count * ~has)
    pairs = positive.sum() * negative.sum()
    lower = np.cumsum(negative) - negative / 2
    return float((positive * lower).sum() / pairs) if pairs else float("nan")


def _checked(
    metric: str,
    truth: np.ndarray,
    prob: np.ndarray,
    exclusive: bool,
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give float64 truth, probabilities and weights; unknown images are unknown throughout."""
    if metric not in METRICS:
        raise InputError(
            f"metric {metric!r} is none of labels; choose one of {', '.join(METRICS)}."
        )
    truth, prob = np.asarray(truth, np.float64), np.asarray(prob, np.float64)
    count = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)
    if truth.ndim != 2 or truth.shape != prob.shape or count.shape != truth.shape[:1]:
        raise InputError(
            f"{metric}: truth is {truth.shape}, prob is {prob.shape} and there are "
            f"{count.shape} weights; they must be (N, L), (N, L) and (N,)."
        )
    if exclusive:
        truth = np.where(np.isnan(truth).any(axis=1, keepdims=True), np.nan, truth)
    bad = ~np.isfinite(prob) & ~np.isnan(truth) & (count > 0)[:, None]
    if bad.any():
        rows = ", ".join(map(str, np.flatnonzero(bad.any(axis=1))[:20]))
        raise InputError(f"{metric}: probabilities are not finite (images {rows}).")
    unknown = ~np.isfinite(prob) | np.isnan(truth)  # where probabilities are not, nothing counts
    if exclusive:
        unknown[:] = unknown.any(axis=1, keepdims=True)
    return np.where(unknown, np.nan, truth), prob, count


def _of_labels(
    metric: str,
    truth: np.ndarray,
    prob: np.ndarray,
    exclusive: bool,
    count: np.ndarray,
    threshold: ArrayLike,
) -> np.ndarray:
    """Score every label, (L,); NaN where nothing can be said."""
    if metric == "mean_average_precision":
        return average_precisions(truth, prob, count)
    if exclusive and metric != "auc":
        values = _losses(truth, prob).sum(axis=1) if metric == "log_loss" else _right(truth, prob)
        return np.array([_mean(values[has], count[has]) for has in truth.T > 0.5])
    limits = np.broadcast_to(np.asarray(threshold, np.float64), truth.shape[1])
    losses = _losses(truth, prob, each=True) if metric == "log_loss" else prob
    scores = []
    for true, p, loss, limit in zip(truth.T, prob.T, losses.T, limits, strict=True):
        known = ~np.isnan(true) & (count > 0)
        has, each = true[known] > 0.5, count[known]
        right = ((p[known] > limit) == has).astype(np.float64)
        if metric == "auc":
            scores.append(area(true[known], p[known], each))
        elif metric == "log_loss":
            scores.append(_mean(loss[known], each))
        elif metric == "accuracy":
            scores.append(_mean(right, each))
        else:
            scores.append((_mean(right[has], each[has]) + _mean(right[~has], each[~has])) / 2)
    return np.array(scores)


def _right(truth: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Tell of which images the largest probability is that of their label, (N,) float64."""
    known = ~np.isnan(truth[:, 0])
    right = np.zeros(len(truth))
    right[known] = truth[known].argmax(axis=1) == prob[known].argmax(axis=1)
    return right


def _losses(truth: np.ndarray, prob: np.ndarray, each: bool = False) -> np.ndarray:
    """Give the cross-entropy of every label, (N, L); `each` counts "no" as well as "yes"."""
    if each:
        p = np.clip(prob, LEAST, 1 - LEAST)
        return -(truth * np.log(p) + (1 - truth) * np.log1p(-p))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = prob / prob.sum(axis=1, keepdims=True)
    return -truth * np.log(np.clip(p, LEAST, 1))


def _mean(values: np.ndarray, count: np.ndarray) -> float:
    total = count.sum()
    return float((values * count).sum() / total) if total > 0 else float("nan")
