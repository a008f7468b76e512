"""What is stored is what the files hold, and every spoilt input is named before a file appears."""

import re
import shutil
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import (
    TEST,
    TRAIN,
    add_row,
    block,
    cut,
    drop_row,
    edit_table,
    ingest_both,
    make_folder,
    make_salt,
    salt_masks,
    save,
    save_table,
    tile,
)

from foldbelt import ingest, store
from foldbelt.boxes import Boxes
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.formats import image_files
from foldbelt.ingest import part, streaming


class Usage(NamedTuple):
    """What shutil.disk_usage gives."""

    total: int
    used: int
    free: int


class Run:
    """Ingest into tmp_path/out, and the three results."""

    def __init__(self, tmp_path):
        self.root = tmp_path / "raw"
        out = tmp_path / "out"
        self.train, self.test = out / "train.h5", out / "test.h5"
        self.problems = out / "problems.csv"

    def __call__(self, competition, **spec):
        ingest_both(competition, self.root, complete("data", spec), self.problems.parent)
        return self

    def refused(self, competition, **spec):
        """Ingest, which must fail and leave no data; gives the message.

        Training data are left where only the pixels of a test image are to blame.
        """
        with pytest.raises(InputError) as caught:
            self(competition, **spec)
        assert not self.train.exists() or re.search(r": [12] problems?\n  test", str(caught.value))
        assert not self.test.exists()
        return str(caught.value)

    def table(self):
        return pd.read_csv(self.problems, na_filter=False)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


@pytest.fixture
def salt(run):
    make_salt(run.root)
    return run


# --- salt: sound data


def test_salt_stores_tiles_masks_and_columns(salt):
    salt("salt")
    assert store.read(salt.train, "id").tolist() == TRAIN
    assert store.read(salt.test, "id").tolist() == TEST
    images = store.read(salt.train, "image")
    assert images.dtype == np.uint8
    assert np.array_equal(images[:3], np.stack([tile(seed) for seed in range(3)]))
    masks = np.stack([salt_masks()[name] for name in TRAIN])
    assert np.array_equal(store.read(salt.train, "mask"), masks)
    assert store.read(salt.train, "labels").tolist() == [[1], [1], [0], [0]]
    table = store.table(salt.train).set_index("id")
    assert table["empty"].tolist() == [0, 0, 1, 1]
    assert table["vertical"].tolist() == [0, 1, 0, 0]
    assert table["black"].tolist() == [0, 0, 0, 1]
    assert table["depth"].tolist() == [70, 80, 90, 100]
    assert table["coverage"].tolist() == pytest.approx(masks.mean(axis=(1, 2)))
    assert store.table(salt.test)["depth"].tolist() == [50, 60]
    assert not any(store.has(salt.test, name) for name in ("mask", "ignore", "labels"))
    assert not store.has(salt.train, "original")
    assert salt.problems.read_text() == "file,reason,action\n"
    assert store.attrs(salt.train)["class_names"] == ["salt"]


def test_salt_accepts_test_tiles_straight_in_test(salt):
    for path in (salt.root / "test/images").iterdir():
        path.rename(salt.root / "test" / path.name)
    (salt.root / "test/images").rmdir()
    salt("salt")
    assert store.read(salt.test, "id").tolist() == TEST


def test_salt_without_test_tiles_needs_an_empty_folder_and_no_sample(salt):
    shutil.rmtree(salt.root / "test")
    (salt.root / "sample_submission.csv").unlink()  # depths.csv lists the test tiles still
    message = salt.refused("salt")
    assert re.search(r": 1 problem\n  test: is missing;.*make an empty one if nothing", message)
    (salt.root / "test").mkdir()
    salt("salt")
    assert store.read(salt.train, "id").tolist() == TRAIN
    assert store.read(salt.test, "id").tolist() == []
    assert store.table(salt.train)["depth"].tolist() == [70, 80, 90, 100]


def test_same_bytes_whatever_the_order_of_rows_and_the_place(salt, tmp_path):
    salt("salt")
    first = salt.train.read_bytes(), salt.test.read_bytes()
    moved = Run(tmp_path / "elsewhere")
    make_salt(moved.root)
    moved("salt")
    assert (moved.train.read_bytes(), moved.test.read_bytes()) == first
    rows = (moved.root / "depths.csv").read_text().splitlines()
    (moved.root / "depths.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
    moved("salt")
    tables = [store.table(run.train) for run in (salt, moved)]
    assert tables[0].equals(tables[1])


def test_blocks_do_not_change_what_is_stored(salt, monkeypatch):
    names = ("id", "image", "mask", "labels")
    salt("salt")
    whole = [store.read(salt.train, name) for name in names]
    table = store.table(salt.train)
    monkeypatch.setattr(streaming, "BLOCK", 3)
    salt("salt")
    parts = [store.read(salt.train, name) for name in names]
    assert all(np.array_equal(*pair) for pair in zip(whole, parts, strict=True))
    assert store.table(salt.train).equals(table)


def test_training_data_do_not_depend_on_test_images_and_sample(salt):
    salt("salt", on_problem="drop")
    before = salt.train.read_bytes()
    cut(salt.root / "test/images/y9.png")
    save(salt.root / "test/images/x8.png", tile(1, (51, 52)))
    save(salt.root / "test/images/a1.png", tile(2))
    save_table(salt.root / "sample_submission.csv", {"id": TEST, "rle_mask": ["1 3", ""]})
    salt("salt", on_problem="drop")
    assert salt.train.read_bytes() == before
    assert len(salt.table()) > 2
    assert store.read(salt.test, "id").tolist() == []


def test_the_digest_of_the_raw_files_is_kept(salt, tmp_path):
    ingest.run("salt", salt.root, complete("data", {}), salt.train, salt.problems, digest="abc")
    assert store.attrs(salt.train)["inputs"] == {"raw": "abc"}


def test_the_sample_is_kept_with_the_results(salt, tmp_path):
    ingest.keep_sample("salt", salt.root, tmp_path / "kept")
    name = "sample_submission.csv"
    assert (tmp_path / "kept" / name).read_bytes() == (salt.root / name).read_bytes()
    (salt.root / name).unlink()
    ingest.keep_sample("salt", salt.root, tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_hidden_files_and_viewers_litter_are_ignored(salt):
    for name in (".DS_Store", "._a1.png", "Thumbs.db"):
        (salt.root / "train/images" / name).write_bytes(b"litter")
    salt("salt")
    assert store.length(salt.train) == len(TRAIN)


# --- salt: spoilt data, each with the file and the reason that the message must give

SPOILT = {
    "image missing": (
        lambda r: (r / "train/images/a1.png").unlink(),
        [r"train/masks/a1\.png: has no image", r"train\.csv: id a1 is unknown"],
    ),
    "mask missing": (
        lambda r: (r / "train/masks/a1.png").unlink(),
        [r"train/images/a1\.png: has no mask"],
    ),
    "image extra": (
        lambda r: save(r / "train/images/z0.png", tile(9)),
        [r"train/images/z0\.png: has no mask", r"train\.csv: has no row for id z0"],
    ),
    "mask extra": (
        lambda r: save(r / "train/masks/z0.png", tile(9)),
        [r"train/masks/z0\.png: has no image"],
    ),
    "test image missing": (
        lambda r: (r / "test/images/x8.png").unlink(),
        [r"sample_submission\.csv: id x8 is unknown"],
    ),
    "test image extra": (
        lambda r: save(r / "test/images/z0.png", tile(9)),
        [r"sample_submission\.csv: has no row for id z0", r"depths\.csv: has no row for id z0"],
    ),
    "in train and test": (
        lambda r: save(r / "test/images/a1.png", tile(9)),
        [r"test/images/a1\.png: has the id of a train tile"],
    ),
    "strange file": (
        lambda r: (r / "train/images/notes.txt").write_text("x"),
        [r"train/images/notes\.txt: is an extra file"],
    ),
    "no image at all": (
        lambda r: (r / "train/images/a1.png").write_bytes(b"no image"),
        [r"train/images/a1\.png: cannot be read as an image"],
    ),
    "image of no bytes": (
        lambda r: (r / "test/images/x8.png").write_bytes(b""),
        [r"test/images/x8\.png: is empty"],
    ),
    "image cut short": (
        lambda r: cut(r / "train/images/a1.png"),
        [r"train/images/a1\.png: cannot be decoded"],
    ),
    "mask cut short": (
        lambda r: cut(r / "train/masks/a1.png"),
        [r"train/masks/a1\.png: cannot be decoded"],
    ),
    "test image cut short": (
        lambda r: cut(r / "test/images/y9.png"),
        [r"test/images/y9\.png: cannot be decoded"],
    ),
    "another size": (
        lambda r: save(r / "test/images/x8.png", tile(1, (101, 102))),
        [r"test/images/x8\.png: is 101×102 where most tiles are 101×101"],
    ),
    "mask unlike its image": (
        lambda r: save(r / "train/masks/c3.png", np.zeros((50, 101), np.uint8)),
        [r"train/masks/c3\.png: is 50×101, unlike its image \(101×101\)"],
    ),
    "coloured": (
        lambda r: save(r / "train/images/a1.png", tile(1, (101, 101, 3))),
        [r"train/images/a1\.png: is coloured"],
    ),
    "RLE overruns": (
        lambda r: edit_table(r / "train.csv", "a1", "rle_mask", "10200 9"),
        [r"train\.csv: id a1: .*overruns"],
    ),
    "RLE overlaps": (
        lambda r: edit_table(r / "train.csv", "a1", "rle_mask", "5 9 8 2"),
        [r"train\.csv: id a1: .*overlap"],
    ),
    "RLE unsorted": (
        lambda r: edit_table(r / "train.csv", "a1", "rle_mask", "50 2 8 2"),
        [r"train\.csv: id a1: .*unsorted"],
    ),
    "RLE odd": (
        lambda r: edit_table(r / "train.csv", "a1", "rle_mask", "50 2 8"),
        [r"train\.csv: id a1: .*odd"],
    ),
    "RLE unlike PNG": (
        lambda r: edit_table(r / "train.csv", "c3", "rle_mask", "1 2"),
        [r"train/masks/c3\.png: differs from its rle_mask in train\.csv in 2 pixels"],
    ),
    "train.csv row twice": (
        lambda r: add_row(r / "train.csv", "a1", "1 2"),
        [r"train\.csv: id a1 is duplicate \(2 rows\)"],
    ),
    "train.csv row absent": (
        lambda r: drop_row(r / "train.csv", "a1"),
        [r"train\.csv: has no row for id a1"],
    ),
    "depth twice": (
        lambda r: add_row(r / "depths.csv", "x8", "5"),
        [r"depths\.csv: id x8 is duplicate"],
    ),
    "depth of nobody": (
        lambda r: add_row(r / "depths.csv", "q0", "5"),
        [r"depths\.csv: id q0 is unknown"],
    ),
    "depth NaN": (
        lambda r: edit_table(r / "depths.csv", "a1", "z", "NaN"),
        [r"depths\.csv: id a1 has the depth 'NaN'"],
    ),
    "depth empty": (
        lambda r: edit_table(r / "depths.csv", "x8", "z", ""),
        [r"depths\.csv: id x8 has the depth ''"],
    ),
    "depth row absent": (
        lambda r: drop_row(r / "depths.csv", "x8"),
        [r"depths\.csv: has no row for id x8"],
    ),
    "sample row twice": (
        lambda r: add_row(r / "sample_submission.csv", "x8", ""),
        [r"sample_submission\.csv: id x8 is duplicate"],
    ),
    "id leaves the folder": (
        lambda r: add_row(r / "train.csv", "../../etc/passwd", "1 2"),
        [r"train\.csv: id '\.\./\.\./etc/passwd' is not a plain file name"],
    ),
}

FATAL = {
    "table missing": (lambda r: (r / "depths.csv").unlink(), [r"depths\.csv: is missing"]),
    "sample missing": (
        lambda r: (r / "sample_submission.csv").unlink(),
        [r"sample_submission\.csv: is missing"],
    ),
    "column missing": (
        lambda r: save_table(r / "train.csv", {"id": TRAIN, "rle": [""] * 4}),
        [r"train\.csv: lacks the column rle_mask \(it has id, rle\)"],
    ),
    "table ragged": (
        lambda r: add_row(r / "train.csv", "a1", "1 2", "3"),
        [r"train\.csv: cannot be read as a csv"],
    ),
    "folder missing": (
        lambda r: [(r / "train/masks").rename(r / "train/elsewhere")],
        [r"train/masks: is missing"],
    ),
    "class never seen": (
        lambda r: [
            (
                save(r / f"train/masks/{name}.png", np.zeros((101, 101), np.uint8)),
                edit_table(r / "train.csv", name, "rle_mask", ""),
            )
            for name in ("a1", "b2")
        ],
        [r"masks: all that can be used are empty; there is nothing to learn"],
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_salt_is_refused_and_dropped(salt, case):
    spoil, reasons = SPOILT[case]
    spoil(salt.root)
    message = salt.refused("salt")
    for reason in reasons:
        assert re.search(reason, message), message
    assert "data.on_problem: drop" in message
    assert set(salt.table()["action"]) == {"stopped"}
    salt("salt", on_problem="drop")
    assert set(salt.table()["action"]) == {"dropped"}
    assert len(salt.table()) == message.count("\n") - 1  # all but title and cure
    left = [*store.read(salt.train, "id"), *store.read(salt.test, "id")]
    spoilt = set(re.findall(r"\b(?:a1|b2|c3|d4|x8|y9)\b", message)) - {"z0"}
    if case == "in train and test":  # the training image stays
        assert store.read(salt.train, "id").tolist() == TRAIN
        spoilt = set()
    assert set(left) == {*TRAIN, *TEST} - spoilt
    assert len(store.read(salt.train, "mask")) == len(store.table(salt.train))


@pytest.mark.parametrize("mode", ["error", "drop"])
@pytest.mark.parametrize("case", FATAL)
def test_what_no_dropping_mends_is_fatal(salt, case, mode):
    spoil, reasons = FATAL[case]
    spoil(salt.root)
    message = salt.refused("salt", on_problem=mode)
    for reason in reasons:
        assert re.search(reason, message), message


def test_all_offenders_come_at_once(salt):
    cases = ["image cut short", "depth NaN", "another size", "RLE unlike PNG", "strange file"]
    for case in cases:
        SPOILT[case][0](salt.root)
    message = salt.refused("salt")
    for case in cases:
        assert all(re.search(reason, message) for reason in SPOILT[case][1]), case
    assert len(salt.table()) == len(cases)
    assert "5 problems" in message


def test_one_image_may_have_several_faults(salt):
    cut(salt.root / "train/images/a1.png")
    edit_table(salt.root / "train.csv", "a1", "rle_mask", "50 2 8")
    edit_table(salt.root / "depths.csv", "a1", "z", "deep")
    assert "3 problems" in salt.refused("salt")


def test_a_failure_leaves_the_data_of_before(salt):
    salt("salt")
    before = salt.train.read_bytes()
    cut(salt.root / "train/images/d4.png")  # late in the file, when rows are written already
    with pytest.raises(InputError, match=r"d4\.png"):
        salt("salt")
    assert salt.train.read_bytes() == before
    assert [path.name for path in salt.train.parent.glob(".*")] == []


def test_dropping_every_positive_is_fatal(salt):
    for name in ("a1", "b2"):
        cut(salt.root / f"train/images/{name}.png")
    assert "all that can be used are empty" in salt.refused("salt", on_problem="drop")


@pytest.mark.parametrize("setting", [{"size": 64}, {"image_mode": "rgb"}, {"ignore": 3}])
def test_settings_that_salt_has_no_use_for_are_refused(salt, setting):
    assert f"data.{next(iter(setting))}" in salt.refused("salt", **setting)


def test_a_root_that_is_no_folder_is_named(run):
    assert str(run.root) in run.refused("salt")


# --- series


def test_series_are_named_by_the_first_group_of_the_pattern(run, capsys):
    make_folder(run.root, {"p1_x": (24, 24), "p2_x": (24, 24), "other": (24, 24)}, test=True)
    run("folder", series=r"(p\d)_(x)|other")
    assert store.table(run.train)["series"].tolist() == ["", "p1", "p2"]  # sorted by id
    assert store.table(run.test)["series"].tolist() == ["", "p1", "p2"]
    assert store.attrs(run.train)["config"]["series"] == r"(p\d)_(x)|other"
    assert "2 series in 3 training images, 1 without one" in capsys.readouterr().out


def test_without_series_the_file_tells_nothing_of_them(salt):
    salt("salt", series=None)
    assert "series" not in store.table(salt.train)
    assert store.attrs(salt.train)["config"]["series"] is None


def test_a_pattern_that_fits_no_image_is_fatal(salt):
    message = salt.refused("salt", series=r"coil(\d)", on_problem="drop")
    assert re.search(r"data\.series, 'coil.*names no series.*such as a1", message)


def test_a_series_column_of_ones_own_clashes(run):
    make_folder(run.root, {"a": (24, 24)})
    save_table(run.root / "meta.csv", {"id": ["a"], "series": [1]})
    assert "have a column `series` already" in run.refused("folder", series="(a)")


# --- room on the disk


def test_the_need_of_disk_is_said_and_refused_before_writing(salt, monkeypatch, capsys):
    salt("salt")
    need = 101 * 101 * (4 + 4 / 8)  # four images, and as many masks at an eighth
    assert f"at most {need / 2**30:.2f} GiB of disk" in capsys.readouterr().out
    monkeypatch.setattr(part.shutil, "disk_usage", lambda _: Usage(2**40, 0, int(need) + 1))
    salt("salt")
    monkeypatch.setattr(part.shutil, "disk_usage", lambda _: Usage(2**40, 0, int(need) - 1))
    monkeypatch.setattr(part, "_convert_usable", lambda *_: pytest.fail("began to write"))
    with pytest.raises(InputError, match=r"out: the arrays may need .* GiB, but the disk has"):
        salt("salt")


# --- folder


def test_folder_of_one_size(run):
    make_folder(run.root, {"a": (40, 60), "b": (40, 60)}, test=True)
    run("folder")
    assert np.array_equal(store.read(run.train, "image"), [tile(0, (40, 60)), tile(1, (40, 60))])
    assert np.array_equal(store.read(run.train, "mask"), [block((40, 60))] * 2)
    assert store.read(run.train, "labels").tolist() == [[1], [1]]
    assert not store.has(run.train, "original")
    assert not store.has(run.train, "ignore")
    assert store.read(run.test, "id").tolist() == ["test_a", "test_b"]
    assert store.original_sizes(run.test).tolist() == [[40, 60]] * 2
    assert store.table(run.train)["coverage"].tolist() == [0.125, 0.125]


def test_mixed_sizes_ask_for_a_storage_size(run):
    make_folder(run.root, {"a": (40, 60), "b": (40, 60), "c": (80, 30)})
    assert re.search(r"images/c\.png: is 80×30 .*set data\.size", run.refused("folder"))


def test_mixed_sizes_are_stored_at_one_and_truth_at_its_own(run):
    sizes = {"a": (40, 60), "b": (80, 32), "c": (24, 24)}
    make_folder(run.root, sizes)
    run("folder", size=[32, 48])
    assert store.read(run.train, "image").shape == (3, 32, 48)
    assert store.original_sizes(run.train).tolist() == [list(size) for size in sizes.values()]
    for (mask, ignore), size in zip(store.truth(run.train), sizes.values(), strict=True):
        assert np.array_equal(mask[..., 0], block(size))
        assert ignore is None
    # upper half, left quarter, whatever the size
    assert np.array_equal(store.read(run.train, "mask"), [block((32, 48))] * 3)
    assert store.length(run.test) == 0
    assert store.stored_size(run.test) == (32, 48)
    shrunk = store.read(run.train, "image")[1].mean()
    assert shrunk == pytest.approx(tile(1, sizes["b"]).mean(), abs=1)


def test_mask_is_resized_centre_to_centre():
    mask = np.eye(6, dtype=np.uint8)
    assert np.array_equal(ingest.resize_mask(mask, (3, 3)), mask[1::2, 1::2])
    doubled = ingest.resize_mask(mask, (12, 12))
    assert np.array_equal(doubled, np.kron(mask, np.ones((2, 2), np.uint8)))


def test_ignored_pixels_are_kept_apart(run, monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK", 2)
    make_folder(run.root, {name: (40, 40) for name in "abcde"})
    mask = block((40, 40)) * 255
    mask[30:] = 127
    save(run.root / "masks/d.png", mask)  # the first blocks know nothing of ignored pixels yet
    run("folder", ignore=127, classes={"lung": 255})
    ignore = store.read(run.train, "ignore")
    assert np.array_equal(ignore[3], mask == 127)
    assert not ignore[[0, 1, 2, 4]].any()
    assert not store.read(run.train, "mask")[3, 30:].any()
    assert store.table(run.train)["coverage"][3] == pytest.approx(0.125 * 4 / 3)


def test_ignore_without_classes_is_no_foreground(run):
    make_folder(run.root, {"a": (40, 40)})
    mask = block((40, 40)) * 255
    mask[30:] = 7
    save(run.root / "masks/a.png", mask)
    run("folder", ignore=7)
    assert np.array_equal(store.read(run.train, "mask")[0], block((40, 40)))
    assert np.array_equal(store.read(run.train, "ignore")[0], mask == 7)


def test_classes_become_channels(run):
    make_folder(run.root, {"a": (40, 40), "b": (40, 40)})
    values = np.zeros((40, 40), np.uint16)
    values[:5], values[10:20], values[30:] = 1, 300, 9
    save(run.root / "masks/a.png", values)
    save(run.root / "masks/b.png", np.ones((40, 40), np.uint8))
    run("folder", classes={"far": 300, "near": 1}, ignore=9, size=20)
    masks = store.read(run.train, "mask")
    assert masks.shape == (2, 20, 20, 2)
    assert np.array_equal(masks[0], np.stack([values == 300, values == 1], -1)[1::2, 1::2])
    assert store.read(run.train, "labels").tolist() == [[1, 1], [0, 1]]
    assert store.attrs(run.train)["class_names"] == ["far", "near"]
    (mask, ignore), _ = store.truth(run.train)
    assert np.array_equal(mask, np.stack([values == 300, values == 1], -1))
    assert np.array_equal(ignore, values == 9)


def test_values_that_mean_nothing_are_named(run):
    make_folder(run.root, {"a": (40, 40)})
    mask = block((40, 40)) * 255
    mask[-1, :2] = 3, 200
    save(run.root / "masks/a.png", mask)
    message = run.refused("folder", classes={"lung": 255}, ignore=127)
    assert re.search(r"masks/a\.png: holds the values 3, 200.*lung 255.*ignore \(127\)", message)


def test_a_named_class_never_seen_is_fatal(run):
    make_folder(run.root, {"a": (40, 40)})
    message = run.refused("folder", classes={"lung": 255, "heart": 4}, on_problem="drop")
    assert "class heart is never seen" in message


@pytest.mark.parametrize(
    "spec",
    [{"classes": {"a": 5, "b": 5}}, {"classes": {"a": 5}, "ignore": 5}, {"ignore": 0}],
)
def test_values_that_clash_are_refused(run, spec):
    make_folder(run.root, {"a": (40, 40)})
    assert re.search(r"data\.(classes|ignore)", run.refused("folder", **spec))


def test_sixteen_bits_are_scaled_by_the_type_not_the_image(run):
    make_folder(run.root, {"a": (16, 256)})
    ramp = np.linspace(0, 40000, 16 * 256).astype(np.uint16).reshape(16, 256)
    save(run.root / "images/a.png", ramp)
    run("folder", range="type")
    assert np.array_equal(store.read(run.train, "image")[0], np.round(ramp / 257))


def test_colour_modes_come_to_the_one_asked_for(run):
    make_folder(run.root, {name: (24, 24) for name in ("alpha", "grey", "palette", "rgb")})
    colours = tile(7, (24, 24, 4))
    save(run.root / "images/rgb.png", colours[..., :3])
    save(run.root / "images/alpha.png", colours)
    few = Image.fromarray(colours[..., :3]).quantize(16)
    few.save(run.root / "images/palette.png")
    run("folder", image_mode="rgb")
    stored = dict(zip(store.read(run.train, "id"), store.read(run.train, "image"), strict=True))
    assert np.array_equal(stored["rgb"], colours[..., :3])
    assert np.array_equal(stored["alpha"], colours[..., :3])
    assert np.array_equal(stored["palette"], np.array(few.convert("RGB")))
    assert np.array_equal(stored["grey"], np.repeat(tile(1, (24, 24))[..., None], 3, axis=2))
    run("folder", color="grey")
    grey = colours[..., :3] @ [0.299, 0.587, 0.114]
    assert np.abs(store.read(run.train, "image", ["rgb"])[0] - grey).max() <= 1
    assert np.array_equal(store.read(run.train, "image", ["grey"])[0], tile(1, (24, 24)))


def test_suffixes_pair_by_stem_and_turning_tags_are_heeded(run):
    make_folder(run.root, {"a": (24, 40), "b": (24, 40)})
    for name in "ab":
        (run.root / f"images/{name}.png").unlink()
    exif = Image.Exif()
    exif[0x112] = 6  # "turn me by 90°"
    shown = np.full((24, 40), 90, np.uint8)
    shown[:12] = 30
    stored = np.ascontiguousarray(np.rot90(shown))  # which 6 turns back
    Image.fromarray(stored).save(run.root / "images/a.JPG", exif=exif, quality=95)
    Image.fromarray(shown).save(run.root / "images/b.tiff")
    run("folder")
    assert np.abs(store.read(run.train, "image").astype(int) - shown).max() <= 3
    assert store.stored_size(run.train) == (24, 40)


def test_masks_of_other_kinds(run):
    make_folder(run.root, {name: (24, 24) for name in ("bits", "colours", "jpeg", "palette")})
    masks = run.root / "masks"
    mask = block((24, 24))
    Image.fromarray(mask * 255).convert("1").save(masks / "bits.png")
    save(masks / "colours.png", np.repeat(mask[..., None] * 9, 3, axis=2))
    indexed = Image.fromarray(mask * 3, "L").convert("P")
    indexed.putpalette([255, 0, 0] * 3 + [0, 0, 0] * 253)  # what is shown counts, not the index
    indexed.putdata(((1 - mask) * 3).ravel().tolist())
    indexed.save(masks / "palette.png")
    (masks / "jpeg.png").unlink()
    cv2.imwrite(str(masks / "jpeg.jpg"), mask * 255, [cv2.IMWRITE_JPEG_QUALITY, 60])
    run("folder")
    assert np.array_equal(store.read(run.train, "mask"), [mask] * 4)


FOLDER_SPOILT = {
    "same stem": (
        lambda r: save(r / "images/a.tif", tile(5, (40, 40))),
        r"images/a\.tif: has the same id as a\.png",
    ),
    "mask stem twice": (
        lambda r: save(r / "masks/a.tif", tile(5, (40, 40))),
        r"masks/a\.tif: has the same id as a\.png",
    ),
    "no mask": (lambda r: (r / "masks/a.png").unlink(), r"images/a\.png: has no mask"),
    "no image": (lambda r: (r / "images/a.png").unlink(), r"masks/a\.png: has no image"),
    "mask unlike its image": (
        lambda r: save(r / "masks/a.png", tile(5, (41, 40))),
        r"masks/a\.png: is 41×40, unlike its image \(40×40\)",
    ),
    "coloured mask": (
        lambda r: save(r / "masks/a.png", tile(5, (40, 40, 3))),
        r"masks/a\.png: is a coloured mask",
    ),
    "float pixels": (
        lambda r: Image.fromarray(np.zeros((40, 40), np.float32)).save(r / "test/float.tif"),
        r"test/float\.tif: holds float32 pixels",
    ),
    "pages": (
        lambda r: Image.new("L", (40, 40)).save(
            r / "test/p.tif", save_all=True, append_images=[Image.new("L", (40, 40))]
        ),
        r"test/p\.tif: holds 2 pages",
    ),
    "meta for nobody": (
        lambda r: save_table(r / "meta.csv", {"id": ["a", "b", "c", "z"], "age": [1, 2, 3, 4]}),
        r"meta\.csv: id z is unknown",
    ),
    "no meta": (
        lambda r: save_table(r / "meta.csv", {"id": ["b", "c"], "age": [1, 2]}),
        r"meta\.csv: has no row for id a",
    ),
    "meta twice": (
        lambda r: save_table(r / "meta.csv", {"id": ["a", "b", "c", "a"], "age": [1, 2, 3, 4]}),
        r"meta\.csv: id a is duplicate",
    ),
}


@pytest.mark.parametrize("case", FOLDER_SPOILT)
def test_spoilt_folder_is_refused_and_dropped(run, case):
    make_folder(run.root, {name: (40, 40) for name in "abc"}, test=True)
    spoil, reason = FOLDER_SPOILT[case]
    spoil(run.root)
    assert re.search(reason, run.refused("folder"))
    run("folder", on_problem="drop")
    assert {"b", "c"} <= set(store.read(run.train, "id")) <= {"a", "b", "c"}
    assert len(run.table()) >= 1


def test_jpeg_masks_are_refused_where_values_matter(run):
    make_folder(run.root, {"a": (24, 24)})
    (run.root / "masks/a.png").unlink()
    save(run.root / "masks/a.jpg", block((24, 24)) * 255)
    assert "is a JPEG, which blurs values" in run.refused("folder", classes={"lung": 255})


def test_two_test_folders_are_one_too_many(run):
    make_folder(run.root, {"a": (24, 24)}, test=True)
    (run.root / "test_images").mkdir()
    assert "is beside test" in run.refused("folder")


def test_nothing_there_is_fatal(run):
    run.root.mkdir()
    message = run.refused("folder", on_problem="drop")
    assert "images: is missing or empty" in message
    assert "masks: is missing or empty" in message


def test_meta_columns_keep_their_kind(run):
    make_folder(run.root, {name: (24, 24) for name in "abc"})
    columns = {
        "id": ["c", "a", "b"],
        "patient": ["007", "12", "7"],
        "age": [3, 1, 2],
        "dose": [0.5, 1, 2],
        "site": ["x", "", "y"],
        "a/b": [1, 2, 3],
        "weight": ["", 70, 81],
    }
    save_table(run.root / "meta.csv", columns)
    run("folder")
    table = store.table(run.train)
    assert table["patient"].tolist() == ["12", "7", "007"]
    assert table["age"].tolist() == [1, 2, 3]
    assert table["age"].dtype == np.int64
    assert table["dose"].tolist() == [1, 2, 0.5]
    assert table["site"].tolist() == ["", "y", "x"]
    assert table["a/b"].tolist() == [2, 3, 1]
    weight = table["weight"].to_numpy(np.float64)
    np.testing.assert_array_equal(weight, [70, 81, np.nan])


def test_meta_of_foldbelts_own_names_is_refused(run):
    make_folder(run.root, {"a": (24, 24)})
    save_table(run.root / "meta.csv", {"id": ["a"], "coverage": [1]})
    assert "itself: coverage; rename" in run.refused("folder")


def test_a_meta_column_can_be_the_label(run):
    make_folder(run.root, {name: (24, 24) for name in "abc"})
    save_table(run.root / "meta.csv", {"id": ["a", "b", "c"], "view": ["PA", "AP", "PA"]})
    run("folder", label="view")
    assert store.attrs(run.train)["label_names"] == ["AP", "PA"]
    assert store.read(run.train, "labels").tolist() == [[0, 1], [1, 0], [0, 1]]
    assert store.attrs(run.train)["exclusive_labels"] is True
    with pytest.raises(InputError, match="no column 'vue'"):
        run("folder", label="vue")


# --- folder: labels and boxes

BOXED = {"a": (40, 60), "b": (30, 30), "c": (24, 24)}
"""Images, of which the first has two boxes, the second none, and nobody has looked at the third."""
BOX_ROWS = {
    "id": ["a", "a", "b"],
    "class": ["ring", "disc", ""],
    "x1": [1.5, 0, ""],
    "y1": [2, 0, ""],
    "x2": [9, 60, ""],
    "y2": [12, 40, ""],
}


def boxed(root):
    make_folder(root, BOXED, test=True)
    save_table(root / "boxes.csv", BOX_ROWS)
    return {"size": 32, "boxes": "boxes.csv", "boxes_missing": "unknown"}


def stored_boxes(path):
    return Boxes.from_bytes(list(store.read(path, "boxes")))


def test_boxes_are_stored_at_the_original_size(run):
    run("folder", **boxed(run.root))
    boxes = stored_boxes(run.train)
    assert boxes.image(0).tolist() == [[1, 1.5, 2, 9, 12, 1], [0, 0, 0, 60, 40, 1]]
    assert [len(boxes.image(n)) for n in (1, 2)] == [0, 0]
    assert store.table(run.train)["boxes"].tolist() == [2, 0, -1]
    assert store.attrs(run.train)["box_names"] == ["disc", "ring"]
    assert store.attrs(run.test)["box_names"] == ["disc", "ring"]
    assert not store.has(run.test, "boxes")
    assert "boxes" not in store.table(run.test)
    run("folder", size=32, boxes="boxes.csv", box_classes=["ring", "disc", "cross"])
    assert store.table(run.train)["boxes"].tolist() == [2, 0, 0]  # by default none are missing
    assert stored_boxes(run.train).classes.tolist() == [0, 1]
    assert store.attrs(run.train)["box_names"] == ["ring", "disc", "cross"]


def test_boxes_change_nothing_else(run, tmp_path):
    spec = boxed(run.root)
    run("folder", **spec)
    other = Run(tmp_path / "plain")
    make_folder(other.root, BOXED, test=True)
    other("folder", size=32)
    for name in ("image", "mask", "labels"):
        assert np.array_equal(store.read(run.train, name), store.read(other.train, name)), name
    for one, two in zip(store.truth(run.train), store.truth(other.train), strict=True):
        assert np.array_equal(one[0], two[0])
    table = store.table(run.train).drop(columns="boxes")
    assert table.equals(store.table(other.train))
    assert not store.has(other.train, "boxes")
    stated = store.attrs(other.train)["config"]
    later = {"masks", "boxes", "boxes_missing", "boxes_least_area", "box_classes"}
    assert not later & stated.keys(), "files of before keep their bytes"
    assert not {"box_names", "exclusive_labels"} & store.attrs(other.train).keys()


def test_boxes_can_be_drawn_around_the_parts_of_masks(run):
    make_folder(run.root, {"a": (40, 60), "b": (40, 60)})
    mask = np.zeros((40, 60), np.uint8)
    mask[3:10, 5:8], mask[20:25, 30:40], mask[39, 59], mask[30:] = 1, 2, 2, 9
    save(run.root / "masks/a.png", mask)
    save(run.root / "masks/b.png", np.full((40, 60), 9, np.uint8))
    spec = {"classes": {"one": 1, "two": 2}, "ignore": 9, "size": 20, "boxes": "from_masks"}
    run("folder", **spec)
    assert stored_boxes(run.train).image(0).tolist() == [
        [0, 5, 3, 8, 10, 1],
        [1, 30, 20, 40, 25, 1],
    ]
    assert store.table(run.train)["boxes"].tolist() == [2, -1]  # no pixel of b is labelled
    assert store.attrs(run.train)["box_names"] == ["one", "two"]
    run("folder", **spec, boxes_least_area=30)
    assert stored_boxes(run.train).image(0).tolist() == [[1, 30, 20, 40, 25, 1]]


@pytest.mark.parametrize("block", [1, 256])
def test_a_folder_needs_no_masks(run, monkeypatch, block):
    monkeypatch.setattr(streaming, "BLOCK", block)
    spec = boxed(run.root)
    for path in (run.root / "masks").iterdir():
        path.unlink()
    (run.root / "masks").rmdir()
    run("folder", **spec, masks=False)
    assert not any(store.has(run.train, name) for name in ("mask", "original", "labels", "ignore"))
    assert store.attrs(run.train)["class_names"] == []
    assert store.attrs(run.test)["class_names"] == []
    assert list(store.table(run.train)) == ["id", "height", "width", "boxes"]
    assert store.original_sizes(run.train).tolist() == [list(size) for size in BOXED.values()]
    assert stored_boxes(run.train).start.tolist() == [0, 2, 2, 2]
    save_table(run.root / "meta.csv", {"id": [*"abc"], "view": ["PA", "AP", "PA"]})
    run("folder", size=32, label="view", masks=False)
    assert store.read(run.train, "labels").tolist() == [[0, 1], [1, 0], [0, 1]]
    assert not store.has(run.train, "boxes")


def test_masks_can_be_filled_boxes(run):
    spec = boxed(run.root)
    run("folder", **spec, masks="from_boxes")
    assert store.attrs(run.train)["class_names"] == ["disc", "ring"]
    masks = list(store.truth(run.train))
    disc, ring = masks[0][0][..., 0], masks[0][0][..., 1]
    assert disc.all()
    assert ring.sum() == 10 * 8
    assert ring[2:12, 1:9].all()  # the centres from 1.5 to 9
    assert not masks[1][0].any()
    assert masks[1][1] is None
    assert masks[2][1].all(), "nobody knows what is there"
    assert store.table(run.train)["known"].tolist() == [1, 1, 0]
    assert store.read(run.train, "labels").tolist()[:2] == [[1, 1], [0, 0]]


def test_masks_can_be_what_is_bright_in_boxes(run):
    spec = boxed(run.root)
    run("folder", **spec, masks="from_boxes", box_masks="bright")
    assert store.attrs(run.train)["config"]["box_masks"] == "bright"
    ring = next(store.truth(run.train))[0][..., 1] > 0
    image = tile(0, BOXED["a"])
    inside = np.zeros(image.shape, bool)
    inside[2:12, 1:9] = True
    assert 0 < ring.sum() < inside.sum()
    assert not (ring & ~inside).any()
    assert image[ring].min() > image[inside & ~ring].max()


def test_images_may_share_one_size_without_masks(run):
    make_folder(run.root, {"a": (24, 24), "b": (24, 24)})
    save_table(run.root / "meta.csv", {"id": ["a", "b"], "view": ["PA", "AP"]})
    run("folder", label="view", masks=False)
    assert np.array_equal(store.read(run.train, "image")[1], tile(1, (24, 24)))


def test_a_broken_box_drops_its_image(run):
    spec = boxed(run.root)
    add_row(run.root / "boxes.csv", "c", "disc", "5", "5", "5", "9")
    assert re.search(r"boxes\.csv: line 5 \(id c, disc\).*empty", run.refused("folder", **spec))
    run("folder", **spec, on_problem="drop")
    assert store.read(run.train, "id").tolist() == ["a", "b"]
    assert run.table()["action"].tolist() == ["dropped"]


def test_an_image_that_cannot_be_read_is_one_problem_with_its_boxes(run):
    spec = boxed(run.root)
    (run.root / "images/a.png").write_bytes(b"no image")
    message = run.refused("folder", **spec)
    assert "id a is unknown" not in message
    assert "a.png: cannot be read as an image" in message


def test_labels_named_as_the_classes_of_the_masks_are_refused(run):
    make_folder(run.root, {name: (24, 24) for name in "ab"})
    save_table(run.root / "meta.csv", {"id": ["a", "b"], "object": [0.3, 1]})
    said = run.refused("folder", label={"table": "meta.csv", "column": None, "columns": ["object"],
                                        "exclusive": False})  # fmt: skip
    assert "named as the classes of the masks" in said


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int64])
def test_grey_is_what_has_equal_planes(dtype):
    grey = np.repeat(np.arange(12).reshape(3, 4, 1), 3, axis=2).astype(dtype)
    assert image_files.grey_planes_equal(grey)
    assert image_files.grey_planes_equal(grey[..., 0])
    assert image_files.grey_planes_equal(grey[:, ::-1, ::-1])
    assert not image_files.grey_planes_equal(grey[..., :2])
    for channel in range(3):
        coloured = grey.copy()
        coloured[2, 3, channel] += 1
        assert not image_files.grey_planes_equal(coloured)
