"""DICOM files of synthetic radiographs, in the codings that machines write."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
)

from foldbelt.synthetic._canvas import Array, Random

BITS = (10, 12, 14, 15, 16)
WINDOWS = ("none", "window", "table")

_JPEG_2000 = 0.2  # of all files
_TABLE_BITS = 12  # a table of more entries would be as large as the picture
_ROOT = "2.25."  # UIDs below it are whole numbers of one's own


@dataclass(frozen=True)
class Coding:
    """How a file stores its picture."""

    bits: int
    inverted: bool  # MONOCHROME1
    window: str  # one of WINDOWS
    jpeg_2000: bool
    low: float  # share of the range that is left free below
    high: float  # and the highest value that is used


class Names(NamedTuple):
    """The ids of a picture, of hexadecimal digits."""

    patient: str
    study: str
    series: str
    image: str


def codings(random: Random) -> Iterator[Coding]:
    """Deal codings without end: within a few files each has come up."""
    pairs = list(itertools.product(BITS, (False, True)))
    windows: list[str] = []
    for number in itertools.count():
        if number % len(pairs) == 0:
            order = random.permutation(len(pairs)).tolist()
        bits, inverted = pairs[order[number % len(pairs)]]
        known = WINDOWS if bits <= _TABLE_BITS else WINDOWS[:2]
        if not windows:
            windows = random.permutation(WINDOWS).tolist()
        window = windows.pop()
        window = window if window in known else "window"
        packed = number % round(1 / _JPEG_2000) == 1
        low, high = random.uniform(0, 0.1), random.uniform(0.7, 1)
        yield Coding(bits, inverted, window, packed, float(low), float(high))


def stored(light: Array, coding: Coding) -> NDArray[np.uint16]:
    """Give the values that a file has of brightness (height, width) between 0 and 1."""
    most = 2**coding.bits - 1
    values = np.rint(most * (coding.low + (coding.high - coding.low) * light.astype(np.float64)))
    return (most - values if coding.inverted else values).astype(np.uint16)


def uid(name: str) -> str:
    """Give the UID of an id of hexadecimal digits."""
    return f"{_ROOT}{int(name, 16)}"


def to_bytes(light: Array, coding: Coding, names: Names) -> bytes:
    """Give a DICOM file of brightness (height, width) between 0 and 1.

    It has the patient's id as it is, of the others `uid`. It bears no date, so that the same
    arguments give the same bytes.
    """
    values = stored(light, coding)
    data = Dataset()
    data.SOPClassUID = DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID = uid(names.image)
    data.StudyInstanceUID = uid(names.study)
    data.SeriesInstanceUID = uid(names.series)
    data.PatientID = names.patient
    data.Modality = "DX"
    data.BodyPartExamined = "CHEST"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME1" if coding.inverted else "MONOCHROME2"
    data.Rows, data.Columns = values.shape
    data.BitsAllocated = 16
    data.BitsStored = coding.bits
    data.HighBit = coding.bits - 1
    data.PixelRepresentation = 0
    _add_window(data, values, coding)
    data.PixelData = values.astype("<u2").tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if coding.jpeg_2000:
        data.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _add_window(data: Dataset, values: NDArray[np.uint16], coding: Coding) -> None:
    """Say how values are to be shown: by a window that they just fill, or by a table of its own."""
    low, high = (float(value) for value in np.quantile(values, (0.001, 0.999)))
    if coding.window == "window":
        data.WindowCenter = f"{(low + high) / 2:.1f}"
        data.WindowWidth = f"{max(high - low, 2):.1f}"
    elif coding.window == "table":
        count = 2**coding.bits
        place = (np.arange(count) - (low + high) / 2) / max(high - low, 1)
        curve = np.clip(0.5 + 0.5 * np.tanh(2.0 * place) / np.tanh(1.0), 0, 1)
        table = Dataset()
        table.LUTDescriptor = [count, 0, 16]
        table.LUTExplanation = "NORMAL"
        table.add_new("LUTData", "OW", np.rint(65535 * curve).astype("<u2").tobytes())
        data.VOILUTSequence = [table]
