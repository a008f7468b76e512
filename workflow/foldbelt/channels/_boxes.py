"""Bring boxes from the original image to the network's input, and back.

Coordinates are those of `foldbelt.boxes`: a box ends where its last pixel ends, so that resizing
multiplies them and padding adds to them. An image passes three sizes: the original one, that at
which it is stored (the whole image, resized), and the network's.
"""

from collections.abc import Sequence

import numpy as np

from foldbelt.channels._resizing import Resizer

_XYXY = slice(1, 5)  # columns of x1, y1, x2, y2 after the class


def to_network(
    boxes: np.ndarray,
    resizer: Resizer,
    original: Sequence[int] | np.ndarray,
    window: tuple[int, int] | None = None,
) -> np.ndarray:
    """Bring boxes to pixels of the network's input.

    Parameters
    ----------
    boxes : (m, 5) or (m, 6)
        Class, x1, y1, x2, y2, perhaps more: in pixels of the original image.
    resizer
        Of the channels file.
    original : (2,) or (m, 2)
        Height and width of the original image, or of that of every box.
    window
        Top and left of the window on the canvas, as `Resizer.window` draws it; None for the central
        one, which is the whole input where there is no larger canvas.

    Returns
    -------
    (m, 5) or (m, 6) float32
        Not clipped: where a window is cut from the image, boxes may reach out of it.

    Examples
    --------
    >>> resizer = Resizer("pad-edge", (50, 100), (64, 128))
    >>> to_network(np.array([[0, 20, 10, 40, 30]]), resizer, (100, 200))
    array([[ 0., 24., 12., 34., 22.]], dtype=float32)
    """
    factor, start = _change(resizer, original)
    if window is not None:
        top, left = np.subtract(resizer.canvas, resizer.tile) // 2
        start = np.array([left - window[1], top - window[0]], float)
    return _moved(boxes, factor, start)


def to_original(
    boxes: np.ndarray,
    resizer: Resizer,
    original: Sequence[int] | np.ndarray,
    at: tuple[int, int] | None = None,
) -> np.ndarray:
    """Bring boxes from pixels of the network's input back to pixels of the original image.

    Parameters
    ----------
    boxes : (m, 5) or (m, 6)
        Class, x1, y1, x2, y2, perhaps the score.
    resizer
        Of the channels file.
    original : (2,) or (m, 2)
        Height and width of the original image, or of that of every box.
    at
        (H, W) at which the network predicted; None for the size of the network's input. It differs
        from that where scales are averaged.

    Returns
    -------
    (k, 5) or (k, 6) float32
        In their order. They are clipped to the image, and those of which nothing is left (they lay
        in the padding) are missing.
    """
    factor, start = _change(resizer, original)
    scaled = np.divide(resizer.size, at or resizer.size)[::-1]
    moved = _moved(boxes, scaled / factor, -start / factor)
    end = np.asarray(original, np.float32)[..., ::-1]
    moved[:, 1:3], moved[:, 3:5] = np.clip(moved[:, 1:3], 0, end), np.clip(moved[:, 3:5], 0, end)
    return moved[(moved[:, 3:5] > moved[:, 1:3]).all(axis=1)]


def _change(
    resizer: Resizer, original: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give what x and y are multiplied by, (2,) or (m, 2), and what is added then, (2,)."""
    factor = np.divide(resizer.tile, np.asarray(original, float))[..., ::-1]
    start = np.subtract(resizer.size, resizer.tile)[::-1] // 2
    return factor, start.astype(float)


def _moved(boxes: np.ndarray, factor: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Multiply x and y and add to them, in float64, so that what is undone is equal after it."""
    moved = np.array(boxes, np.float64)
    moved[:, _XYXY] = moved[:, _XYXY] * np.tile(factor, 2) + np.tile(start, 2)
    return moved.astype(np.float32)
