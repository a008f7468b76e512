"""DICOM files: recognised by content, measured by their headers, decoded to u8 as on a screen.

What a monochrome file stores becomes grey values in the order that DICOM lays down: decoding, then
the modality's transformation (rescale or LUT), then the values of interest (window or LUT), then
MONOCHROME1 inverted. The image's own minimum and maximum then become 0 and 255, and an image of one
value becomes 0. Colours stay as they are.

pydicom decodes, with plug-ins for compressed files. Which one decodes a file does not depend on
whether `foldbelt[dicom]` is installed, unless nothing else does.
"""

import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foldbelt.formats.findings import Undecodable

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIX = ".dcm"

_PREAMBLE, _MAGIC = 128, b"DICM"
_TAGS = ["Rows", "Columns", "NumberOfFrames", "PatientID", "StudyInstanceUID", "SOPInstanceUID"]
_PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls", "pillow", "gdcm")  # the first that can decodes
_CURE = "pip install 'foldbelt[dicom]'"
_CONVERT = "convert it to an uncompressed DICOM (`gdcmconv --raw`, `dcmdjpeg`), or to PNG"
_ROWS = 256  # looked up at a time
_THREADS = 8  # reading headers waits for the disk most of the time


class Header(NamedTuple):
    """What is known of a file before its pixels are decoded.

    Parameters
    ----------
    size
        (height, width).
    patient, study, image
        PatientID, StudyInstanceUID and SOPInstanceUID; None where the file does not say.
    """

    size: tuple[int, int]
    patient: str | None
    study: str | None
    image: str | None

    def columns(self) -> dict[str, str]:
        """Give what may become columns of the per-image table: patient and study, if known."""
        given = {"patient": self.patient, "study": self.study}
        return {name: value for name, value in given.items() if value is not None}


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its content; old ones lack the mark, so `.dcm` will do."""
    return path.suffix.lower() == SUFFIX or has_mark(path)


def has_mark(path: Path) -> bool:
    """Tell whether a file begins as DICOM files do: a preamble, then the letters DICM."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return False


def header(path: Path) -> Header:
    """Read a file's header, without its pixels; read before, it is not read again.

    Raises
    ------
    Undecodable
        If it is no DICOM file, holds no image, or several frames, or cannot be opened.
    """
    try:
        state = path.stat()
    except OSError as error:  # a link that leads nowhere
        raise Undecodable(f"cannot be opened ({error.strerror})") from error
    return _header(path, state.st_size, state.st_mtime_ns)


def read_headers(paths: Iterable[Path]) -> None:
    """Read headers ahead, several at a time, for `header`; what is wrong is told by that."""

    def attempt(path: Path) -> None:
        try:
            header(path)
        except Undecodable:
            return

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(attempt, paths))


def patient_columns(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Give id → columns `patient` and `study` of the DICOM files among some images.

    Of files that cannot be used there are none.
    """
    columns = {}
    for name, path in files.items():
        if is_dicom(path):
            try:
                columns[name] = header(path).columns()
            except Undecodable:  # told where the images are measured
                continue
    return columns


@functools.lru_cache(maxsize=2**16)
def _header(path: Path, size: int, changed: int) -> Header:
    if not size:
        raise Undecodable("is empty (0 bytes)")
    dataset = _read(path, stop_before_pixels=True, specific_tags=_TAGS)
    try:
        height, width, frames = (int(dataset.get(tag) or 0) for tag in _TAGS[:3])
        texts = [str(dataset.get(tag) or "").strip() or None for tag in _TAGS[3:]]
    except Exception as error:  # elements are interpreted when they are looked at
        raise Undecodable(f"has a broken DICOM header ({_reason(error)})") from error
    if not height or not width:
        if not has_mark(path):
            raise Undecodable("is not a DICOM file, or its header is broken")
        raise Undecodable("is a DICOM file without an image (it has no Rows and Columns)")
    if frames > 1:
        raise Undecodable(f"holds {frames} frames; split it into one file each")
    return Header((height, width), *texts)


def _read(path: Path, **options: Any) -> "Dataset":
    """Read a data set; `Undecodable` if it cannot be."""
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise Undecodable("is DICOM, which the package pydicom reads; install it") from error

    # Ids that are no numbers, as anonymised ones are, are no reason to say so thousands of times.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        return pydicom.dcmread(path, force=path.suffix.lower() == SUFFIX, **options)
    except Exception as error:  # pydicom raises nearly anything on a broken file
        raise Undecodable(f"cannot be read as DICOM ({_reason(error)})") from error


def decode(path: Path) -> np.ndarray:
    """Decode a file to what a screen shows: (h, w) or, in colour, (h, w, 3), u8.

    Raises
    ------
    Undecodable
        With the name of the transfer syntax and a cure where nothing installed decodes it.
    """
    header(path)
    dataset = _read(path)
    pixels = _pixels(dataset)
    colour = str(dataset.get("PhotometricInterpretation", ""))
    if colour == "PALETTE COLOR":
        return _colours(_apply("color", pixels, dataset), None)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return _colours(pixels, int(dataset.BitsStored))
    if pixels.ndim != 2:
        raise Undecodable(f"holds pixels of shape {pixels.shape}; grey and RGB can be used")
    return _shown(pixels, dataset, inverted=colour == "MONOCHROME1")


def _shown(pixels: np.ndarray, dataset: "Dataset", inverted: bool) -> np.ndarray:
    """Give what a screen shows of grey values (h, w), u8.

    What becomes of a value does not depend on where it is, so that of 16 bits only the values are
    transformed, and not the pixels: several times as fast, and in little memory.
    """
    if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize > 2:
        return to_grey(_transformed(pixels, dataset), inverted)
    low, high = int(pixels.min()), int(pixels.max())
    levels = np.arange(low, high + 1).astype(pixels.dtype)
    there = np.zeros(len(levels), bool)
    blocks = [slice(start, start + _ROWS) for start in range(0, len(pixels), _ROWS)]
    for rows in blocks:
        there[pixels[rows].astype(np.intp) - low] = True
    shown = np.zeros(len(levels), np.uint8)
    shown[there] = to_grey(_transformed(levels, dataset)[there], inverted)
    grey = np.empty(pixels.shape, np.uint8)
    for rows in blocks:
        grey[rows] = shown[pixels[rows].astype(np.intp) - low]
    return grey


def _transformed(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Apply the modality's transformation, then that of the values of interest."""
    return _apply("voi", _apply("modality", values, dataset), dataset)


def to_grey(values: np.ndarray, inverted: bool = False) -> np.ndarray:
    """Scale values by their own minimum and maximum to u8 0 … 255; where all are equal, to 0.

    Parameters
    ----------
    values
        Of any shape, and of any integer or float type.
    inverted
        Whether the lowest values are white (MONOCHROME1).

    Examples
    --------
    >>> to_grey(np.array([[-5, 0, 5]])).tolist(), to_grey(np.array([[7, 7]]), True).tolist()
    ([[0, 128, 255]], [[0, 0]])
    """
    scaled = np.array(values, np.float64)  # a copy, changed in place: the files are large
    low, high = scaled.min(), scaled.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Undecodable("holds pixels that are not finite")
    if low == high:
        return np.zeros(values.shape, np.uint8)
    if inverted:
        np.subtract(high, scaled, out=scaled)
    else:
        scaled -= low
    scaled *= 255 / (high - low)
    return np.rint(scaled, out=scaled).astype(np.uint8)


def _colours(pixels: np.ndarray, bits: int | None) -> np.ndarray:
    """Bring colours (h, w, 3) of so many bits, by default those of their type, to u8."""
    if pixels.dtype.kind != "u":
        raise Undecodable(f"holds colours as {pixels.dtype}; save them with 8 or 16 bits a channel")
    top = 2 ** (bits or 8 * pixels.dtype.itemsize) - 1
    if top == 255:
        return np.ascontiguousarray(pixels, np.uint8)
    return np.rint(pixels * (255 / top)).astype(np.uint8)


def _apply(step: str, pixels: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Apply one of pydicom's transformations: `modality`, `voi` or `color`."""
    from pydicom.pixels import processing

    what = {
        "modality": "rescale slope and intercept, or modality LUT",
        "voi": "window, or LUT of the values of interest",
        "color": "palette",
    }
    try:
        return np.asarray(getattr(processing, f"apply_{step}_lut")(pixels, dataset))
    except Exception as error:  # a window of width 0, a LUT without data …
        reason = f"its {what[step]} cannot be applied ({_reason(error)}); correct the file"
        raise Undecodable(reason) from error


def _pixels(dataset: "Dataset") -> np.ndarray:
    """Decode the stored values: (h, w) or (h, w, samples)."""
    from pydicom.pixels import get_decoder, pixel_array
    from pydicom.uid import UID

    syntax = UID(_syntax(dataset))
    compressed = f"is compressed by {syntax.name} ({syntax})"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise Undecodable(f"{compressed}, which foldbelt does not decode; {_CONVERT}") from error
    plugins: list[str] = [""]
    if syntax.is_encapsulated:
        plugins = [name for name in _PLUGINS if name in decoder.available_plugins]
        if not plugins:
            reason = f"{compressed}, which no installed package decodes; {_remedy(decoder)}"
            raise Undecodable(reason)
    failed: dict[str, Exception] = {}
    for plugin in plugins:
        try:
            return np.asarray(pixel_array(dataset, decoding_plugin=plugin))
        except Exception as error:  # each plug-in has its own
            failed[plugin] = error
    reasons = "; ".join(_reason(error) for error in failed.values())
    if not syntax.is_encapsulated:
        raise Undecodable(f"its pixels cannot be decoded: {reasons}") from failed[plugins[0]]
    raise Undecodable(
        f"{compressed}, and cannot be decoded ({reasons}): it is broken or of an unusual form; "
        f"{_remedy(decoder)}"
    ) from failed[plugins[0]]


def _remedy(decoder: Any) -> str:
    """Say what to do about a file that cannot be decoded: install the extra, if that may help."""
    helps = any(text.startswith("gdcm") for text in decoder.missing_dependencies)
    return f"{_CURE}, or {_CONVERT}" if helps else _CONVERT


def _syntax(dataset: "Dataset") -> str:
    """Name the transfer syntax; files without a header of their own are not compressed."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None)
    if meta is None:
        meta = dataset.file_meta = FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return str(meta.TransferSyntaxUID)


def _reason(error: Exception) -> str:
    """Give the line of an error that says most: where plug-ins failed, the first is a headline."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[min(1, len(lines) - 1)].strip()
