"""Transforms that move pixels by a matrix: flips, turns, Affine and its kin, crops with resize.

A matrix takes a place (x, y, 1) of the input, pixels' centres being whole numbers, to the output.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.augment._batched.drawing import Stream

BORDERS = {0: "constant", 1: "replicate", 2: "reflect", 4: "reflect_101"}
"""What is beyond an image's border, by OpenCV's numbers."""
SQUARE = ("Transpose", "RandomRotate90", "D4", "SquareSymmetry")
"""Transforms that exchange height and width."""


@dataclass(frozen=True)
class Border:
    """What is beyond the border of what a transform reads.

    Attributes
    ----------
    mode
        One of `BORDERS`, or ``window``: as ``replicate``, of a window drawn for each sample.
    fill, fill_mask
        Values of channels and of mask planes, one or as many as there are (``constant``).
    """

    mode: str
    fill: tuple[float, ...] = (0.0,)
    fill_mask: tuple[float, ...] = (0.0,)


@dataclass
class Drawn:
    """What a batch's samples have been drawn.

    Attributes
    ----------
    matrix
        (N,3,3) from the input to the output.
    window
        (N,4) the first and last column and the first and last row that may be read: x, x, y, y.
    field
        (N,D) columns from which a displacement is made on the device.
    """

    matrix: np.ndarray
    window: np.ndarray | None = None
    field: np.ndarray | None = None


class Move(ABC):
    """A transform that moves pixels.

    Parameters
    ----------
    transform
        Albumentations', with its arguments checked.
    size
        Height and width.

    Attributes
    ----------
    border
        None where every pixel moves to the place of another.
    nearest
        Whether images, too, take the value of the nearest pixel.
    """

    border: Border | None = None

    def __init__(self, transform: Any, size: tuple[int, int]) -> None:
        self.transform, self.size = transform, size
        self.nearest = getattr(transform, "interpolation", 1) == 0

    def unusable(self) -> str:
        """Say what of the transform has no batched form; empty if all has."""
        return ""

    @abstractmethod
    def draw(self, stream: Stream, active: np.ndarray) -> Drawn:
        """Draw a batch; samples that are not `active` (N,) stay where they are."""


class Turn(Move):
    """Flips, quarter turns and transpositions."""

    def draw(self, stream: Stream, active: np.ndarray) -> Drawn:
        height, width = self.size
        elements = _turns(height, width)
        name = type(self.transform).__name__
        if name in ("D4", "SquareSymmetry"):
            kinds = stream.whole(0, len(elements) - 1)
        elif name == "RandomRotate90":
            kinds = stream.whole(0, 3)
        else:
            one = {"VerticalFlip": 4, "HorizontalFlip": 5, "Transpose": 6}[name]
            kinds = np.full(len(active), one)
        return Drawn(elements[np.where(active, kinds, 0)])

    def unusable(self) -> str:
        height, width = self.size
        square = type(self.transform).__name__ in SQUARE and height != width
        return f"turns images of {height}×{width}, which are not square" if square else ""


def _turns(height: int, width: int) -> np.ndarray:
    """(8,3,3): 0 to 3 quarter turns against the clock, flips, and the two transpositions."""
    right, bottom = width - 1.0, height - 1.0
    rows = {
        "e": ([1, 0, 0], [0, 1, 0]),
        "r90": ([0, 1, 0], [-1, 0, right]),
        "r180": ([-1, 0, right], [0, -1, bottom]),
        "r270": ([0, -1, bottom], [1, 0, 0]),
        "v": ([1, 0, 0], [0, -1, bottom]),
        "h": ([-1, 0, right], [0, 1, 0]),
        "t": ([0, 1, 0], [1, 0, 0]),
        "hvt": ([0, -1, bottom], [-1, 0, right]),
    }
    return np.array([[*pair, [0, 0, 1]] for pair in rows.values()], float)


class Warp(Move):
    """Affine, ShiftScaleRotate and Rotate."""

    def __init__(self, transform: Any, size: tuple[int, int]) -> None:
        super().__init__(transform, size)
        self.border = border_of(transform)

    def unusable(self) -> str:
        found = unusable_sampling(self.transform)
        if getattr(self.transform, "fit_output", False):
            found.append("fit_output: true")
        if getattr(self.transform, "crop_border", False):
            found.append("crop_border: true")
        return ", ".join(found)

    def draw(self, stream: Stream, active: np.ndarray) -> Drawn:
        height, width = self.size
        given = self.transform
        if type(given).__name__ == "Rotate":
            angle, none = stream.between(*given.limit), np.zeros((len(active), 2))
            matrix = _affine(none, none, none + 1, angle, (width / 2 - 0.5, height / 2 - 0.5))
        else:
            shift = np.stack([self._shift(stream, axis) for axis in "xy"], axis=1)
            shear = np.stack([-stream.between(*given.shear[axis]) for axis in "xy"], axis=1)
            scale = np.stack([_scale(stream, given, axis) for axis in "xy"], axis=1)
            if given.keep_ratio:
                scale[:, 1] = scale[:, 0]
            angle = stream.between(*given.rotate)
            matrix = _affine(shift, shear, scale, angle, (width / 2 - 0.5, height / 2 - 0.5))
        return Drawn(np.where(active[:, None, None], matrix, np.eye(3)))

    def _shift(self, stream: Stream, axis: str) -> np.ndarray:
        """Draw whole pixels along an axis."""
        given, side = self.transform, self.size[1 if axis == "x" else 0]
        if given.translate_px is not None:
            low, high = given.translate_px[axis]
            return stream.whole(int(low), int(high)).astype(float)
        if given.translate_percent is not None:
            return np.trunc(stream.between(*given.translate_percent[axis]) * side)
        return 0 * stream.between(0, 0)


def _scale(stream: Stream, given: Any, axis: str) -> np.ndarray:
    """Draw scales along an axis; `balanced_scale` chooses between smaller and larger first."""
    low, high = given.scale[axis]
    smaller = stream.take(1)[:, 0] < 0.5
    if not given.balanced_scale:
        return stream.between(low, high)
    parts = [part for part in ((low, 1.0), (1.0, high)) if part[0] < part[1]] or [(1.0, 1.0)]
    share = stream.take(1)[:, 0]
    first, last = (start + (end - start) * share for start, end in (parts[0], parts[-1]))
    return np.where(smaller, first, last)


def _affine(
    shift: np.ndarray,
    shear: np.ndarray,
    scale: np.ndarray,
    angle: np.ndarray,
    centre: tuple[float, float],
) -> np.ndarray:
    """(N,3,3): scale, then rotate, shear (degrees) and shift, about the centre."""
    turn, tilt = np.deg2rad(angle), np.tan(np.deg2rad(shear))
    cos, sin, one = np.cos(turn), np.sin(turn), np.ones(len(angle))
    rotated = np.stack([np.stack([cos, sin], 1), np.stack([-sin, cos], 1)], 1)
    sheared = np.stack([np.stack([one, tilt[:, 0]], 1), np.stack([tilt[:, 1], one], 1)], 1)
    linear = sheared @ rotated * scale[:, None, :]
    matrix = np.tile(np.eye(3), (len(angle), 1, 1))
    matrix[:, :2, :2] = linear
    matrix[:, :2, 2] = np.array(centre) + shift - linear @ np.array(centre)
    return matrix


class CropResize(Move):
    """RandomResizedCrop and RandomSizedCrop."""

    border = Border("window")

    def unusable(self) -> str:
        found = unusable_sampling(self.transform)
        if self.transform.area_for_downscale is not None:
            found.append(f"area_for_downscale: {self.transform.area_for_downscale}")
        return ", ".join(found)

    def draw(self, stream: Stream, active: np.ndarray) -> Drawn:
        height, width = self.size
        if type(self.transform).__name__ == "RandomSizedCrop":
            tall = stream.whole(*self.transform.min_max_height)
            wide = (tall * self.transform.w2h_ratio).astype(np.int64)
            inside = np.ones(len(active), bool)
        else:
            tall, wide, inside = self._resized(stream)
        tall, wide = np.minimum(tall, height), np.minimum(wide, width)
        starts = stream.take(2)
        top = np.where(inside, (height - tall + 1) * starts[:, 0], (height - tall) // 2)
        left = np.where(inside, (width - wide + 1) * starts[:, 1], (width - wide) // 2)
        top = np.where(active, np.trunc(top), 0)
        left = np.where(active, np.trunc(left), 0)
        tall, wide = np.where(active, tall, height), np.where(active, wide, width)
        matrix = np.tile(np.eye(3), (len(active), 1, 1))
        matrix[:, 0, 0], matrix[:, 1, 1] = width / wide, height / tall
        matrix[:, 0, 2] = (0.5 - left) * width / wide - 0.5
        matrix[:, 1, 2] = (0.5 - top) * height / tall - 0.5
        window = np.stack([left, left + wide - 1, top, top + tall - 1], axis=1)
        return Drawn(matrix, window)

    def _resized(self, stream: Stream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw height and width by area and ratio; the first of ten that fits into the image.

        Where none fits, `inside` is false, and the window is the largest in the middle.
        """
        height, width = self.size
        low, high = (share * height * width for share in self.transform.scale)
        least, most = (math.log(ratio) for ratio in self.transform.ratio)
        drawn = stream.take(20).reshape(-1, 10, 2)
        area = low + (high - low) * drawn[..., 0]
        ratio = np.exp(least + (most - least) * drawn[..., 1])
        wide, tall = np.round(np.sqrt(area * ratio)), np.round(np.sqrt(area / ratio))
        fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
        first, rows = fits.argmax(axis=1), np.arange(len(fits))
        inside = fits[rows, first]
        whole = _largest(self.size, self.transform.ratio)
        return (
            np.where(inside, tall[rows, first], whole[0]),
            np.where(inside, wide[rows, first], whole[1]),
            inside,
        )


def _largest(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest window of a ratio between two."""
    height, width = size
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def border_of(transform: Any) -> Border:
    """Read what a transform has beyond the border."""
    given = (transform.fill, transform.fill_mask)
    fills = (np.atleast_1d(np.asarray(value, float).clip(0, 255)).tolist() for value in given)
    return Border(BORDERS.get(transform.border_mode, ""), *map(tuple, fills))


def unusable_sampling(transform: Any) -> list[str]:
    """Say what of a transform's interpolation and border has no batched form."""
    found = []
    if transform.interpolation not in (0, 1):
        found.append(f"interpolation: {transform.interpolation} (0 and 1 have one)")
    if transform.mask_interpolation != 0:
        found.append(f"mask_interpolation: {transform.mask_interpolation} (0 has one)")
    if getattr(transform, "border_mode", 0) not in BORDERS:
        found.append(f"border_mode: {transform.border_mode} ({sorted(BORDERS)} have one)")
    return found


MOVES: dict[str, type[Move]] = {
    "HorizontalFlip": Turn,
    "VerticalFlip": Turn,
    "Transpose": Turn,
    "RandomRotate90": Turn,
    "D4": Turn,
    "SquareSymmetry": Turn,
    "Affine": Warp,
    "ShiftScaleRotate": Warp,
    "Rotate": Warp,
    "RandomResizedCrop": CropResize,
    "RandomSizedCrop": CropResize,
}
"""Transforms by name; those of `foldbelt.augment._batched.distortions` come on top."""
