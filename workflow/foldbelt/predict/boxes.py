"""Boxes of views, of scales and of windows, brought back and joined; and to the original image."""

from collections.abc import Sequence

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.boxes.fusion import nms, weighted_boxes_fusion
from foldbelt.channels._boxes import to_original
from foldbelt.channels._resizing import Resizer
from foldbelt.models._decoding import MOST
from foldbelt.models._decoding import decode as decode

VIEWS_IOU, WINDOWS_IOU = 0.55, 0.6
"""Overlap above which boxes of several views (Solovyev et al. 2021), or windows, are one."""

_MIRRORED: dict[str, tuple[int, ...]] = {"none": (), "hflip": (0,), "vflip": (1,), "hvflip": (0, 1)}
"""Which coordinates (x, y) a view of `foldbelt.predict.VIEWS` mirrors."""


def flipped(boxes: np.ndarray, view: str, size: tuple[int, int]) -> np.ndarray:
    """Bring boxes to a view of the image, or back from it.

    Parameters
    ----------
    boxes : (m, 5) or (m, 6)
        Class, x1, y1, x2, y2, perhaps the score.
    view
        A name in `foldbelt.predict.VIEWS`.
    size
        (H, W) of the image.

    Returns
    -------
    Array of the same shape and dtype

    Examples
    --------
    >>> flipped(np.array([[0, 1, 2, 4, 8]]), "hflip", (10, 10)).tolist()
    [[0, 6, 2, 9, 8]]
    """
    turned = np.array(boxes)
    for axis in _MIRRORED[view]:
        low, high = 1 + axis, 3 + axis
        side = size[1 - axis]
        turned[:, low], turned[:, high] = side - boxes[:, high], side - boxes[:, low]
    return turned


def rescaled(boxes: np.ndarray, size: tuple[int, int], other: tuple[int, int]) -> np.ndarray:
    """Bring boxes (m, 6) from an image of one size (H, W) to the same image at another."""
    factor = np.divide(other, size)[::-1]
    moved = np.array(boxes)
    moved[:, 1:5] *= np.tile(factor, 2)
    return moved


def moved(boxes: np.ndarray, top: int, left: int) -> np.ndarray:
    """Bring boxes (m, 6) from a window to the image that it was cut from."""
    whole = np.array(boxes)
    whole[:, 1:5] += np.array([left, top, left, top])
    return whole


def over_views(views: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Join the boxes that several views of the same images show.

    Parameters
    ----------
    views
        Of each view (flip, scale) the boxes (m, 6) of each image, brought back.

    Returns
    -------
    list of (k, 6) float32
        One an image. Boxes of one object become their mean, weighted by score; one that few views
        show loses score by it (weighted boxes fusion). A single view is left as it is.
    """
    if len(views) == 1:
        return list(views[0])
    given = [Boxes.join(images) for images in views]
    fused = weighted_boxes_fusion(given, [1.0] * len(given), VIEWS_IOU)
    return [fused.image(number)[:MOST] for number in range(len(fused))]


def over_windows(windows: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Join the boxes that several windows of the same images show.

    A window knows nothing of what it does not see, so no box loses score by that; of those of one
    object the surest stays.
    """
    images = [np.concatenate(parts) for parts in zip(*windows, strict=True)]
    kept = nms(Boxes.join(images), iou=WINDOWS_IOU)
    return [kept.image(number)[:MOST] for number in range(len(kept))]


def at_original(images: Sequence[np.ndarray], resizer: Resizer, sizes: np.ndarray) -> Boxes:
    """Bring boxes (m, 6) of images to their original sizes (N, 2)."""
    placed = [
        to_original(boxes, resizer, (int(size[0]), int(size[1])))
        for boxes, size in zip(images, sizes, strict=True)
    ]
    return Boxes.join(placed)
