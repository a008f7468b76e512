"""Steel: both forms of its tables, their faults, and submissions in the form of the sample."""

import re
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
from raw_folders import cut, save, tile
from test_ingest import Run

from foldbelt import competitions, rle, store, synthetic
from foldbelt.competitions._submitting import Prediction
from foldbelt.competitions.steel import read as steel
from foldbelt.competitions.steel import submit as writer
from foldbelt.config import complete
from foldbelt.files import InputError

SIZE = (24, 40)
TRAIN = ["a.jpg", "b.jpg", "c.jpg", "d.png"]
TEST = ["x.jpg", "y.jpg"]
PAIRS = ["ImageId_ClassId", "EncodedPixels"]
POSITIVES = ["ImageId", "ClassId", "EncodedPixels"]


def masks() -> dict[str, np.ndarray]:
    """Masks of three classes, 1, 3 and 10: two images with a defect, c with two, d clean."""
    made = {name: np.zeros((*SIZE, 3), np.uint8) for name in TRAIN}
    made["a.jpg"][2:9, 3:20, 0] = 1
    made["b.jpg"][:, 30:33, 2] = 1
    made["c.jpg"][5, 5, 1] = made["c.jpg"][20:, :10, 2] = 1
    return made


def rows(form: str, truth: dict[str, np.ndarray]) -> pd.DataFrame:
    found = [
        (name, label, rle.encode(mask[..., k]))
        for name, mask in truth.items()
        for k, label in enumerate(("1", "3", "10"))
    ][::-1]  # nothing may lean on the order of rows
    if form == "pairs":
        return pd.DataFrame([(f"{i}_{c}", text) for i, c, text in found], columns=PAIRS)
    return pd.DataFrame([row for row in found if row[2]], columns=POSITIVES)


def make(root: Path, form: str = "positives", sample: bool = True) -> Path:
    for folder, names in (("train_images", TRAIN), ("test_images", TEST)):
        (root / folder).mkdir(parents=True)
        for seed, name in enumerate(names):
            save(root / folder / name, np.repeat(tile(seed, SIZE)[..., None], 3, axis=2))
    rows(form, masks()).to_csv(root / "train.csv", index=False)
    if sample:
        every = rows("pairs", {name: np.zeros((*SIZE, 3), np.uint8) for name in TEST})
        every.assign(EncodedPixels="1 1").to_csv(root / "sample_submission.csv", index=False)
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    make(run.root)
    return run


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new, 1))


def add(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


# --- sound data


@pytest.mark.parametrize("form", ["positives", "pairs"])
@pytest.mark.parametrize("sample", [True, False])
def test_both_forms_give_the_same_arrays(tmp_path: Path, form: str, sample: bool) -> None:
    run = Run(tmp_path)
    make(run.root, form, sample)
    run("steel")
    assert store.read(run.train, "id").tolist() == TRAIN
    assert store.read(run.test, "id").tolist() == TEST
    assert store.attrs(run.train)["class_names"] == ["1", "3", "10"]  # by number, not by letter
    truth = np.stack(list(masks().values()))
    assert np.array_equal(store.read(run.train, "mask"), truth)
    assert store.read(run.train, "labels").tolist() == truth.any(axis=(1, 2)).astype(int).tolist()
    table = store.table(run.train)
    assert table["classes"].tolist() == ["1", "10", "3+10", "none"]
    assert table["empty"].tolist() == [0, 0, 0, 1]
    assert table["coverage"].tolist() == pytest.approx(truth.any(axis=3).mean(axis=(1, 2)))
    assert table["area_10"].tolist() == pytest.approx(truth[..., 2].mean(axis=(1, 2)))
    assert store.original_sizes(run.test).tolist() == [list(SIZE)] * 2


def test_masks_lie_bit_packed(run: Run) -> None:
    run("steel")
    with h5py.File(run.train) as file:
        assert file["mask"].shape == (4, *SIZE, 1)
        assert file["mask"].dtype == np.uint8


def test_one_class_and_no_sample_are_a_competition(tmp_path: Path) -> None:
    run = Run(tmp_path)
    make(run.root, sample=False)
    table = rows("positives", masks())
    table[table["ClassId"] == "10"].to_csv(run.root / "train.csv", index=False)
    run("steel")
    assert store.attrs(run.train)["label_names"] == ["10"]
    assert store.read(run.train, "mask").shape == (4, *SIZE)
    assert store.table(run.train)["classes"].tolist() == ["none", "10", "10", "none"]


def test_grey_in_three_unequal_channels_becomes_one_and_colour_stays_on_demand(run: Run) -> None:
    uneven = np.repeat(tile(0, SIZE)[..., None], 3, axis=2).astype(int)
    uneven[..., 0] += 1
    uneven = np.clip(uneven, 0, 255).astype(np.uint8)
    save(run.root / "train_images/d.png", uneven)
    run("steel")
    stored = store.read(run.train, "image", ["d.png"])[0]
    assert stored.shape == SIZE
    assert np.abs(stored.astype(int) - uneven[..., 1]).max() <= 1
    run("steel", image_mode="rgb")
    assert np.array_equal(store.read(run.train, "image", ["d.png"])[0], uneven)


def test_the_black_share_is_told(run: Run) -> None:
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[:, :10] = 4
    save(run.root / "train_images/d.png", image)
    save(run.root / "test_images/y.jpg", image)
    run("steel")
    assert store.table(run.train)["black"][3] == 0.25
    assert store.table(run.test)["black"][1] == pytest.approx(0.25, abs=0.05)  # JPEG blurs edges


def test_mixed_sizes_are_stored_at_one_and_truth_at_its_own(run: Run) -> None:
    save(run.root / "train_images/d.png", tile(1, (48, 80, 3)))
    assert re.search(r"d\.png: is 48×80 where most .*data\.size", run.refused("steel"))
    run("steel", size=[12, 20])
    assert store.read(run.train, "image").shape == (4, 12, 20)
    found = [mask for mask, _ in store.truth(run.train)]
    assert [mask.shape[:2] for mask in found] == [SIZE, SIZE, SIZE, (48, 80)]
    assert np.array_equal(found[2], masks()["c.jpg"])


def test_synthetic_data_go_through_in_both_forms(tmp_path: Path) -> None:
    tables = []
    for form in ("positives", "pairs"):
        run = Run(tmp_path / form)
        synthetic.steel(run.root, 8, 4, (32, 200), 0, train_format=form)
        run("steel")
        tables.append(store.table(run.train))
        ids = store.read(run.test, "id").tolist()
        truth = np.stack(list(steel.read_truth(f"{run.root}-truth.csv", ids, (32, 200), [*"1234"])))
        assert truth.shape == (4, 32, 200, 4)
        assert truth.any()
    assert tables[0].equals(tables[1])


# --- spoilt data, each with what the message must say

CSV = "train.csv"
SPOILT = {
    "image missing": (
        lambda r: (r / "train_images/a.jpg").unlink(),
        [r"train\.csv: image a\.jpg is unknown: there is no train_images/a\.jpg"],
    ),
    "test image missing": (
        lambda r: (r / "test_images/x.jpg").unlink(),
        [r"sample_submission\.csv: image x\.jpg is unknown"],
    ),
    "test image extra": (
        lambda r: save(r / "test_images/z.jpg", tile(9, (*SIZE, 3))),
        [r"sample_submission\.csv: image z\.jpg has no row for any class"],
    ),
    "sample lacks a class": (
        lambda r: edit(r / "sample_submission.csv", "x.jpg_3,1 1\n", ""),
        [r"sample_submission\.csv: image x\.jpg has no row for class 3"],
    ),
    "in train and test": (
        lambda r: save(r / "test_images/a.jpg", tile(9, (*SIZE, 3))),
        [r"test_images/a\.jpg: has the name of a train image"],
    ),
    "pair twice": (
        lambda r: add(r / CSV, "a.jpg,1,76 3"),
        [r"train\.csv: image a\.jpg, class 1: the pair is duplicate \(2 rows\)"],
    ),
    "class is no number": (
        lambda r: edit(r / CSV, "a.jpg,1,", "a.jpg,1.0,"),
        [r"train\.csv: image a\.jpg has the class '1\.0', which is not an integer"],
    ),
    "RLE overruns": (
        lambda r: add(r / CSV, "d.png,1,960 2"),
        [r"train\.csv: image d\.png, class 1: .*overruns"],
    ),
    "RLE overlaps": (
        lambda r: add(r / CSV, "d.png,3,5 9 8 2"),
        [r"image d\.png, class 3: .*overlap"],
    ),
    "RLE unsorted": (
        lambda r: add(r / CSV, "d.png,1,50 2 8 2"),
        [r"image d\.png, class 1: .*unsorted"],
    ),
    "RLE odd": (lambda r: add(r / CSV, "d.png,1,50 2 8"), [r"image d\.png, class 1: .*odd"]),
    "no image at all": (
        lambda r: (r / "train_images/a.jpg").write_bytes(b"no image"),
        [r"train_images/a\.jpg: cannot be read as an image"],
    ),
    "image cut short": (
        lambda r: cut(r / "train_images/d.png"),
        [r"train_images/d\.png: cannot be decoded"],
    ),
    "test image of no bytes": (
        lambda r: (r / "test_images/y.jpg").write_bytes(b""),
        [r"test_images/y\.jpg: is empty"],
    ),
    "another size": (
        lambda r: save(r / "test_images/x.jpg", tile(1, (24, 41, 3))),
        [r"test_images/x\.jpg: is 24×41 where most images are 24×40"],
    ),
    "strange file": (
        lambda r: (r / "train_images/notes.txt").write_text("x"),
        [r"train_images/notes\.txt: is an extra file"],
    ),
    "id leaves the folder": (
        lambda r: add(r / CSV, "../../etc/passwd,1,1 2"),
        [r"image '\.\./\.\./etc/passwd' is not a plain file name"],
    ),
}


def stray(root: Path) -> Path:
    """Give a table of all pairs, and no sample that knows the classes."""
    (root / "sample_submission.csv").unlink()
    rows("pairs", masks()).to_csv(root / CSV, index=False)
    return root / CSV


FATAL = {
    "table missing": (
        lambda r: (r / CSV).unlink(),
        [r"train\.csv: is missing; it must be a csv of ImageId_ClassId,EncodedPixels or ImageId"],
    ),
    "no such form": (
        lambda r: edit(r / CSV, "ClassId", "Class"),
        [r"train\.csv: has the columns ImageId, Class, EncodedPixels; it must have"],
    ),
    "folder missing": (
        lambda r: (r / "train_images").rename(r / "elsewhere"),
        [r"train_images: is missing"],
    ),
    "test folder missing": (
        lambda r: (r / "test_images").rename(r / "elsewhere"),
        [r"test_images: is missing;.*make an empty one if nothing is to be predicted"],
    ),
    "class never seen": (
        lambda r: rows("positives", {"a.jpg": masks()["a.jpg"]}).to_csv(r / CSV, index=False),
        [r"sample_submission\.csv: lists the classes 3, 10, which train\.csv never shows"],
    ),
    "class unknown to the sample": (
        lambda r: add(r / CSV, "a.jpg,7,5 3"),
        [r"train\.csv: has the class 7 for 1 images, such as a\.jpg, which sample_submission\.csv"],
    ),
    "both forms": (
        lambda r: (r / CSV).write_text("ImageId_ClassId,ClassId,EncodedPixels\na.jpg_1,1,1 5\n"),
        [r"train\.csv: has both ImageId_ClassId and ClassId; it must have"],
    ),
    "all clean, and no class named": (
        lambda r: (
            (r / "sample_submission.csv").unlink(),
            (r / CSV).write_text("ImageId,ClassId,EncodedPixels\n"),
        ),
        [r"train\.csv: names no class; there is nothing to learn"],
    ),
    "all clean": (
        lambda r: rows("pairs", {n: m * 0 for n, m in masks().items()}).to_csv(
            r / CSV, index=False
        ),
        [r"masks: all that can be used are empty; there is nothing to learn"],
    ),
    "a stray class among pairs": (
        lambda r: add(stray(r), "b.jpg_0,1 5"),
        [r"train\.csv: class 0 has a row for 1 of 4 images only, such as b\.jpg; remove"],
    ),
}


@pytest.mark.parametrize("form", ["pairs", "positives"])
def test_the_classes_that_were_found_are_told(run: Run, form: str, capsys: Any) -> None:
    rows(form, masks()).to_csv(run.root / CSV, index=False)
    run("steel")
    assert "hold them: 1 (1), 3 (1), 10 (2)\n" in capsys.readouterr().out


def test_a_stray_class_blames_its_own_row_alone(run: Run) -> None:
    FATAL["a stray class among pairs"][0](run.root)
    message = run.refused("steel")
    assert "1 problem" in message
    assert "a.jpg" not in message


def test_a_pair_told_twice_hides_no_other_fault(run: Run) -> None:
    add(run.root / CSV, "d.png,1,50 2 8\nd.png,1,50 2 8")
    message = run.refused("steel")
    assert "duplicate" in message
    assert "odd" in message


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_steel_is_refused_and_dropped(run: Run, case: str) -> None:
    # more images with defects, so that no class is lost with what is dropped
    for seed, name in enumerate(("e.jpg", "f.jpg")):
        save(run.root / "train_images" / name, tile(20 + seed, (*SIZE, 3)))
    add(run.root / CSV, "e.jpg,1,1 5\ne.jpg,3,30 5\nf.jpg,10,1 5")
    spoil, reasons = SPOILT[case]
    spoil(run.root)
    message = run.refused("steel")
    for reason in reasons:
        assert re.search(reason, message), message
    assert "data.on_problem: drop" in message
    run("steel", on_problem="drop")
    assert len(run.table()) == message.count("\n") - 1  # all but title and cure
    left = {*store.read(run.train, "id"), *store.read(run.test, "id")}
    spoilt = set(re.findall(r"\b[a-fxy]\.(?:jpg|png)", message))
    if case == "in train and test":  # the training image stays
        assert store.read(run.train, "id").tolist() == sorted({*TRAIN, "e.jpg", "f.jpg"})
        spoilt = set()
    assert left == {*TRAIN, *TEST, "e.jpg", "f.jpg"} - spoilt


@pytest.mark.parametrize("mode", ["error", "drop"])
@pytest.mark.parametrize("case", FATAL)
def test_what_no_dropping_mends_is_fatal(run: Run, case: str, mode: str) -> None:
    spoil, reasons = FATAL[case]
    spoil(run.root)
    message = run.refused("steel", on_problem=mode)
    for reason in reasons:
        assert re.search(reason, message), message


def test_all_offenders_come_at_once(run: Run) -> None:
    cases = ["RLE odd", "pair twice", "image cut short", "strange file", "test image extra"]
    add(run.root / CSV, "b.jpg,1,1 5")  # so that no class is lost with a.jpg
    for case in cases:
        SPOILT[case][0](run.root)
    message = run.refused("steel")
    for case in cases:
        assert all(re.search(reason, message) for reason in SPOILT[case][1]), case
    assert "5 problems" in message


def test_a_table_of_all_pairs_must_be_whole(tmp_path: Path) -> None:
    run = Run(tmp_path)
    make(run.root, "pairs")
    path = run.root / CSV
    edit(path, "d.png_3,\n", "")
    edit(path, "b.jpg_1,\n", "")
    edit(path, "b.jpg_3,\n", "")
    message = run.refused("steel")
    assert "image d.png has no row for class 3;" in message
    assert "image b.jpg has no row for class 1, 3;" in message
    assert "2 problems" in message
    edit(path, "a.jpg_3,", "a.jpg,")
    assert "image a.jpg has no class; write image and class as name.jpg_1" in run.refused("steel")


def test_joined_rows_of_positives_alone_are_taken_for_what_they_are(tmp_path: Path) -> None:
    run = Run(tmp_path)
    make(run.root, "pairs")
    table = rows("pairs", masks())
    table[table["EncodedPixels"] != ""].to_csv(run.root / CSV, index=False)
    run("steel")
    assert store.table(run.train)["classes"].tolist() == ["1", "10", "3+10", "none"]


@pytest.mark.parametrize("setting", [{"ignore": 3}, {"classes": {"a": 1}}])
def test_settings_that_steel_has_no_use_for_are_refused(run: Run, setting: dict) -> None:
    assert f"data.{next(iter(setting))}" in run.refused("steel", **setting)


# --- hidden truth


@pytest.mark.parametrize("form", ["positives", "pairs"])
def test_truth_comes_in_the_order_asked_for(tmp_path: Path, form: str) -> None:
    path = tmp_path / "truth.csv"
    rows(form, masks()).to_csv(path, index=False)
    order = ["d.png", "c.jpg", "a.jpg"]
    found = list(steel.read_truth(path, order, SIZE, ["1", "3", "10"]))
    assert np.array_equal(found, [masks()[name] for name in order])
    assert np.array_equal(list(steel.read_truth(path, order, SIZE)), found)
    assert list(steel.read_truth(path, [], SIZE, ["1", "3", "10"])) == []


def test_a_class_that_the_truth_lacks_is_empty_there(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    rows("positives", {"a.jpg": masks()["a.jpg"]}).to_csv(path, index=False)
    (found,) = steel.read_truth(path, ["a.jpg"], SIZE, ["1", "3", "10"])
    assert np.array_equal(found, masks()["a.jpg"])


def test_truth_names_all_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    rows("pairs", masks()).to_csv(path, index=False)
    edit(path, "d.png_3,\n", "")
    edit(path, "d.png_1,\n", "d.png_1,5\n")
    add(path, "a.jpg_1,1 2")
    add(path, "b.jpg_7,1 2")
    add(path, "elsewhere.jpg_1,odd")  # nobody asks for it
    with pytest.raises(InputError) as caught:
        steel.read_truth(path, TRAIN, SIZE, ["1", "3", "10"])
    for part in (
        "image d.png has no row for class 3",
        "image d.png, class 1: RLE holds an odd count",
        "image a.jpg, class 1: the pair is duplicate",
        "image b.jpg has the class 7, which the data does not know",
        "4 problems",
    ):
        assert part in str(caught.value)


# --- submissions


def predicted() -> list[Prediction]:
    one, other = (np.zeros((*SIZE, 3), np.uint8) for _ in range(2))
    one[3:5, 7:9, 1] = one[:, -1, 2] = 1
    return [Prediction("x.jpg", one), Prediction("y.jpg", other)]


def submit(root: Path, predictions: list[Prediction], **spec: Any) -> str:
    settings = complete("data", spec)
    text = writer.write_submission(predictions, root, settings, ["1", "3", "10"])
    assert writer.check_submission(text, predictions, root, settings, ["1", "3", "10"]) == []
    return text


def test_the_sample_gives_header_rows_and_order(run: Run) -> None:
    sample = pd.read_csv(run.root / "sample_submission.csv")
    lines = submit(run.root, predicted()).splitlines()
    assert lines[0] == "ImageId_ClassId,EncodedPixels"
    assert [line.split(",")[0] for line in lines[1:]] == sample["ImageId_ClassId"].tolist()
    assert lines.count("x.jpg_3,172 2 196 2") == 1
    assert sum(line.endswith(",") for line in lines) == 4


def test_without_a_sample_all_pairs_are_written_sorted(run: Run) -> None:
    (run.root / "sample_submission.csv").unlink()
    lines = submit(run.root, predicted()[::-1]).splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "ImageId_ClassId",
        *(f"{image}_{label}" for image in TEST for label in ("1", "3", "10")),
    ]


def test_a_sample_of_the_other_form_is_followed(run: Run) -> None:
    path = run.root / "sample_submission.csv"
    # every pair: the same rows come back, columns in the sample's order
    keys = [(label, image) for image in TEST[::-1] for label in ("3", "1", "10")]
    table = pd.DataFrame(keys, columns=["ClassId", "ImageId"])
    table.assign(EncodedPixels="1 1").to_csv(path, index=False)
    lines = submit(run.root, predicted()).splitlines()
    assert lines[0] == "ClassId,ImageId,EncodedPixels"
    assert [tuple(line.split(",")[:2]) for line in lines[1:]] == keys
    assert "3,x.jpg,172 2 196 2" in lines
    run("steel")
    # a row an image, to show the columns: what is there, in the sample's order
    path.write_text("ImageId,EncodedPixels,ClassId\ny.jpg,1 1,1\nx.jpg,1 1,3\n")
    run("steel")
    assert submit(run.root, predicted()).splitlines() == [
        "ImageId,EncodedPixels,ClassId",
        "x.jpg,172 2 196 2,3",
        "x.jpg,937 24,10",
    ]


def test_a_sample_that_shows_a_class_of_its_own_for_every_image_tells_no_classes(run: Run) -> None:
    (run.root / "sample_submission.csv").write_text(
        "ImageId,EncodedPixels,ClassId\nx.jpg,1 1,0\ny.jpg,1 1,0\n"
    )
    run("steel")
    assert store.attrs(run.train)["label_names"] == ["1", "3", "10"]
    assert "x.jpg,172 2 196 2,3" in submit(run.root, predicted()).splitlines()


@pytest.mark.parametrize("sample", [True, False])
def test_there_may_be_no_test_images(tmp_path: Path, sample: bool) -> None:
    run = Run(tmp_path)
    make(run.root, sample=sample)
    for name in TEST:
        (run.root / "test_images" / name).unlink()
    if sample:
        (run.root / "sample_submission.csv").write_text("ImageId_ClassId,EncodedPixels\n")
    run("steel")
    assert submit(run.root, []) == "ImageId_ClassId,EncodedPixels\n"


def test_predictions_that_do_not_fit_the_sample_are_all_named(run: Run) -> None:
    one, other = predicted()
    with pytest.raises(InputError) as caught:
        submit(run.root, [one, Prediction("z.jpg", other.mask)])
    for key in ("y.jpg_1", "y.jpg_3", "y.jpg_10", "z.jpg_1", "z.jpg_3", "z.jpg_10"):
        assert f"{key}: is " in str(caught.value)
    lines = submit(run.root, [one], on_problem="drop").splitlines()
    assert "y.jpg_3," in lines  # left out of the data, but the sample wants it


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "x.jpg_3,172 2 196 2",
            "x.jpg_3,172 2 196 1",
            "x.jpg_3: its RLE decodes to a mask that is not",
        ),
        ("x.jpg_3,172 2 196 2", "x.jpg_3,172 2 196", "x.jpg_3: RLE holds an odd count"),
        ("y.jpg_1,", "y.jpg_1,1 1", "y.jpg_1: its RLE decodes to a mask that is not"),
        ("y.jpg_1,\n", "", "y.jpg_1: is missing"),
        ("y.jpg_1,\n", "y.jpg_1,\ny.jpg_1,\n", "y.jpg_1: is written 2 times"),
        ("y.jpg_1,\n", "y.jpg_1,\nz.jpg_1,5 2\n", "z.jpg_1: has a mask that was not predicted"),
        ("ImageId_ClassId", "Image", "its columns are Image,EncodedPixels"),
    ],
)
def test_a_wrong_submission_is_found_out(run: Run, old: str, new: str, words: str) -> None:
    text = submit(run.root, predicted())
    assert old in text
    wrong = text.replace(old, new, 1)
    found = writer.check_submission(wrong, predicted(), run.root, {}, ["1", "3", "10"])
    assert any(words in f"{finding.file}: {finding.reason}" for finding in found), found


def test_scan_decodes_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steel.image_files, "decode", lambda path: pytest.fail(f"decoded {path}"))
    listing = steel.scan(run.root, competitions.settings(complete("data", {})))
    assert [item.id for item in listing.train] == TRAIN
    assert listing.size == SIZE
    assert listing.findings == []


def test_jpeg_is_read_as_opencv_reads_it(run: Run) -> None:
    run("steel")
    colours = cv2.imread(str(run.root / "train_images/a.jpg"))
    grey = cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)
    assert np.abs(store.read(run.train, "image")[0].astype(int) - grey).max() <= 1


# --- tables as people write them


def test_blanks_around_columns_and_fields_do_not_count(run: Run) -> None:
    run("steel")
    before = store.read(run.train, "mask")
    table = pd.read_csv(run.root / CSV, dtype=str)
    table.columns = [f" {name} " for name in table.columns]
    (table + " ").to_csv(run.root / CSV, index=False)
    run("steel")
    assert np.array_equal(store.read(run.train, "mask"), before)


def test_minus_one_says_nothing_is_there(run: Run) -> None:
    run("steel")
    before = store.read(run.train, "mask")
    add(run.root / CSV, "d.png,1,-1\nd.png,3, -1")
    run("steel")
    assert np.array_equal(store.read(run.train, "mask"), before)


def test_rows_of_objects_are_joined_where_none_overlaps(run: Run) -> None:
    run("steel")
    before = store.read(run.train, "mask")
    table = pd.read_csv(run.root / CSV, dtype=str)
    single = [
        (image, label, text[0])
        for image, label, runs in table.itertuples(index=False)
        for text in re.findall(r"(\d+ \d+)()", runs)
    ]
    assert len(single) > len(table)
    pd.DataFrame(single[::-1], columns=POSITIVES).to_csv(run.root / CSV, index=False)
    run("steel")
    assert np.array_equal(store.read(run.train, "mask"), before)
    add(run.root / CSV, ",".join(single[0]))
    run.train.unlink()
    run.test.unlink()
    assert "rows of objects are joined where no two of them overlap" in run.refused("steel")
