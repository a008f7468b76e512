"""A synthetic folder of images with masks, image labels and boxes at once.

There is no original that it follows: it is what any of these could be learnt from within seconds.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from foldbelt.boxes import XYXY
from foldbelt.files import InputError, PathLike, seed_for, write_csv
from foldbelt.rle import encode
from foldbelt.synthetic._scenes import SCENES, SHAPES, Picture, Place, draw

BESIDE = "boxes"
"""End of the name of the other file beside the folder: `<directory>-boxes.csv`."""

MORE = ("labels",)
"""Ends of the names of further files: `<directory>-labels.csv`."""

LEAST_IMAGES = 12
"""So many training images show every class and every scene, in several places."""

_LEAST_SIDE = 32
_GROUP = (2, 4)  # images of one place
_OBJECTS = (0, 4)  # in an image


class _Plan(NamedTuple):
    """One picture before it is drawn."""

    id: str
    place: Place
    kinds: tuple[int, ...]
    side: int
    colour: bool
    stream: int


def objects(
    directory: PathLike,
    images: int,
    test_images: int,
    side: int,
    seed: int,
    workers: int = 1,
    colour: bool = False,
) -> None:
    """Write a folder of images, and beside it files that a competitor does not get.

    The folder has `images/*.png`, `masks/*.png` (0, and 1, 2, 3 for disc, square and ring),
    `test/*.png`, `boxes.csv` (id, class, x1, y1, x2, y2; a row without coordinates for an image
    without objects) and `meta.csv` (id, place, scene). Up to four objects lie on uneven ground.
    `scene` is the texture of the ground, plain, striped or dotted: one label an image, empty for
    test images. Two to four images are of one `place`, so folds should be grouped by it; the places
    of test images are others.

    Beside it lie the truths of the test images: `<directory>-truth.csv` (id, class, height, width,
    rle, as in a submission), `<directory>-boxes.csv` (as `boxes.csv`) and `<directory>-labels.csv`
    (id and one column of 0 and 1 a scene).

    Parameters
    ----------
    directory
        The folder to make. It may exist if there are no files in it.
    images, test_images
        How many; at least twelve for training.
    side
        Height and width, at least 32.
    seed
        The same arguments and `seed` give the same bytes, whatever `workers`.
    workers
        Processes that draw pictures at the same time.
    colour
        Whether images have three channels that differ, or one.

    Raises
    ------
    InputError
        If numbers are too small, or the folder has files in it.
    """
    target = Path(directory)
    _check(target, images, test_images, side)
    random = np.random.default_rng(
        seed_for("synthetic", "objects", images, test_images, side, int(colour), seed)
    )
    train, test = _plans(images, test_images, side, colour, random)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
        building = Path(name, "data")
        known = _write_images(building, train, ("images", "masks"), workers)
        hidden = _write_images(building, test, ("test", None), workers)
        write_csv(building / "boxes.csv", _box_table(known))
        write_csv(building / "meta.csv", _meta(train, test))
        write_csv(f"{target}-truth.csv", _truth(hidden))
        write_csv(f"{target}-{BESIDE}.csv", _box_table(hidden))
        write_csv(f"{target}-{MORE[0]}.csv", _label_table(test))
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)


def _check(target: Path, images: int, test_images: int, side: int) -> None:
    if images < LEAST_IMAGES:
        raise InputError(
            f"images is {images}: every class and scene needs some, {LEAST_IMAGES} in all."
        )
    if test_images < 0:
        raise InputError(f"test_images is {test_images}: take 0 or more.")
    if side < _LEAST_SIDE:
        raise InputError(f"side is {side}: objects need at least {_LEAST_SIDE} pixels.")
    if any(path.is_file() for path in target.rglob("*")):
        raise InputError(f"{target} has files in it: delete it, or name a new folder.")


# --- what to draw -------------------------------------------------------------------------------


def _plans(
    images: int, test_images: int, side: int, colour: bool, random: np.random.Generator
) -> tuple[list[_Plan], list[_Plan]]:
    """Plan all pictures: ids, places, objects and streams of chance."""
    ids: dict[str, None] = {}
    while len(ids) < images + test_images:
        ids[f"{int(random.integers(16**8)):08x}"] = None
    places = [*_places(images, "p", random), *_places(test_images, "q", random)]
    kinds = _deal(random)
    plans = []
    for name, place in zip(ids, places, strict=True):
        count = int(random.integers(_OBJECTS[0], _OBJECTS[1] + 1))
        chosen = tuple(itertools.islice(kinds, count))
        plans.append(_Plan(name, place, chosen, side, colour, int(random.integers(2**63))))
    return plans[:images], plans[images:]


def _places(count: int, letter: str, random: np.random.Generator) -> list[Place]:
    """Give each of some images its place; the scenes of places take turns."""
    places: list[Place] = []
    for number in itertools.count():
        if len(places) >= count:
            return places[:count]
        scene = SCENES[number % len(SCENES)]
        place = Place(f"{letter}{number:03d}", scene, int(random.integers(2**63)))
        places += [place] * int(random.integers(_GROUP[0], _GROUP[1] + 1))
    raise AssertionError("itertools.count ends nowhere")


def _deal(random: np.random.Generator) -> Iterator[int]:
    """Deal classes without end, each as often as the others."""
    while True:
        yield from random.permutation(len(SHAPES)).tolist()


# --- drawn and written --------------------------------------------------------------------------


def _write_images(
    folder: Path, plans: list[_Plan], names: tuple[str, str | None], workers: int
) -> dict[str, Picture]:
    """Write pictures, and their masks where a folder is named for them; give id → picture."""
    image_folder, mask_folder = names
    for name in (name for name in names if name is not None):
        (folder / name).mkdir(parents=True)
    pictures = {}
    for plan, picture in zip(plans, _drawn(plans, workers), strict=True):
        pictures[plan.id] = picture
        pixels = picture.image[..., ::-1] if plan.colour else picture.image  # OpenCV has BGR
        _write_png(folder / str(image_folder) / f"{plan.id}.png", pixels)
        if mask_folder is not None:
            _write_png(folder / mask_folder / f"{plan.id}.png", picture.mask)
    return dict(sorted(pictures.items()))


def _write_png(path: Path, pixels: np.ndarray) -> None:
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not done:
        raise OSError(f"{path}: OpenCV could not encode the image.")
    path.write_bytes(data.tobytes())


def _drawn(plans: list[_Plan], workers: int) -> Iterator[Picture]:
    if workers < 2:
        yield from map(_draw, plans)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_draw, plans, chunksize=8)


def _draw(plan: _Plan) -> Picture:
    cv2.setNumThreads(1)
    return draw(plan.place, plan.kinds, plan.side, plan.colour, plan.stream)


def _box_table(pictures: dict[str, Picture]) -> pd.DataFrame:
    """List boxes in order of the images; an image without objects has a row without a box."""
    rows: list[tuple[str | int, ...]] = []
    for key, picture in pictures.items():
        boxes = [(key, SHAPES[thing.kind], *thing.box) for thing in picture.things]
        rows += boxes or [(key, *[""] * (1 + len(XYXY)))]
    return pd.DataFrame(rows, columns=["id", "class", *XYXY])


def _meta(train: list[_Plan], test: list[_Plan]) -> pd.DataFrame:
    rows = [(plan.id, plan.place.name, plan.place.scene) for plan in train]
    rows += [(plan.id, plan.place.name, "") for plan in test]
    return pd.DataFrame(sorted(rows), columns=["id", "place", "scene"])


def _label_table(plans: list[_Plan]) -> pd.DataFrame:
    names = sorted(SCENES)
    rows = [(plan.id, *[int(plan.place.scene == name) for name in names]) for plan in plans]
    return pd.DataFrame(sorted(rows), columns=["id", *names])


def _truth(pictures: dict[str, Picture]) -> pd.DataFrame:
    """Give the masks as a submission has them: a row an image and class."""
    rows = [
        (key, name, *picture.mask.shape, encode(picture.mask == number))
        for key, picture in pictures.items()
        for number, name in enumerate(SHAPES, 1)
    ]
    return pd.DataFrame(rows, columns=["id", "class", "height", "width", "rle"])
