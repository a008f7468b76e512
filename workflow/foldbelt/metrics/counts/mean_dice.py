"""The Dice coefficient, as Severstal (2019) takes it."""

import numpy as np


def score(inter: np.ndarray, pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice coefficient of each pair; see :func:`foldbelt.metrics.mean_dice`.

    Parameters
    ----------
    inter, pred, truth
        Pixels in the intersection, in the prediction and in the truth, integers of one shape.
    """
    inter, pred, truth = (np.asarray(part).astype(np.int64) for part in (inter, pred, truth))
    total = pred + truth
    return np.where(total == 0, 1.0, 2 * inter / np.maximum(total, 1))
