"""Several masks an image: a folder of instances each, numbered ones, or a folder a class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_folders import block, make_folder, save
from test_ingest import Run

from foldbelt import store

SIZE = (24, 36)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    make_folder(run.root, {name: SIZE for name in ("im1", "im2", "im3")})
    for path in (run.root / "masks").iterdir():
        path.unlink()
    return run


def put(run: Run, name: str, mask: np.ndarray, value: int = 255) -> None:
    path = run.root / "masks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, mask * np.uint8(value))


def masks(run: Run, **settings: Any) -> np.ndarray:
    run("folder", **settings)
    return store.read(run.train, "mask")


OTHER = block(SIZE)[::-1, ::-1]


@pytest.mark.parametrize("pattern", ["{}/{}.png", "{}_{}.png", "{}-{}.png"])
def test_instances_are_joined(run: Run, pattern: str, capsys: pytest.CaptureFixture) -> None:
    for name in ("im1", "im2", "im3"):
        put(run, pattern.format(name, 1), block(SIZE), 1)
    put(run, pattern.format("im2", 2), OTHER, 2)
    found = masks(run)
    assert np.array_equal(found[0], block(SIZE))
    assert np.array_equal(found[1], block(SIZE) | OTHER)
    assert "joined: 4 files of 3 images" in capsys.readouterr().out


def test_values_name_classes_in_instances_too(run: Run) -> None:
    for name in ("im1", "im2", "im3"):
        put(run, f"{name}/x.png", block(SIZE), 1)
        put(run, f"{name}/y.png", OTHER, 2)
    found = masks(run, classes={"a": 1, "b": 2})
    assert np.array_equal(found[2], np.stack([block(SIZE), OTHER], axis=-1))


def test_a_folder_for_each_class(run: Run, capsys: pytest.CaptureFixture) -> None:
    for name in ("im1", "im2", "im3"):
        put(run, f"lung/{name}_mask.png", block(SIZE))
    put(run, "heart/im2.png", OTHER)
    found = masks(run)
    assert store.attrs(run.train)["class_names"] == ["heart", "lung"]
    assert found.any(axis=(1, 2)).tolist() == [[False, True], [True, True], [False, True]]
    assert np.array_equal(found[1, ..., 0], OTHER)
    assert "heart (1), lung (3)" in capsys.readouterr().out
    assert np.array_equal(masks(run, classes={"lung": 1, "heart": 2}), found[..., ::-1])
    for path in (run.train, run.test):
        path.unlink()
    message = run.refused("folder", classes={"lung": 1, "liver": 2})
    assert "masks/heart: is a folder of no class; data.classes names lung, liver" in message


def test_what_does_not_fit_is_named(run: Run) -> None:
    put(run, "lung/im1.png", block(SIZE))
    put(run, "lung/im2.png", np.full(SIZE, 1, np.uint8)[:5])
    put(run, "heart/im2.png", np.arange(24 * 36, dtype=np.uint8).reshape(SIZE) % 7)
    put(run, "heart/im9.png", OTHER)
    message = run.refused("folder")
    assert "masks/lung/im2.png: is 5×36, unlike its image (24×36)" in message
    assert "masks/heart/im9.png: belongs to no image" in message
    assert "images/im3.png: has no mask in masks/" in message


def test_every_file_of_a_mask_that_cannot_be_used_is_named(run: Run) -> None:
    for name in ("im1", "im2", "im3"):
        put(run, f"{name}/1.png", block(SIZE))
    for number in (2, 3):
        put(run, f"im1/{number}.png", np.arange(24 * 36, dtype=np.uint8).reshape(SIZE) % 7, 1)
    message = run.refused("folder")
    assert "masks/im1/2.png: holds the values" in message
    assert "masks/im1/3.png: holds the values" in message


def test_what_can_be_two_layouts_is_refused(run: Run) -> None:
    for name in ("im1", "im2", "im3"):
        for other in ("im1", "im2", "im3"):
            put(run, f"{name}/{other}.png", block(SIZE))
    assert "masks: can be understood in two ways" in run.refused("folder")


def test_a_suffix_that_is_the_same_for_all_stays_a_pair(
    run: Run, capsys: pytest.CaptureFixture
) -> None:
    for name in ("im1", "im2", "im3"):
        put(run, f"{name}_1.png", block(SIZE))
    assert np.array_equal(masks(run)[0], block(SIZE))
    assert "Masks are named *_1 where images are named *" in capsys.readouterr().out
