"""Synthetic data have the layout and the quirks of the original, and the same bytes each time."""

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
from foldbelt.synthetic import _geology as geology
from foldbelt.synthetic.seismic import _labelled

CUT = (synthetic.TILE, synthetic.TILE)


class Data:
    """What was written, read back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train = pd.read_csv(folder / "train.csv", keep_default_na=False)
        self.truth = pd.read_csv(f"{folder}-truth.csv", keep_default_na=False)
        self.places = pd.read_csv(f"{folder}-sections.csv")
        self.depths = pd.read_csv(folder / "depths.csv")
        self.sample = pd.read_csv(folder / "sample_submission.csv")
        both = pd.concat([self.train, self.truth])
        self.masks = {
            name: rle.decode(text, CUT).astype(bool)
            for name, text in zip(both["id"], both["rle_mask"], strict=True)
        }
        self.images = {path.stem: read(path) for path in folder.glob("*/images/*.png")}

    def stacks(self) -> list[list[str]]:
        """Ids of tiles above one another, from the top."""
        order = self.places.sort_values(["section", "column", "row"])
        return [list(part["id"]) for _, part in order.groupby(["section", "column"])]


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder.parent)): digest([path]) for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("small") / "salt"
    synthetic.seismic(folder, 3, 7)
    return Data(folder)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("large") / "salt"
    synthetic.seismic(folder, 20, 1)
    return Data(folder)


def test_the_folder_holds_what_the_original_holds(small: Data) -> None:
    files = {path.relative_to(small.folder) for path in small.folder.rglob("*") if path.is_file()}
    train, test = list(small.train["id"]), list(small.truth["id"])
    expected = {Path("train.csv"), Path("depths.csv"), Path("sample_submission.csv")}
    for part in ("images", "masks"):
        expected |= {Path("train", part, f"{name}.png") for name in train}
    expected |= {Path("test", "images", f"{name}.png") for name in test}
    assert files == expected
    assert not set(train) & set(test)
    assert len(train) == len(test)


def test_tables_have_the_columns_and_ids_of_the_original(small: Data) -> None:
    everyone = {*small.train["id"], *small.truth["id"]}
    assert list(small.train) == list(small.truth) == list(small.sample) == ["id", "rle_mask"]
    assert list(small.depths) == ["id", "z"]
    assert list(small.sample["id"]) == list(small.truth["id"])
    assert list(small.places) == ["id", "section", "row", "column"]
    for table in (small.depths, small.places):
        assert table["id"].is_unique
        assert set(table["id"]) == everyone
    assert small.depths["z"].dtype.kind == "i"
    assert small.depths["z"].between(50, 959).all()
    # Neither sorted nor train before test.
    assert list(small.depths["id"]) != sorted(small.depths["id"])
    assert small.depths["id"].isin(small.train["id"]).astype(int).diff().abs().sum() > 1


def test_images_are_rgb_and_masks_deep_only_where_there_is_salt(small: Data) -> None:
    for image in small.images.values():
        assert image.shape == (*CUT, 3)
        assert image.dtype == np.uint8
        assert (image == image[:, :, :1]).all()
    for name in small.train["id"]:
        mask = read(small.folder / "train" / "masks" / f"{name}.png")
        salt = small.masks[name]
        assert mask.dtype == (np.uint16 if salt.any() else np.uint8)
        np.testing.assert_array_equal(mask, salt * 65535 if salt.any() else 0)


def test_the_truth_lies_outside_of_the_competition(small: Data) -> None:
    test = set(small.truth["id"])
    told = [path for path in small.folder.rglob("*") if path.is_file() and path.stem in test]
    assert {path.parent.name for path in told} == {"images"}
    assert not test & set(small.train["id"])
    assert set(small.sample["rle_mask"]) == {"1 1"}
    assert any(small.masks[name].any() for name in test)


def test_sections_are_small_and_shared_by_train_and_test(large: Data) -> None:
    train = set(large.train["id"])
    for _, part in large.places.groupby("section"):
        assert len(part) <= synthetic.MOST_TILES
        assert len(part) == (part["row"].max() + 1) * (part["column"].max() + 1)
        assert 0 < part["id"].isin(train).sum() < len(part)


def test_labels_have_the_quirks_of_the_original(large: Data) -> None:
    masks = np.stack(list(large.masks.values()))
    images = np.stack([large.images[name] for name in large.masks])
    salt = masks.any(axis=(1, 2))
    vertical = salt & (masks == masks[:, :1]).all(axis=(1, 2))
    black = ~images.any(axis=(1, 2, 3))
    assert not masks.all(axis=(1, 2)).any()
    assert vertical.any()
    assert black.any()
    assert not (black & salt).any()
    covered = 0
    for stack in large.stacks():
        for above, below in itertools.pairwise(stack):
            if large.masks[above][-1].all():
                covered += 1
                assert not large.masks[below].any()
    assert covered > 5


def test_tiles_inside_and_right_below_salt_are_labelled_empty() -> None:
    salt = np.zeros((4, *CUT), dtype=bool)
    salt[0] = salt[1] = True
    salt[2, :40] = salt[3, :, :30] = True
    labels = _labelled(salt, np.random.default_rng(0))
    assert [bool(label.any()) for label in labels] == [False, False, False, True]


def test_a_share_like_the_original_is_empty_and_it_depends_on_depth(large: Data) -> None:
    for table in (large.train, large.truth):
        assert 0.3 <= (table["rle_mask"] == "").mean() <= 0.5
    assert 0.15 < np.mean([mask.mean() for mask in large.masks.values()]) < 0.35
    z = large.depths.set_index("id")["z"]
    salt = pd.Series({name: mask.any() for name, mask in large.masks.items()})
    middle = z[salt.index].between(300, 750)
    assert salt[middle].mean() > salt[~middle].mean() + 0.1


def test_neighbours_continue_across_their_border(large: Data) -> None:
    grey = {
        name: image[:, :, 0].astype(float) for name, image in large.images.items() if image.any()
    }
    below, beside, strangers = [], [], []
    random = np.random.default_rng(0)
    names = sorted(grey)
    place = large.places.set_index(["section", "row", "column"])["id"]
    for (section, row, column), name in place.items():
        down = place.get((section, row + 1, column))
        right = place.get((section, row, column + 1))
        if name in grey and down in grey:
            below.append(likeness(2 * grey[name][-1] - grey[name][-2], grey[down][0]))
            other = grey[names[random.integers(len(names))]]
            strangers.append(likeness(2 * grey[name][-1] - grey[name][-2], other[0]))
        if name in grey and right in grey:
            beside.append(likeness(2 * grey[name][:, -1] - grey[name][:, -2], grey[right][:, 0]))
    assert np.median(below) > 0.8
    assert np.median(beside) > 0.8
    assert np.quantile(np.abs(strangers), 0.9) < np.quantile(below, 0.25)


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def test_amplitude_tells_little_about_salt(large: Data) -> None:
    """No cut of the local deviation, from above or below, finds salt much better than chance."""
    deviation, salt = [], []
    for name, image in large.images.items():
        if not image.any():
            continue
        grey = image[:, :, 0].astype(np.float32)
        variance = cv2.blur(grey**2, (9, 9)) - cv2.blur(grey, (9, 9)) ** 2
        deviation.append(np.sqrt(np.maximum(variance, 0))[4:-4:8, 4:-4:8].ravel())
        salt.append(large.masks[name][4:-4:8, 4:-4:8].ravel())
    truth = np.concatenate(salt)
    rank = pd.Series(np.concatenate(deviation)).rank().to_numpy()
    positive = truth.sum()
    area = (rank[truth].sum() - positive * (positive + 1) / 2) / (positive * (~truth).sum())
    assert 0.35 < area < 0.65  # area under the ROC curve; .5 is chance


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_seed_gives_the_same_bytes_in_other_processes(
    small: Data, tmp_path: Path, workers: int
) -> None:
    again = tmp_path / "salt"
    code = f"from foldbelt.synthetic import seismic; seismic({str(again)!r}, 3, 7, {workers})"
    environment = {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    path = str(Path(synthetic.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=path)
    assert contents(again) == contents(small.folder)


def test_another_seed_gives_other_data(tmp_path: Path) -> None:
    for seed in (1, 2):
        synthetic.seismic(tmp_path / str(seed) / "salt", 1, seed)
    first, second = (contents(tmp_path / str(seed) / "salt") for seed in (1, 2))
    assert not set(first.values()) & {
        value for name, value in second.items() if "images" in name or name.endswith("depths.csv")
    }


def test_files_that_are_there_stay_and_no_data_are_empty(tmp_path: Path) -> None:
    mine = tmp_path / "salt" / "train" / "images" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(InputError, match="delete it"):
        synthetic.seismic(tmp_path / "salt", 1, 0)
    assert mine.exists()
    assert not list(tmp_path.glob("salt-*"))
    with pytest.raises(InputError, match="sections is 0"):
        synthetic.seismic(tmp_path / "other", 0, 0)
    with pytest.raises(ValueError, match="diapir"):
        geology.section(101, 101, "dune", np.random.default_rng(0))


def test_empty_folders_made_beforehand_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "salt" / "train" / "images").mkdir(parents=True)
    synthetic.seismic(tmp_path / "salt", 1, 0)
    assert (tmp_path / "salt" / "train.csv").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "salt",
        "salt-sections.csv",
        "salt-truth.csv",
    ]
