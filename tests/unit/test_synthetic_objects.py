"""Synthetic objects have masks, labels and boxes that say the same, hidden truth, and stay so."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from raw_folders import ingest_both, save_table

from foldbelt import store, synthetic
from foldbelt.boxes import Boxes
from foldbelt.competitions.folder import read as folder
from foldbelt.config import complete
from foldbelt.files import InputError, digest
from foldbelt.shapes import boxes_of_mask

SMALL = (24, 8, 64, 3)
CLASSES = ["disc", "square", "ring"]
SCENES = ["dotted", "plain", "striped"]


def contents(made: Path) -> dict[str, str]:
    files = [path for path in made.parent.rglob("*") if path.is_file()]
    return {str(path.relative_to(made.parent)): digest([path]) for path in files}


def strict(path: Path | str) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("small") / "objects"
    synthetic.objects(made, *SMALL)
    return made


@pytest.fixture(scope="module")
def data(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingest it with all that it has."""
    out = tmp_path_factory.mktemp("data")
    classes = {name: number for number, name in enumerate(CLASSES, 1)}
    spec = {"classes": classes, "label": "scene", "boxes": "boxes.csv", "box_classes": CLASSES}
    ingest_both("folder", small, complete("data", spec), out)
    return out


def test_the_folder_and_its_neighbours_hold_what_they_should(small: Path) -> None:
    names = {path.name for path in small.iterdir()}
    assert names == {"images", "masks", "test", "boxes.csv", "meta.csv"}
    beside = {path.name for path in small.parent.iterdir()} - {small.name}
    assert beside == {f"objects-{name}.csv" for name in ("truth", "boxes", "labels")}
    train, masks, test = (
        [path.stem for path in sorted((small / part).iterdir())]
        for part in ("images", "masks", "test")
    )
    assert train == masks
    assert (len(train), len(test)) == (24, 8)
    assert not set(train) & set(test)
    assert read(small / f"images/{train[0]}.png").shape == (64, 64)
    meta = strict(small / "meta.csv").set_index("id")
    assert list(meta) == ["place", "scene"]
    assert (meta["scene"][test] == "").all(), "the scene of test images is not told"
    assert not set(meta["place"][train]) & set(meta["place"][test])
    sizes = meta["place"][train].value_counts()
    assert sizes.max() <= 4
    assert (sizes >= 2).sum() >= 5
    assert (meta.loc[train].groupby("place")["scene"].nunique() == 1).all()
    assert set(meta["scene"][train]) == set(SCENES)


def test_masks_labels_and_boxes_say_the_same(data: Path) -> None:
    train = data / "train.h5"
    attrs = store.attrs(train)
    assert attrs["class_names"] == attrs["box_names"] == CLASSES
    assert attrs["label_names"] == SCENES
    boxes = Boxes.from_bytes(list(store.read(train, "boxes")))
    counts = store.table(train)["boxes"]
    assert counts.tolist() == np.diff(boxes.start).tolist()
    assert (counts == 0).any(), "some images have none"
    assert counts.max() > 2
    for number, (mask, _) in enumerate(store.truth(train)):
        drawn = {tuple(row) for row in boxes.image(number).tolist()}
        assert drawn == {tuple(row) for row in boxes_of_mask(mask).tolist()}
    shares = np.bincount(boxes.classes) / len(boxes.classes)
    assert (abs(shares - 1 / 3) < 0.1).all()


def test_the_hidden_truth_has_the_same_forms(small: Path) -> None:
    ids = sorted(path.stem for path in (small / "test").iterdir())
    masks = np.stack(list(folder.read_truth(f"{small}-truth.csv", ids, (64, 64), CLASSES)))
    whole = np.stack(list(folder.read_truth(f"{small}-truth.csv", ids, (64, 64), [folder.ONE])))
    assert np.array_equal(whole, masks.any(axis=3, keepdims=True))  # without `data.classes`
    assert masks.shape == (8, 64, 64, 3)
    boxes = strict(f"{small}-boxes.csv")
    assert list(boxes) == list(strict(small / "boxes.csv"))
    assert sorted(set(boxes["id"])) == ids
    for key, mask in zip(ids, masks, strict=True):
        rows = boxes[(boxes["id"] == key) & (boxes["class"] != "")]
        given = {
            (CLASSES.index(row[0]), *map(int, row[1:]))
            for row in rows.drop(columns="id").itertuples(index=False)
        }
        assert given == {tuple(row[:5]) for row in boxes_of_mask(mask).astype(int).tolist()}
    labels = strict(f"{small}-labels.csv")
    assert list(labels) == ["id", *SCENES]
    assert sorted(labels["id"]) == ids
    assert (labels[SCENES].astype(int).sum(axis=1) == 1).all()


def test_the_scene_shows_in_the_image(tmp_path: Path) -> None:
    """A texture has more fine contrast than none, and dots have it in both directions."""
    synthetic.objects(tmp_path / "o", 60, 0, 64, 1)
    meta = strict(tmp_path / "o/meta.csv")
    power: dict[str, list[float]] = {name: [] for name in SCENES}
    for key, scene in zip(meta["id"], meta["scene"], strict=True):
        image = read(tmp_path / f"o/images/{key}.png").astype(np.float32)
        bare = image - cv2.GaussianBlur(image, (0, 0), 6)
        bare[read(tmp_path / f"o/masks/{key}.png") > 0] = 0
        spectrum = np.abs(np.fft.rfft2(bare))
        peaks = np.sort(spectrum.ravel())[::-1]
        power[scene].append(float(peaks[0] / np.median(spectrum)))
    plain, striped, dotted = (np.array(power[name]) for name in ("plain", "striped", "dotted"))
    assert np.quantile(plain, 0.9) < np.quantile(striped, 0.1)
    assert np.quantile(plain, 0.9) < np.quantile(dotted, 0.1)


def test_brightness_alone_tells_no_class(tmp_path: Path) -> None:
    synthetic.objects(tmp_path / "o", 60, 0, 64, 2)
    contrast: dict[int, list[float]] = {1: [], 2: [], 3: []}
    for path in (tmp_path / "o/images").iterdir():
        image, mask = read(path).astype(np.float32), read(tmp_path / "o/masks" / path.name)
        for kind in set(np.unique(mask).tolist()) - {0}:
            contrast[kind].append(abs(image[mask == kind].mean() - image[mask == 0].mean()))
    means = [np.mean(values) for values in contrast.values()]
    assert min(means) > 25, "objects can be seen"
    assert max(means) / min(means) < 1.25


def test_colours_differ_and_masks_do_not(tmp_path: Path) -> None:
    synthetic.objects(tmp_path / "o", 12, 0, 32, 0, colour=True)
    image = read(next((tmp_path / "o/images").iterdir()))
    assert image.shape == (32, 32, 3)
    assert np.ptp(image.mean(axis=(0, 1))) > 2
    assert read(next((tmp_path / "o/masks").iterdir())).ndim == 2
    assert strict(f"{tmp_path / 'o'}-truth.csv").empty


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_seed_gives_the_same_bytes_in_other_processes(
    small: Path, tmp_path: Path, workers: int
) -> None:
    again = tmp_path / "objects"
    code = (
        "from foldbelt.synthetic import objects; "
        f"objects({str(again)!r}, *{SMALL}, workers={workers})"
    )
    environment = {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    path = str(Path(synthetic.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=path)
    assert contents(again) == contents(small)


def test_another_seed_gives_other_images(small: Path, tmp_path: Path) -> None:
    synthetic.objects(tmp_path / "objects", *SMALL[:3], 4)
    ours, others = (
        [(path.stem, digest([path])) for path in (made / "images").iterdir()]
        for made in (small, tmp_path / "objects")
    )
    assert not {part for pair in ours for part in pair} & {part for pair in others for part in pair}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": 11}, "images is 11"),
        ({"test_images": -1}, "test_images is -1"),
        ({"side": 31}, "side is 31"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    arguments = {"images": 12, "test_images": 0, "side": 32, "seed": 0, **change}
    with pytest.raises(InputError, match=words):
        synthetic.objects(tmp_path / "objects", **arguments)
    assert not list(tmp_path.iterdir())


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects/mine.txt").touch()
    with pytest.raises(InputError, match="delete it"):
        synthetic.objects(tmp_path / "objects", *SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["objects", "mine.txt"]


# --- a folder's table of hidden truth


def test_a_truth_of_one_class_needs_no_column_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    save_table(path, {"id": ["b", "a"], "rle": ["1 2", ""]})
    masks = list(folder.read_truth(path, ["a", "b"], (2, 3), ["lung"]))
    assert [mask[..., 0].tolist() for mask in masks] == [[[0] * 3] * 2, [[1, 0, 0]] * 2]
    assert len(list(folder.read_truth(path, ["b"], (2, 3)))) == 1


def test_a_truth_names_all_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    save_table(path, {"id": ["a", "a", "b"], "class": ["x", "y", "x"], "rle": ["1 2", "1", "9 9"]})
    with pytest.raises(InputError) as caught:
        folder.read_truth(path, ["a", "b"], (2, 3), ["x", "y"])
    for words in ("id a y: RLE", "id b x: RLE", "id b has no row of the class y"):
        assert words in str(caught.value)
    save_table(path, {"id": ["a", "a"], "class": ["x", "x"], "rle": ["1 2", "1 2"]})
    with pytest.raises(InputError, match="id a has x twice"):
        folder.read_truth(path, ["a"], (2, 3), ["x"])
    save_table(path, {"id": ["a"], "rle": ["1 2"]})
    with pytest.raises(InputError, match="lacks the column class, though there are several"):
        folder.read_truth(path, ["a"], (2, 3), ["x", "y"])
