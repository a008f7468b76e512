"""LabelMe's JSON files: polygons, rectangles and circles, a label each, of one image a file.

A pixel belongs to a shape if its centre lies within; the upper left corner of the image is (0, 0),
so that the centre of the first pixel is (0.5, 0.5). Shapes of several classes may overlap.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foldbelt.formats.findings import Undecodable

SUFFIX = ".json"
_FIRST = 2**16  # bytes in which a file says what it is
_CIRCLE = 64  # corners that a circle is drawn with


class Drawing(NamedTuple):
    """What a file holds.

    Parameters
    ----------
    size
        (height, width) of the image; None where the file does not say.
    shapes
        Label and corners (n, 2) float64 as x, y.
    """

    size: tuple[int, int] | None
    shapes: list[tuple[str, np.ndarray]]


def is_labelme(path: Path) -> bool:
    """Tell by its first bytes whether a file is LabelMe's."""
    if path.suffix.lower() != SUFFIX:
        return False
    try:
        with path.open("rb") as file:
            return b'"shapes"' in file.read(_FIRST)
    except OSError:
        return False


def read(path: Path) -> Drawing:
    """Read a file.

    Raises
    ------
    Undecodable
        Saying what is wrong: it is no JSON, or a shape has no area, no label or no finite corners.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = list(content["shapes"])
        sides = [int(content.get(side) or 0) for side in ("imageHeight", "imageWidth")]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Undecodable(f"cannot be read as LabelMe's JSON ({error})") from error
    shapes = [_shape(number, shape) for number, shape in enumerate(listed, 1)]
    return Drawing((sides[0], sides[1]) if all(sides) else None, shapes)


def _shape(number: int, shape: Any) -> tuple[str, np.ndarray]:
    try:
        label, points = str(shape["label"]).strip(), np.array(shape["points"], np.float64)
        kind = str(shape.get("shape_type") or "polygon")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Undecodable(f"its shape {number} lacks a label or points") from None
    if not label:
        raise Undecodable(f"its shape {number} has no label")
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise Undecodable(f"its shape {number} ({label}) has corners that are no pairs of numbers")
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return label, np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    if kind == "circle" and len(points) == 2:
        angles = np.arange(_CIRCLE) * (2 * math.pi / _CIRCLE)
        around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return label, points[0] + np.hypot(*(points[1] - points[0])) * around
    if kind != "polygon" or len(points) < 3:
        raise Undecodable(
            f"its shape {number} ({label}) is a {kind} of {len(points)} points, which has no area; "
            "draw polygons, rectangles or circles"
        )
    return label, points


def draw(drawing: Drawing, size: tuple[int, int], classes: Sequence[str]) -> np.ndarray:
    """Draw the mask (h, w, K) of 0 and 1 u8; `Undecodable` names labels that are no classes."""
    unknown = sorted({label for label, _ in drawing.shapes} - set(classes))
    if unknown:
        raise Undecodable(
            f"has the labels {', '.join(unknown)}; the classes are {', '.join(classes)}"
        )
    from skimage.draw import polygon  # only where masks are drawn

    mask = np.zeros((*size, len(classes)), np.uint8)
    for label, corners in drawing.shapes:
        rows, columns = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, size)
        mask[rows, columns, list(classes).index(label)] = 1
    return mask
