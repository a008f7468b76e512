"""Image files: listed, measured by their headers, decoded to u8 grey or RGB.

Orientation tags (EXIF) are ignored everywhere: a mask has none, so image and mask would no longer
match if only the image were rotated. TIFF files of several pages are refused. DICOM files are known
by their content, whatever their names are; `foldbelt.formats.dicom` reads them.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from foldbelt.formats import dicom
from foldbelt.formats.findings import Finding, Undecodable

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", dicom.SUFFIX)


def header(path: Path) -> tuple[int, int]:
    """Read (height, width) from a file's header; `Undecodable` if it has none."""
    if dicom.is_dicom(path):
        return dicom.header(path).size
    try:
        with Image.open(path) as image:
            pages = getattr(image, "n_frames", 1)
            if pages > 1 and image.format == "TIFF":
                raise Undecodable(f"holds {pages} pages; split it into one file each")
            return image.height, image.width
    except Undecodable:
        raise
    except Exception as error:  # Pillow raises nearly anything on a broken file
        if path.stat().st_size == 0:
            raise Undecodable("is empty (0 bytes)") from None
        raise Undecodable("cannot be read as an image") from error


def decode(path: Path) -> np.ndarray:
    """Decode a file as it is: (h, w) or (h, w, 3), u8 or u16; colours as RGB, alpha left out.

    A palette becomes its colours, and DICOM what a screen shows. Raises `Undecodable`.
    """
    if dicom.is_dicom(path):
        return dicom.decode(path)
    data = np.fromfile(path, np.uint8)  # imread does not say whether a file is missing or broken
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise Undecodable(f"cannot be decoded ({error.err})") from error
    if pixels is None:
        raise Undecodable("cannot be decoded: the file is broken or cut short")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise Undecodable(f"holds {pixels.dtype} pixels; save it with 8 or 16 bits a channel")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[..., 0]
    if pixels.ndim == 3:  # alpha is left out
        code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGB
        return np.asarray(cv2.cvtColor(pixels, code))
    return pixels


def to_u8(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Bring decoded pixels to u8: (h, w) for one channel, (h, w, 3) for three.

    16-bit values are scaled by the range of the type, not of the image (round(v / 257)), so that
    brightness stays comparable between images. Colour becomes grey by the weights of ITU-R
    BT.601 (.299, .587, .114); grey becomes colour by repetition.
    """
    if channels == 1 and pixels.ndim == 3:
        equal = grey_planes_equal(pixels)
        pixels = pixels[..., 0] if equal else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if channels == 3 and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels)


def grey_planes_equal(pixels: np.ndarray) -> bool:
    """Tell whether a decoded file is grey: saved with one channel, or with three equal ones."""
    return pixels.ndim == 2 or bool(
        (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    )


def decode_values(path: Path) -> np.ndarray:
    """Decode a mask file to its values (h, w), u8 or u16.

    One channel gives its values, three equal channels one of them, a palette its indices (as in
    PASCAL VOC), one bit 0 and 255. Raises `Undecodable` on coloured pixels.
    """
    if dicom.is_dicom(path):
        raise Undecodable("is DICOM, whose values are scaled; save masks as PNG or TIFF")
    with Image.open(path) as image:
        if image.mode in ("P", "PA"):
            try:
                return np.array(image.getchannel(0) if image.mode == "PA" else image, np.uint8)
            except Exception as error:
                raise Undecodable("cannot be decoded: the file is broken or cut short") from error
    pixels = decode(path)
    if not grey_planes_equal(pixels):
        raise Undecodable("is a coloured mask; save it with one channel, or a palette, of values")
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., 0])


def measure(
    files: Mapping[str, Path], root: Path
) -> tuple[dict[str, tuple[int, int]], list[Finding]]:
    """Read the headers of images: id → (height, width), and findings for files without one."""
    sizes: dict[str, tuple[int, int]] = {}
    findings = []
    for name, path in files.items():
        try:
            sizes[name] = header(path)
        except Undecodable as error:
            findings.append(Finding(relative(path, root), str(error), name))
    return sizes, findings


def common_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """Give the size that most images have (of several, the smallest)."""
    counts: dict[tuple[int, int], int] = {}
    for size in sizes:
        counts[size] = counts.get(size, 0) + 1
    return min(counts, key=lambda size: (-counts[size], size), default=None)


def relative(path: Path, root: Path) -> str:
    """Give a file's name for a message: its path below the competition's folder."""
    return path.relative_to(root).as_posix()


def storage_size(
    root: Path,
    settings: Mapping[str, Any],
    train: Mapping[str, Path],
    test: Mapping[str, Path],
    sizes: Mapping[str, tuple[int, int]],
    settled: tuple[int, int] | None = None,
) -> tuple[tuple[int, int] | None, list[Finding]]:
    """Give the size at which images are stored, and findings for other sizes without data.size.

    Parameters
    ----------
    root, settings
        The competition's folder and the config's `data` section.
    train, test
        id → file. The size is that of most training images, so that test images have no say in how
        training images are stored.
    sizes
        id → (height, width) of those whose headers can be read.
    settled
        The size, where the training images are stored already.
    """
    if settings["size"] is not None:
        height, width = settings["size"]
        return (height, width), []
    common = settled or common_size(sizes[key] for key in (train or test) if key in sizes)
    if common is None:
        return None, []
    files = {**test, **train}
    findings = [
        Finding(
            relative(files[key], root),
            f"is {height}×{width} where most images are {common[0]}×{common[1]}; "
            "set data.size to store images of mixed sizes",
            key,
        )
        for key, (height, width) in sorted(sizes.items())
        if (height, width) != common
    ]
    return common, findings


def by_stem(
    files: Iterable[Path], root: Path, suffixes: tuple[str, ...] = SUFFIXES
) -> tuple[dict[str, Path], list[Finding]]:
    """Give id → file for one folder; other files, bad names and duplicates are findings."""
    return _by(lambda path: _stem(path, suffixes), files, root, suffixes)


def _stem(path: Path, suffixes: tuple[str, ...]) -> str:
    """Give a name without its suffix; what ends in a part of a DICOM file's number has none."""
    return path.stem if path.suffix.lower() in suffixes else path.name


def by_name(
    files: Iterable[Path], root: Path, suffixes: tuple[str, ...] = SUFFIXES
) -> tuple[dict[str, Path], list[Finding]]:
    """Do as `by_stem`, with the suffix in the id."""
    return _by(lambda path: path.name, files, root, suffixes)


def _by(
    identity: Callable[[Path], str], files: Iterable[Path], root: Path, suffixes: tuple[str, ...]
) -> tuple[dict[str, Path], list[Finding]]:
    file_of: dict[str, Path] = {}
    findings = []
    for path in files:
        name = identity(path)
        if path.suffix.lower() not in suffixes and not _is_unnamed_dicom(path, suffixes):
            reason = f"is an extra file, none of {', '.join(suffixes)}; move it away"
            findings.append(Finding(relative(path, root), reason, path.name))
        elif not _utf8(name):
            reason = "has a name that is not UTF-8; rename it"
            findings.append(Finding(ascii(relative(path, root)), reason, name))
        elif name in file_of:
            reason = f"has the same id as {file_of[name].name}; rename one"
            findings.append(Finding(relative(path, root), reason, name))
        else:
            file_of[name] = path
    return file_of, findings


def _is_unnamed_dicom(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a file without a known suffix is DICOM, where that may be."""
    return dicom.SUFFIX in suffixes and dicom.has_mark(path)


def _utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
