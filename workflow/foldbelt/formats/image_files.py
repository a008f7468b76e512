"""Image files: listed, measured by their headers, decoded to u8 grey or RGB.

What a file is is told by its content, not its suffix, and images are read as a viewer shows them:
turned as their orientation tag says, dark where they look dark (`foldbelt.formats.pixels`). TIFF
and GIF files of several pages are refused. DICOM files are known by their content, too;
`foldbelt.formats.dicom` reads them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from foldbelt.formats import dicom
from foldbelt.formats import pixels as pixel_files
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import composed
from foldbelt.formats.pixels import Pixels, Undecodable, header
from foldbelt.formats.pixels.ranges import Range

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", dicom.SUFFIX
)  # fmt: skip

_IMAGES = (".dicom", ".nii", ".gz", ".mha", ".mhd", ".nrrd", ".jp2", ".heic", ".heif",
           ".svs", ".ndpi", ".czi", ".lif", ".npy", ".pgm", ".ppm", ".exr", ".raw", ".dng",
           ".avif", ".psd", ".svg", ".pdf", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # fmt: skip


def decode(path: Path) -> np.ndarray:
    """Decode a file as shown: (h, w) or (h, w, C), as stored; colours as RGB, alpha left out.

    A palette becomes its colours. Raises `Undecodable`.
    """
    return colours_of(pixel_files.read(path))


def colours_of(found: Pixels) -> np.ndarray:
    """Give what `decode` gives of a file that has been read."""
    if found.palette is None:
        return found.values
    if found.values.max(initial=0) >= len(found.palette):
        raise Undecodable("has indices for which its palette has no colour")
    return np.asarray(found.palette[found.values])


def to_u8(pixels: np.ndarray, channels: int, span: Range | None = None) -> np.ndarray:
    """Bring decoded pixels to u8: (h, w) for one channel, (h, w, C) for more.

    Parameters
    ----------
    pixels
        (h, w) or (h, w, C) of any type.
    channels
        1 makes grey of colours by the weights of ITU-R BT.601 (.299, .587, .114); 3 makes colours
        of grey by repetition.
    span
        The values that become 0 and 255 (of all bands, or one each); those outside are cut. By
        default the range of the type, for 16 bits round(v / 257).

    Raises
    ------
    Undecodable
        On floats without a span, on what is no number, and on bands that are no colours.
    """
    planes = pixels.shape[2] if pixels.ndim == 3 else 1
    if planes not in (1, 3, channels):
        raise Undecodable(f"has {planes} bands; name those that are used (data.bands)")
    if channels not in (1, 3) and planes != channels:
        raise Undecodable(f"has {planes} band{'s' * (planes > 1)} where {channels} are used")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise Undecodable("holds values that are no numbers (NaN or infinite)")
    if pixels.dtype not in (np.uint8, np.uint16):  # what OpenCV makes grey
        pixels = pixels.astype(np.float32) if span else pixels
    if channels == 1 and pixels.ndim == 3:
        equal = grey_planes_equal(pixels)
        pixels = pixels[..., 0] if equal else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if pixels.dtype != np.uint8:
        pixels = _scaled(pixels, span)
    if channels == 3 and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels)


def _scaled(pixels: np.ndarray, span: Range | None) -> np.ndarray:
    if span is None:
        if pixels.dtype != np.uint16:
            raise Undecodable(
                f"holds {pixels.dtype} pixels; save it with 8 or 16 bits a channel, or say which "
                "values are black and white (data.range)"
            )
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    low, high = (np.asarray(end, np.float32) for end in span)
    scaled = (pixels.astype(np.float32) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def choose_bands(pixels: np.ndarray, bands: Sequence[int] | None) -> np.ndarray:
    """Take some bands, counted from 1; all of them where None are named."""
    if bands is None:
        return pixels
    planes = pixels.shape[2] if pixels.ndim == 3 else 1
    if max(bands) > planes:
        raise Undecodable(f"has {planes} band{'s' * (planes > 1)}; data.bands names {max(bands)}")
    chosen = pixels.reshape(*pixels.shape[:2], planes)[..., [band - 1 for band in bands]]
    return np.ascontiguousarray(chosen[..., 0] if len(bands) == 1 else chosen)


def grey_planes_equal(pixels: np.ndarray) -> bool:
    """Tell whether a decoded file is grey: saved with one channel, or with three equal ones."""
    if pixels.ndim == 2 or pixels.shape[2] != 3:
        return pixels.ndim == 2
    split = pixels.dtype in (np.uint8, np.uint16)  # planes side by side compare three times as fast
    first, *others = cv2.split(pixels) if split else np.moveaxis(pixels, 2, 0)
    return all(np.array_equal(first, other) for other in others)


def decode_values(path: Path) -> np.ndarray:
    """Decode a mask file to its values (h, w), as stored.

    One channel gives its values, three equal channels one of them, a palette its indices (as in
    PASCAL VOC), one bit 0 and 255. Raises `Undecodable` on coloured pixels.
    """
    found = pixel_files.read(path)
    if found.kind == "DICOM":
        raise Undecodable("is DICOM, whose values are scaled; save masks as PNG or TIFF")
    if not grey_planes_equal(found.values):
        raise Undecodable("is a coloured mask; save it with one channel, or a palette, of values")
    values = found.values
    return values if values.ndim == 2 else np.ascontiguousarray(values[..., 0])


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
    """Give id → file for one folder; other files, bad names and duplicates are findings.

    Accents in ids are composed, however the file system writes them.
    """
    return _by(lambda path: _stem(path, suffixes), files, root, suffixes)


def by_path(
    files: Iterable[Path], root: Path, folder: Path, suffixes: tuple[str, ...] = SUFFIXES
) -> tuple[dict[str, Path], list[Finding]]:
    """Do as `by_stem` for files of nested folders: ids are paths below the folder."""
    return _by(
        lambda path: path.relative_to(folder).with_name(_stem(path, suffixes)).as_posix(),
        files,
        root,
        suffixes,
    )


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
        name = composed(identity(path))
        if path.suffix.lower() not in suffixes and not _is_unnamed_dicom(path, suffixes):
            findings.append(Finding(relative(path, root), _strange(path, suffixes), path.name))
        elif not _utf8(name):
            reason = "has a name that is not UTF-8; rename it"
            findings.append(Finding(ascii(relative(path, root)), reason, name))
        elif name in file_of:
            other = file_of[name].name
            same = composed(other) == composed(path.name)
            shown = f"{other!a} (accents composed otherwise)" if same else other
            reason = f"has the same id as {shown}; rename one"
            findings.append(Finding(relative(path, root), reason, name))
        else:
            file_of[name] = path
    return file_of, findings


def _stem(path: Path, suffixes: tuple[str, ...]) -> str:
    """Give a name without its suffix; what ends in a part of a DICOM file's number has none."""
    return path.stem if path.suffix.lower() in suffixes else path.name


def _is_unnamed_dicom(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a file without a known suffix is DICOM, where that may be."""
    return dicom.SUFFIX in suffixes and dicom.has_mark(path)


def _strange(path: Path, suffixes: tuple[str, ...]) -> str:
    """Say of a file that is none of the images' kinds what can be done with it."""
    reason = f"is an extra file, none of {', '.join(suffixes)}"
    suffix = path.suffix.lower()
    if suffix in (".json", ".xml"):
        return f"{reason}: annotations, of which masks have to be made; convert them to PNG"
    if suffix in _IMAGES:
        return f"{reason}: convert it to PNG or TIFF"
    return f"{reason}: convert it if it is an image; else keep it outside this folder"


def _utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
