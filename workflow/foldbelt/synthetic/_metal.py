"""One synthetic picture of a steel sheet: rolled metal, four kinds of defects, harmless marks.

Brightness is a product of tone, lighting and relief, as on the line-scan pictures of Severstal.
What an inspector would accept (stains, drops, rolling lines, grooves along the rolling direction,
dust) is as bright or dark as the defects. So shape and grain show a defect, not brightness.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from foldbelt.synthetic._canvas import ROWS, Array, Canvas, Random, field, odd, sign
from foldbelt.synthetic._defects import DEFECTS

CLASSES = len(DEFECTS)
"""Kinds of defects: pits, short marks, scratches, textured patches."""


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
    canvas = Canvas(light, mask, left, right, unit, random)
    _harmless(canvas)
    for kind in classes:
        while not mask[..., kind].any():
            DEFECTS[kind](canvas)
    return Sheet(_exposed(canvas, width), mask)


# --- metal --------------------------------------------------------------------------------------


def _metal(shape: tuple[int, int], unit: float, random: Random) -> Array:
    """Relative brightness (H, W), about 1: lighting, brushed grain, clouds and rolling lines."""
    height, width = shape
    light = 1 + random.uniform(0.03, 0.12) * field(shape, 300 * unit, 500 * unit, random)
    light += np.linspace(-1, 1, width, dtype=np.float32) * random.uniform(-0.25, 0.25)
    dip = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - random.uniform(-0.5, 0.5)
    light -= random.uniform(0, 0.15) * dip**2
    grain = random.standard_normal(shape, dtype=np.float32)
    brushed = cv2.blur(grain, (odd(90 * unit), 1))
    brushed = cv2.blur(brushed, (odd(60 * unit), 1))
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


def _exposed(canvas: Canvas, width: int) -> NDArray[np.uint8]:
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


# --- what an inspector would accept ---------------------------------------------------------------


def _harmless(canvas: Canvas) -> None:
    random = canvas.random
    for draw, often in ((_stain, 1.6), (_drop, 2.0), (_groove, 1.2), (_band, 0.35), (_dust, 1.5)):
        for _ in range(int(random.poisson(often))):
            draw(canvas)


def _stain(canvas: Canvas) -> None:
    """Oil or water: a large soft patch, lighter or darker, with the grain unharmed."""
    tall, wide = canvas.length(20, 90), canvas.length(20, 200)
    y, x = canvas.place(0, 0)
    box = canvas.box(y, x, 1.5 * tall, 1.5 * wide)
    away = np.sqrt((box.down / tall) ** 2 + (box.across / wide) ** 2)
    away += 0.2 * field(box.shape, 40 * canvas.unit, 40 * canvas.unit, canvas.random)
    soft = 1 / (1 + np.exp(np.clip((away - 0.8) * canvas.random.uniform(6, 18), -30, 30)))
    canvas.light[box.part] += sign(canvas.random) * canvas.random.uniform(0.04, 0.16) * soft


def _drop(canvas: Canvas) -> None:
    """A round spot, larger and softer than a pit, and never with company."""
    radius = max(canvas.length(4, 14), 1.0)
    y, x = canvas.place(0, 0)
    box = canvas.box(y, x, 3 * radius)
    round_ = np.exp(-((box.down**2 + box.across**2) / radius**2))
    canvas.light[box.part] += sign(canvas.random) * canvas.random.uniform(0.08, 0.3) * round_


def _groove(canvas: Canvas) -> None:
    """A fine line along the rolling direction."""
    long, thin = canvas.length(150, 900), max(canvas.length(0.8, 2), 0.5)
    y, x = canvas.place(0, 0)
    box = canvas.box(y, x, 5 * thin, long / 2)
    fade = 1 - (2 * box.across / long) ** 2
    line = np.exp(-((box.down / thin) ** 2)) * np.clip(2 * fade, 0, 1)
    canvas.light[box.part] += sign(canvas.random) * canvas.random.uniform(0.08, 0.22) * line


def _band(canvas: Canvas) -> None:
    """A mark that the roll prints at every turn: lines from edge to edge, at equal distances."""
    step, thin = canvas.length(120, 400), max(canvas.length(1, 5), 0.6)
    strength = sign(canvas.random) * canvas.random.uniform(0.04, 0.14)
    x = canvas.random.uniform(0, step)
    while x < canvas.light.shape[1]:
        box = canvas.box(canvas.light.shape[0] / 2, x, canvas.light.shape[0], 4 * thin)
        canvas.light[box.part] += strength * np.exp(-((box.across / thin) ** 2))
        x += step


def _dust(canvas: Canvas) -> None:
    """Specks of a pixel or two."""
    y, x = canvas.place(0, 0)
    size = max(1, round(canvas.unit * 2))
    part = slice(int(y), int(y) + size), slice(int(x), int(x) + size)
    canvas.light[part] += sign(canvas.random) * canvas.random.uniform(0.2, 0.5)
