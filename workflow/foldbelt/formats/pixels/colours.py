"""Masks whose classes are colours: each class has one, and other colours stop with their shares."""

from collections.abc import Mapping, Sequence

import numpy as np

from foldbelt.formats.pixels.kinds import Pixels, Undecodable

SHOWN = 6
"""How many colours a message lists."""
Colour = Sequence[int]


def planes_of(
    pixels: Pixels, colours: Mapping[str, Colour], ignore: Colour | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Give the mask (h, w, K) of 0 and 1 u8, and unlabelled pixels (h, w), None without any.

    Parameters
    ----------
    pixels
        A decoded mask: RGB, grey, or with a palette, of 8 bits.
    colours
        Class → its red, green and blue. Black is background, unless a class has it.
    ignore
        The colour of unlabelled pixels, or None.

    Raises
    ------
    Undecodable
        Naming the colours that mean nothing, and their shares.
    """
    codes = _codes(pixels)
    wanted = {name: _code(colour) for name, colour in colours.items()}
    planes = np.stack([codes == code for code in wanted.values()], axis=-1)
    unlabelled = None if ignore is None else codes == _code(ignore)
    known = planes.any(axis=2) | (codes == 0)
    known = known if unlabelled is None else known | unlabelled
    if not known.all():
        met, counts = np.unique(codes[~known], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:SHOWN]
        few = ", ".join(
            f"{_shown(code)} ({100 * count / codes.size:.1f} %)"
            for code, count in zip(met[order].tolist(), counts[order].tolist(), strict=True)
        )
        more = f" and {len(met) - SHOWN} more" * (len(met) > SHOWN)
        raise Undecodable(
            f"holds the colours {few}{more}: neither black, nor in data.colours, nor "
            "data.ignore_colour"
        )
    some = unlabelled if unlabelled is not None and unlabelled.any() else None
    return planes.view(np.uint8), some


def _codes(pixels: Pixels) -> np.ndarray:
    """Give every pixel's colour as one number (h, w)."""
    if pixels.lossy:
        raise Undecodable(f"is a {pixels.kind}, which blurs colours; save it as PNG or TIFF")
    if pixels.alpha is not None and not (pixels.alpha == pixels.alpha.flat[0]).all():
        raise Undecodable("is partly transparent; save it without transparency")
    values = pixels.values if pixels.palette is None else pixels.palette[pixels.values]
    if values.dtype != np.uint8:
        raise Undecodable(f"holds {values.dtype} values; colours have 8 bits")
    planes = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    if planes.shape[2] != 3:
        raise Undecodable(f"has {planes.shape[2]} bands; colours have three")
    red, green, blue = (planes[..., k].astype(np.int32) for k in range(3))
    return (red << 16) | (green << 8) | blue


def _code(colour: Colour) -> int:
    red, green, blue = colour
    return (red << 16) | (green << 8) | blue


def _shown(code: int) -> str:
    return str([code >> 16, code >> 8 & 255, code & 255])
