"""Masks written as run lengths."""

import functools

import numpy as np

_SMALL = 2**14
"""Pixels up to which numbers are looked up as text, in less than half the time of writing them."""


def encode(mask: np.ndarray) -> str:
    """Write one mask as runs.

    Parameters
    ----------
    mask : (H, W) bool or 0/1 integers
        In any memory layout.

    Returns
    -------
    str
        "start length start length …", sorted, runs never touching; "" for an empty mask.

    Raises
    ------
    ValueError
        If the mask is not two-dimensional or holds anything but 0 and 1.

    Examples
    --------
    >>> encode(np.array([[0, 1], [1, 1]]))
    '2 3'
    """
    mask = _checked(np.asarray(mask))
    columns = np.flatnonzero(mask.any(axis=0))  # outside of these nothing need be looked at
    if not len(columns):
        return ""
    first, last = int(columns[0]), int(columns[-1])
    inside = mask[:, first : last + 1]
    flat = np.zeros(inside.size + 2, dtype=bool)
    flat[1:-1].reshape(inside.shape[::-1])[...] = inside.T
    numbers = np.flatnonzero(flat[1:] != flat[:-1])  # starts and past-the-end positions in turn
    numbers[1::2] -= numbers[::2]
    numbers[::2] += 1 + first * len(mask)
    if mask.size <= _SMALL:
        return " ".join(_texts()[numbers].tolist())
    return ("%d " * len(numbers))[:-1] % tuple(numbers.tolist())


def _checked(mask: np.ndarray) -> np.ndarray:
    """Give a mask as bool, or refuse it."""
    if mask.ndim != 2:
        raise ValueError(f"a mask to encode has shape {mask.shape}; expected (height, width).")
    if mask.dtype == bool:
        return mask
    # np.isin takes ten times as long, and is needed for what is no integer alone.
    whole = mask.dtype.kind in "iu" and mask.size > 0
    if whole:
        right = mask.max() <= 1 and (mask.dtype.kind == "u" or mask.min() >= 0)
    else:
        right = np.isin(mask, (0, 1)).all()
    if not right:
        raise ValueError("a mask to encode holds values other than 0 and 1; threshold it first.")
    return mask.view(bool) if mask.dtype.itemsize == 1 else mask.astype(bool)


@functools.cache
def _texts() -> np.ndarray:
    """Give the numbers up to `_SMALL` as text."""
    return np.array([str(number) for number in range(_SMALL + 1)], dtype=object)
