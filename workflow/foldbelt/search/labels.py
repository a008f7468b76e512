"""True image labels, and the log loss by which label weights are searched."""

from collections.abc import Sequence

import numpy as np

from foldbelt import store
from foldbelt.files import InputError, PathLike
from foldbelt.search.means import LEAST_LABEL


def log_loss(truth: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Give the cross-entropy of each image, the mean over its labels, in nats.

    Parameters
    ----------
    truth
        (N, L) 0/1.
    prob
        (N, L) probabilities; counted as at least a millionth from 0 and 1.

    Returns
    -------
    ndarray
        (N,) float64, 0 or more.

    Examples
    --------
    >>> log_loss(np.array([[1], [0]]), np.array([[0.5], [0.25]])).round(3)
    array([0.693, 0.288])
    """
    p = np.clip(np.asarray(prob, np.float64), LEAST_LABEL, 1 - LEAST_LABEL)
    return -np.where(np.asarray(truth) > 0, np.log(p), np.log1p(-p)).mean(axis=1)


def true_labels(data: PathLike, ids: Sequence[str], width: int) -> np.ndarray | None:
    """Read the true labels of images.

    Parameters
    ----------
    data
        ``train.h5``.
    ids
        Which images.
    width
        L, how many labels were predicted.

    Returns
    -------
    ndarray or None
        (N, L) uint8; None if the data knows no labels.

    Raises
    ------
    InputError
        If the data has another number of labels.
    """
    if not store.has(data, "labels"):
        return None
    given = store.read(data, "labels", list(ids))
    if given.shape[1] != width:
        raise InputError(
            f"{data}: has {given.shape[1]} image labels, but {width} were predicted. Train the "
            "models, or make the external predictions, for these labels."
        )
    return given
