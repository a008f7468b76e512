"""A grid whose best value is the last one tried goes on beyond it, instead of ending too early.

On rare, small defects a grid of gates up to .8 left the score .16 below that of empty masks, with
.8 as its best value. Thresholds and gates go on towards 1 and 0, areas towards those that occur.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt.search.space import EMPTY, Grid
from foldbelt.search.sums import Counted

ROUNDS = 4  # times that a grid is widened
FINEST = 1 / 255  # probabilities are not told apart more finely
STEPS = 3  # values that are added at a time


def widened(
    grid: Grid,
    ends: Iterable[Mapping[str, Any]],
    counted: Counted,
    forced: Collection[str] = (),
) -> Grid:
    """Add values beyond the ends at which the best ones lie.

    Parameters
    ----------
    grid
        What was searched.
    ends
        What :func:`foldbelt.decide.ends.at_ends` found.
    counted
        What it was searched on: it tells the largest area there is, and whether other thresholds
        can be searched.
    forced
        Names of axes that must stay in use: nothing smaller is added, as it ends at off.

    Returns
    -------
    Grid
        `grid` itself where there is nothing to add.
    """
    for name, end in sorted({(row["name"], row["end"]) for row in ends}):
        if name in forced and end == "smallest":
            continue
        if name == "threshold":
            grid = _other_thresholds(grid, end) if counted.at_all_levels else grid
        elif name == "gate":
            number = grid.mode.count("veto")
            more = _towards(grid.gate[:number], end)
            gate = np.concatenate([grid.gate[:number], more, grid.gate[number:]])
            mode = ("veto",) * (number + len(more)) + grid.mode[number:]
            grid = dataclasses.replace(grid, gate=gate, mode=mode)
        else:
            values = getattr(grid, name)
            more = _areas(values, end, _largest(counted, grid))
            wider = np.concatenate([values, more])
            grid = (
                dataclasses.replace(grid, min_area=wider)
                if name == "min_area"
                else dataclasses.replace(grid, min_component=wider)
            )
    return grid


def _other_thresholds(grid: Grid, end: str) -> Grid:
    tried = np.sort(grid.threshold[grid.threshold < EMPTY])
    step = float(np.median(np.diff(tried))) if len(tried) > 1 else 0.05
    first, sign = (tried[-1], 1) if end == "largest" else (tried[0], -1)
    even = first + sign * step * np.arange(1, STEPS + 1)
    inside = even[(even > FINEST) & (even < 1 - FINEST)]
    more = inside if len(inside) else _towards(tried, end)
    return dataclasses.replace(grid, threshold=np.sort([*more.round(6), *grid.threshold]))


def _towards(values: np.ndarray, end: str) -> np.ndarray:
    """Go on from the last value half of what is left to 1, or to 0, again and again."""
    parts = 0.5 ** np.arange(1, STEPS + 1)
    more = 1 - (1 - values.max()) * parts if end == "largest" else values.min() * parts
    kept: np.ndarray = more[(more > FINEST) & (more < 1 - FINEST)].round(6)
    return kept


def _areas(values: np.ndarray, end: str, largest: float) -> np.ndarray:
    """Go on by doubling up to the largest area there is, or by halving down to 0."""
    if end == "smallest":
        return np.append(np.floor(values.min() * 0.5 ** np.arange(1, STEPS)), 0.0)
    more = np.unique(np.minimum(values.max() * 2.0 ** np.arange(1, STEPS + 1), largest))
    return more[more > values.max()]


def _largest(counted: Counted, grid: Grid) -> float:
    lowest = np.sort(grid.threshold)[:1]
    classes: Sequence[int] = range(counted.truth.shape[1])
    return float(max(counted.at(k, lowest, False, 0)[1].max(initial=0) for k in classes))
