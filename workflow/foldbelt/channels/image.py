"""The image itself, scaled to [0, 1]; colour images give three channels."""

from collections.abc import Mapping

import numpy as np

RANGE = (0.0, 1.0)
COLUMNS: tuple[str, ...] = ()
FILTERED = True


def names(colours: int) -> list[str]:
    """Name the planes: image, or image0, image1, image2."""
    return ["image"] if colours == 1 else [f"image{colour}" for colour in range(colours)]


def planes(images: np.ndarray, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Give (N, h, w, C) float32 in [0, 1]."""
    images = images if images.ndim == 4 else images[..., None]
    return images.astype(np.float32) / np.float32(255)
