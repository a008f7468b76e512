"""One synthetic picture of a steel sheet: rolled metal, four kinds of defects, harmless marks.

Lengths are in pixels of the original (256 rows) and shrink or grow with the picture. Brightness is
a product of tone, lighting and relief, as on the line-scan pictures of Severstal. What an inspector
would pass (stains, drops, rolling lines, grooves along the rolling direction, dust) is as bright or
dark as the defects, so that these are told by shape and grain and not by brightness.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Random = np.random.Generator

ROWS = 256
"""Height of the original pictures, to which all lengths refer."""

CLASSES = 4
"""Kinds of defects: pits, short marks, scratches, textured patches."""

_FINE = 6  # points a wavelength that are interpolated smoothly


@dataclass(frozen=True)
class Sheet:
    """A picture of a sheet.

    Attributes
    ----------
    image
        u8 (H, W).
    mask
        u8 (H, W, 4) of 0 and 1: the defects of each class.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass
class _Canvas:
    """A picture on its way: `light` is the relative brightness that defects add to."""

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

    def box(self, y: float, x: float, reach: float, wide: float | None = None) -> "_Box":
        """Give the part of the picture within `reach` rows and `wide` columns of a point."""
        height, width = self.light.shape
        wide = reach if wide is None else wide
        rows = slice(int(max(y - reach, 0)), int(min(y + reach + 2, height)))
        columns = slice(int(max(x - wide, 0)), int(min(x + wide + 2, width)))
        down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
        across = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - np.float32(x)
        return _Box((rows, columns), down, across)


@dataclass(frozen=True)
class _Box:
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


def sheet(height: int, width: int, classes: tuple[int, ...], random: Random) -> Sheet:
    """Make one picture.

    Parameters
    ----------
    height, width
        Size in pixels; defects scale with the height.
    classes
        Kinds of defects on it, from 0 to 3.
    random
        The only source of chance.

    Returns
    -------
    Sheet
        Picture and masks; each of `classes` has at least one pixel, the others none.
    """
    unit = height / ROWS
    left, right = _lit(width, random)
    light = _metal((height, width), unit, random)
    mask = np.zeros((height, width, CLASSES), np.uint8)
    canvas = _Canvas(light, mask, left, right, unit, random)
    _harmless(canvas)
    for kind in classes:
        while not mask[..., kind].any():
            _DEFECTS[kind](canvas)
    return Sheet(_exposed(canvas, width), mask)


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


# --- metal --------------------------------------------------------------------------------------


def _metal(shape: tuple[int, int], unit: float, random: Random) -> Array:
    """Relative brightness (H, W), about 1: lighting, brushed grain, clouds and rolling lines."""
    height, width = shape
    light = 1 + random.uniform(0.03, 0.12) * field(shape, 300 * unit, 500 * unit, random)
    light += np.linspace(-1, 1, width, dtype=np.float32) * random.uniform(-0.25, 0.25)
    dip = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - random.uniform(-0.5, 0.5)
    light -= random.uniform(0, 0.15) * dip**2
    grain = random.standard_normal(shape, dtype=np.float32)
    brushed = cv2.blur(grain, (_odd(90 * unit), 1))
    brushed = cv2.blur(brushed, (_odd(60 * unit), 1))
    light += brushed * (random.uniform(0.015, 0.05) / float(brushed.std()))
    light += random.uniform(0.02, 0.05) * cv2.blur(grain, (2, 2))
    light += random.uniform(0.01, 0.05) * field(shape, 14 * unit, 26 * unit, random)
    rolled = field((height, 1), 5 * unit, 1, random) + field((height, 1), 40 * unit, 1, random)
    light += random.uniform(0.0, 0.03) * rolled
    if random.random() < 0.3:  # chatter: the rolls' own vibration
        chatter = field((1, width), 1, random.uniform(18, 60) * unit, random)
        light += random.uniform(0.01, 0.04) * chatter
    return np.asarray(light, np.float32)


def _lit(width: int, random: Random) -> tuple[int, int]:
    """First and last column that show metal: beside a coil's end the picture is black."""
    if random.random() > 0.13:
        return 0, width
    dark = int(width * (0.04 + 0.6 * random.random() ** 2))
    return (dark, width) if random.random() < 0.5 else (0, width - dark)


def _exposed(canvas: _Canvas, width: int) -> NDArray[np.uint8]:
    """Tone, black margin and rounding to u8."""
    random, unit = canvas.random, canvas.unit
    image = canvas.light * np.float32(random.uniform(55, 150))
    if (canvas.left, canvas.right) != (0, width):
        height = len(image)
        edge = canvas.left if canvas.left else canvas.right
        wobble = 2 * unit * field((height, 1), 60 * unit, 1, random)
        wobble += (
            np.linspace(-1, 1, height, dtype=np.float32)[:, None] * random.uniform(-6, 6) * unit
        )
        off = np.arange(width, dtype=np.float32)[None] - np.float32(edge) - wobble
        metal = np.clip(off / max(3 * unit, 1) * (1 if canvas.left else -1) + 0.5, 0, 1)
        image = image * metal + 2 * (1 - metal)
        canvas.mask[metal < 0.5] = 0
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _odd(length: float) -> int:
    return 2 * int(length / 2) + 1


# --- what an inspector would pass ---------------------------------------------------------------


def _harmless(canvas: _Canvas) -> None:
    random = canvas.random
    for draw, often in ((_stain, 1.6), (_drop, 2.0), (_groove, 1.2), (_band, 0.35), (_dust, 1.5)):
        for _ in range(int(random.poisson(often))):
            draw(canvas)


def _stain(canvas: _Canvas) -> None:
    """Oil or water: a large soft patch, lighter or darker, with the grain unharmed."""
    tall, wide = canvas.length(20, 90), canvas.length(20, 200)
    y, x = canvas.place(0, 0)
    box = canvas.box(y, x, 1.5 * tall, 1.5 * wide)
    away = np.sqrt((box.down / tall) ** 2 + (box.across / wide) ** 2)
    away += 0.2 * field(box.shape, 40 * canvas.unit, 40 * canvas.unit, canvas.random)
    soft = 1 / (1 + np.exp(np.clip((away - 0.8) * canvas.random.uniform(6, 18), -30, 30)))
    canvas.light[box.part] += _sign(canvas.random) * canvas.random.uniform(0.04, 0.16) * soft


def _drop(canvas: _Canvas) -> None:
    """A round spot, larger and softer than a pit, and never with company."""
    radius = max(canvas.length(4, 14), 1.0)
    y, x = canvas.place(0, 0)
    box = canvas.box(y, x, 3 * radius)
    round_ = np.exp(-((box.down**2 + box.across**2) / radius**2))
    canvas.light[box.part] += _sign(canvas.random) * canvas.random.uniform(0.08, 0.3) * round_


def _groove(canvas: _Canvas) -> None:
    """A fine line along the rolling direction."""
    long, thin = canvas.length(150, 900), max(canvas.length(0.8, 2), 0.5)
    y, x = canvas.place(0, 0)
    box = canvas.box(y, x, 5 * thin, long / 2)
    fade = 1 - (2 * box.across / long) ** 2
    line = np.exp(-((box.down / thin) ** 2)) * np.clip(2 * fade, 0, 1)
    canvas.light[box.part] += _sign(canvas.random) * canvas.random.uniform(0.08, 0.22) * line


def _band(canvas: _Canvas) -> None:
    """A mark that the roll prints at every turn: lines from edge to edge, at equal distances."""
    step, thin = canvas.length(120, 400), max(canvas.length(1, 5), 0.6)
    strength = _sign(canvas.random) * canvas.random.uniform(0.04, 0.14)
    x = canvas.random.uniform(0, step)
    while x < canvas.light.shape[1]:
        box = canvas.box(canvas.light.shape[0] / 2, x, canvas.light.shape[0], 4 * thin)
        canvas.light[box.part] += strength * np.exp(-((box.across / thin) ** 2))
        x += step


def _dust(canvas: _Canvas) -> None:
    """Specks of a pixel or two."""
    y, x = canvas.place(0, 0)
    size = max(1, round(canvas.unit * 2))
    part = slice(int(y), int(y) + size), slice(int(x), int(x) + size)
    canvas.light[part] += _sign(canvas.random) * canvas.random.uniform(0.2, 0.5)


def _sign(random: Random) -> float:
    return 1.0 if random.random() < 0.5 else -1.0


# --- defects --------------------------------------------------------------------------------------


def _pits(canvas: _Canvas) -> None:
    """Class 1: clusters of small craters, lit from one side."""
    random, unit = canvas.random, canvas.unit
    covered = np.zeros(canvas.light.shape, np.uint8)
    for _ in range(1 + int(random.random() < 0.35) + int(random.random() < 0.15)):
        tall, wide = canvas.length(12, 32), canvas.length(15, 55)
        y, x = canvas.place(2 * tall, 2 * wide)
        depth = random.uniform(0.25, 0.6)
        for _ in range(int(random.integers(7, 26))):
            radius = max(canvas.length(1.8, 4.2), 0.75)
            away = np.sqrt(random.random())
            turn = random.uniform(0, 2 * np.pi)
            at = y + tall * away * np.sin(turn), x + wide * away * np.cos(turn)
            box = canvas.box(*at, 3 * radius)
            if 0 in box.shape:
                continue
            crater = np.exp(-((box.down**2 + box.across**2) / radius**2))
            side = box.down / radius
            canvas.light[box.part] += (
                depth * random.uniform(0.6, 1.2) * crater * (1.5 * side - 0.35)
            )
            middle = (round(float(at[1])), round(float(at[0])))
            cv2.circle(covered, middle, max(1, round(radius + 4 * unit)), 1, -1)
    _mark(canvas, covered, 0, close=12 * unit)


def _marks(canvas: _Canvas) -> None:
    """Class 2: a few thin, short, upright marks side by side."""
    random, unit = canvas.random, canvas.unit
    covered = np.zeros(canvas.light.shape, np.uint8)
    long, wide = canvas.length(60, 140), canvas.length(10, 90)
    y, x = canvas.place(long, wide)
    for _ in range(int(random.integers(1, 5))):
        own, thin = long * random.uniform(0.6, 1), max(canvas.length(1.4, 2.4), 0.55)
        at = y + canvas.length(-12, 12), x + random.uniform(-0.5, 0.5) * wide
        box = canvas.box(*at, own / 2, 8 * thin + 6 * unit)
        bend = random.uniform(-0.08, 0.08) * box.down + random.uniform(-4, 4) * unit * (
            (2 * box.down / own) ** 2
        )
        off = (box.across - bend) / thin
        fade = np.clip(3 * (1 - np.abs(2 * box.down / own)), 0, 1)
        strength = random.uniform(0.22, 0.5) * fade
        canvas.light[box.part] += (
            strength * np.exp(-(off**2)) * (1.7 * off * _sign(random) + 0.25 * _sign(random))
        )
        covered[box.part] |= (np.abs(off) < 2 + 4 * unit / thin) & (fade > 0)
    _mark(canvas, covered, 1, close=8 * unit)


def _scratches(canvas: _Canvas) -> None:
    """Class 3: long scratches across the rolling direction, and elongated scuffed patches."""
    random, unit = canvas.random, canvas.unit
    covered = np.zeros(canvas.light.shape, np.uint8)
    draw = _scuff if random.random() < 0.55 else _scratch
    slant = np.pi / 2 + random.normal(0, 0.4)
    for _ in range(1 + int(random.poisson(1.8))):
        draw(canvas, covered, slant + random.normal(0, 0.12))
    _mark(canvas, covered, 2, close=10 * unit)


def _scratch(canvas: _Canvas, covered: NDArray[np.uint8], angle: float) -> None:
    random, unit = canvas.random, canvas.unit
    long, thin = canvas.length(120, 420), max(canvas.length(1.3, 3.2), 0.55)
    y, x = canvas.place(0.6 * long * abs(np.sin(angle)), 0.8 * long * abs(np.cos(angle)))
    reach = long / 2 * abs(np.sin(angle)) + 16 * unit
    box = canvas.box(y, x, reach, long / 2 * abs(np.cos(angle)) + 30 * unit)
    along, off = box.turned(angle)
    bend = random.uniform(-14, 14) * unit * (2 * along / long) ** 2
    inside = np.clip(4 * (1 - np.abs(2 * along / long)), 0, 1)
    rough = 0.35 + 0.65 * np.abs(field(box.shape, 22 * unit, 22 * unit, random))
    strength = random.uniform(0.15, 0.4) * inside * rough
    covered[box.part] |= (np.abs(off - bend) < 2.5 * thin + 9 * unit) & (inside > 0)
    for gap in random.normal(0, 4 * unit, int(random.integers(1, 4))):
        line = (off - bend - gap) / thin
        # a furrow and its lip: dark beside bright
        canvas.light[box.part] += (
            strength * np.exp(-(line**2)) * (1.8 * line + random.normal(0, 0.5))
        )


def _scuff(canvas: _Canvas, covered: NDArray[np.uint8], angle: float) -> None:
    random, unit = canvas.random, canvas.unit
    long, wide = canvas.length(80, 260), canvas.length(22, 64)
    tall = long * abs(np.sin(angle)) + wide
    y, x = canvas.place(0.7 * tall, long * abs(np.cos(angle)) + wide)
    box = canvas.box(y, x, tall / 2 + 12 * unit, long / 2 * abs(np.cos(angle)) + 1.5 * wide)
    along, off = box.turned(angle)
    ragged = 0.25 * field(box.shape, 16 * unit, 16 * unit, random)
    away = (2 * along / long) ** 2 + (2 * off / wide) ** 2 + ragged
    inside = np.clip((1 - away) * 4, 0, 1)
    # streaks along the scuff: noise smeared in its direction
    grain = random.standard_normal(box.shape, dtype=np.float32)
    streaks = cv2.filter2D(grain, -1, _smear(24 * unit, angle))
    streaks = streaks / np.float32(max(float(streaks.std()), 1e-6))
    strength = random.uniform(0.07, 0.17)
    canvas.light[box.part] += inside * (strength * streaks + random.normal(0, 0.05))
    covered[box.part] |= away < 1


def _smear(length: float, angle: float) -> Array:
    """Kernel that averages along a direction."""
    side = max(_odd(length), 3)
    kernel = np.zeros((side, side), np.float32)
    half = side // 2
    step = half * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(round(float(v)) for v in half + way * step) for way in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(np.divide(kernel, kernel.sum()), np.float32)


def _patches(canvas: _Canvas) -> None:
    """Class 4: a large patch of scale: rough, cracked texture with a ragged edge."""
    random, unit = canvas.random, canvas.unit
    covered = np.zeros(canvas.light.shape, np.uint8)
    for _ in range(1 + int(random.random() < 0.3)):
        tall, wide = canvas.length(40, 110), canvas.length(70, 190)
        y, x = canvas.place(1.4 * tall, 1.8 * wide)
        box = canvas.box(y, x, 1.4 * tall, 1.4 * wide)
        away = np.sqrt((box.down / tall) ** 2 + (box.across / wide) ** 2)
        away += 0.22 * field(box.shape, 45 * unit, 60 * unit, random)
        inside = np.clip((0.95 - away) * 6, 0, 1)
        size = random.uniform(10, 20) * unit
        scale = 0.5 - np.abs(field(box.shape, size, 1.5 * size, random))
        scale += 0.5 * field(box.shape, max(size / 2, 2), max(size / 2, 2), random)
        strength = random.uniform(0.09, 0.2)
        canvas.light[box.part] += inside * (strength * scale + random.normal(0, 0.05))
        covered[box.part] |= away < 0.95
    _mark(canvas, covered, 3, close=10 * unit)


def _mark(canvas: _Canvas, covered: NDArray[np.uint8], kind: int, close: float) -> None:
    """Add to a class's mask what an annotator would draw around it: gaps closed, no crumbs."""
    side = _odd(close) + 2
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    outline = cv2.morphologyEx(covered, cv2.MORPH_CLOSE, kernel)
    outline[:, : canvas.left] = 0
    outline[:, canvas.right :] = 0
    _, parts, stats, _ = cv2.connectedComponentsWithStats(outline)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= 0.05 * max(areas[1:], default=0)  # nobody draws crumbs
    kept[0] = False
    canvas.mask[..., kind] |= kept[parts].astype(np.uint8)


_DEFECTS: tuple[Callable[[_Canvas], None], ...] = (_pits, _marks, _scratches, _patches)
