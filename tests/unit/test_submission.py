"""A submission says exactly what was predicted, in the sample's format, or does not appear."""

import json
import shutil
import weakref
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from raw_folders import (
    SIDE,
    TEST,
    add_row,
    cut,
    ingest_both,
    make_folder,
    make_salt,
    save,
    save_table,
)

from foldbelt import competitions, rle, store, submit
from foldbelt.boxes import Boxes
from foldbelt.competitions._submitting import Prediction
from foldbelt.competitions.folder import submit as folder
from foldbelt.competitions.folder.labels import read_labels
from foldbelt.config import complete
from foldbelt.files import InputError
from foldbelt.formats import boxes as box_files
from foldbelt.store.geometry import resize_to

THRESHOLD = 0.5


class Case:
    """A raw folder taken as far as a blend."""

    def __init__(self, tmp_path, competition, **spec):
        self.competition, self.spec = competition, complete("data", spec)
        self.root, self.out = tmp_path / "raw", tmp_path / "out/submit.csv"
        self.test, self.blend = tmp_path / "test.h5", tmp_path / "blend.h5"
        self.decision = tmp_path / "decision.json"
        decision = {"params": {"threshold": THRESHOLD, "min_area": 0, "gate": 0}}
        self.decision.write_text(json.dumps(decision))

    def ingest(self):
        ingest_both(self.competition, self.root, self.spec, self.test.parent)
        return self

    def predict(self, prob=None, ids=None):
        ids = store.read(self.test, "id").tolist() if ids is None else ids
        if prob is None:
            shape = (len(ids), *store.stored_size(self.test))
            prob = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            prob[-1:] = 0
        store.write(self.blend, {"prob": prob}, pd.DataFrame({"id": ids}))
        return prob

    def submit(self):
        args = self.competition, self.root, self.spec, self.test, self.blend
        submit.run(*args, self.decision, self.out)
        return pd.read_csv(self.out, dtype=str, na_filter=False)


@pytest.fixture
def salt(tmp_path):
    case = Case(tmp_path, "salt")
    make_salt(case.root)
    return case.ingest()


def test_salt_follows_the_sample(salt):
    prob = salt.predict()
    table = salt.submit()
    assert table.columns.tolist() == ["id", "rle_mask"]
    assert table["id"].tolist() == TEST[::-1]  # the sample's order, not the data's
    for name, mask in zip(TEST, prob / 255 > THRESHOLD, strict=True):
        text = table.set_index("id").loc[name, "rle_mask"]
        assert np.array_equal(rle.decode(text, (SIDE, SIDE)), mask)
    assert table["rle_mask"].tolist()[0] == ""


def test_salt_without_test_tiles_is_a_header(tmp_path):
    case = Case(tmp_path, "salt")
    make_salt(case.root)
    shutil.rmtree(case.root / "test")
    (case.root / "test").mkdir()
    (case.root / "sample_submission.csv").unlink()
    case.ingest().predict()
    assert case.submit().empty
    assert case.out.read_text() == "id,rle_mask\n"


def test_it_tells_how_many_masks_hold_something(salt, capsys):
    prob = salt.predict()
    salt.submit()
    filled = int((prob > 255 * THRESHOLD).any(axis=(1, 2)).sum())
    assert (
        f"{filled} of {len(prob)} masks are not empty: salt ({filled})" in capsys.readouterr().out
    )
    salt.predict(prob * 0)
    salt.submit()
    assert f"0 of {len(prob)} masks" in capsys.readouterr().out


def test_salt_columns_in_the_samples_order(salt):
    path = salt.root / "sample_submission.csv"
    save_table(path, {"rle_mask": ["1 1"] * 2, "id": TEST})
    salt.predict()
    assert salt.submit().columns.tolist() == ["rle_mask", "id"]


def test_predictions_in_another_order_are_joined_by_id(salt):
    prob = salt.predict()
    first = salt.submit()
    salt.predict(prob[::-1], TEST[::-1])
    assert salt.submit().equals(first)


def test_predictions_of_other_ids_are_refused(salt):
    salt.predict(np.zeros((2, SIDE, SIDE), np.uint8), [TEST[0], "q0"])
    with pytest.raises(InputError) as caught:
        salt.submit()
    assert "q0: is in the blend" in str(caught.value)
    assert f"{TEST[1]}: is in the test data" in str(caught.value)


def test_predictions_of_another_size_are_refused(salt):
    salt.predict(np.zeros((2, 64, 64), np.uint8))
    with pytest.raises(InputError, match=r"size \(64, 64\)"):
        salt.submit()


def test_a_sample_that_changed_is_refused(salt):
    salt.predict()
    add_row(salt.root / "sample_submission.csv", "new", "")
    with pytest.raises(InputError, match="new: is in the sample"):
        salt.submit()
    assert not salt.out.exists()


def test_a_dropped_tile_is_submitted_empty(tmp_path):
    case = Case(tmp_path, "salt", on_problem="drop")
    make_salt(case.root)
    cut(case.root / f"test/images/{TEST[0]}.png")
    case.ingest().predict(np.full((1, SIDE, SIDE), 255, np.uint8))
    table = case.submit().set_index("id")["rle_mask"]
    assert table[TEST[0]] == ""
    assert table[TEST[1]] == f"1 {SIDE * SIDE}"


# What a faulty writer could produce from the sound text, line by line (a header and two rows).
FAULTS = {
    "row missing": lambda lines: lines[:-1],
    "row twice": lambda lines: [*lines, lines[-1]],
    "row unknown": lambda lines: [*lines, "q0,"],
    "other order": lambda lines: [lines[0], lines[2], lines[1]],
    "masks swapped": lambda lines: [
        lines[0],
        lines[1].split(",")[0] + "," + lines[2].split(",")[1],
        lines[2].split(",")[0] + "," + lines[1].split(",")[1],
    ],
    "pixel lost": lambda lines: [*lines[:-1], lines[-1].rsplit(" ", 2)[0]],
    "overrun": lambda lines: [*lines[:-1], lines[-1] + " 99999 3"],
    "header": lambda lines: ["id,mask", *lines[1:]],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_text_never_appears(salt, monkeypatch, fault):
    salt.predict()
    member = competitions.writer("salt")
    write = member.write_submission

    def faulty(*args):
        lines = write(*args).splitlines()
        return "\n".join(FAULTS[fault](lines)) + "\n"

    monkeypatch.setattr(member, "write_submission", faulty)
    with pytest.raises(InputError, match="read back, is not what was predicted"):
        salt.submit()
    assert list(salt.out.parent.iterdir()) == []


# --- folder


def test_folder_writes_a_row_an_image_and_class_at_original_size(tmp_path):
    case = Case(tmp_path, "folder", size=[32, 32], classes={"far": 255, "near": 7})
    make_folder(case.root, {"a": (40, 60), "b": (24, 24)}, test=True)
    save(case.root / "masks/b.png", np.full((24, 24), 7, np.uint8))
    case.ingest()
    decision = {"params": {"threshold": [0.5, 0.8], "min_area": [0, 0], "gate": [0, 0]}}
    case.decision.write_text(json.dumps(decision))
    prob = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 2), dtype=np.uint8)
    case.predict(prob)
    table = case.submit()
    assert table.columns.tolist() == ["id", "class", "height", "width", "rle"]
    assert table["id"].tolist() == ["test_a", "test_a", "test_b", "test_b"]
    assert table["class"].tolist() == ["far", "near"] * 2
    for row, size in enumerate([(40, 60), (24, 24)]):
        full = resize_to(prob[row], size)
        for k, threshold in enumerate([0.5, 0.8]):
            line = table.iloc[2 * row + k]
            assert (int(line["height"]), int(line["width"])) == size
            assert np.array_equal(rle.decode(line["rle"], size), full[..., k] / 255 > threshold)


def test_folder_without_test_images_is_a_header(tmp_path):
    case = Case(tmp_path, "folder")
    make_folder(case.root, {"a": (24, 24)})
    case.ingest().predict()
    case.submit()
    assert case.out.read_text() == "id,class,height,width,rle\n"


def test_folder_follows_a_sample(tmp_path):
    case = Case(tmp_path, "folder")
    make_folder(case.root, {"a": (24, 24), "b": (24, 24)}, test=True)
    path = case.root / "sample_submission.csv"
    save_table(path, {"rle": ["", ""], "id": ["test_b", "test_a"], "width": [0, 0]})
    prob = case.ingest().predict()
    table = case.submit()
    assert table.columns.tolist() == ["rle", "id", "width"]
    assert table["id"].tolist() == ["test_b", "test_a"]
    assert table["width"].tolist() == ["24", "24"]
    assert np.array_equal(rle.decode(table["rle"][1], (24, 24)), prob[0] / 255 > THRESHOLD)


def test_a_folders_submission_is_checked_in_bounded_memory(tmp_path):
    """All ids are needed before the first mask is compared, and not all masks."""
    alive: list[weakref.ref] = []
    random = np.random.default_rng(0)

    def predicted():
        for number in range(6):
            mask = np.uint8(np.add.outer(random.integers(0, 9, 5), np.arange(7))[..., None] > 8)
            alive.append(weakref.ref(mask))
            yield Prediction(f"a{number}", mask, None)
            del mask
            assert sum(ref() is not None for ref in alive) <= 2

    random = np.random.default_rng(0)
    text = folder.write_submission(predicted(), tmp_path, {"on_problem": "error"}, ["x"])
    random = np.random.default_rng(0)
    alive.clear()
    assert not folder.check_submission(text, predicted(), tmp_path, {}, ["x"])
    random = np.random.default_rng(1)
    assert folder.check_submission(text, predicted(), tmp_path, {}, ["x"])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"id": ["test_a"], "rle": [""], "colour": [1]}, "has the columns colour"),
        ({"id": ["test_a"], "class": ["cat"], "rle": [""]}, "does not list every class once"),
        ({"id": ["test_a", "q0"], "rle": ["", ""]}, "id q0 is unknown"),
        ({"id": ["q0"], "rle": [""]}, "has no row for id test_a"),
    ],
)
def test_a_folders_sample_is_checked_at_ingest(tmp_path, columns, reason):
    case = Case(tmp_path, "folder")
    make_folder(case.root, {"a": (24, 24)}, test=True)
    save_table(case.root / "sample_submission.csv", columns)
    with pytest.raises(InputError, match=reason):
        case.ingest()


# --- labels and boxes of a folder data set


def predicted_boxes(count=6):
    random = np.random.default_rng(3)
    images = []
    for number in range(count):
        boxes = np.zeros((number, 6))
        boxes[:, 0] = random.integers(0, 2, number)
        boxes[:, 1:3] = random.uniform(0, 20, (number, 2))
        boxes[:, 3:5] = boxes[:, 1:3] + random.uniform(0.1, 30, (number, 2))
        boxes[:, 5] = random.integers(1, 4, number) / 4  # some are as sure as others
        images.append(boxes)
    return Boxes.join(images)


def test_boxes_written_are_read_as_they_were(tmp_path):
    boxes, names = predicted_boxes(), ["ring", 'a "disc", or so']
    ids = ["f", "b", "a", "e", "d", "c"]
    text = folder.write_boxes(ids, boxes, names)
    (tmp_path / "boxes.csv").write_text(text)
    sizes = dict.fromkeys(ids, (60, 60))
    found = box_files.check(box_files.read(tmp_path, "boxes.csv"), sizes, names=names)
    assert found.findings == []
    assert sorted(found.boxes) == sorted(ids), "images without boxes are there, too"
    for place, key in enumerate(ids):
        wanted, given = (
            rows[np.lexsort(rows[:, [3, 2, 1, 0]].T)]
            for rows in (boxes.image(place), found.boxes[key])
        )
        assert wanted[:, 0].tolist() == given[:, 0].tolist()
        assert wanted[:, 1:5] == pytest.approx(given[:, 1:5], abs=0.0051)


def test_the_table_of_boxes_is_sorted_and_does_not_depend_on_the_order_of_boxes():
    boxes, names = predicted_boxes(), ["ring", "disc"]
    ids = ["f", "b", "a", "e", "d", "c"]
    text = folder.write_boxes(ids, boxes, names)
    table = pd.read_csv(StringIO(text), dtype=str, na_filter=False)
    assert list(table) == ["id", "class", "x1", "y1", "x2", "y2", "score"]
    assert table["id"].is_monotonic_increasing
    assert text.splitlines()[-1] == "f,,,,,,"
    for _, rows in table[table["class"] != ""].groupby("id"):
        assert rows["score"].astype(float).is_monotonic_decreasing
        for column, digits in {"x1": 2, "y2": 2, "score": 6}.items():
            assert all(len(cell.split(".")[1]) == digits for cell in rows[column])
    turned = Boxes.join(boxes.image(n)[::-1] for n in reversed(range(len(boxes))))
    assert folder.write_boxes(ids[::-1], turned, names) == text


def test_the_thinnest_box_is_written_as_a_box():
    boxes = Boxes.join([np.array([[0, 3, 4, 3.001, 9, 0.5]])])
    line = folder.write_boxes(["a"], boxes, ["x"]).splitlines()[1]
    assert line == "a,x,3.00,4.00,3.01,9.00,0.500000"


def test_labels_written_are_read_as_they_were(tmp_path):
    prob = np.random.default_rng(0).random((3, 2)).astype(np.float32)
    text = folder.write_labels(["c", "a", "b"], prob, ["cold", "warm, or hot"])
    assert text.splitlines()[0] == 'id,cold,"warm, or hot"'
    (tmp_path / "labels.csv").write_text(text)
    label = {"table": "labels.csv", "columns": ["cold", "warm, or hot"]}
    label = complete("data", {"label": label})["label"]
    found, findings = read_labels(tmp_path, label, dict.fromkeys("abc"), {})
    assert findings == []
    for key, row in zip("cab", prob, strict=True):
        assert found.of(key) == pytest.approx(row, abs=1e-6)
    table = pd.read_csv(StringIO(text))
    assert table["id"].tolist() == ["a", "b", "c"]
    assert folder.write_labels([], np.zeros((0, 2)), ["x", "y"]) == "id,x,y\n"
