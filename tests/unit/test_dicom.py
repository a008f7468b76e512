"""DICOM files are decoded as pydicom's own functions say, measured without pixels, or refused."""

import copy
import shutil
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import save_dicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder
from pydicom.uid import UID, ImplicitVRLittleEndian, JPEGLosslessSV1
from raw_folders import block, ingest_both, save, save_table

from foldbelt import store
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.formats import dicom, image_files
from foldbelt.formats.findings import Undecodable

RADIOGRAPHS = ["RG1_UNCI", "RG1_UNCR", "RG1_J2KR", "RG1_J2KI", "RG3_UNCR", "RG3_J2KR", "vlut_04"]


def sample(name: str) -> Path:
    """Find a file of pydicom's own or of pydicom-data."""
    path = get_testdata_file(f"{name}.dcm", download=False)
    if path is None:
        pytest.skip(f"{name}.dcm is in the package pydicom-data, which is not installed")
    return Path(path)


def by_pydicom(path: Path) -> np.ndarray:
    """Give the pixels (h, w) u8 by pydicom's functions, one after the other."""
    dataset = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    values = values.astype(np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = values.max() - values
    values -= values.min()
    return np.rint(values * (255 / values.max())).astype(np.uint8)


@pytest.mark.parametrize(
    "name", [*RADIOGRAPHS, "CT_small", "MR_small", "MR_small_jpeg_ls_lossless"]
)
def test_pixels_are_those_of_pydicom(name: str) -> None:
    path = sample(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels, wanted = dicom.decode(path), by_pydicom(path)
    assert dicom.header(path).size == pixels.shape
    assert np.array_equal(pixels, wanted)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_radiograph_is_bright_where_it_is_bright_on_a_screen() -> None:
    """RG1 is MONOCHROME1: what is stored low is bright, after the window."""
    stored = pydicom.dcmread(sample("RG1_UNCR")).pixel_array.astype(np.float64)
    assert np.corrcoef(stored.ravel(), dicom.decode(sample("RG1_UNCR")).ravel())[0, 1] < -0.5


def test_every_bundled_file_is_read_or_refused_with_a_reason() -> None:
    """None raises anything but `Undecodable`, and compressed ones are named with a cure."""
    folder = sample("CT_small").parent
    read, refused = set(), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(folder.glob("*.dcm")):
            try:
                assert dicom.decode(path).dtype == np.uint8
                read.add(str(pydicom.dcmread(path, force=True).file_meta.TransferSyntaxUID))
            except Undecodable as error:
                refused[path.stem] = str(error)
    jpeg, jpeg_ls, jpeg_2000 = ("4.50",), ("4.80", "4.81"), ("4.90", "4.91")
    wanted = {"1", "2", "5", "1.99", *jpeg, *jpeg_ls, *jpeg_2000}  # 5 is RLE, 1.99 deflated
    assert {f"1.2.840.10008.1.2.{end}" for end in wanted} <= read
    compressed = [text for text in refused.values() if text.startswith("is compressed by")]
    assert compressed
    assert all("convert it" in text or "holds" in text for text in compressed)
    assert "JPEG Extended" in refused["JPGExtended"]


def test_a_syntax_without_decoder_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample("JPGLosslessP14SV1_1s_1f_8b")
    decoder = get_decoder(JPEGLosslessSV1)
    if "gdcm" in decoder.available_plugins:
        assert np.array_equal(dicom.decode(path), by_pydicom(path))
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"gdcm": ("gdcm>=3.0.10",)})
    with pytest.raises(Undecodable, match=r"JPEG Lossless.*pip install 'foldbelt\[dicom\]'"):
        dicom.decode(path)


def test_video_and_multi_frame_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Undecodable, match=r"holds 10 frames"):
        dicom.header(sample("emri_small"))
    path = save_dicom(tmp_path / "a.dcm", np.zeros((4, 4), np.uint8), 8)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")  # MPEG-2
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 16])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(Undecodable, match=r"MPEG2.*does not decode; convert"):
        dicom.decode(path)


@pytest.mark.parametrize("bits", [1, 2, 7, 8, 9, 10, 12, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("colour", ["MONOCHROME1", "MONOCHROME2"])
def test_depths_signs_and_both_kinds_of_grey(
    tmp_path: Path, bits: int, signed: bool, colour: str
) -> None:
    if signed and bits == 1:
        return  # there is no sign in one bit
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    values = np.random.default_rng(bits).integers(low, high, (9, 12)).astype(kind)
    values.flat[:2] = low, high - 1
    path = save_dicom(tmp_path / "a.dcm", values, bits, PhotometricInterpretation=colour)
    pixels = dicom.decode(path).astype(float)
    share = (values.astype(float) - low) / (high - 1 - low)
    wanted = 255 * (1 - share if colour == "MONOCHROME1" else share)
    assert np.abs(pixels - wanted).max() <= 0.5 + 1e-9


def test_the_window_comes_before_inversion_and_inversion_before_scaling(tmp_path: Path) -> None:
    """Values beyond the window are cut; were it applied to inverted values, others would be."""
    values = np.arange(0, 4096, 16, dtype=np.uint16).reshape(8, 32)
    window = {"WindowCenter": "1024", "WindowWidth": "1024"}
    path = save_dicom(
        tmp_path / "a.dcm", values, 12, PhotometricInterpretation="MONOCHROME1", **window
    )
    pixels = dicom.decode(path)
    assert (pixels[values <= 500] == 255).all()
    assert (pixels[values >= 1540] == 0).all()
    assert 100 < pixels[values == 1024] < 155
    plain = save_dicom(tmp_path / "b.dcm", values, 12, **window)
    assert np.array_equal(dicom.decode(plain), 255 - pixels)


def test_the_window_is_of_rescaled_values(tmp_path: Path) -> None:
    """A window of 0 to 1000 units is one of 512 to 1012 stored values."""
    values = np.arange(2048, dtype=np.uint16).reshape(32, 64)
    scale = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    window = {"WindowCenter": "500", "WindowWidth": "1000"}
    path = save_dicom(tmp_path / "a.dcm", values, 12, **scale, **window)
    pixels = dicom.decode(path)
    assert np.array_equal(pixels, by_pydicom(path))
    assert (pixels[values <= 511] == 0).all()
    assert (pixels[values >= 1013] == 255).all()
    assert 125 < pixels[values == 762] < 130


def test_only_values_that_the_image_has_are_scaled_by(tmp_path: Path) -> None:
    """The table's highest value is of a level that no pixel has."""
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 8], [10, 255, 50, 100]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    values = np.array([[0, 2], [3, 0]], np.uint8)
    path = save_dicom(tmp_path / "a.dcm", values, 8, VOILUTSequence=[table])
    assert dicom.decode(path).tolist() == [[0, 113], [255, 0]]
    assert np.array_equal(dicom.decode(path), by_pydicom(path))


@pytest.mark.parametrize("colour", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("value", [0, 77])
def test_images_of_one_value_are_black(tmp_path: Path, colour: str, value: int) -> None:
    values = np.full((5, 6), value, np.uint16)
    path = save_dicom(tmp_path / "a.dcm", values, 12, PhotometricInterpretation=colour)
    with np.errstate(all="raise"):
        assert not dicom.decode(path).any()


def test_colours_stay_and_become_grey_where_grey_is_asked_for() -> None:
    path = sample("SC_rgb_rle")
    assert np.array_equal(dicom.decode(path), pydicom.dcmread(path).pixel_array)
    pixels = image_files.decode(path)
    assert image_files.to_u8(pixels, 3).shape == (100, 100, 3)
    assert image_files.to_u8(pixels, 1).shape == (100, 100)
    wide = dicom.decode(sample("SC_rgb_rle_16bit"))
    assert np.array_equal(wide, pixels)
    ybr = dicom.decode(sample("SC_ybr_full_422_uncompressed"))
    assert np.abs(ybr.astype(int) - pixels).max() <= 90
    assert dicom.decode(sample("examples_palette")).shape[2] == 3


def test_content_decides_what_is_dicom(tmp_path: Path) -> None:
    path = save_dicom(tmp_path / "1.2.840.5", np.arange(6, dtype=np.uint8).reshape(2, 3), 8)
    assert dicom.is_dicom(path)
    assert image_files.header(path) == (2, 3)
    save(tmp_path / "a.png", np.zeros((2, 3), np.uint8))
    assert not dicom.is_dicom(tmp_path / "a.png")
    found, findings = image_files.by_stem(sorted(tmp_path.iterdir()), tmp_path)
    assert set(found) == {"1.2.840.5", "a"}
    assert not findings


def test_a_file_without_preamble_is_read_by_its_suffix(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint16).reshape(2, 3)
    whole = save_dicom(tmp_path / "a.dcm", values, 12, ImplicitVRLittleEndian)
    dataset = pydicom.dcmread(whole)
    bare = copy.deepcopy(dataset)
    del bare.file_meta
    bare.preamble = None
    bare.save_as(tmp_path / "b.dcm", implicit_vr=True, little_endian=True)
    assert not dicom.has_mark(tmp_path / "b.dcm")
    assert np.array_equal(dicom.decode(tmp_path / "b.dcm"), dicom.decode(whole))


def test_broken_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "text.dcm").write_bytes(b"id,rle\n" * 50)
    values = np.arange(600, dtype=np.uint16).reshape(20, 30)
    path = save_dicom(tmp_path / "cut.dcm", values)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Undecodable, match="is empty"):
        dicom.header(tmp_path / "empty.dcm")
    with pytest.raises(Undecodable, match=r"not a DICOM file|cannot be read"):
        dicom.header(tmp_path / "text.dcm")
    with pytest.raises(Undecodable, match="cannot be decoded"):
        dicom.decode(path)
    with pytest.raises(Undecodable, match="without an image"):
        dicom.header(sample("rtplan"))
    narrow = save_dicom(tmp_path / "w.dcm", values, WindowCenter="5", WindowWidth="0")
    with pytest.raises(Undecodable, match=r"window.*cannot be applied"):
        dicom.decode(narrow)


def test_headers_say_whose_images_they_are(tmp_path: Path) -> None:
    values = np.zeros((2, 3), np.uint8)
    path = save_dicom(tmp_path / "a.dcm", values, 8, PatientID=" p1 ", StudyInstanceUID="1.9")
    bare = save_dicom(tmp_path / "b.dcm", values, 8, PatientID="")
    assert dicom.header(path) == ((2, 3), "p1", "1.9", "1.2.3")
    assert dicom.header(path).columns() == {"patient": "p1", "study": "1.9"}
    assert dicom.header(bare).columns() == {}


def test_a_folder_of_dicom_is_ingested_like_any_other(tmp_path: Path) -> None:
    root, size = tmp_path / "raw", (20, 30)
    rng = np.random.default_rng(0)
    (root / "masks").mkdir(parents=True)
    for name, whose in [("a.dcm", "p0"), ("1.2.7", "p0"), ("c.dcm", "")]:
        values = rng.integers(0, 4096, size).astype(np.uint16)
        save_dicom(root / "images" / name, values, 12, PatientID=whose)
        save(root / f"masks/{name.removesuffix('.dcm')}.png", block(size) * 255)
    save_dicom(root / "test/t.dcm", rng.integers(0, 4096, size).astype(np.uint16), 12)
    ingest_both("folder", root, complete("data", {}), tmp_path)
    table = store.table(tmp_path / "train.h5")
    assert table["id"].tolist() == ["1.2.7", "a", "c"]
    assert table["patient"].tolist() == ["p0", "p0", ""]
    assert "study" not in table
    assert "patient" not in store.table(tmp_path / "test.h5")
    (image,) = store.read(tmp_path / "train.h5", "image", ["a"])
    assert np.array_equal(image, dicom.decode(root / "images/a.dcm"))
    save_table(root / "meta.csv", {"id": ["a", "1.2.7", "c"], "patient": ["x", "y", "z"]})
    ingest_both("folder", root, complete("data", {}), tmp_path)
    assert store.table(tmp_path / "train.h5")["patient"].tolist() == ["y", "x", "z"]
    shutil.move(root / "test/t.dcm", root / "masks/a.dcm")
    (root / "masks/a.png").unlink()
    with pytest.raises(InputError, match=r"masks/a\.dcm: is DICOM, whose values are scaled"):
        ingest_both("folder", root, complete("data", {}), tmp_path)


def test_a_link_that_leads_nowhere_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.symlink_to(tmp_path / "nowhere.dcm")
    with pytest.raises(Undecodable, match="cannot be opened"):
        dicom.header(path)
    dicom.read_headers([path])
    assert dicom.patient_columns({"a": path}) == {}
