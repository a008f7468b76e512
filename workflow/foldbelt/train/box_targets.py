"""True boxes as a detector learns them: in pixels of the network's input, cut as the image is.

A batch holds them as (N, M, 5): class, x1, y1, x2, y2. Rows that are no box have the class
`PADDING`; where nobody knows an image's boxes, its first row is `UNKNOWN`.
"""

from collections.abc import Sequence

import numpy as np

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.channels._boxes import to_network
from foldbelt.channels._resizing import Resizer
from foldbelt.train.data_source import Source

PADDING, UNKNOWN = -1, -2
"""Classes of rows of a target that are no boxes: one that fills up, and the first of an image of
which nobody knows the boxes."""
METRIC = "mean_average_precision"
"""Name of the metric by which boxes are judged, in `foldbelt.train.box_judging`."""

_NOBODY_KNOWS = np.array([[UNKNOWN, 0, 0, 0, 0]], np.float32)


def names(source: Source) -> list[str]:
    """Names of the boxes' classes; none where the images have no boxes."""
    content = store.attrs(source.masks)
    return list(content.get("box_names", [])) if store.has(source.masks, "boxes") else []


def of_images(source: Source, resizer: Resizer) -> list[np.ndarray]:
    """Read the boxes of each image.

    Parameters
    ----------
    source
        The images.
    resizer
        How they come to network size.

    Returns
    -------
    list of (m, 5) float32 arrays
        Class, x1, y1, x2, y2 on the resizer's canvas; one row `UNKNOWN` where nobody knows.
    """
    if not store.has(source.masks, "boxes"):  # pseudo-labels of other outputs
        return [_NOBODY_KNOWS] * len(source.ids)
    boxes = Boxes.from_bytes(store.read(source.masks, "boxes", source.ids))
    counts = store.read(source.masks, "table/boxes", source.ids)
    sizes = store.original_sizes(source.masks, source.ids)
    found = []
    for number, count in enumerate(counts):
        size = (int(sizes[number][0]), int(sizes[number][1]))
        # The window at the canvas's corner: so these are places on the whole canvas.
        placed = to_network(boxes.image(number)[:, :5], resizer, size, window=(0, 0))
        found.append(_NOBODY_KNOWS if count < 0 else placed)
    return found


def known(boxes: np.ndarray) -> bool:
    """Tell whether the boxes (m, 5) of an image are known; there may be none."""
    return not (len(boxes) and boxes[0, 0] == UNKNOWN)


def cut(
    boxes: np.ndarray, top: int, left: int, size: tuple[int, int], visible: float
) -> np.ndarray:
    """Cut boxes (m, 5) as a window of an image is cut.

    Parameters
    ----------
    boxes
        On the image.
    top, left, size
        The window, its size as (height, width).
    visible
        Least share of a box that must lie in the window.

    Returns
    -------
    (k, 5) float32 array
        In pixels of the window, cut at its edge.

    Examples
    --------
    >>> whole = np.array([[0, 2, 2, 6, 6], [1, 0, 0, 4, 4]], np.float32)
    >>> cut(whole, top=2, left=2, size=(8, 8), visible=0.5).tolist()
    [[0.0, 0.0, 0.0, 4.0, 4.0]]
    """
    if not known(boxes):
        return boxes
    moved = boxes.copy()
    moved[:, 1:] -= np.array([left, top, left, top], np.float32)
    area = _areas(moved)
    moved[:, [1, 3]] = moved[:, [1, 3]].clip(0, size[1])
    moved[:, [2, 4]] = moved[:, [2, 4]].clip(0, size[0])
    left_over = _areas(moved)
    return moved[(left_over > 0) & (left_over >= visible * area)]


def padded(images: Sequence[np.ndarray]) -> np.ndarray:
    """Join the boxes (m, 5) of several images to one (N, M, 5) float32 array."""
    out = np.full((len(images), max([1, *map(len, images)]), 5), PADDING, np.float32)
    for row, boxes in zip(out, images, strict=True):
        row[: len(boxes)] = boxes
    return out


def _areas(boxes: np.ndarray) -> np.ndarray:
    sides = boxes[:, 3:] - boxes[:, 1:3]
    area: np.ndarray = sides[:, 0] * sides[:, 1]
    return area
