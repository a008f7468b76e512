"""What all figures share: colours, saving, and the drawing of tiles with their outlines.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), told apart also by line style
or marker, so that a figure survives greyscale and colour blindness. Figures are made without
pyplot: no state is shared between them, and no display is needed.
"""

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from PIL import Image

from foldbelt.files import atomic

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE, WHITE = "#6b6b6b", "#c8c8c8", "#FFFFFF"
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
CLASS_COLOURS = (YELLOW, SKY, RED, WHITE, PURPLE, GREEN)

FONT = "DejaVu Sans"  # comes with matplotlib, so it is the same on every machine
PANEL_PIXELS = 320  # more than a panel shows; keeps huge originals from slowing the drawing
RC = {
    "font.family": FONT,
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
MARGIN = 0.08  # inches between the border of a figure and what is drawn, beside matplotlib's own


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
        finding, _, explanation = title.partition("\n")
        head = wrap(finding, width - 0.3, 12, "bold")
        notes = wrap(explanation, width - 0.3)
        room = TITLE_INCHES + HEAD_INCHES * len(head) + NOTE_INCHES * len(notes)
        total = height + room
        x, y = MARGIN / width, MARGIN / total
        layout = ConstrainedLayoutEngine(rect=(x, y, 1 - 2 * x, height / total - y), **pads)
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


def inches(text: str, size: float = 10, weight: str = "normal") -> float:
    """Measure how wide a line of text is drawn, in a size in points."""
    font = FontProperties(family=FONT, size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def fit(text: str, width: float, size: float = 10) -> str:
    """Cut the middle out of a text, so that it takes at most `width` inches."""
    length = len(text)
    while length > 3 and inches(shorten(text, length), size) > width:
        length -= 1
    return shorten(text, length)


def wrap(text: str, width: float, size: float = 10, weight: str = "normal") -> list[str]:
    """Break a text into lines of at most `width` inches; longer words are cut in their middle."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and inches(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(word, width, size))
    return lines


def pack(parts: Sequence[str], width: float, size: float = 10) -> list[str]:
    """Put parts that belong together on as few lines as their width in inches allows.

    Examples
    --------
    >>> pack(["score 0.50", "fold 1", "true 12 %"], 1.4)
    ['score 0.50, fold 1', 'true 12 %']
    """
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}, {part}" if lines else part
        if lines and inches(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(part, width, size))
    return lines


def legend(made: Figure, handles: Sequence[Any], most: int = 7) -> None:
    """Put a legend below a figure, in as many columns as its width has room for.

    Parameters
    ----------
    made
        The figure.
    handles
        Artists with labels; long labels are cut in their middle.
    most
        Number of columns that are never exceeded.
    """
    labels = [fit(str(handle.get_label()), made.get_figwidth() - 1) for handle in handles]
    column = max(map(inches, labels), default=0) + 0.68  # with the sample and the gaps
    count = int((made.get_figwidth() - 2 * MARGIN) / column)
    ncols = max(1, min(most, len(handles), count))
    made.legend(handles, labels, loc="outside lower center", ncols=ncols)


def named_ticks(axes: Axes, names: Sequence[str], room: float, size: float = 9) -> None:
    """Name the places 0, 1, … of the x axis; slanted where names are wider than `room` inches."""
    slanted = max((inches(line, size) for name in names for line in name.split("\n")), default=0)
    how: dict[str, Any] = {}
    if slanted > room:
        names = [name.replace("–\n", "–").replace("\n", ", ") for name in names]
        names = [fit(name, 2.4, size) for name in names]
        how = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, size=size, **how)


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


def signed(value: float, digits: int) -> str:
    """Write a difference with its sign, and without one where it rounds to zero.

    Examples
    --------
    >>> signed(-0.0123, 3), signed(-0.0001, 3)
    ('−0.012', '0.000')
    """
    text = f"{value:+.{digits}f}"
    return minus(text if float(text) else text[1:])


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


def visible(image: np.ndarray) -> np.ndarray:
    """Give what can be shown of an image (H,W[,C]) of any bands: (H,W) or (H,W,3)."""
    if image.ndim == 2 or image.shape[2] == 3:
        return image
    return image[..., :3] if image.shape[2] > 3 else image[..., 0]


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame from the axes of a tile."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def tile(axes: Axes, image: np.ndarray, size: Sequence[int] | None = None, **how: Any) -> None:
    """Show an image (H,W[,C]), stretched to its original size (h,w), on axes without ticks.

    Of more bands than three the first three are shown as colours, of two the first.
    """
    image = visible(image)
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
    light = colour in (YELLOW, WHITE, PALE, SKY, ORANGE)
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
