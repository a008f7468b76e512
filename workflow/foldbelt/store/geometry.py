"""Arrays of images from one size to another, plane by plane."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    pass


def resize_to(prob: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring one prediction from storage size to the original size of its image.

    Parameters
    ----------
    prob : (h, w) or (h, w, K) uint8
    size : (H, W)

    Returns
    -------
    (H, W) or (H, W, K) uint8
        Linearly interpolated; a copy if the size is the same.
    """
    prob = np.asarray(prob)
    if prob.ndim not in (2, 3):
        raise ValueError(f"expected one prediction (h, w[, K]), not {prob.shape}.")
    height, width = (int(side) for side in size)
    if prob.shape[:2] == (height, width):
        return prob.copy()
    return each_plane(prob[None], (height, width), lambda plane: linear(plane, (height, width)))[0]


def at_size(prob: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring the probabilities (h, w[, K]) of one image to a size, unless they have it."""
    return prob if prob.shape[:2] == size else resize_to(prob, size)


def each_plane(
    images: np.ndarray, size: tuple[int, int], change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Apply `change` to every plane of (N, h, w[, C]): OpenCV limits the number of channels."""
    out = np.empty((len(images), *size, *images.shape[3:]), dtype=images.dtype)
    for row, image in enumerate(images):
        if image.ndim == 2:
            out[row] = change(np.ascontiguousarray(image))
        else:
            for channel in range(image.shape[2]):
                out[row, ..., channel] = change(np.ascontiguousarray(image[..., channel]))
    return out


def scaled(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = size[0] <= plane.shape[0] and size[1] <= plane.shape[1]
    return cv2.resize(
        plane, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )


def linear(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)


def shown(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
