"""A folder as people have it: nothing is dropped in silence, and what is read is what is shown."""

import re
import struct
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from raw_folders import block, ingest_both, make_folder, save, tile
from test_ingest import Run

from foldbelt import competitions, ingest, raw_files, store
from foldbelt.competitions._submitting import Prediction
from foldbelt.competitions.folder import submit
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.formats.pixels.kinds import Undecodable
from foldbelt.formats.pixels.ranges import span_for
from foldbelt.formats.pixels.reading import header
from foldbelt.report import problems

SIZE = (40, 56)
NAMES = {name: SIZE for name in "abcdef"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    make_folder(run.root, NAMES, test=True)
    return run


def arrays(run: Run, **settings: object) -> tuple[np.ndarray, np.ndarray]:
    run("folder", **settings)
    return store.read(run.train, "image"), store.read(run.train, "mask")


def rename(folder: Path, pattern: str) -> None:
    for path in sorted(folder.iterdir()):
        target = folder / pattern.format(path.stem, path.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


# --- nothing is dropped in silence


def test_nested_folders_are_read_with_paths_as_ids(run: Run) -> None:
    before = arrays(run)
    for part in ("images", "masks"):
        for name in "bd":
            (run.root / part / "patient 2/left").mkdir(parents=True, exist_ok=True)
            (run.root / f"{part}/{name}.png").rename(run.root / f"{part}/patient 2/left/{name}.png")
    (run.root / "images/patient 2/again").symlink_to(run.root / "images")  # a circle
    arrays(run)
    ids = store.read(run.train, "id").tolist()
    assert ids == ["a", "c", "e", "f", "patient 2/left/b", "patient 2/left/d"]
    order = [0, 2, 4, 5, 1, 3]
    assert np.array_equal(store.read(run.train, "image"), before[0][order])
    assert np.array_equal(store.read(run.train, "mask"), before[1][order])


def test_links_that_lead_nowhere_are_named_and_noticed(run: Run, tmp_path: Path) -> None:
    def digests() -> dict[str, str]:
        files = competitions.files("folder")(run.root, {})
        return raw_files.digests(files, run.root, tmp_path / "state")

    before = digests()
    for name in ("images/a.png", "masks/b.png", "test/test_c.png"):
        (run.root / name).unlink()
        (run.root / name).symlink_to("../.git/annex/objects/x")
    message = run.refused("folder")
    for name in ("images/a.png", "masks/b.png", "test/test_c.png"):
        assert f"{name}: is a link to ../.git/annex/objects/x, which leads nowhere" in message
    after = digests()
    assert after["train"] != before["train"]
    assert after["test"] != before["test"]


def test_a_change_behind_a_link_to_a_folder_is_noticed(run: Run, tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (run.root / part).rename(tmp_path / part)
        (run.root / part).symlink_to(tmp_path / part)

    def digest() -> str:
        files = competitions.files("folder")(run.root, {})
        return raw_files.digests(files, run.root, tmp_path / "state")["train"]

    before = digest()
    save(tmp_path / "masks/a.png", (1 - block(SIZE)) * 255)
    changed = digest()
    save(tmp_path / "images/z.png", tile(3, SIZE))
    assert len({before, changed, digest()}) == 3


@pytest.mark.parametrize("folder", ["Test", "TEST_IMAGES", "test/images"])
def test_a_test_folder_in_other_letters_or_one_below_is_read(run: Run, folder: str) -> None:
    (run.root / "test").rename(run.root / "here")
    (run.root / folder).parent.mkdir(exist_ok=True)
    (run.root / "here").rename(run.root / folder)
    run("folder")
    assert store.read(run.test, "id").tolist() == [f"test_{name}" for name in NAMES]


def test_a_test_folder_of_another_name_is_named(run: Run) -> None:
    (run.root / "test").rename(run.root / "testing")
    message = run.refused("folder")
    assert "testing: is not read: a folder of test images is named test or test_images" in message


def test_what_is_not_read_is_told(run: Run, capsys: pytest.CaptureFixture) -> None:
    (run.root / "masks_old").mkdir()
    (run.root / "notes\r.txt").write_text("")
    run("folder")
    told = capsys.readouterr().out
    assert "Not read: masks_old/, notes\\r.txt" in told


def test_litter_is_known(run: Run) -> None:
    before = arrays(run)
    for part in ("images", "masks", "test"):
        for name in (".DS_Store", "._a.PNG", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"):
            (run.root / part / name).write_bytes(b"\0\5\x16\7")
        (run.root / part / "__MACOSX").mkdir()
        (run.root / part / "__MACOSX/a.png").write_bytes(b"x")
    after = arrays(run)
    assert all(map(np.array_equal, before, after))


def test_no_cure_takes_data_away_and_names_are_escaped(run: Run) -> None:
    for name in ("a.json", "b.nii", "c\n.txt"):
        (run.root / "masks" / name).write_text("{}")
    message = run.refused("folder")
    assert "move it away" not in message
    assert re.search(r"masks/a\.json: is an extra file.*annotations.*convert", message)
    assert re.search(r"masks/b\.nii: .*convert it to PNG or TIFF", message)
    assert "masks/c\\n.txt" in message


# --- pairs


def test_masks_may_have_a_suffix_and_another_format(
    run: Run, capsys: pytest.CaptureFixture
) -> None:
    before = arrays(run)
    for path in sorted((run.root / "masks").iterdir()):
        Image.open(path).save(path.with_name(f"{path.stem}_mask.gif"))
        path.unlink()
    after = arrays(run)
    assert all(map(np.array_equal, before, after))
    assert "Masks are named *_mask where images are named *: 6 pairs" in capsys.readouterr().out


def test_accents_may_be_composed_or_not(run: Run) -> None:
    for part, form in (("images", "NFC"), ("masks", "NFD")):
        rename(run.root / part, unicodedata.normalize(form, "r\u00f6ntgen {0}{1}"))
    ids = [f"r\u00f6ntgen {name}" for name in NAMES]
    pd.DataFrame({"id": [unicodedata.normalize("NFD", i) + " " for i in ids], "age": 1}).to_csv(
        run.root / "meta.csv", index=False
    )
    run("folder")
    assert store.read(run.train, "id").tolist() == ids


def test_names_that_differ_in_composition_alone_are_told_apart(run: Run) -> None:
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "\u00e9.png")
        save(run.root / "images" / name, tile(1, SIZE))
    message = run.refused("folder")
    assert "accents composed otherwise" in message
    assert "\\xe9" in message or "\\u0301" in message


def test_test_images_may_bear_the_names_of_training_images(
    run: Run, capsys: pytest.CaptureFixture
) -> None:
    rename(run.root / "test", "{0}{1}")
    for path in sorted((run.root / "test").iterdir()):
        path.rename(path.with_name(path.name.removeprefix("test_")))
    sample = pd.DataFrame({"id": list(NAMES)[::-1], "rle": ""})
    sample.to_csv(run.root / "sample_submission.csv", index=False)
    run("folder")
    assert store.read(run.test, "id").tolist() == [f"test/{name}" for name in NAMES]
    assert "6 test images bear the names of training images" in capsys.readouterr().out
    # the submission has the names that the sample has
    settings = complete("data", {})
    predictions = [Prediction(f"test/{name}", block(SIZE)[..., None]) for name in NAMES]
    text = submit.write_submission(iter(predictions), run.root, settings, ["object"])
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == list(NAMES)[::-1]
    given = (iter(predictions), run.root, settings, ["object"])
    assert not submit.check_submission(text, *given)


# --- depth and bands


def test_twelve_bits_keep_their_grey_levels(run: Run, capsys: pytest.CaptureFixture) -> None:
    ramp = np.linspace(200, 1600, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    for name in NAMES:
        (run.root / f"images/{name}.png").unlink()
        save(run.root / f"images/{name}.tif", ramp)
    save(run.root / "test/test_a.png", ramp // 2)
    images, _ = arrays(run)
    assert len(np.unique(images)) > 200
    assert store.attrs(run.train)["grey_range"]["uint16"] == pytest.approx([201, 1598], abs=4)
    assert "Grey range of uint16: 20" in capsys.readouterr().out
    # test images are scaled by the training images' range
    half = store.read(run.test, "image", ["test_a"])[0]
    expected = np.clip((ramp // 2 - 201.4) / (1598 - 201.4) * 255, 0, 255)
    assert np.abs(half - expected).max() <= 1.5
    images, _ = arrays(run, range=[0, 4095])
    assert np.abs(images[0] - ramp / 4095 * 255).max() <= 0.51
    images, _ = arrays(run, range="type")
    assert len(np.unique(images)) == 6
    assert "grey_range" not in store.attrs(run.train)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "uint32"])
def test_all_types_of_samples_are_read(run: Run, dtype: str) -> None:
    ramp = np.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(SIZE)
    scaled = ramp if dtype.startswith("float") else ramp * 3000
    for name in NAMES:
        (run.root / f"images/{name}.png").unlink()
        tifffile.imwrite(run.root / f"images/{name}.tif", scaled.astype(dtype))
    images, _ = arrays(run)
    assert np.abs(images[0] - ramp * 255).max() <= 1.5


def test_eight_bits_stay_as_they_are(run: Run) -> None:
    images, _ = arrays(run)
    assert np.array_equal(images[0], tile(0, SIZE))
    assert "grey_range" not in store.attrs(run.train)


def test_bands_are_read_if_they_are_named(run: Run) -> None:
    stack = tile(5, (*SIZE, 5))
    for k, name in enumerate(NAMES):
        (run.root / f"images/{name}.png").unlink()
        apart = {"planarconfig": "separate"} if k % 2 else {"planarconfig": "contig"}
        given = np.moveaxis(stack, 2, 0) if k % 2 else stack
        tifffile.imwrite(run.root / f"images/{name}.tif", given, photometric="minisblack", **apart)
    for path in (run.root / "test").iterdir():
        path.unlink()
    assert "images/a.tif: has 5 bands; name those" in run.refused("folder")
    images, _ = arrays(run, bands=[5, 1])
    assert np.array_equal(images, [stack[..., [4, 0]]] * 6)
    images, _ = arrays(run, bands=[1, 2, 3, 4, 5], size=[20, 28])
    assert images.shape == (6, 20, 28, 5)
    images, _ = arrays(run, bands=[3])
    assert np.array_equal(images, [stack[..., 2]] * 6)
    run.train.unlink()
    run.test.unlink()
    assert "has 5 bands; data.bands names 6" in run.refused("folder", bands=[6])


# --- what is shown


def test_images_in_other_forms_give_the_same_arrays(run: Run) -> None:
    """Lossless forms are read exactly: palette, 16 bit, alpha, polarity, orientation, planes."""
    grey = [tile(k, SIZE) for k in range(6)]
    expected = arrays(run)
    images, masks = run.root / "images", run.root / "masks"
    for path in (*images.iterdir(), *masks.iterdir()):
        path.unlink()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(grey[0]).convert("P").save(images / "a.png")
    Image.fromarray(np.rot90(grey[1]).copy()).save(images / "b.png", exif=exif)
    Image.fromarray(np.dstack([grey[2]] * 3 + [np.full(SIZE, 255, np.uint8)])).save(
        images / "c.png"
    )
    tifffile.imwrite(images / "d.tif", 255 - grey[3], photometric="miniswhite")
    planes = np.stack([grey[4]] * 3)
    tifffile.imwrite(images / "e.tif", planes, photometric="rgb", planarconfig="separate")
    Image.fromarray(grey[5]).save(images / "f.bmp")
    mask = block(SIZE) * np.uint8(255)
    Image.fromarray(mask).quantize(2).save(masks / "a.png")
    Image.fromarray(np.rot90(mask).copy()).save(masks / "b.png", exif=exif)
    Image.fromarray(np.dstack([np.full_like(mask, 255)] * 3 + [mask])).save(masks / "c.png")
    tifffile.imwrite(masks / "d.tif", mask == 0, photometric="miniswhite")
    Image.fromarray(mask).save(masks / "e.gif")
    Image.fromarray(mask).convert("1").save(masks / "f.bmp")
    found = arrays(run)
    assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_several_pages_are_refused_in_every_format(tmp_path, suffix):
    frames = [Image.fromarray(np.full((20, 30), level, np.uint8)) for level in (0, 99, 200)]
    path = tmp_path / f"some.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(Undecodable, match="holds 3 pages; split it"):
        header(path)
    frames[0].save(path)
    assert header(path) == (20, 30)


# --- damage


def test_a_damaged_jpeg_is_named(run: Run) -> None:
    smooth = cv2.GaussianBlur(tile(9, (128, 128)), (0, 0), 3)
    for k, name in enumerate(NAMES):
        (run.root / f"images/{name}.png").unlink()
        path = run.root / f"images/{name}.jpg"
        Image.fromarray(smooth).save(path, quality=90, optimize=k == 3)
        save(run.root / f"masks/{name}.png", block((128, 128)) * 255)
        if k % 2:
            data, half = path.read_bytes(), path.stat().st_size // 2
            path.write_bytes(data[:half] + bytes(60) + data[half + 60 :])
    for path in (run.root / "test").iterdir():
        path.unlink()
    message = run.refused("folder")
    assert re.findall(r"images/(\w)\.jpg: is damaged", message) == ["b", "d", "f"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
        (b"/annex/objects/SHA256E-s5--0.png\n", "git-annex"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'{"shapes": []}', "JSON"),
        (bytes(2000), "zero bytes only"),
        (b"", r"empty \(0 bytes\)"),
        (b"whatever", "cannot be read as an image"),
    ],
)
def test_the_true_cause_is_named(run: Run, content: bytes, told: str) -> None:
    (run.root / "images/c.png").write_bytes(content)
    assert re.search(rf"images/c\.png: .*{told}", run.refused("folder"))


def test_images_past_pillows_limit_are_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Image.MAX_IMAGE_PIXELS is None
    monkeypatch.setattr("foldbelt.formats.pixels.reading.MOST", 40 * 56 - 1)
    assert "has 40×56 pixels, more than the 2239" in run.refused("folder")


# --- the list


def test_a_long_list_is_cut_in_the_log_and_whole_in_the_table(run: Run) -> None:
    for k in range(60):
        save(run.root / f"images/x{k:02d}.png", tile(1, SIZE))
    with pytest.raises(InputError) as caught:
        ingest.run(
            "folder",
            run.root,
            complete("data", {}),
            run.train,
            run.train.with_name("problems_train.csv"),
        )
    lines = str(caught.value).splitlines()
    assert len(lines) < 45
    assert "and 20 more" in lines[-2]
    assert "problems.csv" in lines[-2]
    assert len(pd.read_csv(run.train.with_name("problems.csv"))) == 60


def test_causes_come_before_consequences(run: Run) -> None:
    """All masks are wrong: nothing is said of what would follow from that."""
    for name in NAMES:
        Image.fromarray(block(SIZE) > 0).save(run.root / f"masks/{name}.png")
    message = run.refused("folder", classes={"lesion": 1})
    assert "holds the values 255" in message
    assert "empty" not in message
    assert "never seen" not in message


def test_extra_files_come_before_images_that_lack_their_masks(run: Run) -> None:
    for path in (run.root / "masks").iterdir():
        path.with_suffix(".json").write_text("{}")
        path.unlink()
    lines = run.refused("folder").splitlines()
    extra = [k for k, line in enumerate(lines) if ".json" in line]
    lacking = [k for k, line in enumerate(lines) if "has no mask" in line]
    assert max(extra) < min(lacking)


def test_one_object_has_one_value(run: Run) -> None:
    for k, name in enumerate(NAMES):
        save(run.root / f"masks/{name}.png", block(SIZE) * (1 + k % 2))
    message = run.refused("folder")
    assert re.search(r"masks: every mask holds one value.*1 in 3 .*2 in 3 .*data\.classes", message)
    assert run("folder", cut=1)


def test_what_was_read_is_told_in_numbers(run: Run, capsys: pytest.CaptureFixture) -> None:
    ingest_both("folder", run.root, complete("data", {}), run.train.parent)
    told = capsys.readouterr().out
    assert "Read, train: 6 images, 40×56 (6); stored as PNG, uint8 (6)" in told
    assert "the object is the value 255 (6); mean coverage 0.1250" in told


def test_one_low_value_everywhere_is_no_object_among_others(run: Run) -> None:
    """A black mask that went through JPEG may come back as 1 everywhere."""
    save(run.root / "masks/c.png", np.ones(SIZE, np.uint8))
    assert "masks, c: holds 1 everywhere, where other masks hold 255" in run.refused("folder")
    run("folder", on_problem="drop")
    assert "c" not in store.read(run.train, "id")
    for name in NAMES:
        save(
            run.root / f"masks/{name}.png", block(SIZE) if name != "c" else np.ones(SIZE, np.uint8)
        )
    run("folder")
    assert store.read(run.train, "mask", ["c"]).all()


def test_colours_name_classes_from_mask_to_array(run: Run) -> None:
    before = arrays(run, classes={"lesion": 255})
    for name in NAMES:
        mask = block(SIZE)
        save(run.root / f"masks/{name}.png", mask[..., None] * np.array([200, 10, 30], np.uint8))
    run.train.unlink()
    run.test.unlink()
    assert "data.colours" in run.refused("folder")
    after = arrays(run, colours={"lesion": [200, 10, 30]})
    assert all(map(np.array_equal, before, after))
    assert store.attrs(run.train)["class_names"] == ["lesion"]


@pytest.mark.parametrize(
    "spec",
    [
        {"colours": {"a": [1, 2, 3]}, "classes": {"a": 1}},
        {"colours": {"a": [1, 2, 3], "b": [1, 2, 3]}},
        {"colours": {"a": [1, 2, 3]}, "ignore_colour": [1, 2, 3]},
        {"ignore_colour": [1, 2, 3]},
        {"cut": 5, "classes": {"a": 1}},
    ],
)
def test_settings_that_contradict_are_refused(run: Run, spec: dict) -> None:
    assert re.search(r"data\.(colours|ignore_colour|cut)", run.refused("folder", **spec))


def test_inks_are_shown_as_colours(run: Run) -> None:
    flat = Image.new("CMYK", SIZE[::-1], (0, 255, 255, 0))  # red
    (run.root / "images/a.png").unlink()
    flat.save(run.root / "images/a.tif", compression="tiff_lzw")
    images, _ = arrays(run, image_mode="rgb")
    assert np.abs(images[0].astype(int) - [255, 0, 0]).max() <= 5


def test_a_header_that_gives_a_side_twice_is_told_as_broken(run: Run) -> None:
    (run.root / "images/a.png").unlink()
    path = run.root / "images/a.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8))
    data = bytearray(path.read_bytes())
    entry = data.index(struct.pack("<HH", 256, 4))  # ImageWidth, a number of 32 bits
    data[entry + 2 : entry + 12] = struct.pack("<HIHH", 3, 2, 8, 8)  # two of 16 bits
    path.write_bytes(data)
    assert "its TIFF header is broken" in run.refused("folder")


def test_the_report_tells_how_files_were_understood(run: Run, tmp_path: Path) -> None:
    run("folder")
    assert not len(run.table())
    rename(run.root / "masks", "{0}_mask{1}")
    run("folder")
    assert run.table()[["action", "file"]].to_numpy().tolist() == [["told", "data"]]
    page = tmp_path / "page.html"
    problems.write(run.problems, page)
    text = page.read_text()
    assert "No problems found" in text
    assert "Masks are named *_mask where images are named *: 6 pairs" in text


def test_what_was_read_stands_in_the_report(run: Run, tmp_path: Path) -> None:
    """Sizes, values, coverage, missing keys and what was ignored, each found again as a number."""
    save(run.root / "masks/a.png", np.zeros(SIZE, np.uint8))
    (run.root / "notes").mkdir()
    keys = ["p1", "p1", "", "p2", "NA", "p2"]
    pd.DataFrame({"id": [*"abcdef"], "patient": keys}).to_csv(run.root / "meta.csv", index=False)
    out, numbers = tmp_path / "out/problems_train.csv", tmp_path / "out/read.csv"
    out.parent.mkdir()
    section = complete("data", {})
    ingest.run("folder", run.root, section, run.train, out, numbers=numbers)
    read = dict(pd.read_csv(numbers).itertuples(index=False))
    covered = 5 / 6 * block(SIZE).mean()
    assert read == {
        "train images": "6",
        "size": "40×56 (6)",
        "stored as": "PNG, uint8 (6)",
        "masks stored as": "PNG, uint8 (6)",
        "the object is": "the value 255 (5), absent (1)",
        "mean coverage of all classes": f"{covered:.4f}",
        "class object": f"in 5 images, mean coverage {covered:.4f}",
        "column patient": "2 values, 2 images without one",
        "understood": "Not read: notes/",
    }
    page = tmp_path / "page.html"
    problems.write(out, page, numbers=[numbers])
    assert all(text in page.read_text() for text in ("What was read", "2 images without one"))
    save(run.root / "images/a.png", np.zeros((5, 5), np.uint8))
    run.train.unlink()
    with pytest.raises(InputError):
        ingest.run("folder", run.root, section, run.train, out, numbers=numbers)
    assert pd.read_csv(numbers).empty


def test_a_comma_too_many_in_a_table_is_told(run: Run, capsys: pytest.CaptureFixture) -> None:
    lines = ["id,place", *(f"{name},{name}{name}," for name in "abcdef")]
    (run.root / "meta.csv").write_text("\n".join(lines))
    run("folder")
    assert store.table(run.train)["place"].tolist() == [name * 2 for name in "abcdef"]
    assert "meta.csv: its rows have 1 empty field more than its header" in capsys.readouterr().out


def test_sixteen_bits_that_no_training_image_has_are_read_only_where_they_are_used():
    bright, dim = np.full((2, 3), 2**15, np.uint16), np.full((2, 3), 2**12 - 1, np.uint16)
    assert span_for(bright, "auto", {}) is None  # by the type
    with pytest.raises(Undecodable, match=r"uint16 pixels of 4095 at most, as no training image"):
        span_for(dim, "auto", {})
    assert span_for(dim, "auto", {"uint16": [0, 4095]}) == (0, 4095)
    assert span_for(dim, "type", {}) is None
    assert span_for(dim, [0, 4095], {}) == (0, 4095)
