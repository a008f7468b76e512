"""What all figures share: colours, saving, and the drawing of tiles with their outlines.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), told apart also by line style
or marker, so that a figure survives greyscale and colour blindness. Figures are made without
pyplot: no state is shared between them, and no display is needed.
"""

import contextlib
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from PIL import Image

from foldbelt.files import atomic

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#6b6b6b", "#c8c8c8"
# Neighbours in this list differ in lightness too, and each has its own marker and line style.
COLOURS = (BLUE, ORANGE, GREEN, RED, SKY, PURPLE, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (8, 3)),
    (0, (3, 1, 1, 1, 1, 1)),
)
CLASS_COLOURS = (YELLOW, SKY, RED, "#FFFFFF", PURPLE, GREEN)

PANEL_PIXELS = 320  # more than a panel shows; keeps huge originals from slowing the drawing
RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same on every machine
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "hatch.linewidth": 0.8,
    "svg.hashsalt": "foldbelt",
    "svg.fonttype": "path",
    "text.parse_math": False,  # an id may hold dollars
}
# Room between panels that belong together, as arguments of `figure`.
TIGHT: dict[str, Any] = {"w_pad": 0.015, "h_pad": 0.015, "wspace": 0.0, "hspace": 0.0}
TITLE_INCHES, HEAD_INCHES, NOTE_INCHES = 0.2, 0.25, 0.21


@contextlib.contextmanager
def figure(
    out: str, title: str, width: float, height: float, dpi: int = 110, **pads: Any
) -> Iterator[Figure]:
    """Give an empty figure with its title, and save it whole when the block succeeds.

    Parameters
    ----------
    out
        Where to; the suffix (.svg or .png) decides the format.
    title
        What the figure shows; a finding first, explanations after a line break.
    width, height
        Size in inches, without the room of the title.
    dpi
        Resolution of a PNG.
    **pads
        Room between panels, as for matplotlib's constrained layout.
    """
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **RC, "backend": "agg"}):  # type: ignore[dict-item]
        # The finding stands out; what follows explains how to read it.
        finding, _, rest = title.partition("\n")
        head = textwrap.wrap(finding, int(width * 9.8))
        notes = textwrap.wrap(rest, int(width * 12.5))
        room = TITLE_INCHES + HEAD_INCHES * len(head) + NOTE_INCHES * len(notes)
        total = height + room
        layout = ConstrainedLayoutEngine(rect=(0, 0, 1, height / total), **pads)
        made = Figure(figsize=(width, total), dpi=dpi, layout=layout)
        left, top = 0.12 / width, 1 - 0.1 / total
        made.text(left, top, "\n".join(head), va="top", size=12, weight="bold", linespacing=1.25)
        top -= HEAD_INCHES * len(head) / total
        made.text(left, top, "\n".join(notes), va="top", color="#333333", linespacing=1.3)
        yield made
        save(made, out)


def save(made: Figure, out: str) -> None:
    """Write a figure to `out` without time or version; the same figure gives the same bytes."""
    _settle(made)
    kind = Path(out).suffix.lstrip(".").lower()
    nothing = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with atomic(out) as temporary:
        made.savefig(temporary, format=kind, dpi="figure", metadata=nothing)


def _settle(made: Figure) -> None:
    """Lay the panels out once and round where they are.

    The solver behind matplotlib's constrained layout sums in an order that changes from process to
    process; the last digits of its answers would move single pixels.
    """
    engine = made.get_layout_engine()
    if engine is None or not made.axes:
        return
    engine.execute(made)
    places = [(axes, axes.get_position(original=True).bounds) for axes in made.axes]
    made.set_layout_engine("none")
    for axes, bounds in places:
        axes.set_position(tuple(round(side, 5) for side in bounds))


def message(out: str, title: str, text: str = "") -> None:
    """Write a figure that says why there is nothing to draw."""
    with figure(out, title, 8, 0.6) as made:
        made.text(0.12 / 8, 0.1, text, va="bottom", color=GREY)


def percent(share: float) -> str:
    """Write a share as percent, with a digit after the point where it is small."""
    if not math.isfinite(share):
        return "–"
    value = 100 * share
    if 0 < value < 0.05:
        return "<0.1 %"
    return f"{value:.1f} %" if 0 < value < 9.95 else f"{value:.0f} %"


def minus(text: str) -> str:
    """Give the numbers in a text true minus signs, as matplotlib gives them on its axes.

    Hyphens within words and between digits, as in dates, are left alone.

    Examples
    --------
    >>> minus("-0.02 (-.5 to 1e-05), leave-one-out of 2020-01-02")
    '−0.02 (−.5 to 1e−05), leave-one-out of 2020-01-02'
    """
    return re.sub(r"(?<![\w.-])-(?=\.?\d)|(?<=\de)-(?=\d)", "−", text)


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: '1 tile', '4,000 tiles'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a long id, so that both its ends can be recognised."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def shrink(image: np.ndarray, nearest: bool = False) -> np.ndarray:
    """Bring an image (H,W[,3]) u8 to at most PANEL_PIXELS a side."""
    height, width = image.shape[:2]
    factor = max(height, width) / PANEL_PIXELS
    if factor <= 1:
        return image
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, method))


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame from the axes of a tile."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def tile(axes: Axes, image: np.ndarray, size: Sequence[int] | None = None, **how: Any) -> None:
    """Show an image (H,W[,3]), stretched to its original size (h,w), on axes without ticks."""
    height, width = size if size is not None else image.shape[:2]
    bare(axes)
    if image.ndim == 2:
        how = {"cmap": "gray", "vmin": 0, "vmax": 255, **how}
    shown = shrink(image) if image.dtype == np.uint8 else image
    axes.imshow(shown, extent=(0, width, height, 0), interpolation="nearest", **how)
    axes.set_anchor("N")  # images of different shapes in a row then hang from one line
    # A little air, so that outlines along the border are not cut off.
    axes.set_xlim(-0.012 * width, 1.012 * width)
    axes.set_ylim(1.012 * height, -0.012 * height)


def outline(axes: Axes, mask: np.ndarray, colour: str, line: Any = "-", width: float = 1.6) -> None:
    """Draw the outline of a mask (h,w), in pixels of the mask, over a tile of the same size."""
    if not mask.any():
        return
    height, wide = mask.shape
    small = shrink(np.ascontiguousarray(mask, np.uint8), nearest=True)
    rows, columns = small.shape
    # Without the border of zeros a mask that touches the edge would stay open there.
    level = np.pad(small, 1).astype(np.float32)
    x = np.clip((np.arange(columns + 2) - 0.5) * wide / columns, 0, wide)
    y = np.clip((np.arange(rows + 2) - 0.5) * height / rows, 0, height)
    light = colour in (YELLOW, "#FFFFFF", SKY, ORANGE)
    drawn = axes.contour(x, y, level, levels=[0.5], colors=[colour], linewidths=width)
    drawn.set_linestyle(line)
    drawn.set_path_effects(
        [withStroke(linewidth=width + 1.4, foreground=BLACK if light else "white")]
    )


def hatch(axes: Axes, ignored: np.ndarray | None) -> None:
    """Grey out and hatch the pixels (h,w) bool that count in no loss and no metric."""
    if ignored is None or not ignored.any():
        return
    height, wide = ignored.shape
    small = shrink(np.ascontiguousarray(ignored, np.uint8) * 255, nearest=True) > 0
    veil = np.zeros((*small.shape, 4), np.float32)
    veil[small] = (0.75, 0.75, 0.75, 0.55)
    axes.imshow(veil, extent=(0, wide, height, 0), interpolation="nearest")
    rows, columns = small.shape
    level = np.pad(small, 1).astype(np.float32)
    x = np.clip((np.arange(columns + 2) - 0.5) * wide / columns, 0, wide)
    y = np.clip((np.arange(rows + 2) - 0.5) * height / rows, 0, height)
    axes.contourf(x, y, level, levels=[0.5, 1.5], colors="none", hatches=["////"])


def ignored_patch() -> Patch:
    """Legend entry of the pixels that are left out."""
    return Patch(facecolor="#d9d9d9", edgecolor=BLACK, hatch="////", label="ignored (unlabelled)")


def key(colour: str, label: str, line: Any = "-", width: float = 2) -> Line2D:
    """Legend entry of an outline, cased in black so that light colours show on white."""
    effects = [withStroke(linewidth=width + 1.4, foreground="#555555")]
    return Line2D(
        [], [], color=colour, linestyle=line, linewidth=width, label=label, path_effects=effects
    )
