"""The values of masks are looked at: what they mean follows from them, or they are refused."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from foldbelt.formats import pixels
from foldbelt.formats.pixels import Meaning, Undecodable
from foldbelt.formats.pixels.kinds import Pixels

SIDE = 64
PLAIN = Meaning()


def disc(radius: float = 14) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return ((y - 24) ** 2 + (x - 38) ** 2 < radius**2).astype(np.uint8)


def meant(values: np.ndarray, meaning: Meaning = PLAIN, **kind) -> np.ndarray:
    return pixels.read_mask(Pixels(values, **kind), meaning).planes[..., 0]


def look(path: Path, meaning: Meaning = PLAIN) -> pixels.Read:
    return pixels.read_mask(pixels.read(path), meaning)


def refused(values: np.ndarray, meaning: Meaning = PLAIN, **kind) -> str:
    with pytest.raises(Undecodable) as caught:
        pixels.read_mask(Pixels(values, **kind), meaning)
    return str(caught.value)


@pytest.mark.parametrize("value", [1, 7, 255, 300, 65535, 100_000])
def test_one_value_beside_zero_is_the_object(value: int) -> None:
    values = disc().astype(np.uint32 if value > 65535 else np.uint16) * np.array(value, np.uint32)
    values = values.astype(np.uint8) if value < 256 else values
    found = pixels.read_mask(Pixels(values), Meaning())
    assert np.array_equal(found.planes[..., 0], disc())
    assert found.value == value
    assert not found.note


def test_an_empty_mask_is_empty_and_a_full_one_full() -> None:
    assert not meant(np.zeros((8, 8), np.uint8)).any()
    assert meant(np.full((8, 8), 255, np.uint8)).all()


def classes() -> np.ndarray:
    values = disc()
    values[50:60, 5:25] = 2
    return values


@pytest.mark.parametrize(
    "values",
    [
        classes(),
        classes() + 1,  # none is 0
        np.where(classes() == 2, 255, classes()),  # void
        (disc() * 120 + 20).astype(np.uint8),
        np.where(classes() == 2, 85, classes() * 255),
    ],
)
def test_several_values_stop_with_shares_and_cures(values: np.ndarray) -> None:
    told = refused(values.astype(np.uint8))
    for value in np.unique(values):
        assert str(value) in told
    assert "%" in told
    for key in ("data.classes", "data.ignore", "data.cut"):
        assert key in told


def test_a_thin_border_of_void_is_no_object() -> None:
    """Object 1 with a border of 255: by a cut at the middle the border would be the object."""
    values = disc()
    border = (cv2.dilate(values, np.ones((3, 3))) > 0) & (values == 0)
    values[border] = 255
    assert "255" in refused(values)


def test_many_classes_are_no_noise() -> None:
    values = np.repeat(np.arange(34, dtype=np.uint8), 100).reshape(50, 68)
    values[:10, :10] = 255
    assert "data.classes" in refused(values)


@pytest.mark.parametrize("quality", [60, 75, 95])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("highest", [255, 222])
def test_jpeg_artefacts_are_cut_in_the_gap(
    tmp_path: Path, quality: int, again: bool, highest: int
) -> None:
    path = tmp_path / "m.png"  # whatever it is called
    image = Image.fromarray(disc() * np.uint8(highest))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    if again:
        Image.open(buffer).save(path)
    else:
        path.write_bytes(buffer.getvalue())
    found = look(path)
    wrong = (found.planes[..., 0] != disc()).sum()
    assert wrong <= 0.02 * disc().sum()
    assert "cut" in found.note
    assert found.gap is not None
    assert found.gap[0] < highest / 2 < found.gap[1]


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_soft_edges_are_refused_unless_a_cut_is_named(sigma: float) -> None:
    soft = cv2.GaussianBlur(disc() * np.uint8(255), (0, 0), sigma)
    assert "data.cut" in refused(soft)
    found = meant(soft, Meaning(cut=128))
    assert (found & disc()).sum() / (found | disc()).sum() > 0.95


def test_low_values_in_jpeg_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.jpg"
    Image.fromarray(disc()).save(path, quality=95)
    with pytest.raises(Undecodable, match=r"JPEG whose highest value is \d"):
        look(path)


def test_three_values_in_jpeg_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.jpg"
    Image.fromarray(np.where(classes() == 2, 85, (classes() == 1) * 255).astype(np.uint8)).save(
        path
    )
    with pytest.raises(Undecodable, match=r"data\.classes"):
        look(path)


def test_ignored_pixels_are_no_object() -> None:
    values = disc() * np.uint8(255)
    values[50:] = 7
    found = pixels.read_mask(Pixels(values), Meaning(ignore=7))
    assert np.array_equal(found.planes[..., 0], disc())
    assert np.array_equal(found.ignore, values == 7)


# --- what a viewer shows


def test_a_palette_counts_as_shown(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    quantised = Image.fromarray(disc() * np.uint8(255)).quantize(2)
    assert np.array(quantised)[0, 0] != 0 or quantised.getpalette()[:3] != [0, 0, 0]
    quantised.save(path)
    assert np.array_equal(look(path).planes[..., 0], disc())


def test_a_palette_of_colours_has_indices(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    image = Image.fromarray(classes()).convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
    image.save(path)
    found = look(path, Meaning({"a": 1, "b": 2}))
    assert np.array_equal(found.planes[..., 1], classes() == 2)
    with pytest.raises(Undecodable, match="0, 1, 2"):
        look(path)


def test_an_inverted_palette_is_refused_where_values_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    image = Image.fromarray(1 - disc()).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.putdata((1 - disc()).ravel().tolist())
    image.save(path)
    with pytest.raises(Undecodable, match="dark into bright"):
        look(path, Meaning({"lesion": 1}))
    found = look(path, Meaning({"lesion": 255}))
    assert np.array_equal(found.planes[..., 0], disc())
    assert "viewer" in found.note


def test_alpha_that_carries_the_shape_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    Image.fromarray(np.dstack([white, disc() * 255])).save(path)
    found = look(path)
    assert np.array_equal(found.planes[..., 0], disc())
    assert "alpha" in found.note


@pytest.mark.parametrize(
    ("values", "alpha", "told"),
    [
        (np.zeros((SIDE, SIDE), np.uint8), disc() * 255, "black everywhere"),
        (disc() * 255, (1 - disc()) * 255, "transparent pixels"),
        (disc() * 255, np.zeros((SIDE, SIDE), np.uint8), "transparent everywhere"),
    ],
)
def test_alpha_that_contradicts_is_refused(
    values: np.ndarray, alpha: np.ndarray, told: str
) -> None:
    assert told in refused(values, alpha=alpha)


@pytest.mark.parametrize("kind", ["u8", "u16", "bool", "lzw 1 bit", "lzw u16"])
def test_zero_may_be_white(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.tif"
    stored = {"u8": (1 - disc()) * np.uint8(255), "u16": (1 - disc()).astype(np.uint16) * 65535}
    if kind in stored:
        tifffile.imwrite(path, stored[kind], photometric="miniswhite")
    elif kind == "bool":
        tifffile.imwrite(path, disc() == 0, photometric="miniswhite")
    else:
        array = disc() > 0 if "bit" in kind else 65535 - disc().astype(np.uint16) * 65535
        options = {"compression": "group4"} if "bit" in kind else {"compression": "tiff_lzw"}
        Image.fromarray(array).save(
            path, **options, **({} if "bit" in kind else {"tiffinfo": {262: 0}})
        )
        if "bit" not in kind and tifffile.TiffFile(path).pages[0].photometric != 0:
            pytest.skip("this writer does not take the polarity")
    assert np.array_equal(look(path).planes[..., 0], disc())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "lzw.tif"])
def test_masks_are_turned_as_shown(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"m.{suffix}"
    stored = disc() * np.uint8(255)
    stored = stored[:, :50]
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    if suffix == "png":
        image.save(path, exif=exif)
    else:
        more = {"compression": "tiff_lzw"} if "lzw" in suffix else {}
        image.save(path, tiffinfo={274: orientation}, **more)
    turned = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.T,
        6: np.rot90(stored, -1), 7: stored[::-1, ::-1].T, 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    assert pixels.header(path) == turned.shape
    assert np.array_equal(look(path).planes[..., 0], turned > 0)


# --- values in the config


def test_one_bit_says_what_its_value_is(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(disc() > 0).save(path)
    with pytest.raises(Undecodable, match="one bit a pixel, whose 1 is read as 255"):
        look(path, Meaning({"lesion": 1}))


def test_fractions_need_a_cut() -> None:
    values = disc().astype(np.float32) * 0.5
    assert "data.cut" in refused(values)
    assert np.array_equal(meant(values, Meaning(cut=0.5)), disc())
    assert np.array_equal(meant(disc().astype(np.float64)), disc())
    assert "no numbers" in refused(np.full((4, 4), np.nan))
    assert "below 0" in refused(disc().astype(np.int16) * -1)


# --- classes that are colours


def test_classes_may_be_colours(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 7], [224, 224, 192]], np.uint8)
    values = classes()
    values[:3] = 3
    for image in (
        Image.fromarray(table[values]),
        Image.fromarray(table[values]).quantize(4),
        Image.fromarray(np.dstack([table[values], np.full((SIDE, SIDE), 255, np.uint8)])),
    ):
        image.save(path)
        meaning = Meaning(
            colours={"b": [0, 128, 7], "a": [255, 0, 0]}, ignore_colour=[224, 224, 192]
        )
        found = look(path, meaning)
        assert np.array_equal(found.planes, np.stack([values == 2, values == 1], axis=-1))
        assert np.array_equal(found.ignore, values == 3)
        with pytest.raises(Undecodable, match=r"\[224, 224, 192\] \(4\.7 %\).*data\.colours"):
            look(path, Meaning(colours={"b": [0, 128, 7], "a": [255, 0, 0]}))
    Image.fromarray(table[values]).save(path, "JPEG")
    with pytest.raises(Undecodable, match="JPEG, which blurs colours"):
        look(path, meaning)
