"""The score of TGS Salt Identification (2018)."""

import numpy as np


def score(inter: np.ndarray, pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean precision over the IoU thresholds .50 … .95; see :func:`foldbelt.metrics.salt_score`.

    Parameters
    ----------
    inter, pred, truth
        Pixels in the intersection, in the prediction and in the truth, integers of one shape.
    """
    inter, pred, truth = (np.asarray(part).astype(np.int64) for part in (inter, pred, truth))
    union = pred + truth - inter
    # How many k of 10 … 19 satisfy inter/union > k/20: whole numbers, so that no IoU that lies
    # exactly on a threshold is pushed over it by rounding.
    passed = -(-20 * inter // np.maximum(union, 1)) - 10
    return np.where(union == 0, 10, np.clip(passed, 0, 10)) / 10
