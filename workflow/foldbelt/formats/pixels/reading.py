"""Decode an image file as a viewer shows it. Its content decides what it is, not its suffix."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from foldbelt.formats import dicom
from foldbelt.formats.pixels import jpeg, tiff
from foldbelt.formats.pixels.kinds import FIRST, Pixels, Undecodable, first_bytes, kind_of, refuse
from foldbelt.formats.pixels.turning import SWAPPING, TAG, orientation_of, turn

Image.MAX_IMAGE_PIXELS = None  # the limits are ours (`MOST`), and are told
MOST = 2**29
"""Pixels of the largest image that is read."""

_LOSSY = ("JPEG", "JPEG 2000", "WebP")
_PILLOWS = ("GIF", "JPEG 2000")
_ENDS = 2**12  # bytes at the end of a PNG that are searched for EXIF data
_PAGES = "holds {} pages; split it into one file each"


def kind_of_file(path: Path) -> str:
    """Tell what a file is, such as "PNG"; old DICOM files show it by their name alone."""
    return "DICOM" if path.suffix.lower() == dicom.SUFFIX else kind_of(first_bytes(path))


def header(path: Path) -> tuple[int, int]:
    """Read (height, width), as shown, from a file's header; `Undecodable` if it has none."""
    try:
        data = first_bytes(path)
    except OSError as error:
        raise refuse(path, f"cannot be opened ({error.strerror})") from error
    if kind_of(data) == "DICOM" or path.suffix.lower() == dicom.SUFFIX:
        return dicom.header(path).size
    if kind_of(data) == "PNG":
        size = _png_header(path, data)
    else:
        size = tiff.header(path) if kind_of(data) == "TIFF" else _header(path)
    if size[0] * size[1] > MOST:
        raise Undecodable(
            f"has {size[0]}×{size[1]} pixels, more than the {MOST} that are read; cut it in parts"
        )
    return size


def _header(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            pages = getattr(image, "n_frames", 1) if image.format in ("GIF", "WEBP") else 1
            height, width = image.height, image.width
            tagged = image.format in ("JPEG", "WEBP", "MPO") and "exif" in image.info
            turned = image.getexif().get(TAG, 1) if tagged else 1
    except Exception as error:  # Pillow raises nearly anything on a broken file
        raise refuse(path, "cannot be read as an image") from error
    if pages > 1:
        raise Undecodable(_PAGES.format(pages))
    return (width, height) if turned in SWAPPING else (height, width)


def _png_header(path: Path, first: bytes) -> tuple[int, int]:
    """Read the size from a PNG's first chunk; its orientation stands before or behind its pixels.

    Pillow would decode the pixels to find the latter.
    """
    if first[12:16] != b"IHDR" or len(first) < 24:
        raise Undecodable("cannot be read as an image: its PNG header is broken")
    width, height = (int.from_bytes(first[at : at + 4], "big") for at in (16, 20))
    place = first.find(b"acTL", 0, first.find(b"IDAT"))  # of an animation, how many frames
    frames = int.from_bytes(first[place + 4 : place + 8], "big") if place > 0 else 1
    if frames > 1:
        raise Undecodable(_PAGES.format(frames))
    tagged = b"eXIf" in first
    if len(first) == FIRST:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, 2) - _ENDS, 0))
            tagged = tagged or b"eXIf" in file.read()
    turned = orientation_of(path.read_bytes()) if tagged else 1
    return (width, height) if turned in SWAPPING else (height, width)


def read(path: Path) -> Pixels:
    """Decode a file. Raises `Undecodable`."""
    data = path.read_bytes()
    kind = kind_of(data[:FIRST])
    if kind == "DICOM" or path.suffix.lower() == dicom.SUFFIX:
        return Pixels(dicom.decode(path), kind="DICOM")
    if kind == "TIFF":
        return tiff.read(path)
    if kind == "PNG":
        return _read_png(data, path)
    if kind in _PILLOWS or (kind == "BMP" and data[28:29] != b"\x18"):
        return _by_pillow(data, path, kind)
    if kind == "JPEG" and (place := jpeg.zeros_within(data)):
        raise Undecodable(f"is damaged: its picture has a stretch of zeros from byte {place} on")
    values = _by_opencv(data, path)
    return _parted(turn(values, orientation_of(data)), kind in _LOSSY, kind)


def _read_png(data: bytes, path: Path) -> Pixels:
    bits, colour = data[24:26].ljust(2, b"\0")
    if colour == 3:
        return _by_pillow(data, path, "PNG")
    values = turn(_by_opencv(data, path), orientation_of(data))
    found = _parted(values, False, "PNG", bits if bits < 8 else 0)
    if colour == 4:  # OpenCV gives grey and alpha as colours and alpha
        return found._replace(values=found.values[..., 0])
    return found


def _parted(values: np.ndarray, lossy: bool, kind: str, bits: int = 0) -> Pixels:
    """Part OpenCV's planes into RGB and alpha."""
    if values.ndim == 2 or values.shape[2] == 1:
        return Pixels(values.reshape(values.shape[:2]), None, None, lossy, kind, bits)
    if values.shape[2] == 3:
        return Pixels(cv2.cvtColor(values, cv2.COLOR_BGR2RGB), None, None, lossy, kind, bits)
    colours = cv2.cvtColor(values, cv2.COLOR_BGRA2RGB)
    return Pixels(colours, None, values[..., 3], lossy, kind, bits)


def _by_opencv(data: bytes, path: Path) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:
        raise Undecodable(f"cannot be decoded ({error.err})") from error
    if pixels is None:
        raise refuse(path, "cannot be decoded: the file is broken or cut short")
    return np.asarray(pixels)


def _by_pillow(data: bytes, path: Path, kind: str) -> Pixels:
    """Decode indexed files, whose indices OpenCV does not give, and kinds that it does not know."""
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            orientation = orientation_of(data)
            mode = image.mode
            alpha = None
            if "transparency" in image.info and mode == "P":
                alpha = np.array(image.convert("RGBA").getchannel("A"))
            colours = image.getpalette("RGB") if mode in ("P", "PA") else None
            if mode not in ("1", "L", "LA", "RGB", "RGBA", "P", "PA", "I;16"):
                values = np.array(image.convert("RGB"))
            else:
                values = np.array(image)
    except Exception as error:
        raise refuse(path, "cannot be decoded: the file is broken or cut short") from error
    values = turn(values, orientation)
    alpha = None if alpha is None or (alpha == 255).all() else turn(alpha, orientation)
    lossy = kind in _LOSSY
    if mode in ("LA", "RGBA", "PA"):
        values, alpha = values[..., :-1], values[..., -1]
        values = values[..., 0] if values.shape[2] == 1 else values
    if colours is not None:
        return Pixels(values, np.array(colours, np.uint8).reshape(-1, 3), alpha, lossy, kind)
    bits = 1 if values.dtype == bool else 0
    values = values.astype(np.uint8) * np.uint8(255) if bits else values
    return Pixels(values, None, alpha, lossy, kind, bits)
