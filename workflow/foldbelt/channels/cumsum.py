"""The running sum down the rows (the trace direction): a crude seismic integration.

From the public salt kernels. Summing turns reflectivity into something like impedance, in which
bodies rather than edges stand out.
"""

from collections.abc import Mapping

import numpy as np

RANGE = None
COLUMNS: tuple[str, ...] = ()
FILTERED = False

_BORDER = 5  # pixels left out of the statistics
_LEAST_SD = 1e-3  # in grey levels: a constant tile gives zeros


def cumsum(image: np.ndarray) -> np.ndarray:
    """Sum the deviations from a tile's mean down its rows, centred and scaled.

    Mean, centre and standard deviation leave out a border of 5 pixels, where the tile is larger
    than that.

    Parameters
    ----------
    image : (H, W) or (N, H, W)
        Grey levels, uint8 or float.

    Returns
    -------
    float32, of the same shape
    """
    image = np.asarray(image, dtype=np.float64)
    if image.ndim not in (2, 3):
        raise ValueError(f"cumsum takes grey images (H, W) or (N, H, W), not {image.shape}.")
    inner = tuple(
        slice(_BORDER, -_BORDER) if side > 2 * _BORDER else slice(None) for side in image.shape[-2:]
    )

    def statistic(of: np.ndarray, kind: str) -> np.ndarray:
        return getattr(of[(..., *inner)], kind)(axis=(-2, -1), keepdims=True)

    total = np.cumsum(image - statistic(image, "mean"), axis=-2)
    total -= statistic(total, "mean")
    return (total / np.maximum(statistic(total, "std"), _LEAST_SD)).astype(np.float32)


def names(colours: int) -> list[str]:
    """Name the one plane."""
    return ["cumsum"]


def planes(images: np.ndarray, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Give (N, h, w, 1) float32; of colour images the mean of the colours is summed."""
    return cumsum(images if images.ndim == 3 else images.mean(axis=3))[..., None]
