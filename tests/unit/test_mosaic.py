"""Tiles cut from one picture find back together, and strangers do not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from foldbelt import store
from foldbelt.files import InputError
from foldbelt.folds import mosaic

GRIDS = [(3, 4), (2, 5), (4, 2), (1, 3), (3, 1), (2, 2)]


def sections(seed: int = 0, height: int = 101, width: int = 90) -> tuple[np.ndarray, pd.DataFrame]:
    """Cut smooth random pictures into tiles, shuffle them, and tell where they came from."""
    rng = np.random.default_rng(seed)
    tiles, origins = [], []
    for section, (rows, columns) in enumerate(GRIDS):
        noise = gaussian_filter(rng.normal(size=(rows * height, columns * width)), (1.2, 1.6))
        picture = np.uint8(np.clip(128 + 50 * noise / noise.std(), 0, 255))
        for row in range(rows):
            for column in range(columns):
                down, right = row * height, column * width
                tiles.append(picture[down : down + height, right : right + width])
                origins.append((section, row, column))
    order = rng.permutation(len(tiles))
    truth = pd.DataFrame(origins, columns=["section", "row", "column"]).iloc[order]
    return np.stack(tiles)[order], truth.reset_index(drop=True)


def cells(table: pd.DataFrame, group: str) -> set[frozenset]:
    """The mosaics as sets of (tile, row, column): whatever their numbers."""
    found = table[table[group] >= 0]
    return {
        frozenset(zip(part["tile"], part["row"], part["column"], strict=True))
        for _, part in found.groupby(group)
    }


def check_form(table: pd.DataFrame, count: int) -> None:
    assert list(table.columns) == ["tile", "mosaic", "row", "column"]
    assert table["tile"].tolist() == list(range(count))
    alone = table["mosaic"] < 0
    assert (table.loc[alone, ["mosaic", "row", "column"]] == -1).all(axis=None)
    placed = table[~alone]
    assert not placed.duplicated(["mosaic", "row", "column"]).any()
    firsts = placed.groupby("mosaic").agg({"tile": "min", "row": "min", "column": "min"})
    assert firsts.index.tolist() == list(range(len(firsts)))
    assert firsts["tile"].is_monotonic_increasing
    assert (firsts[["row", "column"]] == 0).all(axis=None)
    assert (placed.groupby("mosaic").size() > 1).all()


@pytest.mark.parametrize("seed", range(6))
def test_pictures_are_put_together_again(seed: int) -> None:
    images, truth = sections(seed)
    table = mosaic.assemble(images)
    check_form(table, len(images))
    truth.insert(0, "tile", range(len(truth)))
    found, expected = cells(table, "mosaic"), cells(truth, "section")
    assert len(found & expected) >= len(GRIDS) - 1  # a link may be missed, so a picture fall apart
    assert (table["mosaic"] >= 0).all()
    assert truth.groupby(table["mosaic"])["section"].nunique().max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_tiles_does_not_matter(seed: int) -> None:
    images = sections(seed)[0]
    images[:10] //= 40  # few grey levels, so that some links are doubtful
    table = mosaic.assemble(images)
    order = np.random.default_rng(seed).permutation(len(images))
    shuffled = mosaic.assemble(images[order])
    check_form(shuffled, len(images))
    shuffled["tile"] = order
    assert cells(shuffled, "mosaic") == cells(table, "mosaic")


def test_brightness_and_contrast_of_a_tile_do_not_matter() -> None:
    images, _ = sections(5)
    rng = np.random.default_rng(0)
    gain = rng.uniform(0.6, 0.9, (len(images), 1, 1))
    other = np.uint8(np.round(images * gain + rng.integers(0, 25, (len(images), 1, 1))))
    same = cells(mosaic.assemble(images), "mosaic") & cells(mosaic.assemble(other), "mosaic")
    assert len(same) >= len(GRIDS) - 1


def test_black_tiles_and_copies_belong_to_no_mosaic() -> None:
    images, _ = sections(1)
    expected = cells(mosaic.assemble(images), "mosaic")
    black = np.zeros((5, *images.shape[1:]), np.uint8)
    table = mosaic.assemble(np.concatenate([images, black, black + 200]))
    check_form(table, len(images) + 10)
    assert (table["mosaic"][-10:] == -1).all()
    assert cells(table, "mosaic") == expected
    # Of a tile that exists twice the first takes the place; the other one does not disturb it.
    copied = mosaic.assemble(np.concatenate([images, images]))
    assert (copied["mosaic"][len(images) :] == -1).all()
    assert cells(copied, "mosaic") == expected


def test_strangers_stay_apart() -> None:
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(150, 101, 90)), (0, 2, 2))
    table = mosaic.assemble(np.uint8(np.clip(128 + 300 * noise, 0, 255)))
    check_form(table, 150)
    assert (table["mosaic"] >= 0).mean() < 0.1


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_hopeless_tiles_never_share_a_cell(levels: int) -> None:
    rng = np.random.default_rng(levels)
    images = rng.integers(0, levels, (120, 5, 4), dtype=np.uint8)
    check_form(mosaic.assemble(images), 120)


def test_a_link_is_mutual_near_and_between_two_tiles() -> None:
    rng = np.random.default_rng(0)
    right, left = 3 * rng.normal(size=(2, 6, 400))
    right[0] = left[1] + 0.1 * rng.normal(size=400)
    right[2] = left[1] + 0.4 * rng.normal(size=400)  # 1 is its nearest, but has a nearer one
    right[3] = left[4] + 1.5 * rng.normal(size=400)  # mutual and clear, but not near
    right[5] = left[5]  # a tile is no neighbour of its own
    links = mosaic._links(right, left, (0, 1))
    assert [link[1:] for link in links] == [(0, 1, 0, 1)]
    assert links[0][0] == pytest.approx(0.1 * 400**0.5, rel=0.1)


def test_of_two_links_that_contradict_the_stronger_wins() -> None:
    edges = dict.fromkeys(("right", "left", "down", "up"), np.full((4, 3), np.nan))
    links = [(1.0, 0, 1, 0, 1), (2.0, 1, 2, 0, 1), (3.0, 0, 2, 0, 1), (4.0, 3, 1, 0, 1)]
    (found,) = mosaic._place(links, edges)
    assert found == {0: (0, 0), 1: (0, 1), 2: (0, 2)}  # 3 would lie on 0


def test_mosaics_are_joined_only_where_the_touching_edges_agree_in_the_median() -> None:
    base = np.random.default_rng(0).normal(size=(3, 100))
    right = np.stack([base[0], base[1], base[2], *-base])
    edges = {"right": right, "left": right.copy(), "down": np.full((6, 100), np.nan)}
    edges["up"] = edges["down"]
    edges["left"][3] = base[0]
    columns = [(1.0, 0, 1, 1, 0), (1.0, 1, 2, 1, 0), (1.0, 3, 4, 1, 0), (1.0, 4, 5, 1, 0)]
    bridge = (2.0, 0, 3, 0, 1)
    assert len(mosaic._place([*columns, bridge], edges)) == 2
    edges["left"][4] = base[1]
    assert len(mosaic._place([*columns, bridge], edges)) == 1
    # Of two, one that agrees well does not outvote one that is the very opposite.
    edges["left"][5] = np.nan
    assert len(mosaic._place([*columns, bridge], edges)) == 1
    edges["left"][4] = -base[1]
    assert len(mosaic._place([*columns, bridge], edges)) == 2


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_tiles(count: int) -> None:
    images = sections()[0][:count]
    check_form(mosaic.assemble(images), count)
    check_form(mosaic.assemble(images[:, :1, :1]), count)


def test_colours_are_added_up() -> None:
    images, _ = sections(2)
    colours = np.repeat(images[..., None], 3, axis=3)
    pd.testing.assert_frame_equal(mosaic.assemble(colours), mosaic.assemble(images))


def test_images_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="not float64 of shape"):
        mosaic.assemble(np.zeros((2, 3, 3)))


def put(path: Path, images: np.ndarray, names: list[str]) -> Path:
    store.write(path, {"image": images}, pd.DataFrame({"id": names}))
    return path


@pytest.mark.parametrize("cut", [0, 20, 35])
def test_a_run_joins_train_and_test(tmp_path: Path, cut: int) -> None:
    images = sections(3)[0]
    names = [f"{k:04d}" for k in range(len(images))]
    train = put(tmp_path / "train.h5", images[:cut], names[:cut])
    test = put(tmp_path / "test.h5", images[cut:], names[cut:])
    mosaic.run(train, test, tmp_path / "mosaic.csv")
    table = pd.read_csv(tmp_path / "mosaic.csv", dtype={"id": str})
    assert table["id"].tolist() == names
    expected = mosaic.assemble(images)
    pd.testing.assert_frame_equal(table.drop(columns="id"), expected)
    assert expected["mosaic"].max() > 3


def test_a_run_without_tiles_writes_the_header(tmp_path: Path) -> None:
    empty = [put(tmp_path / f"{k}.h5", np.zeros((0, 8, 8), np.uint8), []) for k in "ab"]
    mosaic.run(*empty, tmp_path / "mosaic.csv")
    assert (tmp_path / "mosaic.csv").read_text() == "id,tile,mosaic,row,column\n"


def test_a_run_names_files_of_different_size(tmp_path: Path) -> None:
    one = put(tmp_path / "train.h5", np.zeros((1, 8, 8), np.uint8), ["a"])
    two = put(tmp_path / "test.h5", np.zeros((1, 8, 9), np.uint8), ["b"])
    with pytest.raises(InputError, match=r"train\.h5: 8 × 8, .*test\.h5: 8 × 9"):
        mosaic.run(one, two, tmp_path / "mosaic.csv")
