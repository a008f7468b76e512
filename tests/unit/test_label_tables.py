"""Image labels from tables: one of several, or numbers, soft or unknown; wrong ones are named."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from raw_folders import ingest_both, make_folder, save_table

from foldbelt import store
from foldbelt.competitions.folder.files import files
from foldbelt.config import complete
from foldbelt.files import InputError

IDS = ["a", "b", "c"]
NAN = np.nan
PAIR = {"table": "labels.csv", "columns": ["cold", "warm"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "raw", dict.fromkeys(IDS, (24, 24)), test=True)


def ingested(root: Path, label: Any, **spec: Any) -> tuple[Path, np.ndarray]:
    out = root.parent / "out"
    ingest_both("folder", root, complete("data", {"label": label, **spec}), out)
    return out / "train.h5", store.read(out / "train.h5", "labels")


def refused(root: Path, label: Any) -> str:
    with pytest.raises(InputError) as caught:
        ingested(root, label)
    return str(caught.value)


def test_an_empty_cell_of_a_plain_column_is_unknown(root: Path, capsys: Any) -> None:
    save_table(root / "meta.csv", {"id": IDS, "view": ["PA", " ", "AP"]})
    path, labels = ingested(root, "view")
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [[0, 1], [NAN, NAN], [1, 0]])
    assert store.attrs(path)["label_names"] == ["AP", "PA"]
    assert store.attrs(path)["exclusive_labels"] is True
    assert store.attrs(path.with_name("test.h5"))["exclusive_labels"] is True
    told = capsys.readouterr().out
    assert "Labels in meta.csv, and how many training images have them: AP (1), PA (1)" in told
    assert "Of 1 of 3 training images a label is unknown" in told


def test_a_column_of_another_table_serves_as_well(root: Path) -> None:
    save_table(root / "labels.csv", {"id": ["c", "b", "a"], "view": ["x", "y", "x"]})
    _, labels = ingested(root, {"table": "labels.csv", "column": "view"})
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert not (root / "meta.csv").exists(), "which is not needed then"


def test_columns_of_numbers_may_be_soft_and_unknown(root: Path) -> None:
    table = {"id": IDS, "warm": ["0.25", "1", "nan"], "cold": ["1", "", "0"], "x": [*"???"]}
    save_table(root / "labels.csv", table)
    path, labels = ingested(root, PAIR)
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [[1, 0.25], [NAN, 1], [0, NAN]])
    assert store.attrs(path)["label_names"] == ["cold", "warm"], "in the order asked for"
    assert "exclusive_labels" not in store.attrs(path)
    assert list(store.table(path)) == ["id", "height", "width", "coverage", "empty"]


@pytest.mark.parametrize("numbers", [[0, 1, 1], [0.0, 1.0, 1.0]])
def test_labels_of_zero_and_one_are_stored_as_such(root: Path, numbers: list[float]) -> None:
    save_table(root / "labels.csv", {"id": IDS, "cold": numbers, "warm": numbers[::-1]})
    _, labels = ingested(root, PAIR)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[0, 1], [1, 1], [1, 0]]


def test_labels_that_exclude_each_other_sum_to_one(root: Path) -> None:
    rows = {"id": IDS, "cold": ["0.3333", "", "0"], "warm": ["0.6666", "", "1"]}
    save_table(root / "labels.csv", rows)
    path, labels = ingested(root, {**PAIR, "exclusive": True})
    assert store.attrs(path)["exclusive_labels"] is True
    assert np.isnan(labels[1]).all()
    save_table(root / "labels.csv", {"id": IDS, "cold": ["0.3", "0.2", "1"], "warm": [0.6, "", 1]})
    message = refused(root, {**PAIR, "exclusive": True})
    assert re.search(r"labels\.csv: line 2 \(id a\): the labels exclude .* sum to 0\.9;", message)
    assert re.search(r"labels\.csv: line 3 \(id b\): some labels are empty", message)
    assert re.search(r"labels\.csv: line 4 \(id c\): .* sum to 2;", message)
    ingested(root, PAIR)  # labels that do not exclude each other may say so


def test_all_wrong_cells_and_rows_come_at_once(root: Path) -> None:
    rows = {"id": ["a", "b", "z"], "cold": ["1.01", "-0.5", "0"], "warm": ["yes", "inf", "0"]}
    save_table(root / "labels.csv", rows)
    message = refused(root, PAIR)
    for reason in (
        r"line 2 \(id a\): cold is '1\.01'; it must be a number from 0 to 1, or empty",
        r"line 2 \(id a\): warm is 'yes'",
        r"line 3 \(id b\): cold is '-0\.5'",
        r"line 3 \(id b\): warm is 'inf'",
        r"id z is unknown",
        r"has no row for id c",
    ):
        assert re.search(reason, message), reason


def test_a_wrong_row_drops_its_image_alone(root: Path) -> None:
    save_table(root / "labels.csv", {"id": IDS, "cold": ["0.5", "2", "1"], "warm": [0, 0, 1]})
    path, labels = ingested(root, PAIR, on_problem="drop")
    assert store.read(path, "id").tolist() == ["a", "c"]
    assert labels.tolist() == [[0.5, 0], [1, 1]]


def test_the_kind_of_the_dataset_follows_from_the_images_that_are_left(root: Path) -> None:
    save_table(root / "labels.csv", {"id": IDS, "cold": ["0.5", "0", "1"], "warm": [0, 0, 1]})
    (root / "masks/a.png").write_bytes(b"no image")
    _, labels = ingested(root, PAIR, on_problem="drop")
    assert labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ({"table": "gone.csv", "columns": ["cold"]}, r"gone\.csv: is missing"),
        ({**PAIR, "columns": ["cold", "hot", "wet"]}, r"no column 'hot', 'wet', which data\.label"),
        ({"table": "labels.csv", "column": "blank"}, r"column blank is empty for all"),
        (
            {"table": "labels.csv", "column": "same"},
            r"column same holds 'x' alone; there is nothing",
        ),
        ({**PAIR, "columns": ["blank"]}, r"column blank says nothing of any"),
        ("view", r"meta\.csv: is missing.* the columns id, view"),
    ],
)
def test_labels_that_are_not_there_are_fatal(root: Path, label: Any, reason: str) -> None:
    columns = {"id": IDS, "cold": [0, 1, 1], "warm": [0, 1, 1], "blank": ["", " ", ""]}
    columns["same"] = ["x", "", "x"]
    save_table(root / "labels.csv", columns)
    if isinstance(label, dict):
        label = complete("data", {"label": label})["label"]
    message = refused(root, label)
    assert re.search(reason, message), message
    with pytest.raises(InputError):
        ingested(root, label, on_problem="drop")


def test_rows_of_test_images_are_not_read(root: Path) -> None:
    rows = {"id": [*IDS, "test_a"], "cold": [0, 1, 1, 7], "warm": [1, 1, 0, "?"]}
    save_table(root / "labels.csv", rows)
    _, labels = ingested(root, PAIR)
    assert labels.tolist() == [[0, 1], [1, 1], [1, 0]]


def test_files_that_are_read_count_as_training_data(root: Path) -> None:
    for name in ("labels.csv", "boxes.csv", "meta.csv"):
        pd.DataFrame({"id": IDS}).to_csv(root / name, index=False)
    (root / "xml").mkdir()
    (root / "xml/a.xml").write_text("<annotation/>")

    def listed(part: str, **spec: Any) -> set[str]:
        paths = files(root, complete("data", spec))[part]
        assert len(paths) == len(set(paths))
        return {path.relative_to(root).as_posix() for path in paths}

    plain = listed("train")
    assert plain == {
        *(f"{kind}s/{key}.png" for kind in ("image", "mask") for key in IDS),
        "meta.csv",
    }
    assert listed("train", label=PAIR, boxes="boxes.csv") - plain == {"labels.csv", "boxes.csv"}
    assert listed("train", boxes="xml") - plain == {"xml/a.xml"}
    assert listed("train", label="view", boxes="from_masks") == plain
    assert listed("train", boxes="gone.csv") == plain
    assert plain - listed("train", masks=False) == {f"masks/{key}.png" for key in IDS}
    assert listed("test", label=PAIR, boxes="boxes.csv") == listed("test")
    assert files(root, {})["sample"] == []
