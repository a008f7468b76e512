"""A chest as X-rays see it: how dense it is, in parts that are drawn one by one.

Coordinates are those of the chest: u across, 0 at the spine and about 1 at the skin, positive to
the right of the picture; v down, -1 and 1 about the upper and lower edge.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from foldbelt.synthetic._canvas import Array, Random, field

_RIBS = 8.5  # pairs between the apex and the diaphragm


@dataclass(frozen=True)
class Build:
    """What stays the same in all pictures of one patient."""

    wide: float
    lung: float
    heart: float
    rib_gap: float
    rib_turn: float
    dome: float
    fat: float
    stream: int

    @classmethod
    def drawn(cls, random: Random) -> "Build":
        """Draw a patient."""
        return cls(
            wide=random.uniform(0.92, 1.05),
            lung=random.uniform(0.93, 1.04),
            heart=random.uniform(0.85, 1.25),
            rib_gap=random.uniform(0.9, 1.1),
            rib_turn=random.uniform(0.8, 1.2),
            dome=random.uniform(0.10, 0.2),
            fat=random.uniform(0.0, 1.0),
            stream=int(random.integers(2**63)),
        )


@dataclass(frozen=True)
class Frame:
    """Where the chest lies in the picture: pixels of u = v = 0, and of a step of 1."""

    x: float
    y: float
    across: float
    down: float
    tilt: float

    def coordinates(self, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Give u and v of all pixels."""
        rows = (np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(self.y)) / self.down
        columns = (np.arange(shape[1], dtype=np.float32)[None] - np.float32(self.x)) / self.across
        u = columns - np.float32(self.tilt) * rows
        v = rows + np.float32(self.tilt) * columns
        return u.astype(np.float32), v.astype(np.float32)

    def pixel(self, u: float, v: float) -> tuple[float, float]:
        """Give x and y of a place in the chest."""
        scale = 1 + self.tilt**2
        column, row = (u + self.tilt * v) / scale, (v - self.tilt * u) / scale
        return self.x + column * self.across, self.y + row * self.down


@dataclass(frozen=True)
class Thorax:
    """Densities (height, width) of a chest without anything unusual, and where its lungs are."""

    density: Array
    lungs: Array  # 0 to 1
    body: Array  # 0 to 1


def thorax(shape: tuple[int, int], frame: Frame, build: Build) -> Thorax:
    """Draw the chest of a patient; the same frame and patient give the same chest."""
    random = np.random.default_rng(build.stream)
    u, v = frame.coordinates(shape)
    aside = np.abs(u)
    body = _body(aside, v, build)
    lungs = _lungs(u, aside, v, build)
    cloth = field(shape, shape[0] / 2, shape[1] / 2, random)
    density = body * (0.56 + 0.03 * cloth + 0.1 * build.fat * _ramp(v, 0.2, 1.1))
    density -= 0.36 * lungs
    density += body * (0.5 + 0.5 * lungs) * _ribs(aside, v, build)
    density += body * _spine(aside, v)
    density += 0.3 * lungs * _heart(u, v, build)
    density += lungs * _vessels(shape, frame, random)
    density += body * _clavicles(shape, frame, random)
    return Thorax(density.astype(np.float32), lungs, body)


def _ramp(value: NDArray[np.floating], low: float, high: float) -> Array:
    """Rise smoothly from 0 at `low` to 1 at `high`; fall if `high` is the lower one."""
    part = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def _body(aside: Array, v: Array, build: Build) -> Array:
    """The outline: a neck, shoulders, and flanks that are a little narrower."""
    shoulder = _ramp(v, -1.05, -0.62)
    edge = build.wide * (0.3 + 0.78 * shoulder - 0.1 * _ramp(v, -0.4, 0.3))
    return _ramp(edge - aside, 0.0, 0.09)


def _lungs(u: Array, aside: Array, v: Array, build: Build) -> Array:
    """Two lungs between ribs, mediastinum and diaphragm; the right dome (left here) is higher."""
    down = np.clip((v + 0.82) / np.float32(1.4), 0, 1)
    outer = build.wide * build.lung * (0.4 + 0.4 * np.sin(np.pi / 2 * np.minimum(1, 1.25 * down)))
    inner = 0.13 + 0.16 * (1 - down) ** 4 + 0.04 * down
    top = -0.84 + 1.6 * (aside - 0.34) ** 2
    dome = np.exp(-(((aside - 0.36) / 0.24) ** 2)) + 0.25 * (u < 0)
    base = 0.66 * build.lung - build.dome * dome
    inside = _ramp(outer - aside, 0.0, 0.07) * _ramp(aside - inner, 0.0, 0.07)
    return inside * _ramp(v - top, 0.0, 0.1) * _ramp(base - v, 0.0, 0.05)


def _ribs(aside: Array, v: Array, build: Build) -> Array:
    """Ribs behind, which arch down to the side, and the fainter ones in front, which cross them."""
    gap = np.float32(1.45 / _RIBS * build.rib_gap)
    behind = v - build.rib_turn * (0.62 * (aside - 0.22) ** 2 - 0.08 * aside)
    before = v - build.rib_turn * (0.34 - 0.75 * (aside - 0.15) ** 2 + 0.2 * aside)
    cage = _ramp(aside, 0.9, 0.78) * _ramp(v, -0.92, -0.8) * _ramp(v, 0.85, 0.6)
    ribs = 0.10 * _bars(behind / gap, 0.4) + 0.05 * _bars(before / gap + 0.3, 0.42)
    return np.asarray(cage * _ramp(aside, 0.1, 0.2) * ribs, np.float32)


def _bars(phase: NDArray[np.floating], wide: float) -> Array:
    """Bars that repeat with the phase, brighter at their edges."""
    off = np.abs(phase - np.floor(phase) - 0.5) * 2
    rim = np.exp(-(((off - wide) / 0.12) ** 2))
    return np.asarray(0.7 * _ramp(off, wide + 0.15, wide - 0.05) + 0.5 * rim, np.float32)


def _spine(aside: Array, v: Array) -> Array:
    """The middle with its vertebrae, and the windpipe, which is dark."""
    discs = 0.5 + 0.5 * np.cos(np.float32(2 * np.pi / 0.13) * v)
    column = _ramp(aside, 0.12, 0.07) * (0.12 + 0.035 * discs)
    pipe = _ramp(aside, 0.06, 0.03) * _ramp(v, -0.15, -0.3)
    return np.asarray(column + 0.05 * _ramp(aside, 0.24, 0.1) - 0.1 * pipe, np.float32)


def _heart(u: Array, v: Array, build: Build) -> Array:
    size = np.float32(build.heart)
    left = np.hypot((u - 0.15) / (0.32 * size), (v - 0.36) / 0.34)
    right = np.hypot((u + 0.1) / (0.18 * size), (v - 0.35) / 0.28)
    arch = np.hypot((u - 0.13) / 0.1, (v + 0.22) / 0.12)
    return np.maximum(
        np.maximum(_ramp(left, 1.08, 0.9), _ramp(right, 1.1, 0.9)), 0.7 * _ramp(arch, 1.2, 0.8)
    )


def _vessels(shape: tuple[int, int], frame: Frame, random: Random) -> Array:
    """Vessels that leave the hila, branch and grow thin; drawn on a finer grid."""
    canvas = np.zeros(shape, np.float32)
    unit = frame.down / 80
    for side in (-1, 1):
        for _ in range(13):
            start = np.array([side * random.uniform(0.15, 0.2), random.uniform(-0.12, 0.12)])
            heading = random.uniform(-1.25, 1.25)
            for part in range(4):
                heading += random.normal(0, 0.22)
                step = random.uniform(0.1, 0.15) * np.array(
                    [side * np.cos(heading), np.sin(heading)]
                )
                ends = [frame.pixel(*start), frame.pixel(*(start + step))]
                points = [tuple(round(8 * value) for value in end) for end in ends]
                light = (0.17, 0.13, 0.09, 0.06)[part]
                wide = max(1, round((2.6, 1.9, 1.2, 1.0)[part] * unit))
                cv2.line(canvas, points[0], points[1], light, wide, cv2.LINE_AA, 3)
                start = start + step
        for _ in range(3):  # the hilum itself
            x, y = frame.pixel(side * random.uniform(0.14, 0.2), random.uniform(-0.12, 0.1))
            radius = max(1, round(random.uniform(2.0, 4.5) * unit))
            cv2.circle(canvas, (round(x), round(y)), radius, 0.16, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), max(0.5, 0.7 * unit)), np.float32)


def _clavicles(shape: tuple[int, int], frame: Frame, random: Random) -> Array:
    canvas = np.zeros(shape, np.float32)
    lift = random.uniform(-0.05, 0.04)
    for side in (-1, 1):
        bends = [(0.1, -0.52), (0.3, -0.58), (0.55, -0.7), (0.82, -0.72)]
        points = [frame.pixel(side * u, v + lift) for u, v in bends]
        line = np.round(8 * np.array(points)).astype(np.int32)[:, None]
        wide = max(1, round(4.5 * frame.down / 80))
        cv2.polylines(canvas, [line], False, 0.12, wide, cv2.LINE_AA, 3)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), max(0.6, frame.down / 90)), np.float32)
