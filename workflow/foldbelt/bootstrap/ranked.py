"""Intervals of scores that rank a whole set, as average precision does: draws are scored anew."""

from collections.abc import Callable
from typing import Any

import numpy as np

from foldbelt.bootstrap._drawing import (
    DIFFERENCES,
    FEWEST,
    SCORES,
    Interval,
    draws,
    ends,
    numbered,
)
from foldbelt.files import InputError
from foldbelt.level import LEVEL

MANY = 50  # groups: from here on, the quantiles of draws do for a score that ranks

Statistic = Callable[[np.ndarray], float]
"""(N,) float64 how often each image counts -> a score of the whole set; NaN where it has none."""


def ranked_interval(
    statistic: Statistic,
    groups: Any,
    n: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
    bounds: tuple[float, float] = SCORES,
) -> Interval:
    """Give the interval of a score that ranks a whole set, resampling whole groups.

    With `MANY` groups or more these are quantiles of the draws (Efron and Tibshirani, 1993, 13.3);
    with fewer it is bootstrap-t (12.5), where the standard error of the set, and of every draw, is
    found by leaving out one drawn group after the other (the jackknife, 11.2).

    Parameters
    ----------
    statistic
        The score of the images, each counted so often. It is called once a draw; below `MANY`
        groups two thirds as often as there are groups, too.
    groups
        The group of each image, (N,), numbers or strings; single images are `range(N)`.
    n, seed, level, bounds
        As for :func:`interval`. Draws that have no score are left out.

    Returns
    -------
    list or None
        As of :func:`interval`. The score itself always lies within.

    Raises
    ------
    InputError
        If the set has no score, or no draw has one.

    Examples
    --------
    >>> values = np.arange(60) / 60
    >>> low, high = ranked_interval(lambda count: np.average(values, weights=count), range(60))
    >>> round(low, 1), round(high, 1)
    (0.4, 0.6)
    """
    if n < 1:
        raise InputError(f"a bootstrap needs at least one draw, not {n}.")
    index = numbered(groups, len(groups))
    number = int(index.max()) + 1 if len(index) else 0
    if number < FEWEST:
        return None
    whole = np.ones(number, np.int64)
    middle = float(statistic(whole[index].astype(np.float64)))
    if np.isnan(middle):
        raise InputError("a set that has no score has no interval: nothing to find is in it.")
    drawn = draws(number, n, seed)
    if number >= MANY:
        made = np.array([statistic(count[index].astype(np.float64)) for count in drawn])
        made = made[~np.isnan(made)]
        if not len(made):
            raise InputError("no draw of the groups has a score; give more images or groups.")
        low, high = np.quantile(made, [(1 - level) / 2, (1 + level) / 2])
        return [float(max(min(low, middle), bounds[0])), float(min(max(high, middle), bounds[1]))]
    error = _jackknifed(statistic, index, whole)
    if not error:
        return [middle, middle]
    if np.isnan(error):  # one group has all there is to find: anything may come of others
        return [float(min(bounds[0], middle)), float(max(bounds[1], middle))]
    distances = []
    for count in drawn:
        off = float(statistic(count[index].astype(np.float64))) - middle
        spread = _jackknifed(statistic, index, count)
        distances.append(off / spread if spread else np.nan if not off else np.inf * off)
    if np.isnan(distances).all():
        raise InputError("no draw of the groups has a score; give more images or groups.")
    return ends(np.array(distances), middle, error, number, level, bounds)


def ranked_paired(
    a: Statistic,
    b: Statistic,
    groups: Any,
    n: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
    bounds: tuple[float, float] = DIFFERENCES,
) -> tuple[float, Interval]:
    """Give a − b of two scores that rank the same images, and its interval over the same draws.

    Parameters
    ----------
    a, b
        As `statistic` of :func:`ranked_interval`.
    groups, n, seed, level, bounds
        As there.

    Returns
    -------
    difference, interval
        Positive where `a` scores higher.
    """

    def difference(count: np.ndarray) -> float:
        return a(count) - b(count)

    whole = float(difference(np.ones(len(groups))))
    return whole, ranked_interval(difference, groups, n, seed, level, bounds)


def contributions(statistic: Statistic, groups: Any) -> np.ndarray:
    """Give what every image contributes to a score that ranks a whole set, (N,) float64.

    Their mean is the score, and over groups they spread as the jackknife's pseudo-values do (Efron
    and Tibshirani, 1993, 11.5): what is known of means over images (:func:`paired`, say, and
    :func:`standard_error`) then holds for the score, and differences may be taken image by image.
    Images of a group contribute alike, for the score knows them together alone.

    Parameters
    ----------
    statistic, groups
        As for :func:`ranked_interval`. It is called once a group.

    Raises
    ------
    InputError
        If the set, or all of it but a group, has no score.

    Examples
    --------
    >>> values = np.array([0.0, 1.0, 1.0, 4.0])
    >>> made = contributions(lambda count: np.average(values, weights=count), range(4))
    >>> made.round(9).tolist()
    [0.0, 1.0, 1.0, 4.0]
    """
    index = numbered(groups, len(groups))
    size = np.bincount(index)
    middle = float(statistic(np.ones(len(index))))
    if len(size) < 2:
        return np.full(len(index), middle)
    without = np.array([statistic((index != group) * 1.0) for group in range(len(size))])
    if np.isnan(middle) or np.isnan(without).any():
        raise InputError(
            "a set has no score once a group is left out: all that is to be found lies in it. Give "
            "more images or groups."
        )
    own = (len(size) - 1) * (without.mean() - without)  # less their mean, which is the bias
    return middle + (len(index) / len(size)) * (own / size)[index]


def _jackknifed(statistic: Statistic, index: np.ndarray, count: np.ndarray) -> float:
    """Give the standard error of a draw by leaving out one of its groups at a time.

    Copies of a group are alike, so one of them is left out for all; NaN if a score is.
    """
    drawn, groups = np.flatnonzero(count), int(count.sum())
    scores = np.empty(len(drawn))
    for place, group in enumerate(drawn):
        fewer = count.copy()
        fewer[group] -= 1
        scores[place] = statistic(fewer[index].astype(np.float64))
    middle = (count[drawn] * scores).sum() / groups
    error = np.sqrt((groups - 1) / groups * (count[drawn] * (scores - middle) ** 2).sum())
    return 0.0 if error <= 1e-12 else float(error)  # of groups that are alike, rounding is left
