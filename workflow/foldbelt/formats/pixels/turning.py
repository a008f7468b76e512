"""Orientation tags: files that say how they are to be turned to be seen upright."""

from io import BytesIO

import numpy as np
from PIL import Image

TAG = 274
_EARLY = 2**18  # bytes within which a JPEG names its orientation
SWAPPING = (5, 6, 7, 8)
"""Orientations by which height and width change places."""


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (h, w, …) as EXIF and TIFF number it, from 1, which is upright, to 8."""
    if orientation in SWAPPING:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def orientation_of(data: bytes) -> int:
    """Find a PNG's, JPEG's or WebP's orientation; 1 where it names none that there is."""
    start, end = (b"Exif\0", _EARLY) if data[:1] == b"\xff" else (b"eXIf", len(data))
    if data.find(start, 0, end) < 0 and data[:4] != b"RIFF":
        return 1  # nearly all: Pillow need not look
    try:
        with Image.open(BytesIO(data)) as image:
            found = image.getexif().get(TAG, 1)
    except Exception:  # Pillow raises nearly anything on a broken file, which the decoder names
        return 1
    return found if found in range(1, 9) else 1
