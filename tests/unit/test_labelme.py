"""LabelMe's shapes become masks: a pixel is inside if its centre is."""

import json
from pathlib import Path

import numpy as np
import pytest
from raw_folders import make_folder
from test_ingest import Run

from foldbelt import store
from foldbelt.formats import labelme
from foldbelt.formats.findings import Undecodable

SIZE = (20, 30)
SQUARE = {"label": "a", "points": [[3, 2], [9, 2], [9, 7], [3, 7]]}


def write(path: Path, *shapes: dict, **more: object) -> Path:
    path.write_text(json.dumps({"version": "5", "shapes": list(shapes), **more}))
    return path


def drawn(path: Path, *classes: str) -> np.ndarray:
    return labelme.draw(labelme.read(path), SIZE, classes)


def test_shapes_cover_the_pixels_whose_centres_they_hold(tmp_path: Path) -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    box = {"label": "b", "shape_type": "rectangle", "points": [[12.2, 9.7], [4.4, 3.1]]}
    circle = {"label": "c", "shape_type": "circle", "points": [[20, 10], [20, 16.2]]}
    mask = drawn(write(tmp_path / "m.json", SQUARE, box, circle), "c", "b", "a")
    assert np.array_equal(mask[..., 2], (x > 3) & (x < 9) & (y > 2) & (y < 7))
    assert np.array_equal(mask[..., 1], (x > 4.4) & (x < 12.2) & (y > 3.1) & (y < 9.7))
    disc = (x - 20) ** 2 + (y - 10) ** 2 < 6.2**2
    assert (mask[..., 0] != disc).sum() <= 4


def test_a_polygon_outside_is_cut(tmp_path: Path) -> None:
    far = {"label": "a", "points": [[-50, -50], [80, -50], [80, 80], [-50, 80]]}
    assert drawn(write(tmp_path / "m.json", far), "a").all()
    assert not drawn(write(tmp_path / "m.json"), "a").any()


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({"label": "a", "shape_type": "line", "points": [[0, 0], [1, 1]]}, "is a line of 2 points"),
        ({"label": "a", "points": [[0, 0], [1, 1]]}, "polygon of 2 points"),
        ({"label": " ", "points": [[0, 0]] * 3}, "no label"),
        ({"points": [[0, 0]] * 3}, "lacks a label"),
        ({"label": "a", "points": [[0, None]] * 3}, "no pairs of numbers"),
    ],
)
def test_shapes_without_area_are_named(tmp_path: Path, shape: dict, told: str) -> None:
    with pytest.raises(Undecodable, match=told):
        labelme.read(write(tmp_path / "m.json", SQUARE, shape))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    make_folder(run.root, {name: SIZE for name in "abc"})
    for path in (run.root / "masks").iterdir():
        path.unlink()
        write(
            path.with_suffix(".json"),
            SQUARE,
            {**SQUARE, "label": "b"} if path.stem != "c" else SQUARE,
        )
    return run


def test_a_folder_of_shapes_is_read(run: Run, capsys: pytest.CaptureFixture) -> None:
    run("folder")
    assert store.attrs(run.train)["class_names"] == ["a", "b"]
    masks = store.read(run.train, "mask")
    assert masks.sum(axis=(1, 2)).tolist() == [[30, 30], [30, 30], [30, 0]]
    assert "LabelMe" in capsys.readouterr().out
    run("folder", classes={"b": 2, "a": 1})
    assert store.attrs(run.train)["class_names"] == ["b", "a"]


def test_faults_are_named(run: Run) -> None:
    write(run.root / "masks/a.json", {"label": "a", "points": []})
    (run.root / "masks/b.json").write_text("{")
    write(run.root / "masks/c.json", SQUARE, imageHeight=5, imageWidth=30)
    message = run.refused("folder")
    assert "masks/a.json: its shape 1" in message
    assert "masks/b.json: cannot be read as LabelMe's JSON" in message
    assert "masks/c.json: is 5×30, unlike its image" in message


def test_labels_that_are_no_classes_are_named(run: Run) -> None:
    assert "masks/a.json: has the labels b; the classes are a" in run.refused(
        "folder", classes={"a": 1}
    )
    assert "data.cut" in run.refused("folder", cut=1)


@pytest.mark.parametrize(
    "text", ['{"shapes": [], "imageHeight": "high", "imageWidth": 3}', '{"shapes": ' + "[" * 100000]
)
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(Undecodable, match="cannot be read as LabelMe's JSON"):
        labelme.read(tmp_path / "a.json")
