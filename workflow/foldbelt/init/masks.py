"""What the values of masks probably mean: classes, unlabelled pixels, numbered objects."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from foldbelt.files import InputError
from foldbelt.formats import labelme
from foldbelt.formats.findings import Undecodable
from foldbelt.formats.pixels import Pixels
from foldbelt.formats.pixels import read as read_pixels

LOOKED = 300
"""Masks that are looked at, evenly over their names."""
MANY = 32
"""Values above which they are numbers of objects, or soft edges, and no classes."""
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
    values: dict[int, int] = {}
    colours: dict[tuple[int, ...], int] = {}
    lossy, looked = False, 0
    for path in spread(paths, LOOKED):
        try:
            pixels = read_pixels(path)
        except Undecodable:
            continue  # ingest names it
        looked += 1
        lossy |= pixels.lossy
        _count(pixels, values, colours)
    if not looked:
        raise InputError(f"{paths[0].parent}: none of {len(paths)} files can be read as a mask.")
    if colours:
        yield from _coloured(colours, looked)
    else:
        yield from _valued(values, looked, lossy)


def _count(pixels: Pixels, values: dict[int, int], colours: dict[tuple[int, ...], int]) -> None:
    """Add the values of one mask, or its colours, to those met."""
    planes = pixels.values
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
    for value, count in zip(met.tolist(), counts.tolist(), strict=True):
        values[int(value)] = values.get(int(value), 0) + count


def _valued(values: dict[int, int], looked: int, lossy: bool) -> Iterator[Found]:
    above = sorted(value for value in values if value > 0)
    total = sum(values.values())
    shown = ", ".join(f"{value} ({values[value] / total:.2%})" for value in above[:8])
    if len(above) <= 1 or lossy:
        return  # one class; or blurred by JPEG, which the reader cuts
    if len(above) > MANY:
        reason = f"{len(above)} values above 0 in {looked} masks: numbers of objects, or soft edges"
        yield (
            "cut",
            1,
            reason,
            "for soft edges, a value in the middle (128); classes need `classes`",
        )
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
