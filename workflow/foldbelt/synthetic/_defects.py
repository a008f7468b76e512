"""Four kinds of defects on a steel sheet, each with the mask that an annotator would draw."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from foldbelt.synthetic._canvas import Array, Canvas, field, odd, sign


def _pits(canvas: Canvas) -> None:
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


def _marks(canvas: Canvas) -> None:
    """Class 2: a few thin, short, upright marks side by side."""
    random, unit = canvas.random, canvas.unit
    covered = np.zeros(canvas.light.shape, np.uint8)
    long, wide = canvas.length(60, 140), canvas.length(10, 90)
    y, x = canvas.place(long, wide)
    for _ in range(int(random.integers(1, 5))):
        length, thin = long * random.uniform(0.6, 1), max(canvas.length(1.4, 2.4), 0.55)
        at = y + canvas.length(-12, 12), x + random.uniform(-0.5, 0.5) * wide
        box = canvas.box(*at, length / 2, 8 * thin + 6 * unit)
        bend = random.uniform(-0.08, 0.08) * box.down + random.uniform(-4, 4) * unit * (
            (2 * box.down / length) ** 2
        )
        off = (box.across - bend) / thin
        fade = np.clip(3 * (1 - np.abs(2 * box.down / length)), 0, 1)
        strength = random.uniform(0.22, 0.5) * fade
        canvas.light[box.part] += (
            strength * np.exp(-(off**2)) * (1.7 * off * sign(random) + 0.25 * sign(random))
        )
        covered[box.part] |= (np.abs(off) < 2 + 4 * unit / thin) & (fade > 0)
    _mark(canvas, covered, 1, close=8 * unit)


def _scratches(canvas: Canvas) -> None:
    """Class 3: long scratches across the rolling direction, and elongated scuffed patches."""
    random, unit = canvas.random, canvas.unit
    covered = np.zeros(canvas.light.shape, np.uint8)
    draw = _scuff if random.random() < 0.55 else _scratch
    slant = np.pi / 2 + random.normal(0, 0.4)
    for _ in range(1 + int(random.poisson(1.8))):
        draw(canvas, covered, slant + random.normal(0, 0.12))
    _mark(canvas, covered, 2, close=10 * unit)


def _scratch(canvas: Canvas, covered: NDArray[np.uint8], angle: float) -> None:
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


def _scuff(canvas: Canvas, covered: NDArray[np.uint8], angle: float) -> None:
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
    side = max(odd(length), 3)
    kernel = np.zeros((side, side), np.float32)
    half = side // 2
    step = half * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(round(float(v)) for v in half + way * step) for way in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(np.divide(kernel, kernel.sum()), np.float32)


def _patches(canvas: Canvas) -> None:
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


def _mark(canvas: Canvas, covered: NDArray[np.uint8], kind: int, close: float) -> None:
    """Add to a class's mask what an annotator would draw: gaps closed, tiny parts left out."""
    side = odd(close) + 2
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    outline = cv2.morphologyEx(covered, cv2.MORPH_CLOSE, kernel)
    outline[:, : canvas.left] = 0
    outline[:, canvas.right :] = 0
    _, parts, stats, _ = cv2.connectedComponentsWithStats(outline)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= 0.05 * max(areas[1:], default=0)  # nobody draws tiny parts
    kept[0] = False
    canvas.mask[..., kind] |= kept[parts].astype(np.uint8)


DEFECTS: tuple[Callable[[Canvas], None], ...] = (_pits, _marks, _scratches, _patches)
"""Draws a defect of each class."""
