"""What the values of masks probably mean: classes, unlabelled pixels, numbered objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from foldbelt.files import InputError
from foldbelt.formats import labelme
from foldbelt.formats.findings import Undecodable
from foldbelt.formats.pixels import Meaning, Pixels, read_mask
from foldbelt.formats.pixels import read as read_pixels

LOOKED = 300
"""Masks that are looked at, evenly over their names."""
MANY = 32
"""Values above which they are numbers of objects, or soft edges, and no classes."""
_NEAR = 0.98  # of the highest value: as good as it
_MOSTLY = 0.5  # share of the pixels above 0 that are near it, where edges are soft
_AMID = 0.3  # share of the others that have their like on all sides; objects and classes do
_HARDLY = 0.05  # likewise, where there are few values, which classes may be
_FEW = 4  # values below which they are classes, or unlabelled
_GREY = (127, 128)  # what tools write for "unlabelled" between black and white
_WHITE = 255

Found = tuple[str, object, str, str]
"""Key, value, reason, question."""


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """Take so many of a list, evenly."""
    if len(paths) <= most:
        return list(paths)
    return [paths[place] for place in np.linspace(0, len(paths) - 1, most).astype(int)]


def meant_by(paths: Sequence[Path]) -> Iterator[Found]:
    """Give the keys of `data` that say what masks mean.

    Parameters
    ----------
    paths
        All of them.

    Yields
    ------
    key, value, reason, question
        Nothing for masks that need none: 0 and one value, or LabelMe's drawings.
    """
    if any(labelme.is_labelme(path) for path in paths[:20]):
        return
    met = _Met()
    for path in spread(paths, LOOKED):
        try:
            pixels = read_pixels(path)
        except Undecodable:
            continue  # ingest names it
        _count(pixels, met)
    if not met.looked:
        raise InputError(f"{paths[0].parent}: none of {len(paths)} files can be read as a mask.")
    if met.fractions:
        reason = f"masks hold fractions up to {met.fractions:g}: cut in the middle"
        yield "cut", met.fractions / 2, reason, "is that where objects begin?"
    elif met.colours:
        yield from _coloured(met.colours, met.looked)
    else:
        yield from _valued(met)


@dataclass
class _Met:
    """What was met in masks.

    Parameters
    ----------
    values, colours
        Value, or colour, → pixels.
    looked, unclear
        Masks, and those of them stored with loss that the reader does not understand by itself.
    lossy
        Whether any is stored with loss.
    between, amid
        Pixels above 0 and clearly below the highest value of their mask, and those of them that
        have their like on all sides.
    fractions
        The highest value of masks that hold fractions; 0 without any.
    """

    values: dict[int, int] = field(default_factory=dict)
    colours: dict[tuple[int, ...], int] = field(default_factory=dict)
    looked: int = 0
    unclear: int = 0
    lossy: bool = False
    between: int = 0
    amid: int = 0
    fractions: float = 0.0


def _count(pixels: Pixels, into: _Met) -> None:
    """Add the values of one mask, or its colours, to those met."""
    into.looked += 1
    if pixels.values.dtype.kind == "f" and (pixels.values % 1).any():
        into.fractions = max(into.fractions, float(pixels.values.max()))
    into.lossy |= pixels.lossy
    values, colours, planes = into.values, into.colours, pixels.values
    if pixels.palette is not None:
        met, counts = np.unique(planes, return_counts=True)
    elif pixels.deep and planes.shape[2] == 3 and not (planes == planes[..., :1]).all():
        if pixels.lossy and int((planes.max(axis=2) - planes.min(axis=2)).max()) <= 8:
            met, counts = np.unique(planes[..., 1], return_counts=True)
        else:
            rows, sums = np.unique(planes.reshape(-1, 3), axis=0, return_counts=True)
            for row, count in zip(rows[:1000].tolist(), sums.tolist(), strict=False):
                colours[tuple(row)] = colours.get(tuple(row), 0) + count
            return
    else:
        plane = planes[..., 0] if pixels.deep else planes
        met, counts = np.unique(plane, return_counts=True)
        _count_edges(np.ascontiguousarray(plane), into)
        if pixels.lossy:
            try:
                read_mask(pixels, Meaning())
            except Undecodable:
                into.unclear += 1
    for value, count in zip(met.tolist(), counts.tolist(), strict=True):
        values[int(value)] = values.get(int(value), 0) + count


def _count_edges(plane: np.ndarray, into: _Met) -> None:
    """Add the pixels between background and the highest value, and those amid their like."""
    if plane.dtype.kind not in "ub" or plane.max(initial=0) > np.iinfo(np.uint16).max:
        return
    small = plane.astype(np.uint16)
    between = (small > 0) & (small < _NEAR * int(small.max(initial=0)))
    kernel = np.ones((3, 3), np.uint8)
    amid = between & (cv2.dilate(small, kernel) == cv2.erode(small, kernel))
    into.between += int(between.sum())
    into.amid += int(amid.sum())


def _valued(met: _Met) -> Iterator[Found]:
    values, looked = met.values, met.looked
    above = sorted(value for value in values if value > 0)
    total = sum(values.values())
    shown = ", ".join(f"{value} ({values[value] / total:.2%})" for value in above[:8])
    if len(above) <= 1 or (met.lossy and not met.unclear):
        return  # one class; or blurred by JPEG, which the reader cuts
    told = _soft(met, above)
    if told:
        numbers = "if the values are numbers of objects, write 1; classes need `classes`"
        yield "cut", (above[-1] + 1) // 2, told, numbers
        return
    if met.lossy:
        return  # the reader says what it does not understand
    if len(above) > MANY:
        amid = met.amid / max(met.between, 1)
        reason = (
            f"{len(above)} values above 0 in {looked} masks, {amid:.0%} of their pixels amid their "
            "like: numbers of objects"
        )
        edges = f"for soft edges, a value in the middle ({(above[-1] + 1) // 2})"
        yield "cut", 1, reason, f"{edges}; classes need `classes`"
        return
    ignore = _unlabelled(above)
    if ignore is not None:
        reason = (
            f"values above 0 and their shares of the pixels: {shown}; {ignore} is taken as "
            "unlabelled"
        )
        yield (
            "ignore",
            ignore,
            reason,
            f"if {ignore} is a class, name it in `classes` and write ignore: null",
        )
    classes = [value for value in above if value != ignore]
    if len(classes) > 1:
        names = {f"class{value}": value for value in classes}
        yield (
            "classes",
            names,
            f"{len(classes)} values in {looked} masks: {shown}",
            "give them their names",
        )
    elif ignore is not None:
        yield "classes", {"object": classes[0]}, "the one other value", "give it its name"


def _soft(met: _Met, above: list[int]) -> str:
    """Say why values are those of soft edges; "" where they are not.

    Most pixels have the highest value, or nearly, and the others have hardly their like on all
    sides, as objects and classes have.
    """
    if len(above) < _FEW:
        return ""
    values = met.values
    total = sum(values[value] for value in above)
    near = int(np.ceil(_NEAR * above[-1]))
    top = sum(values[value] for value in above if value >= near) / total
    amid = met.amid / max(met.between, 1)
    if top < _MOSTLY or amid >= (_AMID if len(above) > MANY else _HARDLY):
        return ""
    low = above[-1] // 12
    dark = sum(values[value] for value in above if value < low) / total
    return (
        f"{len(above)} values above 0 in {met.looked} masks: {top:.0%} of these pixels are {near} "
        f"or more, {dark:.0%} below {low}, {amid:.0%} of the others amid their like: soft edges"
    )


def _unlabelled(above: list[int]) -> int | None:
    """Tell which value is that of unlabelled pixels, by two customs.

    Examples
    --------
    >>> _unlabelled([127, 255]), _unlabelled([1, 2, 255]), _unlabelled([85, 170])
    (127, 255, None)
    """
    if len(above) == 2 and above[0] in _GREY and above[1] == _WHITE:
        return above[0]
    if len(above) > 1 and above[-1] == _WHITE and above[:-1] == list(range(1, len(above))):
        return _WHITE
    return None


def _coloured(colours: dict[tuple[int, ...], int], looked: int) -> Iterator[Found]:
    named = sorted((colour for colour in colours if any(colour)), key=lambda c: -colours[c])
    if len(named) > MANY:
        raise InputError(
            f"masks/: {len(named)} colours in {looked} masks, too many for classes; are "
            "they stored "
            "with loss (JPEG), or are they pictures? Save one value, or one colour, a class."
        )
    classes = {f"colour_{r:02x}{g:02x}{b:02x}": [r, g, b] for r, g, b in sorted(named)}
    yield (
        "colours",
        classes,
        f"{len(named)} colours beside black in {looked} masks",
        "give them their names",
    )
