"""Boxes of masks, and masks of boxes.

A mask says more than boxes do: boxes are drawn around its connected parts, and where only boxes are
known, a mask of filled boxes is the nearest that a model of masks can learn from.
"""

import numpy as np


def boxes_of_mask(mask: np.ndarray, least_area: int = 1) -> np.ndarray:
    """Draw a box around every connected part of a mask; pixels touch at corners, too.

    Parameters
    ----------
    mask
        (h, w) or (h, w, K) of 0 and 1, or bool.
    least_area
        Parts of fewer pixels have no box.

    Returns
    -------
    ndarray
        (m, 6) float32: class (number of the channel), x1, y1, x2, y2 (where the box ends, so that
        one pixel is 1 wide), score 1; sorted by class, then from the top, then from the left.

    Examples
    --------
    >>> boxes_of_mask(np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])).astype(int).tolist()
    [[0, 1, 0, 3, 2, 1], [0, 0, 2, 1, 3, 1]]
    """
    import cv2

    planes = mask if mask.ndim == 3 else mask[..., None]
    boxes = []
    for kind in range(planes.shape[2]):
        plane = np.ascontiguousarray(planes[..., kind] != 0).astype(np.uint8)
        _, _, parts, _ = cv2.connectedComponentsWithStats(plane, connectivity=8)
        for x, y, width, height, area in parts[1:].tolist():  # the first is the background
            if area >= least_area:
                boxes.append((kind, x, y, x + width, y + height, 1))
    boxes.sort(key=lambda box: (box[0], box[2], box[1], box[4], box[3]))
    return np.array(boxes, np.float32).reshape(-1, 6)


def mask_of_boxes(boxes: np.ndarray, size: tuple[int, int], classes: int) -> np.ndarray:
    """Fill boxes: a pixel belongs to a box that holds its centre.

    Parameters
    ----------
    boxes
        (m, 5) or (m, 6): class, x1, y1, x2, y2 in pixels of the mask, perhaps a score. What sticks
        out of the mask is cut off. A box that holds no centre has the pixel in its middle.
    size
        (h, w) of the mask.
    classes
        K, how many classes there are.

    Returns
    -------
    ndarray
        (h, w, K) uint8 of 0 and 1.

    Examples
    --------
    >>> mask_of_boxes(np.array([[1, 0, 1, 2, 3]]), (3, 3), 2)[..., 1].tolist()
    [[0, 0, 0], [1, 1, 0], [1, 1, 0]]
    """
    mask = np.zeros((*size, classes), np.uint8)
    height, width = size
    for kind, x1, y1, x2, y2 in np.asarray(boxes, np.float64)[:, :5].tolist():
        rows, columns = _pixels(y1, y2, height), _pixels(x1, x2, width)
        mask[rows, columns, int(kind)] = 1
    return mask


def bright_mask_of_boxes(boxes: np.ndarray, image: np.ndarray, classes: int) -> np.ndarray:
    """Fill what is bright in boxes: the pixels above the threshold of Otsu's method in each box.

    Parameters
    ----------
    boxes
        As for `mask_of_boxes`.
    image
        (h, w) or (h, w, 3) uint8.
    classes
        K, how many classes there are.

    Returns
    -------
    ndarray
        (h, w, K) uint8 of 0 and 1. A box that shows a single grey value is filled.

    Examples
    --------
    >>> image = np.array([[9, 9, 9], [0, 9, 0], [0, 9, 0]], np.uint8)
    >>> bright_mask_of_boxes(np.array([[0, 0, 1, 3, 3]]), image, 1)[..., 0].tolist()
    [[0, 0, 0], [0, 1, 0], [0, 1, 0]]
    """
    import cv2

    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mask = np.zeros((*grey.shape, classes), np.uint8)
    height, width = grey.shape
    for kind, x1, y1, x2, y2 in np.asarray(boxes, np.float64)[:, :5].tolist():
        inside = _pixels(y1, y2, height), _pixels(x1, x2, width)
        part = np.ascontiguousarray(grey[inside])
        if not part.size:
            continue
        _, bright = cv2.threshold(part, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        mask[(*inside, int(kind))] |= bright if bright.any() else np.uint8(1)
    return mask


def _pixels(first: float, last: float, length: int) -> slice:
    """Find the pixels of an axis whose centres lie within [first, last), or the middle one."""
    start, stop = int(np.ceil(first - 0.5)), int(np.ceil(last - 0.5))
    if start >= stop:
        start = int(np.floor((first + last) / 2))
        stop = start + 1
    return slice(min(max(start, 0), length), min(max(stop, 0), length))
