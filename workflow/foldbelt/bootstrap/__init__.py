"""How sure a score or a difference is: bootstrap-t over groups (Efron and Tibshirani, 1993, 12.5).

Images of one group (a mosaic, a patient) resemble each other, so groups are drawn, not images; a
drawn group brings all its images, and the score of a draw is the mean over the images drawn. Each
draw is measured by its own standard error, which widens an interval where few groups, unequal ones
or some that are much worse than the others make a plain percentile interval too narrow: with eight
groups that one misses the truth three times as often as it says; see
`benchmarks/interval_coverage.py`.

A score that ranks a whole set (average precision, the area under the ROC curve) is no mean over
images. :func:`ranked_interval` draws groups for it, too, and scores every draw anew.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from foldbelt.bootstrap._drawing import DIFFERENCES as DIFFERENCES
from foldbelt.bootstrap._drawing import FEWEST as FEWEST
from foldbelt.bootstrap._drawing import SCORES as SCORES
from foldbelt.bootstrap._drawing import Interval as Interval
from foldbelt.bootstrap._drawing import blocks, ends, numbered
from foldbelt.bootstrap.ranked import MANY as MANY
from foldbelt.bootstrap.ranked import Statistic as Statistic
from foldbelt.bootstrap.ranked import contributions as contributions
from foldbelt.bootstrap.ranked import ranked_interval as ranked_interval
from foldbelt.bootstrap.ranked import ranked_paired as ranked_paired
from foldbelt.files import InputError, seed_for
from foldbelt.level import LEVEL as LEVEL
from foldbelt.level import percent as percent

ROUGH = 20  # groups: below, an interval is rough


def caution(groups: int) -> str:
    """Say why there is no interval over so few groups, or how rough it is; "" with enough.

    Examples
    --------
    >>> caution(3)
    'no interval: 3 groups, and it takes 5'
    >>> caution(8)
    'rough interval: 8 groups only'
    """
    if groups < FEWEST:
        return f"no interval: {groups} group{'s' * (groups != 1)}, and it takes {FEWEST}"
    return f"rough interval: {groups} groups only" if groups < ROUGH else ""


def spoken(interval: Interval, groups: int) -> str:
    """Word an interval over so many groups, or why there is none.

    Examples
    --------
    >>> spoken([0.5, 0.75], 40).partition(": ")[2]
    '0.5000 to 0.7500'
    >>> spoken(None, 3)
    'no interval: 3 groups, and it takes 5'
    """
    if interval is None:
        return caution(groups)
    return f"{percent()}: {interval[0]:.4f} to {interval[1]:.4f}"


def count_groups(groups: Any, number: int) -> int:
    """Count the groups of `number` images, those that are alone included."""
    return int(numbered(groups, number).max()) + 1


def interval(
    values: ArrayLike,
    groups: Any = None,
    n: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
    bounds: tuple[float, float] = SCORES,
) -> Interval:
    """Give the interval of the mean over images, resampling whole groups.

    Parameters
    ----------
    values
        One score an image, (N,).
    groups
        The group of each image, (N,), numbers or strings; None: each image is its own.
    n
        Number of draws.
    seed
        Same seed, same interval.
    level
        Share of the trials in which the interval holds the truth.
    bounds
        What the mean can be at all; the interval is cut there.

    Returns
    -------
    list or None
        [low, high]; both equal the mean where all groups score alike. None where there are fewer
        than FEWEST groups; :func:`caution` says it in words.

    Raises
    ------
    InputError
        If there are no values, one is not finite, or the lengths differ.
    """
    scores = _values(values, "values")
    ratio = _Ratio.of(scores, np.ones(len(scores)), numbered(groups, len(scores)))
    return _studentised([ratio], [1.0], n, seed, level, bounds)


def paired(
    a: ArrayLike,
    b: ArrayLike,
    groups: Any = None,
    n: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, Interval]:
    """Give the mean of a − b and its interval, both scored on the same images.

    Parameters
    ----------
    a, b
        Scores of the same images in the same order, (N,).
    groups, n, seed, level
        As for :func:`interval`.

    Returns
    -------
    difference, interval
        Positive where `a` scores higher. Where few groups differ at all, a bootstrap knows little
        of how much, but something of how few: the interval ends where all that may differ, by its
        count (Clopper and Pearson, 1934), would differ by 1.

    Raises
    ------
    InputError
        As :func:`interval`, and if `a` and `b` differ in length.
    """
    first, second = _values(a, "a"), _values(b, "b")
    if len(first) != len(second):
        raise InputError(f"a has {len(first)} scores and b has {len(second)}; pair them by image.")
    difference = first - second
    reach = _reach(difference, numbered(groups, len(first)), level)
    made = interval(difference, groups, n, seed, level, (-reach, reach))
    return float(difference.mean()), made


def reweighted(
    values: ArrayLike,
    weights: ArrayLike,
    groups: Any = None,
    n: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Any]:
    """Give the weighted mean, and how it differs from the plain one, with their intervals.

    Parameters
    ----------
    values
        One score an image, (N,).
    weights
        How much each counts, (N,), none negative, some positive.
    groups, n, seed, level
        As for :func:`interval`. Both means are taken of the same draws.

    Returns
    -------
    dict
        score, interval, difference (weighted − plain), difference_interval.

    Raises
    ------
    InputError
        As :func:`interval`, and if weights do not fit.
    """
    scores, heavy = _values(values, "values"), _values(weights, "weights")
    if len(scores) != len(heavy) or (heavy < 0).any() or not heavy.any():
        raise InputError("weights must be one an image, none negative and some positive.")
    index = numbered(groups, len(scores))
    weighted = _Ratio.of(scores, heavy, index)
    plain = _Ratio.of(scores, np.ones(len(scores)), index)
    both = [weighted, plain]
    return {
        "score": weighted.value,
        "interval": _studentised([weighted], [1.0], n, seed, level, SCORES),
        "difference": weighted.value - plain.value,
        "difference_interval": _studentised(both, [1.0, -1.0], n, seed, level, DIFFERENCES),
    }


def standard_error(values: ArrayLike, groups: Any = None) -> float:
    """Give the standard error of the mean over images whose groups were drawn.

    The mean is a ratio of two sums over groups, scores and images, and its error is linearised
    (Cochran, 1977, 6.4).

    Parameters
    ----------
    values, groups
        As for :func:`interval`; at least two groups.
    """
    scores = _values(values, "values")
    ratio = _Ratio.of(scores, np.ones(len(scores)), numbered(groups, len(scores)))
    return float(_error(ratio.influence(), np.ones((1, len(ratio.size))))[0])


@dataclass(frozen=True)
class Resampling:
    """How groups are redrawn: what the intervals of one set of images have in common.

    Parameters
    ----------
    groups
        As for :func:`interval`.
    draws
        Their number.
    seed
        Same seed, same intervals.
    """

    groups: Any = None
    draws: int = 1000
    seed: int = 0

    def seeded(self, *names: Any) -> "Resampling":
        """Give draws of their own to something by its name."""
        return dataclasses.replace(self, seed=seed_for(self.seed, *names))

    def interval(self, values: ArrayLike) -> Interval:
        """Give [low, high] of the mean over images; see :func:`interval`."""
        return interval(values, self.groups, self.draws, self.seed)

    def paired(self, a: ArrayLike, b: ArrayLike) -> tuple[float, Interval]:
        """Give the mean of a − b and its interval; see :func:`paired`."""
        return paired(a, b, self.groups, self.draws, self.seed)

    def take(self, images: np.ndarray) -> "Resampling":
        """Give the same draws of some images only."""
        if self.groups is None:
            return self
        return dataclasses.replace(self, groups=np.asarray(self.groups, object)[images])

    def ranked(
        self, statistic: Statistic, number: int, bounds: tuple[float, float] = SCORES
    ) -> Interval:
        """Give [low, high] of a score that ranks so many images; see :func:`ranked_interval`."""
        groups = np.arange(number) if self.groups is None else self.groups
        return ranked_interval(statistic, groups, self.draws, self.seed, bounds=bounds)

    def ranked_paired(self, a: Statistic, b: Statistic, number: int) -> tuple[float, Interval]:
        """Give a − b of two scores that rank so many images, and its interval."""
        groups = np.arange(number) if self.groups is None else self.groups
        return ranked_paired(a, b, groups, self.draws, self.seed)


@dataclass(frozen=True)
class _Ratio:
    """A (weighted) mean over images as the ratio of two sums over groups, (G,) each."""

    total: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray, index: np.ndarray) -> "_Ratio":
        return cls(np.bincount(index, values * weights), np.bincount(index, weights))

    @property
    def value(self) -> float:
        return float(self.total.sum() / self.size.sum())

    def influence(self) -> np.ndarray:
        """What each group adds to the error of the mean, (1, G)."""
        return self.drawn(np.ones((1, len(self.size))))[1]

    def drawn(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the means (n,) of draws and their groups' influences (n, G).

        `counts` (n, G) says how often each group was drawn; a draw without weight gives NaN.
        """
        sizes = (counts * self.size).sum(axis=1)  # no matrix product: its bytes vary with threads
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (counts * self.total).sum(axis=1) / sizes
            return means, (self.total - means[:, None] * self.size) / sizes[:, None]


def _error(influence: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Give the standard error (n,) of groups drawn so often, by their influences, both (n, G)."""
    groups = counts.shape[1]
    error = np.sqrt(groups / (groups - 1) * (counts * influence**2).sum(axis=1))
    return np.where(error > 1e-12, error, 0)  # of groups that are alike, rounding is left


def _studentised(
    ratios: list[_Ratio],
    signs: list[float],
    n: int,
    seed: int,
    level: float,
    bounds: tuple[float, float],
) -> Interval:
    """Give the bootstrap-t interval of a sum of signed ratios over the same groups.

    A draw whose groups are all alike has no error, so that its distance counts as infinite: many
    such draws widen the interval to the bounds, which is honest, for they say that what was left
    out decides.
    """

    if n < 1:
        raise InputError(f"a bootstrap needs at least one draw, not {n}.")
    groups = len(ratios[0].size)
    if groups < FEWEST:
        return None
    middle = sum(sign * ratio.value for sign, ratio in zip(signs, ratios, strict=True))
    influence = sum(sign * r.influence() for sign, r in zip(signs, ratios, strict=True))
    error = float(_error(np.asarray(influence), np.ones((1, groups)))[0])
    if not error:
        return [middle, middle]
    distances = []
    for counts in blocks(groups, n, seed):
        drawn = [ratio.drawn(counts) for ratio in ratios]
        means = sum(sign * mean for sign, (mean, _) in zip(signs, drawn, strict=True))
        each = sum(sign * part for sign, (_, part) in zip(signs, drawn, strict=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            distances.append((means - middle) / _error(np.asarray(each), counts))
    return ends(np.concatenate(distances), middle, error, groups, level, bounds)


def _reach(difference: np.ndarray, index: np.ndarray, level: float) -> float:
    """Give the largest mean that differences (N,) can have, by how many groups differ at all.

    The share of groups that differ is at most so high as Clopper and Pearson's interval says; they
    are taken to be as large as the largest.
    """
    sizes = np.bincount(index)
    differ = np.bincount(index, np.abs(difference)) > 0
    groups, count = len(sizes), int(differ.sum())
    if count == groups:
        return 1.0
    from scipy.special import betaincinv  # not where a bundle predicts

    share = float(betaincinv(count + 1, groups - count, (1 + level) / 2))
    return min(1.0, share * float(sizes.max()) / float(sizes.mean()))


def _values(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise InputError(f"{name} must be at least one finite score in one dimension.")
    return array
