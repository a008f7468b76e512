"""Does a variant help? A difference that counts the draw of the images and that of the trainings.

One recipe trained with another seed scores otherwise, by as much as many techniques bring. So the
variance of a difference has two parts. The draw of groups of images: the variance of the mean over
images of the differences, each averaged over the seeds. The draw of trainings: the variance between
the seeds' mean differences, over their number S. The first holds a little of the second, which
makes the sum too large rather than too small. With few seeds the second is uncertain itself, which
Student's t with S − 1 degrees of freedom pays for: at two seeds an interval spans a fifth of the
scale, at five some hundredths (`benchmarks/verdict_rates.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from foldbelt.bootstrap import DIFFERENCES, FEWEST, LEVEL, count_groups, standard_error

HELPS, HARMS, UNDECIDED = "helps", "harms", "undecided"
FEWEST_SEEDS = 3
ADVISED_SEEDS = 5


@dataclass(frozen=True)
class Difference:
    """How a variant's score differs from the recipe's.

    Parameters
    ----------
    mean
        Over the images and seeds; positive where the variant scores higher.
    low, high
        Its interval; NaN where `reason` says why there is none.
    p
        Probability of so large a difference by luck alone; NaN likewise.
    reason
        Why there is no interval; "" where there is one.
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    reason: str = ""


def difference(values: ArrayLike, groups: Sequence[object], level: float = LEVEL) -> Difference:
    """Compare a variant with the recipe.

    Parameters
    ----------
    values
        (S, N) differences of the scores of N images, trained with S seeds each.
    groups
        The group of each image, (N,).
    level
        Of the interval.
    """
    each = np.asarray(values, np.float64)
    seeds, mean = len(each), float(each.mean())
    number = count_groups(groups, each.shape[1])
    reasons = []
    if seeds < FEWEST_SEEDS:
        reasons.append(f"{seeds} seed{'s' * (seeds != 1)} of at least {FEWEST_SEEDS}")
    if number < FEWEST:
        reasons.append(f"{number} group{'s' * (number != 1)} of at least {FEWEST}")
    if reasons:
        return Difference(mean, reason=", ".join(reasons))
    images = standard_error(each.mean(axis=0), groups)
    error = float(np.hypot(images, each.mean(axis=1).std(ddof=1) / np.sqrt(seeds)))
    if not error:  # the same scores in every training
        return Difference(mean, mean, mean, float(mean == 0))
    reach = float(stats.t.ppf((1 + level) / 2, seeds - 1)) * error
    low, high = np.clip([mean - reach, mean + reach], *DIFFERENCES)
    return Difference(mean, float(low), float(high), 2 * stats.t.sf(abs(mean) / error, seeds - 1))


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjust probabilities for their number (Holm, 1979); NaN stays and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    adjusted = np.asarray(p, np.float64).copy()
    known = np.flatnonzero(~np.isnan(adjusted))
    order = known[np.argsort(adjusted[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(adjusted[order] * factors))
    return adjusted


def verdicts(compared: Mapping[str, Difference], level: float = LEVEL) -> dict[str, str]:
    """Say of each variant whether it helps, harms or is undecided, all of them at once.

    With variants that change nothing, not more than 1 − `level` of the tables hold a verdict.

    Parameters
    ----------
    compared
        Variant → its difference to the recipe.
    level
        As for the intervals.
    """
    adjusted = holm([one.p for one in compared.values()])
    return {
        name: f"no verdict: {one.reason}" if one.reason else _word(one.mean, p, level)
        for (name, one), p in zip(compared.items(), adjusted, strict=True)
    }


def _word(mean: float, p: float, level: float) -> str:
    if p > 1 - level:
        return UNDECIDED
    return HELPS if mean > 0 else HARMS
