"""The depth of a tile as a constant plane, z / 1000 (salt: z is 50–959).

A fixed scale rather than the data's own: train and test need no common statistics. As a channel it
cost .010 in the salt competition; it is here to be compared.
"""

from collections.abc import Mapping

import numpy as np

from foldbelt.files import InputError

RANGE = (0.0, 1.0)
COLUMNS = ("depth",)
FILTERED = False

_DEEPEST = 1000.0


def depth(z: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Make constant planes of depths.

    Parameters
    ----------
    z : (N,)
        Depths in [0, 1000].
    size : (h, w)

    Returns
    -------
    (N, h, w) float32
        In [0, 1].

    Raises
    ------
    InputError
        If a depth lies outside, or is not a number.
    """
    z = np.asarray(z, dtype=np.float64).ravel()
    wrong = z[~((z >= 0) & (z <= _DEEPEST))]
    if len(wrong):
        raise InputError(
            f"depths have to lie within 0 and {_DEEPEST:.0f}, not "
            f"{', '.join(f'{value:g}' for value in wrong[:20])}. Scale or correct them, or train "
            "without the channel 'depth'."
        )
    return np.broadcast_to((z / _DEEPEST).astype(np.float32)[:, None, None], (len(z), *size)).copy()


def names(colours: int) -> list[str]:
    """Name the one plane."""
    return ["depth"]


def planes(images: np.ndarray, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Give (N, h, w, 1) float32."""
    height, width = images.shape[1:3]
    return depth(table["depth"], (height, width))[..., None]
