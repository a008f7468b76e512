"""The image times the row coordinate, I·y: 0 in the first row, the image itself in the last.

From public kernels for the salt competition, where it goes with the channels `image` and `row`.
"""

from collections.abc import Mapping

import numpy as np

RANGE = (0.0, 1.0)
COLUMNS: tuple[str, ...] = ()
FILTERED = False


def names(colours: int) -> list[str]:
    """Name the planes: image_row, or image_row0, image_row1, image_row2."""
    return ["image_row"] if colours == 1 else [f"image_row{colour}" for colour in range(colours)]


def planes(images: np.ndarray, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Give (N, h, w, C) float32 in [0, 1]."""
    images = images if images.ndim == 4 else images[..., None]
    y = np.linspace(0, 1, images.shape[1], dtype=np.float32)
    return images * (y / np.float32(255))[:, None, None]
