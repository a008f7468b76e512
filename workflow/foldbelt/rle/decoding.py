"""Run lengths read into masks, and refused where they are none."""

import re
from typing import Any

import numpy as np

_INTEGER = re.compile(r"-?\d+", re.ASCII)
_PLAIN = re.compile(r"[0-9 ]*")
_BIG = 10**18  # far past any mask, and a sum of two still fits 64 bits


def decode(text: Any, shape: tuple[int, int]) -> np.ndarray:
    """Read runs into a mask.

    Parameters
    ----------
    text : str, None or NaN
        As `encode` writes it; empty, None and NaN (an empty field read by pandas) are an empty
        mask. Runs that touch are legal.
    shape : (H, W)
        Size of the mask.

    Returns
    -------
    (H, W) uint8
        0 and 1, C-contiguous.

    Raises
    ------
    ValueError
        Naming the first offending number: not an integer, an odd count, not positive, unsorted,
        overlapping or past the end of the mask.
    """
    height, width = (int(side) for side in shape)
    size = height * width
    if _is_missing(text):
        return np.zeros((height, width), dtype=np.uint8)
    if not isinstance(text, str):
        raise ValueError(f"RLE {text!r} is not a text of integers but a {type(text).__name__}.")
    starts, lengths = _runs(text, size)
    mask = np.zeros((height, width), dtype=np.uint8)
    # Only columns from the first run's to the last one's; the others may be most of the mask.
    first, last = int(starts[0]) // height, int(starts[-1] + lengths[-1] - 1) // height
    starts = starts - first * height
    # +1 where a run starts, -1 past its end: the running sum is the mask. Touching runs cancel.
    steps = np.zeros((last + 1 - first) * height + 1, dtype=np.int8)
    steps[starts] += 1
    steps[starts + lengths] -= 1
    flat = np.cumsum(steps[:-1], dtype=np.int8)
    mask[:, first : last + 1] = flat.reshape(-1, height).T
    return mask


def check(text: str, shape: tuple[int, int]) -> None:
    """Refuse what `decode` would refuse, without making the mask."""
    if not _is_missing(text):
        _runs(text, shape[0] * shape[1])


def _is_missing(text: Any) -> bool:
    if text is None:
        return True
    if isinstance(text, str):
        return not text.strip()
    # NaN in any dress (float, numpy, pandas) is unequal to itself; pandas.NA has no truth value
    if type(text).__name__ == "NAType":
        return True
    return isinstance(text, float | np.floating) and bool(text != text)


def _runs(text: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the checked 0-based starts and the lengths."""
    words = text.split()
    if not _PLAIN.fullmatch(text):
        wrong = next((word for word in words if not _INTEGER.fullmatch(word)), None)
        if wrong is not None:
            raise ValueError(f"RLE holds {wrong!r}, which is not an integer.")
    if len(words) % 2:
        raise ValueError(
            f"RLE holds an odd count of numbers, {len(words)}: a start lacks its length."
        )
    integers = list(map(int, words))
    if max(integers) > _BIG or min(integers) < -1:
        integers = [max(-1, min(number, _BIG)) for number in integers]
    numbers = np.array(integers, dtype=np.int64)
    starts, lengths = numbers[::2], numbers[1::2]
    ends = starts + lengths
    right = starts[0] >= 1 and ends[-1] - 1 <= size and (starts[1:] >= ends[:-1]).all()
    if not (right and (lengths >= 1).all()):
        _explain(starts, lengths, size)
    return starts - 1, lengths


def _explain(starts: np.ndarray, lengths: np.ndarray, size: int) -> None:
    """Raise what is wrong with runs of which something is."""
    _refuse(starts < 1, starts, lengths, "a start that is not positive (pixels count from 1)")
    _refuse(lengths < 1, starts, lengths, "a length that is not positive")
    unsorted = np.concatenate([[False], starts[1:] <= starts[:-1]])
    _refuse(unsorted, starts, lengths, "starts that are unsorted or repeated")
    ends = starts + lengths
    overlap = np.concatenate([[False], starts[1:] < ends[:-1]])
    _refuse(overlap, starts, lengths, "runs that overlap: one begins before the last one ends")
    _refuse(ends - 1 > size, starts, lengths, f"a run that overruns the mask's {size} pixels")


def _refuse(wrong: np.ndarray, starts: np.ndarray, lengths: np.ndarray, what: str) -> None:
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"RLE holds {what}: run {place + 1}, '{starts[place]} {lengths[place]}'.")
