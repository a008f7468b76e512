"""A synthetic salt data set in the layout, and with the quirks, of the TGS competition of 2018.

The quirks were counted in the original files: see `seismic`.
"""

import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from foldbelt.files import InputError, PathLike, seed_for, write_csv
from foldbelt.rle import encode
from foldbelt.synthetic import _geology as geology

BESIDE = "sections"
"""End of the name of the other file beside the folder: `<directory>-sections.csv`."""

TILE = 101
"""Height and width of a tile in pixels."""

DEMO_SECTIONS = 72
"""Sections of the embedded demo: about 415 train and as many test tiles."""

MOST_TILES = 12
"""No section has more tiles than this, so that a group of neighbours stays small."""

SHAPES = ((2, 6), (3, 4), (2, 5), (2, 6), (3, 4), (2, 6))
"""Tiles of a section (down, across), dealt out in turn; even numbers, so that halves are equal."""

SLIVER = 150
"""Bodies of fewer pixels in a tile were mostly not labelled."""

DEPTHS = (50, 959)
"""Lowest and highest depth z."""

SALT_BY_DEPTH = (0.18, 0.27, 0.49, 0.67, 0.70, 0.70, 0.70, 0.63, 0.51, 0.39)
"""Share of tiles with salt for z 50–99, 100–199, …, 900–959 in the original."""


@dataclass
class _Tile:
    """One tile before it is written; `mask` is what the interpreter labelled."""

    section: int
    row: int
    column: int
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    z: int
    id: str = ""


def seismic(directory: PathLike, sections: int, seed: int, workers: int = 1) -> None:
    """Write a synthetic competition folder, and beside it files that a competitor does not get.

    The folder has `train/images`, `train/masks`, `test/images`, `train.csv`, `depths.csv` and
    `sample_submission.csv`. As in the original, images are 8-bit RGB with equal channels; masks
    are 16-bit (0 or 65535) where there is salt and 8-bit where there is none; some tiles are
    black, some masks vertical (all rows alike); tiles inside or below salt are labelled empty, so
    that no mask is full; train and test come from the same sections, and depths of both stand in
    one file.

    Beside it lie `<directory>-truth.csv` (id, rle_mask of the test tiles) and
    `<directory>-sections.csv` (id, section, row, column of every tile).

    Parameters
    ----------
    directory
        The folder to make. It may exist if there are no files in it.
    sections
        How many sections of 10 to 12 tiles; half of the tiles are for training. See
        `DEMO_SECTIONS`.
    seed
        The same `sections` and `seed` give the same bytes.
    workers
        Processes that draw sections at the same time.

    Raises
    ------
    InputError
        If `sections` is not positive, or the folder has files in it.
    """
    target = Path(directory)
    if sections < 1:
        raise InputError(f"sections is {sections}: at least one section is needed.")
    if any(path.is_file() for path in target.rglob("*")):
        raise InputError(f"{target} has files in it: delete it, or name a new folder.")
    random = np.random.default_rng(seed_for("survey", "seismic", sections, seed))
    tiles = _draw(sections, random, workers)
    train, test = _split(tiles, random)

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
        building = Path(name, "data")
        _write_competition(building, train, test, random)
        write_csv(f"{target}-truth.csv", _labels(test))
        places = [(tile.id, tile.section, tile.row, tile.column) for tile in [*train, *test]]
        places.sort()
        columns = ["id", "section", "row", "column"]
        write_csv(f"{target}-sections.csv", pd.DataFrame(places, columns=columns))
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)


# --- from sections to tiles --------------------------------------------------------------------


def _draw(count: int, random: np.random.Generator, workers: int = 1) -> list[_Tile]:
    """Give all tiles of all sections, each with its own id."""
    depths, salty = _plan(count, random)
    bodies = np.resize(geology.BODIES, count)
    shapes = [SHAPES[position % len(SHAPES)] for position in range(count)]
    random.shuffle(shapes)
    # Each section has its own stream, so that a change in one leaves the others as they are.
    plans = [
        (index, shape, str(bodies[index]) if salty[index] else None, float(depths[index]), stream)
        for index, shape in enumerate(shapes)
        for stream in (int(random.integers(2**63)),)
    ]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            cut = list(pool.map(_drawn, plans, chunksize=2))
    else:
        cut = list(map(_drawn, plans))
    tiles = [tile for part in cut for tile in part]
    for tile, identity in zip(tiles, _identities(len(tiles), random), strict=True):
        tile.id = identity
    return tiles


def _drawn(plan: tuple[int, tuple[int, int], str | None, float, int]) -> list[_Tile]:
    """Draw one section and cut it: its number, tiles down and across, body, depth, stream."""
    index, (rows, columns), body, depth, stream = plan
    random = np.random.default_rng(stream)
    section = geology.section(TILE * rows, TILE * columns, body, random)
    return _cut(index, section, depth, random)


def _plan(count: int, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Depth of each section and whether it has salt, evenly spread so that few sections do too.

    Salt is dealt by systematic sampling along the depths: as often as `SALT_BY_DEPTH` asks, given
    that about seven in ten tiles of a section with salt are labelled.
    """
    even = (np.arange(count) + random.random(count)) / count
    depths = np.clip(506 + 208 * ndtri(even), *DEPTHS)
    middles = [75, *range(150, 950, 100), 930]
    chance = np.minimum(np.interp(depths, middles, SALT_BY_DEPTH) / 0.72, 0.97)
    total = np.cumsum(chance) + random.random()
    salty = np.floor(total) > np.floor(total - chance)
    order = random.permutation(count)
    return depths[order], salty[order]


def _cut(
    index: int, section: geology.Section, depth: float, random: np.random.Generator
) -> list[_Tile]:
    """Cut a section into tiles and label them the way the interpreters did."""
    rows, columns = (side // TILE for side in section.salt.shape)
    tiles = []
    for column in range(columns):
        across = slice(column * TILE, (column + 1) * TILE)
        stack = section.salt[:, across].reshape(rows, TILE, TILE)
        for row, mask in enumerate(_labelled(stack, random)):
            image = section.image[row * TILE : (row + 1) * TILE, across].astype(float)
            # Every tile was scaled separately by a little, which neighbour finders must tolerate.
            image = 128 + (image - 128) * random.uniform(0.96, 1.04) + random.uniform(-2, 2)
            image = np.clip(np.rint(image), 0, 255)
            if not mask.any() and random.random() < 0.05:
                image[:] = 0  # outside of the surveyed area
            z = depth + 14 * (row - (rows - 1) / 2) + random.normal(0, 3)
            tiles.append(
                _Tile(index, row, column, image.astype(np.uint8), mask, int(np.clip(z, *DEPTHS)))
            )
    return tiles


def _labelled(stack: NDArray[np.bool_], random: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Labels of tiles that lie above one another, given where salt is.

    Interpreters picked the top of salt: a tile that is salt throughout, or lies below one whose
    last row is salt throughout, stays empty, and most slivers were overlooked. Along steep flanks
    some drew one vertical line down to the end of the section.
    """
    labels: list[NDArray[np.bool_]] = []
    vertical: NDArray[np.bool_] | None = None
    for row, salt in enumerate(stack):
        covered = row > 0 and bool(stack[row - 1][-1].all() or labels[row - 1][-1].all())
        if vertical is None and not covered and random.random() < 0.25:
            vertical = _vertical(stack[row:])
        sliver = salt.sum() < SLIVER and random.random() < 0.8
        if covered or salt.all() or sliver:
            labels.append(np.zeros_like(salt))
        elif vertical is not None:
            labels.append(np.tile(vertical, (TILE, 1)))
        else:
            labels.append(salt.copy())
    return labels


def _vertical(stack: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The columns (TILE,) that are mostly salt, if every tile is nearly that, else None."""
    columns = stack.mean(axis=(0, 1)) > 0.5
    alike = (stack == columns).mean(axis=(1, 2)).min() > 0.88
    return columns if alike and 0.1 < columns.mean() < 0.9 else None


def _identities(count: int, random: np.random.Generator) -> list[str]:
    """Different random ids of ten hexadecimal digits."""
    identities: dict[str, None] = {}
    while len(identities) < count:
        identities[f"{int(random.integers(16**10)):010x}"] = None
    return list(identities)


def _split(tiles: list[_Tile], random: np.random.Generator) -> tuple[list[_Tile], list[_Tile]]:
    """Halve the tiles of each section at random, then shuffle both halves.

    Tiles of like coverage form pairs that are split, so that the halves of even a small data set
    have about equally many empty tiles.
    """
    order = sorted(tiles, key=lambda tile: (tile.section, int(tile.mask.sum()), tile.id))
    train, test = [], []
    for start in range(0, len(order), 2):
        first, second = random.permutation(2)
        train.append(order[start + first])
        test.append(order[start + second])
    return _shuffled(train, random), _shuffled(test, random)


def _shuffled(tiles: list[_Tile], random: np.random.Generator) -> list[_Tile]:
    return [tiles[position] for position in random.permutation(len(tiles))]


# --- onto the disk -----------------------------------------------------------------------------


def _write_competition(
    folder: Path, train: list[_Tile], test: list[_Tile], random: np.random.Generator
) -> None:
    """Write everything a competitor gets."""
    for part, tiles in (("train", train), ("test", test)):
        (folder / part / "images").mkdir(parents=True)
        for tile in tiles:
            grey = np.repeat(tile.image[:, :, None], 3, axis=2)
            _write_png(folder / part / "images" / f"{tile.id}.png", grey)
    (folder / "train" / "masks").mkdir()
    for tile in train:
        kind = np.uint16(65535) if tile.mask.any() else np.uint8(255)
        _write_png(folder / "train" / "masks" / f"{tile.id}.png", tile.mask * kind)
    write_csv(folder / "train.csv", _labels(train))
    everything = _shuffled([*train, *test], random)
    depths = [(tile.id, tile.z) for tile in everything]
    write_csv(folder / "depths.csv", pd.DataFrame(depths, columns=["id", "z"]))
    sample = pd.DataFrame({"id": [tile.id for tile in test], "rle_mask": "1 1"})
    write_csv(folder / "sample_submission.csv", sample)


def _labels(tiles: list[_Tile]) -> pd.DataFrame:
    rows = [(tile.id, encode(tile.mask)) for tile in tiles]
    return pd.DataFrame(rows, columns=["id", "rle_mask"])


def _write_png(path: Path, image: NDArray[Any]) -> None:
    """Write a PNG with fixed settings: whatever the defaults become, the bytes stay."""
    done, data = cv2.imencode(
        ".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, 0]
    )
    if not done:
        raise OSError(f"{path}: OpenCV could not encode the image.")
    path.write_bytes(data.tobytes())
