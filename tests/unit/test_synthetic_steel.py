"""Synthetic steel has the layout and the quirks of the original, and the same bytes each time."""

import itertools
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from foldbelt import rle, synthetic
from foldbelt.files import InputError, digest
from foldbelt.synthetic import _canvas
from foldbelt.synthetic import _metal as metal
from foldbelt.synthetic.steel import FORMATS, SHARES

SIZE = (64, 400)
SMALL = (12, 6, (32, 200), 3)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder.parent)): digest([path]) for path in files}


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


def strict(path: Path | str) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "steel"
    synthetic.steel(folder, 120, 60, SIZE, 1, workers=2)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "steel"
    synthetic.steel(folder, *SMALL)
    return folder


@pytest.fixture(scope="module")
def masks(large: Path) -> dict[tuple[str, int], np.ndarray]:
    rows = strict(large / "train.csv").itertuples(index=False)
    return {(row[0], int(row[1])): rle.decode(row[2], SIZE) for row in rows}


def test_the_folder_holds_what_the_original_holds(small: Path) -> None:
    assert {path.name for path in small.iterdir()} == {
        *("train_images", "test_images", "train.csv", "sample_submission.csv")
    }
    train, test = (sorted((small / f"{part}_images").iterdir()) for part in ("train", "test"))
    assert (len(train), len(test)) == (12, 6)
    names = [path.name for path in (*train, *test)]
    assert len(set(names)) == 18
    assert all(name.endswith(".jpg") for name in names)
    for path in (*train, *test):
        image = read(path)
        assert image.shape == (32, 200, 3)
        assert (image == image[..., :1]).all()
    table = strict(small / "train.csv")
    assert list(table) == ["ImageId", "ClassId", "EncodedPixels"]
    assert set(table["ImageId"]) <= {path.name for path in train}
    assert set(table["ClassId"]) == {"1", "2", "3", "4"}
    assert all(rle.decode(text, (32, 200)).any() for text in table["EncodedPixels"])
    sample = strict(small / "sample_submission.csv")
    assert list(sample) == ["ImageId_ClassId", "EncodedPixels"]
    pairs = [f"{path.name}_{k}" for path in test for k in range(1, 5)]
    assert sample["ImageId_ClassId"].tolist() == pairs


def test_the_truth_lies_outside_and_has_the_form_of_the_table(small: Path) -> None:
    truth = strict(f"{small}-truth.csv")
    assert list(truth) == ["ImageId", "ClassId", "EncodedPixels"]
    assert len(truth) > 0
    assert set(truth["ImageId"]) <= {path.name for path in (small / "test_images").iterdir()}


def test_both_forms_of_the_table_say_the_same(small: Path, tmp_path: Path) -> None:
    synthetic.steel(tmp_path / "steel", *SMALL, train_format="pairs")
    for one, other, part in (
        (small / "train.csv", tmp_path / "steel" / "train.csv", "train"),
        (f"{small}-truth.csv", f"{tmp_path / 'steel'}-truth.csv", "test"),
    ):
        few, every = strict(one), strict(other)
        assert list(every) == FORMATS["pairs"]
        files = (small / f"{part}_images").iterdir()
        assert set(every["ImageId_ClassId"]) == {
            f"{path.name}_{k}" for path in files for k in range(1, 5)
        }
        positive = every[every["EncodedPixels"] != ""]
        assert (
            positive["ImageId_ClassId"].tolist() == (few["ImageId"] + "_" + few["ClassId"]).tolist()
        )
        assert positive["EncodedPixels"].tolist() == few["EncodedPixels"].tolist()


def test_classes_are_as_frequent_as_in_the_original(
    masks: dict[tuple[str, int], np.ndarray], large: Path
) -> None:
    assert not any(name.startswith("-") for name, _ in masks)
    for kind, share in enumerate(SHARES, 1):
        assert sum(k == kind for _, k in masks) == round(share * 120)
    defective = {name for name, _ in masks}
    assert len(defective) == round(0.53 * 120)
    assert any(sum(n == name for n, _ in masks) == 2 for name in defective)


def test_classes_differ_in_size_and_shape(masks: dict[tuple[str, int], np.ndarray]) -> None:
    def areas(kind: int) -> np.ndarray:
        return np.array([mask.sum() for (_, k), mask in masks.items() if k == kind])

    pits, marks, scratches, patches = (np.median(areas(kind)) for kind in range(1, 5))
    assert patches > 2 * scratches > 4 * max(pits, marks)
    for (_, kind), mask in masks.items():
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if kind == 2:  # upright
            assert np.ptp(rows) >= 10
            assert np.ptp(columns) < 40


def test_defects_scale_with_the_picture() -> None:
    for kind in range(4):
        shares = []
        for height, width in ((64, 400), (128, 800)):
            made = [
                metal.sheet(height, width, (kind,), np.random.default_rng(seed))
                for seed in range(12)
            ]
            assert all(
                one.mask.any(axis=(0, 1)).tolist() == [k == kind for k in range(4)] for one in made
            )
            shares.append(np.mean([one.mask.mean() for one in made]))
        assert 0.4 < shares[0] / shares[1] < 2.5


@pytest.mark.parametrize("kind", range(metal.CLASSES))
def test_brightness_alone_does_not_tell_defects(kind: int) -> None:
    """No cut of the brightness, relative to the surroundings, finds a class much above chance."""
    bright, truth = [], []
    for seed in range(20):
        made = metal.sheet(*SIZE, (kind,), np.random.default_rng(seed))
        grey = made.image.astype(np.float32)
        metal_ = (cv2.blur(grey, (15, 15)) > 20).astype(np.uint8)  # not the black margin
        lit = cv2.erode(metal_, np.ones((21, 21))).astype(bool)
        bright.append((grey / (cv2.blur(grey, (61, 61)) + 1))[lit])
        truth.append(made.mask[..., kind][lit])
    on = np.concatenate(truth).astype(bool)
    rank = pd.Series(np.concatenate(bright)).rank().to_numpy()
    area = (rank[on].sum() - on.sum() * (on.sum() + 1) / 2) / (on.sum() * (~on).sum())
    assert 0.4 < area < 0.6  # area under the ROC curve; .5 is chance
    cuts = np.arange(1, len(on) + 1) + on.sum()
    for order in (np.argsort(rank), np.argsort(-rank)):
        assert (2 * np.cumsum(on[order]) / cuts).max() < 0.25  # Dice of the best cut


def test_some_pictures_show_a_coils_end_and_no_defect_lies_on_black(
    masks: dict[tuple[str, int], np.ndarray], large: Path
) -> None:
    black = 0
    for path in (large / "train_images").iterdir():
        grey = read(path)[..., 0]
        dark = cv2.erode((cv2.blur(grey, (5, 5)) < 8).astype(np.uint8), np.ones((7, 7)))
        black += dark.mean() > 0.03
        for (name, _), mask in masks.items():
            if name == path.name:
                assert not (mask & dark).any()
    assert 4 <= black <= 40


def test_twins_are_alike_and_cross_the_parts(large: Path) -> None:
    twins = strict(f"{large}-twins.csv")
    found = {path.name: path for path in large.glob("*_images/*.jpg")}
    names = sorted(found)
    assert 2 <= len(twins) <= 6

    def likeness(one: str, other: str) -> float:
        small = [
            cv2.resize(read(found[name])[..., 0], (100, 16), interpolation=cv2.INTER_AREA)
            for name in (one, other)
        ]
        return float(np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1])

    for one, other in twins.itertuples(index=False):
        assert likeness(one, other) > 0.95
        assert found[one].read_bytes() != found[other].read_bytes()
    strangers = [likeness(a, b) for a, b in itertools.pairwise(names)]
    assert np.quantile(strangers, 0.9) < 0.9


def test_masks_move_with_their_pictures() -> None:
    disturbed = sys.modules["foldbelt.synthetic.steel"]._disturbed
    moved = 0
    for seed in range(20):
        mask = np.zeros((64, 200, 2), np.uint8)
        mask[20:40, 50:120, 1] = 1
        image, found = disturbed(mask[..., 1] * 200, mask, np.random.default_rng(seed))
        drawn = image > 100
        wider = cv2.dilate(drawn.astype(np.uint8), np.ones((3, 3), np.uint8))
        assert any(np.array_equal(found[..., 1], one) for one in (drawn, wider))
        assert not found[..., 0].any()
        moved += not np.array_equal(drawn, mask[..., 1])
    assert moved > 5


@pytest.mark.parametrize("edge", [(60, 400), (0, 340)])
def test_no_defect_lies_on_black(edge: tuple[int, int]) -> None:
    for seed in range(5):
        mask = np.ones((64, 400, 4), np.uint8)
        light = np.ones((64, 400), np.float32)
        canvas = _canvas.Canvas(light, mask, *edge, 4, np.random.default_rng(seed))
        image = metal._exposed(canvas, 400)
        assert (image[~mask.any(axis=2)] < image.max() / 2 + 3).all()
        assert (image[mask.all(axis=2)] > image.max() / 2 - 3).all()
        assert 0.5 < mask.mean() < 0.97


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_seed_gives_the_same_bytes_in_other_processes(
    small: Path, tmp_path: Path, workers: int
) -> None:
    again = tmp_path / "steel"
    code = (
        f"from foldbelt.synthetic import steel; steel({str(again)!r}, *{SMALL}, workers={workers})"
    )
    environment = {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    path = str(Path(synthetic.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=path)
    assert contents(again) == contents(small)


def test_another_seed_gives_other_images(small: Path, tmp_path: Path) -> None:
    synthetic.steel(tmp_path / "steel", *SMALL[:3], 4)
    assert not {path.name for path in small.rglob("*.jpg")} & {
        path.name for path in tmp_path.rglob("*.jpg")
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": 3}, "images is 3"),
        ({"test_images": -1}, "test_images is -1"),
        ({"size": (16, 400)}, "size is 16×400"),
        ({"train_format": "rows"}, "'rows': take one of positives, pairs"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    arguments = {"images": 4, "test_images": 0, "size": (32, 200), "seed": 0, **change}
    with pytest.raises(InputError, match=words):
        synthetic.steel(tmp_path / "steel", **arguments)
    assert not list(tmp_path.iterdir())


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "steel").mkdir()
    (tmp_path / "steel" / "mine.txt").touch()
    with pytest.raises(InputError, match="delete it"):
        synthetic.steel(tmp_path / "steel", *SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["steel", "mine.txt"]


def test_four_images_and_no_test_images_are_enough(tmp_path: Path) -> None:
    synthetic.steel(tmp_path / "steel", 4, 0, 32, 0)  # one number is both sides
    assert read(next((tmp_path / "steel" / "train_images").iterdir())).shape == (32, 32, 3)
    assert set(strict(tmp_path / "steel" / "train.csv")["ClassId"]) == {"1", "2", "3", "4"}
    assert strict(f"{tmp_path / 'steel'}-truth.csv").empty
