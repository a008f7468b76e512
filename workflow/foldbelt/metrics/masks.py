"""Scores of masks.

Two forms of each metric share one definition: on masks, and "from counts" (pixels in the
intersection, in the prediction, in the truth), which is what a search over thresholds has at hand.
"""

import importlib
import pkgutil
from collections.abc import Callable

import numpy as np

from foldbelt.files import InputError
from foldbelt.metrics import counts

#: (intersection, predicted area, true area) -> score of each pair, all integer arrays of one shape.
CountsMetric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def salt_score(truth: np.ndarray, pred: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Mean precision over the IoU thresholds .50, .55 … .95 (TGS Salt Identification, 2018).

    A threshold t is passed where IoU > t, strictly. An empty truth with an empty prediction scores
    1; where exactly one of them is empty the score is 0.

    Parameters
    ----------
    truth, pred
        Masks, bool or 0/1, (N, H, W) or (N, H, W, K), of any memory layout.
    ignore
        Pixels that count nowhere, bool or 0/1, (N, H, W).

    Returns
    -------
    ndarray
        (N,) float64; with K classes the mean over the classes of an image.

    Raises
    ------
    InputError
        If the shapes differ or an array is not a mask.
    """
    return score_images("salt_score", truth, pred, ignore)


def mean_dice(
    truth: np.ndarray,
    pred: np.ndarray,
    per_image: bool = False,
    ignore: np.ndarray | None = None,
) -> float | np.ndarray:
    """Mean Dice coefficient over all image-class pairs (Severstal, 2019); empty/empty = 1.

    Parameters
    ----------
    truth, pred
        Masks, bool or 0/1, (N, H, W) or (N, H, W, K), of any memory layout.
    per_image
        Whether to give the mean over the classes of each image instead of one number.
    ignore
        Pixels that count nowhere, bool or 0/1, (N, H, W).

    Returns
    -------
    float or ndarray
        The mean over the N·K pairs, or (N,) float64.

    Raises
    ------
    InputError
        If the shapes differ, an array is not a mask, or one number is asked of no images.
    """
    scores = score_images("mean_dice", truth, pred, ignore)
    if per_image:
        return scores
    if not len(scores):
        raise InputError("mean_dice: there is no image to score.")
    return float(scores.mean())


def score_images(
    name: str, truth: np.ndarray, pred: np.ndarray, ignore: np.ndarray | None = None
) -> np.ndarray:
    """Score images by the mask metric of that name.

    Parameters
    ----------
    name
        A metric that :func:`from_counts` knows.
    truth, pred, ignore
        As for :func:`salt_score`.

    Returns
    -------
    ndarray
        (N,) float64, the mean over the classes of each image.
    """
    return score_pairs(name, truth, pred, ignore).mean(axis=1)


def score_pairs(
    name: str, truth: np.ndarray, pred: np.ndarray, ignore: np.ndarray | None = None
) -> np.ndarray:
    """Score every class of every image, (N, K) float64; see :func:`score_images`."""
    score = from_counts(name)
    truth, pred = _mask(truth, "truth"), _mask(pred, "pred")
    if truth.shape != pred.shape:
        raise InputError(
            f"{name}: truth is {truth.shape} and pred is {pred.shape}; they must agree."
        )
    if ignore is not None:
        valid = ~np.asarray(ignore).astype(bool)
        if valid.shape != truth.shape[:3]:
            raise InputError(f"{name}: ignore is {valid.shape}, the masks are {truth.shape[:3]}.")
        truth, pred = truth & valid[..., None], pred & valid[..., None]
    pixels = (1, 2)
    return score(
        np.count_nonzero(truth & pred, axis=pixels),
        np.count_nonzero(pred, axis=pixels),
        np.count_nonzero(truth, axis=pixels),
    )


def from_counts(name: str) -> CountsMetric:
    """Look up the form of a mask metric that needs only pixel counts.

    Parameters
    ----------
    name
        Name of a module of :mod:`foldbelt.metrics.counts`.

    Returns
    -------
    callable
        (intersection, predicted area, true area), integers of one shape -> float64 score of each
        pair of masks, of that shape.

    Raises
    ------
    InputError
        If the metric has no such form.
    """
    known = sorted(module.name for module in pkgutil.iter_modules(counts.__path__))
    if name not in known:
        raise InputError(
            f"metric {name!r} cannot be computed from pixel counts; choose one of "
            f"{', '.join(known)}."
        )
    score: CountsMetric = importlib.import_module(f"{counts.__name__}.{name}").score
    return score


def _mask(array: np.ndarray, name: str) -> np.ndarray:
    """Give a mask as bool (N, H, W, K), or say why it is none."""
    array = np.asarray(array)
    if array.ndim not in (3, 4):
        raise InputError(f"{name} has shape {array.shape}; give (N, H, W) or (N, H, W, K).")
    if array.dtype.kind not in "bui" or (array.size and (array.max() > 1 or array.min() < 0)):
        raise InputError(f"{name} ({array.dtype}) is not a mask; give bool, or integers 0 and 1.")
    array = array.astype(bool)
    return array if array.ndim == 4 else array[..., None]
