"""Overlapping windows of an image, and how what is predicted in each is blended.

A network sees less of the surroundings near the edge of its input, so a window's weight falls
towards its edge: by a raised cosine (von Hann) along each side that overlaps another window. The
weights are separable and sum to 1 at every pixel. So windows that agree leave no trace, and the
result is continuous across seams where they do not agree.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.files import InputError


@dataclass(frozen=True)
class Windows:
    """A regular grid of windows.

    Parameters
    ----------
    size : (h, w)
        Of a window, in pixels. A window that is larger than the image gets the image's size.
    overlap
        Least overlap with the next window, as a share of the window; 0 or more, below 1.

    Raises
    ------
    InputError
        If a side is not positive or the overlap is out of range.
    """

    size: tuple[int, int]
    overlap: float

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not 0 <= self.overlap < 1:
            raise InputError(
                f"predict.windows: windows of {self.size[0]}×{self.size[1]} pixels with an overlap "
                f"of {self.overlap} cannot be used; sides are 1 or more, the overlap is below 1."
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any] | None) -> "Windows | None":
        """Read the config's ``predict.windows``, in which the size may be one number."""
        if settings is None:
            return None
        size = settings["size"]
        height, width = (size, size) if isinstance(size, int) else size
        return cls((int(height), int(width)), float(settings["overlap"]))

    def of_image(self, image: tuple[int, int]) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Give the windows of an image.

        Parameters
        ----------
        image : (H, W)

        Yields
        ------
        slice, slice
            Rows and columns; none leaves the image.
        ndarray
            (h, w) float32, weight of the window: above 0, with a sum of 1 at every pixel.
        """
        sides = [
            (starts(side, window, self.overlap), min(side, window))
            for side, window in zip(image, self.size, strict=True)
        ]
        tops, lefts = (zip(at, flanks(at, window), strict=True) for at, window in sides)
        height, width = (window for _, window in sides)
        columns = list(lefts)
        for top, down in tops:
            for left, across in columns:
                weight = (down[:, None] * across).astype(np.float32)
                yield slice(top, top + height), slice(left, left + width), weight


def starts(side: int, window: int, overlap: float) -> list[int]:
    """Place the fewest windows along a side that overlap enough; the outer ones touch its ends.

    Parameters
    ----------
    side, window
        Pixels of the image and of a window.
    overlap
        Least overlap with the next window, as a share of the window.

    Returns
    -------
    list of int
        Where the windows begin, as evenly spaced as whole pixels allow.

    Examples
    --------
    >>> starts(100, 40, 0.25), starts(30, 40, 0.25)
    ([0, 30, 60], [0])
    """
    free = max(0, side - window)
    stride = max(1, math.floor(window * (1 - overlap) + 1e-9))
    gaps = math.ceil(free / stride)
    return [round(free * i / gaps) for i in range(gaps + 1)] if gaps else [0]


def flanks(at: list[int], window: int) -> np.ndarray:
    """Give the weights of the pixels of windows along one side.

    Parameters
    ----------
    at
        Where the windows begin.
    window
        Length of a window, in pixels.

    Returns
    -------
    ndarray
        (windows, window) float64, above 0; at every pixel those of all windows sum to 1.

    Examples
    --------
    >>> flanks([0, 2], 4).round(2).tolist()
    [[1.0, 1.0, 0.75, 0.25], [0.25, 0.75, 1.0, 1.0]]
    """
    weight = np.ones((len(at), window))
    for i in range(len(at) - 1):
        common = at[i] + window - at[i + 1]
        rising = np.sin(np.pi / 2 * np.arange(1, common + 1) / (common + 1)) ** 2
        weight[i, window - common :] *= rising[::-1]
        weight[i + 1, :common] *= rising
    total = np.zeros(at[-1] + window)
    for start, one_window in zip(at, weight, strict=True):
        total[start : start + window] += one_window
    return np.stack(
        [one_window / total[s : s + window] for s, one_window in zip(at, weight, strict=True)]
    )
