"""COCO's run lengths: counts of 0 and 1 in turn, down the columns, as a list or as a short text.

The text holds every count in groups of five bits, the lowest first, as characters from "0" on; a
sixth bit says that more groups follow, and the highest bit of the last group is the sign. From the
fourth count on it is the difference to the count two places before (pycocotools' `rleToString`).
"""

from collections.abc import Sequence

import numpy as np

_FIRST, _LAST = ord("0"), ord("0") + 63
_GROUPS = 13  # of five bits: more than 64 bits is no count
_PLAIN = 3  # counts that are written as they are


def unpack(text: str) -> list[int]:
    """Read the counts of a short text.

    Raises
    ------
    ValueError
        Saying where it is no such text.

    Examples
    --------
    >>> unpack("0203")
    [0, 2, 0, 5]
    """
    counts: list[int] = []
    place = 0
    while place < len(text):
        value, place = _number(text, place)
        counts.append(value + (counts[-2] if len(counts) >= _PLAIN else 0))
    return counts


def _number(text: str, start: int) -> tuple[int, int]:
    """Read one number; give it, and where the next one begins."""
    value = 0
    for group, letter in enumerate(text[start : start + _GROUPS]):
        if not _FIRST <= ord(letter) <= _LAST:
            raise ValueError(f"its counts hold {letter!r}, which COCO's short form does not know")
        bits = ord(letter) - _FIRST
        value |= (bits & 31) << 5 * group
        if not bits & 32:
            return value - (1 << 5 * group + 5) * (bits >> 4), start + group + 1
    raise ValueError("its counts break off within a number")


def decode(counts: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Make a mask (h, w) bool of counts; ValueError if they do not fill it exactly."""
    lengths = np.array(counts, np.int64)
    if (lengths < 0).any():
        raise ValueError(f"its counts hold {lengths.min()}, which is below 0")
    height, width = size
    if lengths.sum() != height * width:
        raise ValueError(f"its counts sum to {lengths.sum()}, not to {height}·{width} pixels")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.ascontiguousarray(flat.reshape(size, order="F"))
