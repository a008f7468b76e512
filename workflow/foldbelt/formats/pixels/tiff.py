"""TIFF files: any number of bands, every sample type, polarity and orientation.

tifffile reads the tags and most pixels; what is compressed in a way that it leaves to others,
Pillow and OpenCV decode.
"""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from foldbelt.formats.pixels.kinds import Pixels, Undecodable, refuse
from foldbelt.formats.pixels.turning import SWAPPING, turn

_WHITE, _RGB, _PALETTE = 0, 2, 3
_CONVERTED = (5, 6, 8, 9, 10)  # CMYK, YCbCr, Lab: what is shown has to be computed
_JPEGS = (6, 7, 33003, 33005, 34712, 34892, 50001, 50002)  # among them JPEG 2000, WebP, JPEG XL
_ALPHA = (1, 2)
_BROKEN = "cannot be read as an image: its TIFF header is broken"


def header(path: Path) -> tuple[int, int]:
    """Read (height, width), as shown; `Undecodable` for several pages, and where there is none."""
    with _opened(path) as file:
        pages = len(file.pages)
        if pages > 1:
            raise Undecodable(f"holds {pages} pages; split it into one file each")
        page = file.pages[0]
        height, width = page.imagelength, page.imagewidth
        return (width, height) if _orientation(page) in SWAPPING else (height, width)


def depth(path: Path) -> str:
    """Tell the type of a file's samples, such as "uint16"; "" where it cannot be told."""
    try:
        with _opened(path) as file:
            return str(file.pages[0].dtype or "")
    except Undecodable:
        return ""


def read(path: Path) -> Pixels:
    """Decode a file of one page; `Undecodable` says what keeps it from being read."""
    with _opened(path) as file:
        page = file.pages[0]
        stored = _planes(page)
        if stored is None:
            return _by_others(path, page)
        orientation = _orientation(page)
        values = turn(stored, orientation)
        if page.photometric == _WHITE:
            values = _inverted(values, int(page.bitspersample))
        if page.photometric == _PALETTE and values.ndim == 2 and page.colormap is not None:
            colours = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
            return Pixels(values, colours, kind="TIFF", lossy=page.compression in _JPEGS)
        values, alpha = _split(values, page)
        return _whole(values, alpha, page)


def _whole(values: np.ndarray, alpha: np.ndarray | None, page: Any) -> Pixels:
    bits = 1 if values.dtype == bool else 0
    if bits:
        values = values.astype(np.uint8) * np.uint8(255)
    return Pixels(values, None, alpha, page.compression in _JPEGS, "TIFF", bits)


def _opened(path: Path) -> Any:
    tifffile = _reader()
    try:
        file = tifffile.TiffFile(path)
    except Exception as error:  # of a broken file anything may come
        raise refuse(path, _BROKEN) from error
    try:
        if not len(file.pages):
            raise Undecodable("is a TIFF without a page")
        page = file.pages[0]
        numbers = page.imagelength, page.imagewidth, page.samplesperpixel, _orientation(page)
        if not all(isinstance(number, int) for number in numbers):
            raise Undecodable(_BROKEN)  # a tag with several values
    except Undecodable:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise refuse(path, _BROKEN) from error
    return file


@functools.cache
def _reader() -> Any:
    """Import what reads TIFF files; a bundle predicts without it where there are none."""
    try:
        import tifffile
    except ModuleNotFoundError as error:
        raise Undecodable("is a TIFF, which the package tifffile reads; install it") from error
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells in the log what it raises
    return tifffile


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    value = 1 if tag is None else int(tag.value)
    return value if value in range(1, 9) else 1


def _planes(page: Any) -> np.ndarray | None:
    """Decode (h, w) or (h, w, C) by tifffile; None where another decoder has to."""
    if page.photometric in _CONVERTED or page.compression in _JPEGS:
        return None
    try:
        pixels = np.asarray(page.asarray())
    except (ValueError, KeyError, ImportError, NotImplementedError):
        return None  # a compression that it leaves to others
    except Exception as error:
        raise Undecodable("cannot be decoded: the file is broken or cut short") from error
    height, width = page.imagelength, page.imagewidth
    if int(page.planarconfig or 1) == 2 and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.shape[:2] != (height, width) or pixels.ndim > 3:
        raise Undecodable(f"holds pixels of {pixels.ndim} axes; save it with one page")
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _inverted(values: np.ndarray, bits: int) -> np.ndarray:
    """Make bright high where zero is white."""
    if values.dtype == bool:
        return ~values
    if values.dtype.kind != "u":
        raise Undecodable(
            f"says that zero is white (photometric interpretation 0), and holds {values.dtype} "
            "values, of which none is black; save it with zero as black"
        )
    return np.asarray(np.array(2**bits - 1, values.dtype) - values)


def _split(values: np.ndarray, page: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Part the bands from alpha, where the file says that its last one is that."""
    extra = [int(sample) for sample in page.extrasamples or ()]
    if values.ndim < 3 or not extra or extra[-1] not in _ALPHA:
        few = page.photometric == _RGB and values.ndim == 3 and values.shape[2] == 4
        if not few:  # four samples that are called RGB are RGB and alpha, said or not
            return values, None
    colours, alpha = values[..., :-1], values[..., -1]
    return (colours[..., 0] if colours.shape[2] == 1 else colours), alpha


def _by_others(path: Path, page: Any) -> Pixels:
    """Decode by Pillow, or else OpenCV, both of which turn the image themselves."""
    name = getattr(page.compression, "name", str(page.compression))
    if int(page.samplesperpixel) > 4:
        raise Undecodable(
            f"has {page.samplesperpixel} bands compressed by {name}, which cannot be read; save it "
            "uncompressed, or with deflate"
        )
    decoders: tuple[Callable[[Path, Any], Pixels | None], ...] = (_by_pillow, _by_opencv)
    for decoder in decoders:
        found = decoder(path, page)
        if found is not None:
            return found
    raise Undecodable(
        f"cannot be decoded: the compression {name} is not known here, or the file is broken or "
        "cut short; save it uncompressed, or with deflate"
    )


def _by_pillow(path: Path, page: Any) -> Pixels | None:
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode in ("CMYK", "YCbCr", "LAB"):
                image = image.convert("RGB")  # type: ignore[assignment]
            mode, values = image.mode, np.array(image)
            colours = image.getpalette("RGB") if mode == "P" else None
    except Exception:  # of many kinds; the next decoder has its turn, and what none reads is named
        return None
    if colours is not None:
        palette = np.array(colours, np.uint8).reshape(-1, 3)
        return Pixels(values, palette, kind="TIFF", lossy=page.compression in _JPEGS)
    if mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16", "F"):
        return None
    return _as_shown(values, page, mode in ("LA", "RGBA"))


def _by_opencv(path: Path, page: Any) -> Pixels | None:
    try:
        values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if values is None:
        return None
    planes = values.shape[2] if values.ndim == 3 else 1
    if planes == 3:
        values = cv2.cvtColor(values, cv2.COLOR_BGR2RGB)
    elif planes == 4:
        values = cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA)
    elif planes != int(page.samplesperpixel):
        return None
    return _as_shown(values, page, planes == 4)


def _as_shown(values: np.ndarray, page: Any, with_alpha: bool) -> Pixels:
    """Invert what neither decoder inverts: more than eight bits where zero is white."""
    if page.photometric == _WHITE and values.dtype.itemsize > 1:
        values = _inverted(values, int(page.bitspersample))
    alpha = values[..., -1] if with_alpha else None
    values = values[..., :-1] if with_alpha else values
    return _whole(values[..., 0] if values.shape[2:] == (1,) else values, alpha, page)
