"""What writing and reading a store agree on."""

from typing import Any

import numpy as np

SCHEMA_VERSION = 1
_BYTES: Any = {"vlen": np.uint8}
BYTES = np.dtype("O", metadata=_BYTES)
"""dtype of a dataset whose rows are byte strings of any length, such as PNG files: what h5py calls
`vlen_dtype(uint8)`."""

FLAT = 1 / 8
"""Share of their size by which masks are counted when room on the disk is sought: even noisy ones
shrink to less, and those of people to a hundredth."""

BLOCK = 256  # rows moved at a time where the caller does not say, at most
BLOCK_BYTES = 2**25  # and no more than this


KNOWN = "known"
"""Column: the share of an image's pixels whose truth is known, where some are not."""


def is_bytes(dtype: np.dtype) -> bool:
    """Tell whether a dataset's rows are byte strings of any length."""
    return "vlen" in (dtype.metadata or {})


def packed_bytes(classes: int) -> int:
    """Bytes of a pixel of a mask."""
    return -(-classes // 8)


def pack(mask: np.ndarray) -> np.ndarray:
    """Pack the classes of masks (..., K) of 0 and 1 into bits, (..., ceil(K / 8)) uint8.

    The same as `np.packbits(mask, axis=-1)`, which takes seven times as long on so short an axis.
    Two, four or eight classes are one number, of which a product brings all bits side by side: that
    takes a quarter of the time again.
    """
    mask = np.asarray(mask).astype(np.uint8, copy=False)
    classes = mask.shape[-1]
    if classes in (2, 4, 8):
        bits = 8 * classes
        word = np.dtype(f"<u{classes}")
        # Class k is bit 8·k, and comes to bit 63 − k of 64 (31 − k of 32 …); no two sums meet.
        gather = word.type(sum(1 << (bits - 1 - 9 * k) for k in range(classes)))
        words = np.ascontiguousarray(mask).view(word)
        packed = (words * gather >> word.type(bits - 8)).astype(np.uint8)
        return packed & np.uint8(0xFF << (8 - classes) & 0xFF)
    packed = np.zeros((*mask.shape[:-1], packed_bytes(mask.shape[-1])), np.uint8)
    for place in range(classes):
        packed[..., place // 8] |= mask[..., place] << (7 - place % 8)
    return packed


def unpack(packed: np.ndarray, classes: int) -> np.ndarray:
    """Undo `pack`: (..., classes) uint8."""
    mask = np.empty((*packed.shape[:-1], classes), np.uint8)
    for place in range(classes):
        mask[..., place] = packed[..., place // 8] >> (7 - place % 8) & 1
    return mask


def stored_name(name: str) -> str:
    """Where a dataset lies: column names may hold the slash, by which HDF5 parts groups."""
    group, slash, column = name.partition("/")
    if not slash:
        return name
    column = column.replace("%", "%25").replace("/", "%2F")
    return f"{group}/{'%2E' if column == '.' else column}"
