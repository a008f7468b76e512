"""Draws of groups, and the interval that draws give; what all kinds of scores have in common."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from foldbelt.files import InputError

FEWEST = 5  # groups: below, an interval is a guess
BLOCK = 2**21  # drawn groups at a time

SCORES, DIFFERENCES = (0.0, 1.0), (-1.0, 1.0)
"""What a score, and a difference of two, can be at all: intervals end there."""

Interval = list[float] | None
"""[low, high]; None where there are too few groups."""


def blocks(groups: int, n: int, seed: int) -> Iterator[np.ndarray]:
    """Give n draws of the groups, how often each was drawn: (·, G), some at a time."""
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // groups)  # bounds the memory; the stream does not depend on it
    for start in range(0, n, block):
        yield random.multinomial(groups, np.full(groups, 1 / groups), min(block, n - start))


def draws(groups: int, n: int, seed: int) -> Iterator[np.ndarray]:
    """Give n draws of the groups, (G,) one after the other."""
    return (count for block in blocks(groups, n, seed) for count in block)


def ends(
    distances: np.ndarray,
    middle: float,
    error: float,
    groups: int,
    level: float,
    bounds: tuple[float, float],
) -> list[float]:
    """Give the bootstrap-t interval by the distances of draws, each in its own standard error."""
    from scipy.special import stdtrit  # here, and pandas below: not where a bundle predicts

    ranked = np.sort(distances[~np.isnan(distances)])
    tail = round((1 - level) / 2 * (len(ranked) + 1), 6)
    first = min(max(int(np.floor(tail)) - 1, 0), len(ranked) - 1)

    student = float(stdtrit(groups - 1, (1 + level) / 2))  # never narrower than Student's t
    low = middle - max(ranked[len(ranked) - 1 - first], student) * error
    high = middle - min(ranked[first], -student) * error
    return [float(max(low, min(bounds[0], middle))), float(min(high, max(bounds[1], middle)))]


def numbered(groups: Any, number: int) -> np.ndarray:
    """Number the groups of images from 0, (N,); an image without a group is one of its own."""
    import pandas as pd

    if groups is None:
        return np.arange(number)

    names = pd.Series(groups, dtype=object).reset_index(drop=True)
    if len(names) != number:
        raise InputError(f"there are {number} scores and {len(names)} groups.")
    alone = names.isna() | names.isin([-1, ""])
    names[alone] = [("alone", place) for place in np.flatnonzero(alone)]
    return pd.factorize(names)[0]
