"""What a file is by its first bytes, whatever it is called."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foldbelt.formats.findings import Undecodable as Undecodable

FIRST = 512  # bytes that tell what a file is


class Pixels(NamedTuple):
    """What a file holds, turned as a viewer shows it.

    Parameters
    ----------
    values
        (h, w) or (h, w, C): what is stored, but bright is always high; colours as RGB. Of an
        indexed file the indices.
    palette
        (n, 3) u8, the colours of an indexed file; None otherwise.
    alpha
        (h, w), the opacity; None without.
    lossy
        Whether the way of storing changes values.
    kind
        Such as "PNG", "JPEG", "TIFF".
    bits
        Of a value, where they are fewer than those of its type; 0 where not.
    """

    values: np.ndarray
    palette: np.ndarray | None = None
    alpha: np.ndarray | None = None
    lossy: bool = False
    kind: str = ""
    bits: int = 0

    @property
    def bands(self) -> int:
        """How many planes it has, alpha not counted."""
        return 3 if self.palette is not None else self.values.shape[2] if self.deep else 1

    @property
    def deep(self) -> bool:
        """Whether there is an axis of planes."""
        return self.values.ndim == 3


_KINDS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
}


def kind_of(data: bytes) -> str:
    """Tell from a file's first bytes what it is; "" where they are no image that is known."""
    for start, kind in _KINDS.items():
        if data.startswith(start):
            return kind
    if data[128:132] == b"DICM":
        return "DICOM"
    return "WebP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def first_bytes(path: Path) -> bytes:
    """Read what `kind_of` and `refusal` need."""
    with path.open("rb") as file:
        return file.read(FIRST)


def refusal(data: bytes) -> str:
    """Say what a file is that is no image, as far as its first bytes tell."""
    text = data[:FIRST].lstrip()
    if not data:
        return "is empty (0 bytes)"
    if text.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the image itself; fetch it (git lfs pull)"
    if b"/annex/objects/" in text:
        return "is a pointer of git-annex, not the image itself; fetch it (git annex get)"
    if text[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, such as a failed download leaves; download the image again"
    if text.startswith((b"<svg", b"<?xml")):
        return "is XML (a drawing or annotations), no image; convert it to PNG or TIFF"
    if text.startswith((b"{", b"[")):
        return "is JSON (annotations?), no image; convert it to PNG or TIFF"
    if data.startswith(b"%PDF"):
        return "is a PDF; convert it to PNG or TIFF"
    if not data.strip(b"\0"):
        return "holds zero bytes only, as after a failed copy"
    return ""


def refuse(path: Path, otherwise: str) -> Undecodable:
    """Make the error for a file that no decoder reads: by its content, or else in these words."""
    try:
        reason = refusal(first_bytes(path))
    except FileNotFoundError:
        reason = "is not there"
        if path.is_symlink():
            leads = f" to {os.readlink(path)}"
            reason = f"is a link{leads}, which leads nowhere; fetch what it stands for"
    except OSError as error:
        reason = f"cannot be opened ({error.strerror})"
    return Undecodable(reason or otherwise)
