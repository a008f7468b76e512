"""Masks written as run lengths."""

import numpy as np


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
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"a mask to encode has shape {mask.shape}; expected (height, width).")
    if mask.dtype != bool:
        if not np.isin(mask, (0, 1)).all():
            raise ValueError(
                "a mask to encode holds values other than 0 and 1; threshold it first."
            )
        mask = mask.astype(bool)
    flat = np.zeros(mask.size + 2, dtype=np.int8)
    flat[1:-1] = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat))  # 0-based start and past-the-end positions in turn
    runs = np.stack([edges[::2] + 1, edges[1::2] - edges[::2]], axis=1)
    return " ".join(map(str, runs.ravel().tolist()))
