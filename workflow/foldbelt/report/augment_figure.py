"""Draw tiles in rows: each as it is, and what augmentation made of it."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foldbelt.report import box_drawing, style

DRAWS = 6
"""Of a tile, at most."""
LABEL_INCHES, CELL_INCHES, HEAD_INCHES = 2.45, 1.4, 0.4
LABEL_WIDTH, LABEL_LINES = 36, 6
DASHED = (0, (3, 1.6))


class Sample(NamedTuple):
    """A sample as a network is given it: u8 at network size.

    Attributes
    ----------
    image, mask
        (H,W,C), and the planes (H,W,P) of its masks, perhaps none.
    boxes
        (m,5) class, x1, y1, x2, y2; none of other models than those of boxes.
    """

    image: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray = np.zeros((0, 5), np.float32)


@dataclass
class Row:
    """A tile as it is and its draws, with a remark where they are fewer; a heading without."""

    label: str
    notes: str = ""
    samples: list[Sample] = field(default_factory=list)
    remark: str = ""


class Shown(NamedTuple):
    """What all tiles of a figure have in common.

    Attributes
    ----------
    size
        (height, width) of a sample.
    classes
        Mask classes; a plane beyond them is of ignored pixels.
    what
        That is drawn over the tiles: "masks", "boxes", or "" where there is neither.
    kinds
        Names of the classes of those.
    look
        Makes of an image (H,W,C) u8 what is shown of it.
    """

    size: tuple[int, int]
    classes: int
    what: str
    kinds: Sequence[str]
    look: Callable[[np.ndarray], np.ndarray]


def figure(rows: Sequence[Row], shown: Shown, title: str, out: str) -> None:
    """Draw rows one below the other.

    Parameters
    ----------
    rows
        Tiles and headings.
    shown
        What all tiles have in common.
    title
        Of the figure.
    out
        A PNG.
    """
    height, width = shown.size
    cell = CELL_INCHES * max(1.0, min(1.6, width / height))
    tall = max(0.7, cell * min(2.0, height / width)) + 0.06  # a label needs its room, too
    heights = [tall if row.samples else HEAD_INCHES for row in rows]
    panels, ignores = 1 + DRAWS, False
    wide = LABEL_INCHES + panels * cell
    with style.figure(out, title, wide, sum(heights) + 0.4, **style.TIGHT) as made:
        grid = made.subplots(
            len(rows),
            1 + panels,
            squeeze=False,
            width_ratios=[LABEL_INCHES, *[cell] * panels],
            height_ratios=heights,
        )
        for axes in grid.flat:
            style.bare(axes)
            axes.patch.set_visible(False)  # or they would cover the headings
        for line, row in zip(grid, rows, strict=True):
            _label(line[0], row)
            for place, (axes, sample) in enumerate(zip(line[1:], row.samples, strict=False)):
                style.tile(axes, shown.look(sample.image))
                mask, classes = sample.mask, shown.classes
                if shown.what == "masks":
                    _outlines(axes, mask[..., :classes], dashed=place == 0)
                for box in sample.boxes:
                    _box(axes, box, dashed=place == 0)
                ignored = mask[..., -1] > 0 if mask.shape[-1] > classes else None
                style.hatch(axes, ignored)
                ignores |= ignored is not None and bool(ignored.any())
            if row.remark:
                _text(line[1 + len(row.samples)], row.remark, 6, size=9)
        _legend(made, shown, ignores)


def _label(axes: Axes, row: Row) -> None:
    """Write a heading across the figure, or the name of a row with its settings below."""
    if not row.samples:
        _text(axes, row.label, 9, size=10.5, weight="bold", color=style.BLUE)
        return
    _text(axes, row.label, 3, size=9, weight="bold")
    lines = textwrap.wrap(row.notes, LABEL_WIDTH)
    if len(lines) > LABEL_LINES:
        lines = [*lines[: LABEL_LINES - 1], lines[LABEL_LINES - 1][: LABEL_WIDTH - 1] + "…"]
    _text(axes, "\n".join(lines), 18, size=8, color="#333333")


def _text(axes: Axes, text: str, below: float, **how: Any) -> None:
    """Write from the top left of a panel, so many points below; it may reach over the next ones."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    written = axes.annotate(text, (0, 1), xytext=(5, -below), va="top", **place, **how)
    written.set_in_layout(False)  # else the panels would give way to it


def _colour(channel: int) -> str:
    return style.CLASS_COLOURS[channel % len(style.CLASS_COLOURS)]


def _outlines(axes: Axes, masks: np.ndarray, dashed: bool) -> None:
    """Outline every class; the tile as it is dashed, to set it apart from the draws."""
    for channel in range(masks.shape[-1]):
        line = DASHED if dashed else "-"
        style.outline(axes, masks[..., channel], _colour(channel), line, 1.4)


def _box(axes: Axes, box: np.ndarray, dashed: bool) -> None:
    line = DASHED if dashed else "-"
    box_drawing.outline(axes, box, _colour(int(box[0])), line, 1.4)


def _legend(made: Figure, shown: Shown, ignored: bool) -> None:
    names = list(shown.kinds)
    if len(names) == 1:
        names = [f"{'box' if shown.what == 'boxes' else 'mask'}, moved with its image"]
    handles: list = [style.key(_colour(channel), name) for channel, name in enumerate(names)]
    if names:
        handles.append(style.key(_colour(0), "without augmentation (left)", DASHED))
    if ignored:
        handles.append(style.ignored_patch())
    if handles:
        style.legend(made, handles, 6)
