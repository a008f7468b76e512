"""A panel for each class: how many, which, and where."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foldbelt.report import style

ACROSS = 4  # panels side by side
MOST = 24  # panels of one figure
TITLE = 9  # of a panel, in points
SHARES, SHARE_NAMES = (0, 0.25, 0.5, 0.75, 1), ("0", "", "0.5", "", "1")
"""Ticks of an axis of shares; few are named, or those of neighbours would touch."""


def choose(weights: Sequence[int]) -> list[int]:
    """Pick the classes that get a panel: all, or the `MOST` with the highest weights, in order.

    Examples
    --------
    >>> choose([3, 0, 5])
    [0, 1, 2]
    """
    order = np.argsort(-np.asarray(weights), kind="stable")[:MOST]
    return sorted(order.tolist())


def left_out(classes: int, noun: str) -> str:
    """Say which classes have no panel; "" where all have one."""
    if classes <= MOST:
        return ""
    return f" Shown are the {MOST} {noun} of {classes} with the most truth."


def grid(
    made: Figure, count: int, across: int = ACROSS, rows: Sequence[float] = (1,)
) -> list[list[Axes]]:
    """Give `count` panels, each a stack of axes whose heights have the ratios `rows`."""
    across = min(across, max(count, 1))
    down = -(-count // across)
    axes = made.subplots(down * len(rows), across, squeeze=False, height_ratios=[*rows] * down)
    cells = [
        [axes[line * len(rows) + part, column] for part in range(len(rows))]
        for line in range(down)
        for column in range(across)
    ]
    for spare in cells[count:]:
        for one in spare:
            one.set_visible(False)
    return cells[:count]


def heading(axes: Axes, name: str, lines: Sequence[str], room: float) -> None:
    """Write the name of a class and what was found over its panel, in `room` inches."""
    texts = [style.fit(name, room, TITLE), *(style.fit(line, room, TITLE) for line in lines)]
    axes.set_title("\n".join(texts), size=TITLE)


def interval(low_high: Sequence[float] | None, digits: int = 2) -> str:
    """Write an interval in brackets; "" where there is none.

    Examples
    --------
    >>> interval([0.123, 1]), interval(None)
    (' [0.12 to 1.00]', '')
    """
    if low_high is None:
        return ""
    low, high = low_high
    return f" [{low:.{digits}f} to {high:.{digits}f}]"
