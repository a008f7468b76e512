"""A picture of a steel sheet while it is drawn, and what its parts are drawn with.

Lengths are in pixels of the original (256 rows) and shrink or grow with the picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Random = np.random.Generator

ROWS = 256
"""Height of the original pictures, to which all lengths refer."""

_FINE = 6  # points a wavelength that are interpolated smoothly


@dataclass
class Canvas:
    """A picture while it is drawn: `light` is the relative brightness that defects add to."""

    light: Array
    mask: NDArray[np.uint8]
    left: int
    right: int
    unit: float
    random: Random

    def place(self, down: float, across: float) -> tuple[float, float]:
        """Draw the middle of something of that size (pixels) within the lit columns."""
        height = self.light.shape[0]
        first, last = self.left + across / 2, self.right - across / 2
        x = self.random.uniform(first, last) if last > first else (self.left + self.right) / 2
        y = self.random.uniform(down / 2, height - down / 2) if height > down else height / 2
        return y, x

    def length(self, low: float, high: float) -> float:
        """Draw a length, given in pixels of the original."""
        return self.random.uniform(low, high) * self.unit

    def box(self, y: float, x: float, reach: float, wide: float | None = None) -> "Box":
        """Give the part of the picture within `reach` rows and `wide` columns of a point."""
        height, width = self.light.shape
        wide = reach if wide is None else wide
        rows = slice(int(max(y - reach, 0)), int(min(y + reach + 2, height)))
        columns = slice(int(max(x - wide, 0)), int(min(x + wide + 2, width)))
        down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
        across = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - np.float32(x)
        return Box((rows, columns), down, across)


@dataclass(frozen=True)
class Box:
    """A part of the picture with coordinates about its middle."""

    part: tuple[slice, slice]
    down: Array
    across: Array

    def turned(self, angle: float) -> tuple[Array, Array]:
        """Coordinates along and off a direction, `angle` from the rows in radians."""
        sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
        return self.across * cos + self.down * sin, self.down * cos - self.across * sin

    @property
    def shape(self) -> tuple[int, int]:
        return self.down.shape[0], self.across.shape[1]


def field(shape: tuple[int, int], down: float, across: float, random: Random) -> Array:
    """Draw a smooth random field of about unit variance, with a wavelength (down, across)."""
    waves = max(down, 1.0), max(across, 1.0)
    counts = [int(np.ceil(side / wave)) + 3 for side, wave in zip(shape, waves, strict=True)]
    knots = random.standard_normal(counts, dtype=np.float32)
    # cubic at a few points a wavelength, linear between them: a third of the time of cubic all over
    for most, method in ((_FINE, cv2.INTER_CUBIC), (np.inf, cv2.INTER_LINEAR)):
        tall, wide = (int(n * min(wave, most)) for n, wave in zip(counts, waves, strict=True))
        knots = np.asarray(cv2.resize(knots, (wide, tall), interpolation=method), np.float32)
    top, left = (int(random.integers(knots.shape[k] - shape[k] + 1)) for k in (0, 1))
    return knots[top : top + shape[0], left : left + shape[1]] * np.float32(1.3)


def odd(length: float) -> int:
    """Give the odd whole number near a length, as sides of filters must be."""
    return 2 * int(length / 2) + 1


def sign(random: Random) -> float:
    """Draw 1 or -1."""
    return 1.0 if random.random() < 0.5 else -1.0
