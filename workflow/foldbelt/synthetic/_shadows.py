"""What lies in the lungs of a synthetic chest: opacities, and shadows that are none.

All are patches of the same sizes, edges, mean and standard deviation, so that no measure of
brightness tells them apart: only the pattern does. Opacities are mottled, alike in all directions;
*streaks* run in one direction; *rings* have sharp edges.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from foldbelt.synthetic._canvas import Array, Random, field
from foldbelt.synthetic._thorax import Frame

NEGATIVE, TYPICAL, INDETERMINATE, ATYPICAL = range(4)
OPACITY, STREAKS, RINGS = "opacity", "streaks", "rings"

SLOTS = ("lower left", "lower right", "middle", "upper", "central")
"""Places of shadows, in every picture one shadow each; `left` is the left of the picture. The
last three are on either side."""

_CONTRAST = 0.42  # standard deviation of a patch's pattern, to its mean
_EDGE = 0.3  # of its greatest density: what a box encloses


@dataclass(frozen=True)
class Shadow:
    """A patch before it is drawn: its slot, its middle and size in the chest's coordinates."""

    kind: str
    slot: str
    side: int
    u: float
    v: float
    radius: float
    long: float
    density: float
    stream: int


def layout(random: Random) -> list[Shadow]:
    """Draw where a study's shadows lie; nothing here knows the study's class."""
    shadows = []
    for slot in SLOTS:
        side = -1 if slot == "lower left" else 1
        if slot not in SLOTS[:2] and random.random() < 0.5:
            side = -1
        across, down = {
            "lower left": (0.58, 0.3),
            "lower right": (0.6, 0.32),
            "middle": (0.58, -0.1),
            "upper": (0.42, -0.52),
            "central": (0.3, 0.08),
        }[slot]
        shadows.append(
            Shadow(
                STREAKS,
                slot,
                side,
                side * (across + random.uniform(-0.05, 0.05)),
                down + random.uniform(-0.06, 0.06),
                random.uniform(0.13, 0.2),
                random.uniform(1.1, 1.7),
                random.uniform(0.14, 0.24),
                int(random.integers(2**63)),
            )
        )
    return shadows


def shadows(kind: int, random: Random, boxless: bool = False) -> list[Shadow]:
    """Draw the shadows of a study of a class, which are opacities where the class has them.

    - negative: none is;
    - typical: those low at both sides are, and perhaps others;
    - indeterminate: either one low at one side, perhaps with the one above it, or the central one;
    - atypical: the upper one alone. If it has no box, it is a ring instead.
    """
    found = layout(random)
    sides = {shadow.slot: shadow.side for shadow in found}
    dice = random.random(4)
    opaque: set[str] = set()
    if kind == TYPICAL:
        opaque = {*SLOTS[:2]}
        opaque |= {slot for slot, low in zip(SLOTS[2:], dice, strict=False) if low < 0.3}
    elif kind == INDETERMINATE and dice[0] < 0.65:
        opaque = {SLOTS[0] if sides["middle"] < 0 else SLOTS[1]}
        opaque |= {"middle"} if dice[1] < 0.5 else set()
    elif kind == INDETERMINATE:
        opaque = {"central"}
    elif kind == ATYPICAL:
        opaque = {"upper"}
    shape = RINGS if boxless else OPACITY
    return [replace(shadow, kind=shape) if shadow.slot in opaque else shadow for shadow in found]


def add(density: Array, frame: Frame, shadow: Shadow) -> NDArray[np.float64]:
    """Add a shadow to densities in place; give its box x1, y1, x2, y2 in pixels."""
    random = np.random.default_rng(shadow.stream)
    x, y = frame.pixel(shadow.u, shadow.v)
    reach = shadow.radius * shadow.long**0.5 * 2.2
    half = (int(np.ceil(reach * frame.down)), int(np.ceil(reach * frame.across)))
    top, left = round(y) - half[0], round(x) - half[1]
    shape = (2 * half[0] + 1, 2 * half[1] + 1)
    rows = (np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(top - y)) / frame.down
    columns = (np.arange(shape[1], dtype=np.float32)[None] + np.float32(left - x)) / frame.across
    tall, wide = shadow.radius * shadow.long**0.5, shadow.radius / shadow.long**0.5
    wave = 0.9 * shadow.radius * frame.down
    off = np.hypot(rows / tall, columns / wide) + 0.16 * field(shape, wave, wave, random)
    soft = np.clip((1.35 - off) / 0.7, 0, 1)
    soft = (soft * soft * (3 - 2 * soft)).astype(np.float32)
    pattern = _pattern(shadow.kind, shape, shadow.radius * frame.down, random)
    weight = float(soft.sum())
    pattern -= np.float32((pattern * soft).sum() / weight)
    pattern /= np.float32(np.sqrt((pattern**2 * soft).sum() / weight) + 1e-6)
    patch = np.float32(shadow.density) * soft * (1 + np.float32(_CONTRAST) * pattern)
    _paste(density, patch, top, left)
    shown = soft > _EDGE
    ys, xs = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    box = np.array([left + xs[0], top + ys[0], left + xs[-1] + 1, top + ys[-1] + 1], float)
    height, width = density.shape
    return np.clip(box, 0, [width, height, width, height])


def _pattern(kind: str, shape: tuple[int, int], radius: float, random: Random) -> Array:
    if kind == OPACITY:
        coarse = 0.55 * radius
        return field(shape, coarse, coarse, random) + 0.4 * field(
            shape, coarse / 2.5, coarse / 2.5, random
        )
    if kind == STREAKS:
        return _streaks(shape, radius, random)
    rows, columns = np.indices(shape, dtype=np.float32)
    middle = [side / 2 + random.uniform(-0.2, 0.2) * radius for side in shape]
    off = np.hypot(rows - np.float32(middle[0]), columns - np.float32(middle[1]))
    return np.where(np.abs(off / np.float32(radius) - 0.55) < 0.14, 1, 0).astype(np.float32)


def _streaks(shape: tuple[int, int], radius: float, random: Random) -> Array:
    """Lines of one direction: a field that is long along the rows, turned."""
    whole = int(np.ceil(np.hypot(*shape))) + 2
    lines = field((whole, whole), 0.3 * radius, 5 * radius, random)
    angle = float(random.uniform(-75, 75)) + 90
    turn = cv2.getRotationMatrix2D((whole / 2, whole / 2), angle, 1.0)
    turn[0, 2] -= (whole - shape[1]) / 2
    turn[1, 2] -= (whole - shape[0]) / 2
    return np.asarray(cv2.warpAffine(lines, turn, (shape[1], shape[0])), np.float32)


def _paste(density: Array, patch: Array, top: int, left: int) -> None:
    """Add a patch that may stick out."""
    height, width = density.shape
    rows = slice(max(top, 0), min(top + patch.shape[0], height))
    columns = slice(max(left, 0), min(left + patch.shape[1], width))
    if rows.start < rows.stop and columns.start < columns.stop:
        inner = patch[rows.start - top : rows.stop - top]
        density[rows, columns] += inner[:, columns.start - left : columns.stop - left]
