"""The row coordinate y, from 0 in the first row to 1 in the last.

With `image_row`, the channels I, y, I·y of public kernels for the salt competition; the idea of
coordinates as channels is CoordConv (Liu et al., NeurIPS 2018). In a section, down is time.
"""

from collections.abc import Mapping

import numpy as np

RANGE = (0.0, 1.0)
COLUMNS: tuple[str, ...] = ()
FILTERED = False


def names(colours: int) -> list[str]:
    """Name the one plane."""
    return ["row"]


def planes(images: np.ndarray, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Give (N, h, w, 1) float32 in [0, 1]."""
    count, height, width = images.shape[:3]
    y = np.linspace(0, 1, height, dtype=np.float32)
    return np.broadcast_to(y[:, None, None], (count, height, width, 1)).copy()
