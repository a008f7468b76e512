"""Pictures of places: uneven light and a texture, on which discs, squares and rings lie.

What tells the classes apart is their shape alone: all are as bright, as large and as frequent.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SHAPES = ("disc", "square", "ring")
SCENES = ("plain", "striped", "dotted")
"""Textures of places; a place has one of them."""

_RADIUS = (0.07, 0.14)  # of the side
_LEAST_RADIUS = 3.0  # pixels; a smaller ring has no hole
_NOISE = 6.0  # grey values
_TRIES = 40  # places for an object that lies clear of the others


class Place(NamedTuple):
    """What all pictures of a place share: its name, its texture and its stream of chance."""

    name: str
    scene: str
    stream: int


class Thing(NamedTuple):
    """One object: number of its class, and where it ends (x1, y1, x2, y2 in whole pixels)."""

    kind: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """One picture: (h, w) or (h, w, 3) u8, its mask (0, or 1 + class) and its objects."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    things: list[Thing]


def draw(place: Place, kinds: tuple[int, ...], side: int, colour: bool, stream: int) -> Picture:
    """Draw one picture of a place.

    Parameters
    ----------
    place
        Where it is taken; pictures of one place have the same light and texture, slightly moved.
    kinds
        Classes of the objects that are wanted. One for which there is no room is left out.
    side
        Height and width.
    colour
        Whether the picture has three channels, tinted as the place is.
    stream
        Seed of what differs between the pictures of a place.
    """
    random = np.random.default_rng(stream)
    ground, tint = _ground(place, side, random)
    mask, cover, things = _objects(kinds, side, random)
    sign = np.where(random.random() < 0.5, -1.0, 1.0)
    ground += sign * random.uniform(38, 55) * cv2.GaussianBlur(cover, (3, 3), 0)
    planes = ground[..., None] * tint if colour else ground
    planes = planes + random.normal(0, _NOISE, planes.shape)
    return Picture(np.clip(np.rint(planes), 0, 255).astype(np.uint8), mask, things)


def _ground(
    place: Place, side: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw light and texture of a place (h, w), and its tint (3,)."""
    own = np.random.default_rng(place.stream)
    down, across = (random.uniform(-2, 2, 2)[:, None] + np.arange(side)) / side  # moved a little
    y, x = down[:, None] * side, across[None] * side
    slope, bend = own.uniform(-30, 30, 2), own.uniform(-20, 20)
    light = own.uniform(105, 150) + slope[0] * (y / side - 0.5) + slope[1] * (x / side - 0.5)
    light = light + bend * np.sin(3 * (x + y) / side + own.uniform(0, 6))
    wave, angle, depth = own.uniform(5, 8), own.uniform(0, np.pi), own.uniform(10, 14)
    along = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / wave
    off = (y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / wave
    if place.scene == "striped":
        light = light + depth * np.sin(along)
    elif place.scene == "dotted":
        light = light + 2 * depth * np.sin(along) * np.sin(off)
    return light, own.uniform(0.8, 1.15, 3)


def _objects(
    kinds: tuple[int, ...], side: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64], list[Thing]]:
    """Draw objects clear of each other: mask and cover (h, w), of 0 and 1, and where they lie."""
    mask = np.zeros((side, side), np.uint8)
    things = []
    rows, columns = np.mgrid[:side, :side] + 0.5
    for kind in kinds:
        for _ in range(_TRIES):
            radius = max(random.uniform(*_RADIUS) * side, _LEAST_RADIUS)
            y, x = random.uniform(radius * 0.7, side - radius * 0.7, 2)  # some are cut off
            shape = _shape(SHAPES[kind], rows - y, columns - x, radius, random.uniform(0, np.pi))
            wide = cv2.dilate(shape.astype(np.uint8), np.ones((5, 5), np.uint8))
            if shape.any() and not mask[wide > 0].any():
                mask[shape] = kind + 1
                things.append(Thing(kind, _box(shape)))
                break
    return mask, (mask > 0).astype(np.float64), things


def _shape(
    name: str, down: np.ndarray, across: np.ndarray, radius: float, angle: float
) -> NDArray[np.bool_]:
    """Give the pixels (h, w) of a shape about its middle; shapes of a radius have like areas."""
    far = np.hypot(down, across)
    if name == "disc":
        return np.asarray(far < radius)
    if name == "ring":
        return np.asarray((far < 1.15 * radius) & (far >= 0.55 * radius))
    along = across * np.cos(angle) + down * np.sin(angle)
    off = down * np.cos(angle) - across * np.sin(angle)
    return np.asarray(np.maximum(abs(along), abs(off)) < 0.89 * radius)


def _box(shape: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
