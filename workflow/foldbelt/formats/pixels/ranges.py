"""The grey range of images of more than eight bits, by robust percentiles of the training images.

Twelve bits in a 16-bit file use a sixteenth of the type's range: scaled by the type, six grey
levels would be left. One range serves the whole data set, so that brightness stays comparable
between images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.formats.pixels import tiff
from foldbelt.formats.pixels.kinds import Undecodable, first_bytes, kind_of

TAILS = (0.1, 99.9)
"""Percentiles that become black and white."""
_SAMPLED = 2**24  # pixels looked at in all
_FEW, _MANY = 2**8, 2**16  # of an image, at least and at most
_THREADS = 4
_TWELVE_BITS = 2**12 - 1

Range = tuple[Any, Any]
"""Low and high: numbers, or a list of one a band each."""


def deep_type(path: Path) -> str:
    """Tell by a file's header the type of its values where it is not 8 bits; "" otherwise."""
    try:
        data = first_bytes(path)
    except OSError:
        return ""
    kind = kind_of(data)
    if kind == "PNG":
        return "uint16" if data[24:25] == b"\x10" else ""
    if kind != "TIFF":
        return ""
    name = tiff.depth(path)
    return "" if name in ("uint8", "bool") else name


def grey_ranges(
    paths: Iterable[Path], decode: Callable[[Path], np.ndarray]
) -> dict[str, list[Any]]:
    """Find the range of every type of more than eight bits among some images.

    Parameters
    ----------
    paths
        The training images; those of eight bits, and those that cannot be read, are left out.
    decode
        Gives the values (h, w) or (h, w, C) of one. Of other numbers of bands than one and three
        every band has a range of its own.

    Returns
    -------
    dict
        Type, such as "uint16" → [low, high].
    """
    deep = [path for path in paths if deep_type(path)]
    each = int(np.clip(_SAMPLED // max(len(deep), 1), _FEW, _MANY))

    def some(path: Path) -> np.ndarray | None:
        try:
            return _sample(decode(path), each)
        except Undecodable:
            return None  # told when it is read

    found: dict[tuple[str, int], list[np.ndarray]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for sample in pool.map(some, deep):
            if sample is not None and sample.dtype != np.uint8:
                found.setdefault((sample.dtype.name, sample.shape[1]), []).append(sample)
    most = {name: max(planes for other, planes in found if other == name) for name, _ in found}
    return {name: _range(np.concatenate(found[name, most[name]])) for name in sorted(most)}


def _sample(pixels: np.ndarray, count: int) -> np.ndarray:
    """Take about so many pixels (n, 1) or (n, C), evenly spread."""
    colours = pixels.ndim == 2 or pixels.shape[2] == 3
    flat = pixels.reshape(-1, 1 if colours else pixels.shape[2])
    step = max(1, len(flat) // count) | 1  # odd, lest it falls on one column only
    return np.ascontiguousarray(flat[::step])


def _range(sample: np.ndarray) -> list[Any]:
    values = sample.astype(np.float64)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return [0.0, 1.0]
    low, high = np.percentile(values, TAILS, axis=0)
    flat = high <= low
    low = np.where(flat, values.min(axis=0), low)
    high = np.where(flat, np.maximum(values.max(axis=0), low + 1e-6 * np.abs(low) + 1e-9), high)
    return [low.tolist(), high.tolist()] if len(low) > 1 else [float(low[0]), float(high[0])]


def span_for(
    pixels: np.ndarray, wanted: Any, found: Mapping[str, Sequence[Any]] | None
) -> Range | None:
    """Give the range for an image; None for 8 bits, and for 16 bits scaled by the type.

    Parameters
    ----------
    pixels
        As decoded.
    wanted
        The key `data.range`: "auto", "type", or [low, high].
    found
        What `grey_ranges` found in the training images.

    Raises
    ------
    Undecodable
        With "auto", if no training image holds such pixels and their type does not tell their
        range: floats, and 16 bits of which at most twelve are used.
    """
    if pixels.dtype == np.uint8:
        return None
    if not isinstance(wanted, str):
        return wanted[0], wanted[1]
    if wanted == "auto" and found and pixels.dtype.name in found:
        low, high = found[pixels.dtype.name]
        if np.ndim(low) and (pixels.ndim < 3 or len(low) != pixels.shape[2]):
            return min(low), max(high)
        return low, high
    dim = pixels.dtype == np.uint16 and pixels.size and int(pixels.max()) <= _TWELVE_BITS
    if pixels.dtype == np.uint16 and not (wanted == "auto" and dim):
        return None
    if wanted == "auto":
        most = f" of {pixels.max()} at most" if dim else ""
        raise Undecodable(
            f"holds {pixels.dtype} pixels{most}, as no training image does; save it as these are, "
            "or say which values are black and white (data.range)"
        )
    if pixels.dtype.kind == "f":
        return 0.0, 1.0
    limits = np.iinfo(pixels.dtype)
    return float(limits.min), float(limits.max)
