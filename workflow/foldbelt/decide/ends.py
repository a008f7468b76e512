"""Where the best value of the search is the last one tried, a wider grid may hold a better one.

:mod:`foldbelt.decide.widening` makes it wider; what is left here in the end could not be.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foldbelt.search.space import EMPTY, NEUTRAL, Grid

#: Values beyond which there is nothing to try: 0 is off, and fractions end at 1.
_LAST = {"threshold": 1.0, "gate": 1.0}


def at_ends(
    means: np.ndarray, chosen: Sequence[tuple[int, ...]], grid: Grid, least: float
) -> list[dict[str, Any]]:
    """List the values chosen at an end of the grid that score better than the next inner ones.

    Values that do as well further in are not listed: a class that is best left empty is left empty
    by many, and all of them are good. Of a class for which the threshold that leaves it empty was
    chosen, the best of the other points is looked at: beyond it may lie what beats empty masks.

    Parameters
    ----------
    means
        (K, T, M, C, G) mean scores of each class.
    chosen
        Of each class the places in the grid, (t, m, c, g).
    grid
        The grid.
    least
        Means that differ by less are equal.

    Returns
    -------
    list of dict
        class (its number), name, value, end ("smallest" or "largest") and gain, the best score with
        this value minus the best with the next inner one, all else being free.
    """
    ends: list[dict[str, Any]] = []
    tried = grid.threshold < EMPTY
    if not tried.any():
        return ends
    for k, (first, *others) in enumerate(chosen):
        inner = means[k][tried]
        point = (int(tried[:first].sum()), *others)
        if not tried[first]:
            best_place = int((inner >= inner.max() - least).argmax())
            point = tuple(map(int, np.unravel_index(best_place, inner.shape)))
        for axis, name in enumerate(NEUTRAL):
            values = getattr(grid, name)[tried] if name == "threshold" else getattr(grid, name)
            if name == "gate":  # modes other than a veto have no value
                values = values[: grid.mode.count("veto")]
            place = point[axis]
            if len(values) < 2 or place >= len(values):
                continue
            value, order = values[place], np.argsort(values)
            sides = {"largest": order[::-1]} if value < _LAST.get(name, np.inf) else {}
            sides |= {"smallest": order} if value > 0 else {}
            other_axes = tuple(i for i in range(means.ndim - 1) if i != axis)
            best = inner.max(axis=other_axes)
            for end, inwards in sides.items():
                gain = best[place] - best[inwards[1]]
                if place == inwards[0] and gain > least:
                    row = {"class": k, "name": name, "value": float(value), "end": end}
                    ends.append(row | {"gain": float(gain)})
    return ends


def describe_ends(ends: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Say it, one sentence for each name and end.

    Parameters
    ----------
    ends
        What `at_ends` gave.
    names
        Of the classes; one alone is not named.

    Examples
    --------
    >>> describe_ends([{"class": 0, "name": "gate", "value": 0.9, "end": "largest"}], ["salt"])
    ['decision.space.gate: the best value, 0.9, is the largest tried; larger ones may do better']
    """
    sentences = []
    for name, end in dict.fromkeys((row["name"], row["end"]) for row in ends):
        rows = [row for row in ends if (row["name"], row["end"]) == (name, end)]
        of = " of class " + ", ".join(names[row["class"]] for row in rows)
        further = {"smallest": "smaller", "largest": "larger"}[end]
        sentences.append(
            f"decision.space.{name}: the best value{of if len(names) > 1 else ''}, "
            f"{rows[0]['value']:g}, is the {end} tried; {further} ones may do better"
        )
    return sentences
