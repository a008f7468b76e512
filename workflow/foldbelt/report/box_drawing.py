"""A box over an image, as every figure draws it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from foldbelt.report import style


def outline(axes: Axes, row: np.ndarray, colour: str, line: object, width: float) -> None:
    """Draw a box, (class, x1, y1, x2, y2, …), over an image, cased so that it shows on any."""
    x, y, x_end, y_end = row[1:5].tolist()
    shape = Rectangle((x, y), x_end - x, y_end - y, fill=False, edgecolor=colour, linewidth=width)
    shape.set_linestyle(line)  # type: ignore[arg-type]
    shape.set_path_effects([withStroke(linewidth=width + 1.4, foreground=casing(colour))])
    axes.add_patch(shape)


def casing(colour: str) -> str:
    """Colour of what lies around a line of a colour, so that it shows on any image."""
    light = colour in (style.YELLOW, style.WHITE, style.PALE, style.SKY, style.PURPLE)
    return style.BLACK if light else style.WHITE
