"""How often what was predicted with a probability comes true: bins, their intervals, the error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from foldbelt.boxes import Boxes
from foldbelt.level import LEVEL
from foldbelt.metrics.ranked import Ranking

BINS = 10


@dataclass(frozen=True)
class Bins:
    """Predictions of one class, by what was predicted; B bins of equal width, none empty.

    Attributes
    ----------
    name
        Of the class.
    start
        (B,) float64: where each bin begins; it is 1 / `BINS` wide.
    predicted, true
        (B,) float64: mean prediction, and the share that came true.
    low, high
        (B,) float64: interval of that share, NaN where there is none.
    count
        (B,) int64: predictions in each.
    error
        Expected calibration error: the mean distance of the two, over predictions. NaN of none.
    """

    name: str
    start: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    error: float


def of_labels(
    truth: np.ndarray, prob: np.ndarray, names: Sequence[str], groups: np.ndarray | None = None
) -> list[Bins]:
    """Sort images into bins of the probability of each label.

    Parameters
    ----------
    truth, prob
        (N, L); NaN in the truth counts nowhere, soft truth counts as the share that it is.
    names
        Of the labels.
    groups
        (N,) numbers or strings; None: each image is its own.
    """
    groups = np.arange(len(truth)) if groups is None else np.asarray(groups)
    made = []
    for k, name in enumerate(names):
        known = np.isfinite(truth[:, k])
        made.append(_bins(name, prob[known, k], truth[known, k], groups[known]))
    return made


def of_boxes(
    truth: Boxes,
    pred: Boxes,
    names: Sequence[str],
    labelled: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> list[Bins]:
    """Sort predicted boxes into bins of their score; true is one that claims a true box.

    Parameters
    ----------
    truth, pred
        Boxes of the same N images.
    names
        Of the classes.
    labelled
        (N,) bool: the images that count; None: all.
    groups
        (N,), as for `of_labels`.
    """
    groups = np.arange(len(truth)) if groups is None else np.asarray(groups)
    images = np.arange(len(truth)) if labelled is None else np.flatnonzero(labelled)
    truth, pred = truth.take(images), pred.take(images)
    right, of = Ranking.match(truth, pred, len(names)).right, groups[images][pred.of()]
    made = []
    for k, name in enumerate(names):
        rows = pred.classes == k
        made.append(_bins(name, pred.scores[rows], right[rows], of[rows]))
    return made


def _bins(name: str, predicted: np.ndarray, true: np.ndarray, groups: np.ndarray) -> Bins:
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    # A score of .7 as float32 lies a hair beside it; it shall not change its bin for that.
    place = np.clip(np.floor(np.round(predicted * BINS, 5)), 0, BINS - 1).astype(np.int64)
    there = np.unique(place)
    rows = [place == number for number in there]
    means = np.array([predicted[row].mean() for row in rows])
    shares = np.array([true[row].mean() for row in rows])
    counts = np.array([row.sum() for row in rows], np.int64)
    ends = np.array([wilson(true[row], groups[row]) for row in rows]).reshape(-1, 2)
    error = float((np.abs(means - shares) * counts).sum() / len(true)) if len(true) else np.nan
    return Bins(name, there / BINS, means, shares, ends[:, 0], ends[:, 1], counts, error)


def wilson(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Give the interval of a share, with as many values as there would be without groups.

    Wilson's interval (Journal of the American Statistical Association 22, 1927) of the effective
    number of values: their number over the design effect, which is how much larger the variance of
    the share is for values of one group resembling each other (Kish, Survey Sampling, 1965). Where
    all values are alike the design effect is not known, and groups are counted in their stead.

    Parameters
    ----------
    values
        (n,) from 0 to 1, n ≥ 1.
    groups
        (n,).

    Returns
    -------
    low, high
        NaN both where there is a single group of several values: it says nothing about others.

    Examples
    --------
    >>> low, high = wilson(np.array([1, 1, 0, 1]), np.arange(4))
    >>> round(low, 2), round(high, 2)
    (0.3, 0.95)
    """
    number = np.unique(groups, return_inverse=True)[1]
    size = np.bincount(number).astype(np.float64)
    count, share = len(values), float(np.mean(values))
    if len(size) == 1 and count > 1:
        return float("nan"), float("nan")
    effective = float(count)
    spread = share * (1 - share)
    if len(size) < count:
        effective = float(len(size))
        if spread > 1e-12:
            beyond = np.bincount(number, values) - share * size
            variance = len(size) / (len(size) - 1) * float((beyond**2).sum()) / count**2
            effective = count / max(1.0, variance * count / spread)
    z = float(ndtri((1 + LEVEL) / 2))
    middle = (share + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z * np.sqrt(spread / effective + (z / (2 * effective)) ** 2) / (1 + z**2 / effective)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
