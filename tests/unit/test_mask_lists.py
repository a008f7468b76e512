"""Masks that a file lists: COCO's polygons and run lengths, and tables such as submissions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from raw_folders import block, make_folder, save, tile
from test_ingest import Run

from foldbelt import competitions, raw_files, store
from foldbelt.competitions._submitting import Prediction
from foldbelt.competitions.folder import submit
from foldbelt.config import complete, resolve
from foldbelt.files import InputError
from foldbelt.formats.mask_lists import counts
from foldbelt.rle import encode

SIZE = (24, 36)
KINDS = {1: "b", 7: "a"}
FILE = "annotations.json"
PLAIN = {
    "run": "small",
    "competition": "folder",
    "stages": {"one": {"epochs": 1, "loss": {"bce": 1}}},
    "models": {"m": {"architecture": {"name": "unet"}, "stages": ["one"]}},
}
SQUARE = [3, 2, 9, 2, 9, 7, 3, 7]


def square() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[2:7, 3:9] = 1
    return mask


def counted(mask: np.ndarray) -> list[int]:
    """Give COCO's counts of a mask, by a plain loop."""
    found, last = [0], 0
    for value in mask.ravel(order="F").tolist():
        if value != last:
            found.append(0)
            last = value
        found[-1] += 1
    return found


def packed(values: list[int]) -> str:
    """Write COCO's short text, bit by bit."""
    text = ""
    for place, value in enumerate(values):
        rest = value - values[place - 2] if place > 2 else value
        while True:
            group, rest = rest & 31, rest >> 5
            more = rest != (-1 if group & 16 else 0)
            text += chr(48 + (group | 32 * more))
            if not more:
                break
    return text


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    make_folder(run.root, {name: SIZE for name in "abc"})
    for path in (run.root / "masks").iterdir():
        path.unlink()
    (run.root / "masks").rmdir()
    return run


def write(run: Run, *annotations: dict[str, Any], images: str = "abc", **more: Any) -> None:
    listed = [{"id": k, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]}
              for k, name in enumerate(images)]  # fmt: skip
    entries = [{"id": k, "image_id": 0, "category_id": 1, **given}
               for k, given in enumerate(annotations)]  # fmt: skip
    kinds = [{"id": key, "name": name} for key, name in KINDS.items()]
    content = {"images": listed, "annotations": entries, "categories": kinds, **more}
    (run.root / FILE).write_text(json.dumps(content))


def masks(run: Run, file: str = FILE, **settings: Any) -> np.ndarray:
    run("folder", masks=file, **settings)
    return store.read(run.train, "mask")


# --- COCO's run lengths


@pytest.mark.parametrize(
    ("text", "values"),
    [("T3", [100]), ("0203", [0, 2, 0, 5]), ("", []), ("o0", [31]), ("P1", [32]),
     ("558O", [5, 5, 8, 4]), ("PP1", [1024])],
)  # fmt: skip
def test_short_counts_are_read(text: str, values: list[int]) -> None:
    assert counts.unpack(text) == values
    assert packed(values) == text


@pytest.mark.parametrize("seed", range(4))
def test_any_mask_comes_back_from_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((31, 170)) < (0.5, 0.01, 0.99, 0.2)[seed]
    if seed == 3:
        mask = np.kron(mask[:, :9], np.ones((1, 400), bool))  # long runs, large differences
    assert counts.unpack(packed(counted(mask))) == counted(mask)
    assert np.array_equal(counts.decode(counted(mask), mask.shape), mask)


@pytest.mark.parametrize("text", ["T", "é", "\x20", "P" * 20])
def test_texts_that_are_no_counts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="its counts"):
        counts.unpack(text)


# --- COCO's file


def test_polygons_and_run_lengths_give_the_same_masks(run: Run) -> None:
    runs = {"size": [*SIZE], "counts": counted(square())}
    short = {"size": [*SIZE], "counts": packed(counted(square()))}
    parts = [[*SQUARE[:4], 9, 4, 3, 4], [0, 0, 1, 0, 1, 1, 0, 1]]
    write(
        run,
        {"segmentation": [SQUARE]},
        {"image_id": 1, "category_id": 7, "segmentation": runs},
        {"image_id": 2, "segmentation": short},
        {"image_id": 2, "category_id": 7, "segmentation": parts},
    )  # fmt: skip
    found = masks(run)
    assert store.attrs(run.train)["class_names"] == ["a", "b"]
    assert np.array_equal(found[0, ..., 1], square())
    assert np.array_equal(found[1, ..., 0], square())
    assert np.array_equal(found[2, ..., 1], square())
    assert found[2, 0, 0, 0] == 1
    assert found[2, ..., 0].sum() == 2 * 6 + 1
    assert not store.has(run.train, "ignore")
    assert np.array_equal(masks(run, classes={"b": 1, "a": 2}), found[..., ::-1])


def test_crowds_are_unlabelled_where_nothing_else_is(run: Run) -> None:
    everything = [0, 0, 36, 0, 36, 24, 0, 24]
    write(
        run,
        {"segmentation": [SQUARE]},
        {"iscrowd": 1, "segmentation": [everything]},
        {"image_id": 1, "category_id": 7, "segmentation": [SQUARE]},
    )
    found = masks(run)
    ignore = store.read(run.train, "ignore")
    assert np.array_equal(ignore[0], 1 - square())
    assert not ignore[1:].any()
    assert np.array_equal(found[0, ..., 1], square())
    assert store.table(run.train)["known"].tolist() == [square().mean(), 1, 1]


def test_all_faults_of_annotations_are_listed(run: Run) -> None:
    write(
        run,
        {"segmentation": [SQUARE[:4]]},
        {"segmentation": []},
        {"image_id": 9, "segmentation": [SQUARE]},
        {"category_id": 9, "segmentation": [SQUARE]},
        {"segmentation": {"size": [*SIZE], "counts": [5, 6]}},
        {"image_id": 1, "segmentation": {"size": [3, 4], "counts": [12]}},
        {"image_id": 1, "segmentation": {"size": [*SIZE], "counts": "T"}},
        {"image_id": 1, "segmentation": [[*SQUARE[:5], "x"]]},
        {"image_id": 1, "segmentation": {"size": [*SIZE], "counts": [-1, 865]}},
    )
    message = run.refused("folder", masks=FILE)
    for told in (
        "annotation 0 (a, b): its polygon 1 has 4 numbers",
        "annotation 1 (a, b): has no segmentation",
        "annotation 2: image_id 9 is none of the images",
        "annotation 3 (a): category_id 9 is none",
        "annotation 4 (id a, b): its counts sum to 11, not to 24·36",
        "annotation 5 (id b, b): is of 3×4 (height × width), but the image is 24×36",
        "annotation 6 (b, b): its counts break off",
        "annotation 7 (b, b): its polygon 1 is no list of numbers",
        "annotation 8 (id b, b): its counts hold -1",
    ):
        assert told in message


def test_images_that_are_not_listed_are_named_or_what_the_config_says(run: Run) -> None:
    given = {"segmentation": [SQUARE]}, {"category_id": 7, "segmentation": [SQUARE]}
    write(run, *given, images="ab")
    message = run.refused("folder", masks=FILE)
    assert f"{FILE}: does not list id c: list it without an annotation" in message
    assert "id a" not in message
    found = masks(run, masks_missing="empty")
    assert found.any(axis=(1, 2, 3)).tolist() == [True, False, False]
    assert not store.has(run.train, "ignore")
    masks(run, masks_missing="unknown")
    assert store.read(run.train, "ignore").mean(axis=(1, 2)).tolist() == [0, 0, 1]
    for path in (run.train, run.test):
        path.unlink()
    write(run, *given, images="abcd")
    assert "id d is unknown" in run.refused("folder", masks=FILE)


def test_folders_in_names_of_files_are_understood(run: Run) -> None:
    (run.root / "images/left").mkdir()
    (run.root / "images/right").mkdir()
    (run.root / "images/b.png").rename(run.root / "images/left/a.png")
    (run.root / "images/c.png").rename(run.root / "images/right/a.png")
    files = ["coco/images/a.png", "images/left/a.png", "right\\a.png"]
    images = [{"id": k, "file_name": name} for k, name in enumerate(files)]
    both = {"segmentation": [SQUARE]}, {"image_id": 2, "category_id": 7, "segmentation": [SQUARE]}
    write(run, *both, images=images)
    content = json.loads((run.root / FILE).read_text())
    (run.root / FILE).write_text(json.dumps({**content, "images": images}))
    found = masks(run)
    assert store.read(run.train, "id").tolist() == ["a", "left/a", "right/a"]
    assert found.any(axis=(1, 2)).tolist() == [[False, True], [False, False], [True, False]]


def test_an_edited_file_is_noticed(run: Run, tmp_path: Path) -> None:
    settings = competitions.settings(complete("data", {"masks": FILE}))

    def digest() -> str:
        files = competitions.files("folder")(run.root, settings)
        return raw_files.digests(files, run.root, tmp_path / "state")["train"]

    write(run, {"segmentation": [SQUARE]})
    before = digest()
    write(run, {"segmentation": [[*SQUARE, 3, 3]]})
    assert digest() != before


@pytest.mark.parametrize(
    "spec",
    [{"ignore": 3}, {"cut": 5}, {"colours": {"a": [1, 2, 3]}}, {"masks": "../x.json"},
     {"masks": True, "masks_missing": "empty"}],
)  # fmt: skip
def test_settings_without_meaning_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"data\."):
        resolve({**PLAIN, "data": {"path": "x", "masks": FILE, **spec}})


# --- tables of run lengths


def table(run: Run, *rows: tuple[Any, ...], columns: str = "id class rle") -> None:
    frame = pd.DataFrame(rows, columns=columns.split())
    frame.to_csv(run.root / "masks.csv", index=False)


def test_a_submission_is_read_back_as_masks(run: Run) -> None:
    rng = np.random.default_rng(0)
    wanted = np.kron(rng.random((3, 6, 9, 2)) < 0.4, np.ones((1, 4, 4, 1))).astype(np.uint8)
    wanted[2, ..., 1] = 0
    predictions = [Prediction(name, mask, SIZE) for name, mask in zip("abc", wanted, strict=True)]
    settings = competitions.settings(complete("data", {}))
    text = submit.write_submission(predictions, run.root, settings, ["a", "b"])
    (run.root / "masks.csv").write_text(text)
    assert np.array_equal(masks(run, "masks.csv"), wanted)
    assert store.attrs(run.train)["class_names"] == ["a", "b"]


def test_a_table_as_on_kaggle_is_read(run: Run, capsys: pytest.CaptureFixture) -> None:
    left, right = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    left[3:6, :5], right[3:6, 9:] = 1, 1
    table(
        run,
        ("a.png ", encode(left)),
        ("a.png", encode(right)),
        ("b.png", ""),
        ("c.png", "-1"),
        columns="ImageId EncodedPixels",
    )
    found = masks(run, "masks.csv")
    assert np.array_equal(found[0], left | right)
    assert not found[1:].any()
    assert store.attrs(run.train)["class_names"] == ["object"]
    assert "ImageId as id, EncodedPixels as rle" in capsys.readouterr().out
    masks(run, "masks.csv", classes={"lung": 1})
    assert store.attrs(run.train)["class_names"] == ["lung"]


def test_all_faults_of_a_table_are_listed(run: Run) -> None:
    table(
        run,
        ("a", "a", encode(square()), 24, 36),
        ("a", "a", "76 2", 24, 36),
        ("a", "b", "1 2 3", 24, 36),
        ("b", "a", "863 3", 36, 24),
        ("c", "", "1 2", 24, 36),
        ("d", "a", "1 2", 24, 36),
        columns="id class rle height width",
    )
    message = run.refused("folder", masks="masks.csv")
    for told in (
        "line 3 (id a, a): covers ",
        "line 4 (id a, b): RLE holds an odd count",
        "says that b is 36×24",
        "line 5 (id b, a): RLE holds a run that overruns",
        "line 6 (id c): has no class",
        "id d is unknown",
    ):
        assert told in message
    assert "line 2 (id a, a) is of a class that data.classes does not name" in run.refused(
        "folder", masks="masks.csv", classes={"b": 1, "c": 2}
    )
    assert "masks.csv: is missing; data.masks names it" in (
        (run.root / "masks.csv").unlink() or run.refused("folder", masks="masks.csv")
    )
    (run.root / "masks.csv").write_text("id,x\na,1\n")
    assert "lacks the column rle (it has id, x)" in run.refused("folder", masks="masks.csv")


def test_masks_of_a_file_at_their_own_size(run: Run) -> None:
    """Images of mixed sizes: what the file says is about the original."""
    save(run.root / "images/c.png", tile(9, (50, 70)))
    large = block((50, 70))
    table(run, ("a", "1 30"), ("b", ""), ("c", encode(large)), columns="id rle")
    masks(run, "masks.csv", size=[24, 36])
    assert next(iter(store.truth(run.train, ["c"])))[0].sum() == large.sum()
