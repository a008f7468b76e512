"""What the values of a mask mean: they are looked at, never taken on trust.

One class without a name: {0, x} gives x. Where storing has blurred two values (JPEG, or what was
saved again afterwards), a clear gap around the middle is cut there, and told. All else stops with
the values met and their shares; `data.classes`, `data.ignore` and `data.cut` say what is meant.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from foldbelt.formats.pixels.colours import planes_of
from foldbelt.formats.pixels.kinds import Pixels, Undecodable

SHOWN = 8
"""How many values a message lists."""
CLEAR = 0.005
"""Share of the object's pixels that may lie near the cut, within an eighth of the range."""
_CHUNK = 2**22  # pixels counted at a time: numpy counts in 64 bits
_FLAT = (
    9  # pixels of one value with all their neighbours, from which on it is a value that is meant
)
_NEARLY = 12  # by how much neighbours may differ where storing blurs
_CURES = (
    "name what each value is (data.classes), which one is unlabelled (data.ignore), or from which "
    "value on a pixel is object (data.cut)"
)


class Meaning(NamedTuple):
    """What the config says of values.

    Parameters
    ----------
    classes
        Class → value; None where there is one class without a name.
    ignore
        The value of unlabelled pixels, or None.
    cut
        From which value on a pixel is object, or None.
    colours
        Class → red, green, blue, where classes are colours; None where they are values.
    ignore_colour
        The colour of unlabelled pixels, or None.
    """

    classes: Mapping[str, int] | None = None
    ignore: int | None = None
    cut: float | None = None
    colours: Mapping[str, Sequence[int]] | None = None
    ignore_colour: Sequence[int] | None = None


class Read(NamedTuple):
    """A mask that has been understood.

    Parameters
    ----------
    planes
        (h, w, K) u8 of 0 and 1.
    ignore
        (h, w) bool, True where unlabelled; None where there is no such pixel.
    value
        The value that is the object's, for one class without a name; 0 for an empty mask, -1 where
        it was cut.
    note
        What was done that a person should know; "" if nothing.
    gap
        Where a mask with blurred values was cut: the values on both sides; None where it was not.
    """

    planes: np.ndarray
    ignore: np.ndarray | None
    value: int
    note: str = ""
    gap: tuple[int, int] | None = None


def read_mask(pixels: Pixels, meaning: Meaning) -> Read:
    """Understand the values of a decoded mask; `Undecodable` says why they are not."""
    if meaning.colours is not None:
        planes, unlabelled = planes_of(pixels, meaning.colours, meaning.ignore_colour)
        return Read(planes, unlabelled, 0)
    values, note = _values(pixels, meaning)
    if values.dtype.kind == "f":
        values, note = _whole(values, meaning, note)
    if values.dtype.kind == "i" and values.min(initial=0) < 0:
        raise Undecodable(f"holds values below 0, down to {values.min()}; save it from 0 on")
    met, counts = _count(values)
    if meaning.classes is not None:
        return _named(values, met, counts, pixels, meaning, note)
    ignore = None if meaning.ignore is None else values == meaning.ignore
    ignore = ignore if ignore is not None and ignore.any() else None
    if ignore is not None:
        kept = met != meaning.ignore
        met, counts = met[kept], counts[kept]
    mask, value, told, gap = _one(values, met, counts, ignore, pixels, meaning)
    if ignore is not None:
        mask &= ~ignore
    return Read(mask[..., None].view(np.uint8), ignore, value, told or note, gap)


# --- from pixels to values


def _values(pixels: Pixels, meaning: Meaning) -> tuple[np.ndarray, str]:
    """Give the values (h, w) that a viewer shows, or of an indexed file those that are meant."""
    if pixels.kind == "DICOM":
        raise Undecodable("is DICOM, whose values are scaled; save masks as PNG or TIFF")
    if pixels.palette is not None:
        return _indexed(pixels, pixels.palette, meaning)
    values = pixels.values
    if pixels.deep:
        if values.shape[2] != 3:
            raise Undecodable(f"has {values.shape[2]} bands; a mask has one")
        near = pixels.lossy and _nearly_grey(values)
        if not near and not _all_same(values):
            raise Undecodable(
                "is a coloured mask; save it with one channel, or a palette, of values, or "
                "say what its colours are (data.colours)"
            )
        values = np.ascontiguousarray(values[..., 1 if near else 0])
    return (values, "") if pixels.alpha is None else _with_alpha(values, pixels.alpha)


def _all_same(values: np.ndarray) -> bool:
    first = values[..., 0]
    return all(bool((values[..., k] == first).all()) for k in range(1, values.shape[2]))


def _nearly_grey(values: np.ndarray) -> bool:
    """Tell whether a lossy file's planes differ by rounding alone."""
    low, high = values.min(axis=2), values.max(axis=2)
    return bool((high - low).max(initial=0) <= 8)


def _with_alpha(values: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, str]:
    """Join values and opacity: one of them says all, or what is transparent is background."""
    most = 255 if alpha.dtype.itemsize == 1 else np.iinfo(alpha.dtype).max
    if (alpha == alpha.flat[0]).all():
        if alpha.flat[0]:
            return values, ""
        raise Undecodable("is transparent everywhere; save it without transparency")
    if (values == values.flat[0]).all():
        if values.flat[0]:
            return alpha, "has one colour everywhere; its shape was taken from its alpha"
        raise Undecodable(
            "is black everywhere, and its shape lies in its alpha: a viewer shows it by its own "
            "background; save it without transparency"
        )
    if values[alpha == 0].any():
        raise Undecodable(
            "has values in transparent pixels, so that what is shown is not what is stored; save "
            "it without transparency"
        )
    if ((alpha == 0) | (alpha == most)).all():
        return values, ""
    shown = values.astype(np.float64) * (alpha / most)
    return np.round(shown).astype(values.dtype), "is partly transparent; taken as seen on black"


def _indexed(pixels: Pixels, palette: np.ndarray, meaning: Meaning) -> tuple[np.ndarray, str]:
    """Decide whether indices or the colours that they stand for are the values."""
    indices = pixels.values
    used = _count(indices)[0]
    if used.max(initial=0) >= len(palette):
        raise Undecodable(f"has the index {used.max()}, for which its palette has no colour")
    colours = palette[used]
    grey = bool((colours == colours[:, :1]).all())
    shown = palette[:, 0][indices] if grey else None
    given = {*(meaning.classes or {}).values(), meaning.ignore} - {None}
    if pixels.alpha is not None and not given:
        return _with_alpha(indices if shown is None else shown, pixels.alpha)
    if given:
        return _fitting(indices, shown, used, colours, given, meaning.classes is None)
    if grey and shown is not None:
        return shown, "" if (colours[:, 0] == used).all() else _SHOWN
    black = ~colours.any(axis=1)
    if used[0] == 0 and black[0]:
        return indices, ""  # as in PASCAL VOC: the values are listed as any others are
    if len(used) <= 2:  # one colour, or two of which one is the background
        if len(used) == 2 and not black.any():
            raise Undecodable(
                f"has a palette, of which it shows {_colours(used, colours)}: neither is black; "
                f"{_CURES}, by its indices"
            )
        shown = np.isin(indices, used[~black]).astype(np.uint8) * np.uint8(255)
        return shown, _SHOWN
    raise Undecodable(f"has a palette, of which it shows {_colours(used, colours)}; {_CURES}")


_SHOWN = "has a palette that changes values; those that a viewer shows were taken"


def _fitting(
    indices: np.ndarray,
    shown: np.ndarray | None,
    used: np.ndarray,
    colours: np.ndarray,
    given: set[int | None],
    one: bool,
) -> tuple[np.ndarray, str]:
    """Take the indices, or the grey values shown, whichever fit what the config names."""
    known = {0, *given}
    by_index = one or {*used.tolist()} <= known
    if shown is None:
        return indices, ""
    greys = colours[:, 0]
    if by_index and len(used) > 1 and (np.diff(greys.astype(int)) < 0).any():
        raise Undecodable(
            f"has a palette that turns dark into bright: it shows {_colours(used, colours)}; save "
            "it without a palette, so that its values are those shown"
        )
    if by_index and (not one or given & {*used.tolist()}):
        return indices, ""
    if {*greys.tolist()} <= known or one:
        return shown, _SHOWN
    return indices, ""


def _colours(used: np.ndarray, colours: np.ndarray) -> str:
    pairs = list(zip(used.tolist(), colours.tolist(), strict=True))[:SHOWN]
    return ", ".join(f"index {index} as {tuple(colour)}" for index, colour in pairs)


def _whole(values: np.ndarray, meaning: Meaning, note: str) -> tuple[np.ndarray, str]:
    """Bring a float mask to whole values."""
    if not np.isfinite(values).all():
        raise Undecodable("holds values that are no numbers (NaN or infinite)")
    if values.min(initial=0) < 0 or values.max(initial=0) > 2**31:
        raise Undecodable(f"holds values from {values.min():g} to {values.max():g}")
    rounded = np.round(values)
    if (rounded == values).all():
        return rounded.astype(np.uint32), note
    if meaning.cut is not None:
        return (values >= meaning.cut).astype(np.uint8) * np.uint8(255), note
    raise Undecodable(
        f"holds fractions, from {values.min():g} to {values.max():g}: say from which value on a "
        "pixel is object (data.cut)"
    )


def _count(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the values met, in order, and how many pixels have each."""
    flat = values.reshape(-1)
    if values.dtype.itemsize > 2:
        return np.unique(flat, return_counts=True)
    total = np.zeros(int(flat.max(initial=0)) + 1, np.int64)
    for start in range(0, flat.size, _CHUNK):
        part = np.bincount(flat[start : start + _CHUNK], minlength=len(total))
        total += part
    met = np.flatnonzero(total)
    return met, total[met]


# --- from values to planes


def _named(
    values: np.ndarray,
    met: np.ndarray,
    counts: np.ndarray,
    pixels: Pixels,
    meaning: Meaning,
    note: str,
) -> Read:
    """Take the values that `data.classes` names; any other stops."""
    classes = dict(meaning.classes or {})
    if pixels.lossy:
        raise Undecodable(f"is a {pixels.kind}, which blurs values; save it as PNG or TIFF")
    known = {0, meaning.ignore, *classes.values()}
    unknown = [k for k, value in enumerate(met.tolist()) if value not in known]
    if unknown:
        named = ", ".join(f"{name} {value}" for name, value in classes.items())
        hint = _one_bit(pixels, met)
        raise Undecodable(
            f"holds the values {_listed(met[unknown], counts[unknown], values.size)}: neither 0, "
            f"nor in data.classes ({named}), nor data.ignore ({meaning.ignore}){hint}"
        )
    planes = np.stack([values == value for value in classes.values()], axis=-1)
    ignore = None if meaning.ignore is None else values == meaning.ignore
    shown = ignore if ignore is not None and ignore.any() else None
    return Read(planes.view(np.uint8), shown, 0, note)


def _one_bit(pixels: Pixels, met: np.ndarray) -> str:
    if pixels.bits == 1 and met[-1] == 255:
        return "; it has one bit a pixel, whose 1 is read as 255, as it is shown: name that value"
    return ""


def _one(
    values: np.ndarray,
    met: np.ndarray,
    counts: np.ndarray,
    ignore: np.ndarray | None,
    pixels: Pixels,
    meaning: Meaning,
) -> tuple[np.ndarray, int, str, tuple[int, int] | None]:
    """Find the object of one class without a name; see `Read` for what is given."""
    if meaning.cut is not None:
        return values >= meaning.cut, -1, "", None
    if pixels.lossy and meaning.ignore is not None:
        raise Undecodable(f"is a {pixels.kind}, which blurs values; save it as PNG or TIFF")
    objects = met[met > 0]
    if not len(objects):
        return np.zeros(values.shape, bool), 0, "", None
    if pixels.lossy and objects[-1] < 128:
        raise Undecodable(
            f"is a {pixels.kind} whose highest value is {objects[-1]}: {pixels.kind} blurs values, "
            "so that such low ones are not kept; save it as PNG or TIFF, or name the value from "
            "which on a pixel is object (data.cut)"
        )
    if len(objects) == 1 and not pixels.lossy:
        return values > 0, int(objects[0]), "", None
    where = _gap(values, met, counts, ignore, pixels)
    if where is None:
        listed = _listed(met, counts, values.size)
        raise Undecodable(
            f"holds the values {listed}, and nothing says which are the object: {_CURES}"
        )
    cut, low, high = where
    if len(met) <= 2:
        return values >= cut, int(met[-1]), "", None
    return values >= cut, -1, f"has blurred values, and was cut at {cut:g}", (low, high)


def _gap(
    values: np.ndarray,
    met: np.ndarray,
    counts: np.ndarray,
    ignore: np.ndarray | None,
    pixels: Pixels,
) -> tuple[float, int, int] | None:
    """Find the clear gap around the middle: where to cut, and the values on both sides of it.

    Two conditions: nearly no pixel lies near the middle; and the values that fill areas, not only
    edges, are at most two, one on either side. Classes fill areas, and so do not pass for noise.
    """
    highest = int(met[-1])
    span = max(highest, 255)
    if highest > 65535 or highest < span / 2:
        return None
    upper = met >= span / 2
    top = int(met[upper][counts[upper].argmax()])
    cut = span / 2 if pixels.lossy and top > 0.94 * span else top / 2
    near = np.abs(met - cut) <= span / 8
    above = int(counts[met > cut].sum())
    if counts[near].sum() > CLEAR * above:
        return None
    if met[0] > cut and not pixels.lossy:
        return None
    areas = _areas(values, ignore, pixels.lossy)
    if pixels.lossy:  # which moves a value, but not far
        sound = bool((np.minimum(areas, np.abs(top - areas)) <= span / 8).all())
    else:  # few values are rather classes, one of them thin (a border), than noise
        high = areas[areas >= cut]
        sound = len(areas) - len(high) <= 1 and bool((np.abs(high - top) <= span / 32).all())
        sound = sound and len(met) > SHOWN
    low = int(met[met < cut].max(initial=0))
    return (float(np.ceil(cut)), low, int(met[met >= cut].min())) if sound else None


def _areas(values: np.ndarray, ignore: np.ndarray | None, lossy: bool) -> np.ndarray:
    """Give the values that fill areas: pixels that are as all their neighbours are, or nearly."""
    small = values.astype(np.uint16)
    kernel = np.ones((3, 3), np.uint8)
    flat = cv2.dilate(small, kernel) - cv2.erode(small, kernel) <= (_NEARLY if lossy else 0)
    if ignore is not None:
        flat &= ~ignore
    areas, counts = np.unique(small[flat].astype(np.int64), return_counts=True)
    if lossy:  # sixteen values are one
        areas = areas.repeat(counts) // 16 * 16 + 8
        areas, counts = np.unique(areas, return_counts=True)
    return areas[counts >= _FLAT]


def _listed(met: np.ndarray, counts: np.ndarray, total: int) -> str:
    """List values with their shares, the commonest where there are many."""
    order = np.sort(np.argsort(-counts, kind="stable")[:SHOWN])
    few = ", ".join(f"{value:g}" for value in met[order].tolist())
    few += f" and {len(met) - SHOWN} more" * (len(met) > SHOWN)
    shares = ", ".join(map(_percent, (counts[order] / total).tolist()))
    return f"{few} ({shares} of the pixels)"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %"
