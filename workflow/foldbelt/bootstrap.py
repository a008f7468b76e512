"""How sure a score or a difference is: percentile bootstrap over groups (Efron, 1979).

Images of one group (a mosaic, a patient) resemble each other, so groups are drawn, not images; a
drawn group brings all its images, and the score of a draw is the mean over the images drawn.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from foldbelt.files import InputError, seed_for

LEVEL = 0.95  # share of the draws inside an interval; every number and every text follows it
BLOCK = 2**21  # drawn groups at a time


def percent(level: float = LEVEL) -> str:
    """Word the level of an interval.

    Examples
    --------
    >>> percent(0.5)
    '50 %'
    """
    return f"{100 * level:.4g} %"


def interval(
    values: ArrayLike,
    groups: Any = None,
    n: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Give the percentile interval of the mean over images, resampling whole groups.

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
        Share of the draws inside the interval.

    Returns
    -------
    low, high
        Both equal the mean when there is only one group to draw.

    Raises
    ------
    InputError
        If there are no values, one is not finite, or the lengths differ.
    """
    low, high = _bounds(_draws(_values(values, "values"), groups, n, seed), level)
    return float(low), float(high)


def paired(
    a: ArrayLike,
    b: ArrayLike,
    groups: Any = None,
    n: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float, float]:
    """Give the mean of a − b and its interval, both scored on the same images.

    Parameters
    ----------
    a, b
        Scores of the same images in the same order, (N,).
    groups, n, seed, level
        As for :func:`interval`.

    Returns
    -------
    difference, low, high
        Positive where `a` scores higher.

    Raises
    ------
    InputError
        As :func:`interval`, and if `a` and `b` differ in length.
    """
    first, second = _values(a, "a"), _values(b, "b")
    if len(first) != len(second):
        raise InputError(f"a has {len(first)} scores and b has {len(second)}; pair them by image.")
    difference = first - second
    return (float(difference.mean()), *interval(difference, groups, n, seed, level))


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
        score, interval [low, high], difference (weighted − plain), difference_interval.

    Raises
    ------
    InputError
        As :func:`interval`, and if weights do not fit.
    """
    scores, heavy = _values(values, "values"), _values(weights, "weights")
    if len(scores) != len(heavy) or (heavy < 0).any() or not heavy.any():
        raise InputError("weights must be one an image, none negative and some positive.")
    draws = _draws(scores, groups, n, seed, heavy)
    differences = draws - _draws(scores, groups, n, seed)
    score = float(scores @ heavy / heavy.sum())
    return {
        "score": score,
        "interval": _bounds(draws, level).tolist(),
        "difference": score - float(scores.mean()),
        "difference_interval": _bounds(differences, level).tolist(),
    }


def _bounds(draws: np.ndarray, level: float) -> np.ndarray:
    """Give the two ends of the middle `level` of the draws, (2,); without those that are NaN."""
    return np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])


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

    def interval(self, values: ArrayLike) -> list[float]:
        """Give [low, high] of the mean over images; see :func:`interval`."""
        return list(interval(values, self.groups, self.draws, self.seed))

    def paired(self, a: ArrayLike, b: ArrayLike) -> tuple[float, float, float]:
        """Give the mean of a − b, low and high; see :func:`paired`."""
        return paired(a, b, self.groups, self.draws, self.seed)


def _values(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise InputError(f"{name} must be at least one finite score in one dimension.")
    return array


def _draws(
    values: np.ndarray, groups: Any, n: int, seed: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Give n (weighted) means over redrawn groups, (n,); NaN where a draw has no weight."""
    if n < 1:
        raise InputError(f"a bootstrap needs at least one draw, not {n}.")
    if groups is None:
        group_index = np.arange(len(values))
    else:
        names = pd.Series(groups, dtype=object).reset_index(drop=True)
        alone = names.isna() | names.isin([-1, ""])
        names[alone] = [("alone", number) for number in np.flatnonzero(alone)]
        group_index = pd.factorize(names)[0]
    if len(group_index) != len(values):
        raise InputError(f"there are {len(values)} scores and {len(group_index)} groups.")
    if weights is None:
        total, size = np.bincount(group_index, values), np.bincount(group_index)
    else:
        total = np.bincount(group_index, values * weights)
        size = np.bincount(group_index, weights)
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // len(size))  # bounds the memory; the stream does not depend on it
    means = []
    for start in range(0, n, block):
        drawn = random.integers(len(size), size=(min(block, n - start), len(size)))
        with np.errstate(invalid="ignore"):
            means.append(total[drawn].sum(axis=1) / size[drawn].sum(axis=1))
    return np.concatenate(means)
