"""A synthetic steel data set in the layout, and with the quirks, of the Severstal competition.

The quirks were counted in the original files: see `steel`.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foldbelt.files import InputError, PathLike, seed_for, write_csv
from foldbelt.rle import encode
from foldbelt.synthetic import _metal as metal

BESIDE = "twins"
"""End of the name of the other file beside the folder: `<directory>-twins.csv`."""

SHARES = (0.07, 0.02, 0.41, 0.064)
"""Shares of the original's images with a defect of class 1, 2, 3 and 4."""

DEFECTIVE = 0.53
"""Share of the original's images with any defect."""

TWINS = 0.02
"""Share of the images of which another one is nearly a copy."""

FORMATS = {"positives": ["ImageId", "ClassId", "EncodedPixels"]}
FORMATS["pairs"] = ["ImageId_ClassId", "EncodedPixels"]
"""The two forms in which the training table is found: rows of defects only, or of all pairs."""

_QUALITY = (88, 97)  # of the JPEG files


@dataclass(frozen=True)
class _Plan:
    """One picture before it is drawn; a twin is drawn as its original is, and then disturbed."""

    id: str
    size: tuple[int, int]
    classes: tuple[int, ...]
    stream: int
    twin: int | None = None


def steel(
    directory: PathLike,
    images: int,
    test_images: int,
    size: int | Sequence[int],
    seed: int,
    workers: int = 1,
    train_format: str = "positives",
) -> None:
    """Write a synthetic competition folder, and beside it files that a competitor does not get.

    The folder has `train_images/*.jpg`, `test_images/*.jpg` (grey, saved as three channels),
    `train.csv` and `sample_submission.csv` (`ImageId_ClassId,EncodedPixels`, all pairs). As in the
    original, the four classes differ much in frequency and shape, nearly half of the images are
    clean, some show a coil's end beside black, and a few are nearly copies of others, some of them
    across train and test or with masks drawn anew.

    Beside it lie `<directory>-truth.csv` (the masks of the test images, in the form of
    `train.csv`) and `<directory>-twins.csv` (id, twin: which image was nearly copied from which).

    Parameters
    ----------
    directory
        The folder to make. It may exist if there are no files in it.
    images, test_images
        How many; at least four for training, so that each class is seen.
    size
        Height and width, or one number for both; the original has 256 and 1600. Defects grow with
        the height.
    seed
        The same arguments and `seed` give the same bytes, whatever `workers`.
    workers
        Processes that draw pictures at the same time.
    train_format
        One of `FORMATS`: "positives" (`ImageId,ClassId,EncodedPixels`, rows of defects only) or
        "pairs" (`ImageId_ClassId,EncodedPixels`, every image with every class).

    Raises
    ------
    InputError
        If numbers or size are too small, the format is unknown, or the folder has files in it.
    """
    target = Path(directory)
    height, width = (size, size) if isinstance(size, int) else map(int, size)
    _check(target, images, test_images, (height, width), train_format)
    random = np.random.default_rng(
        seed_for("survey", "steel", images, test_images, height, width, seed)
    )
    train, test = _plans(images, test_images, (height, width), random)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
        building = Path(name, "data")
        masks = {
            part: _write_images(building / f"{part}_images", plans, workers)
            for part, plans in (("train", train), ("test", test))
        }
        write_csv(building / "train.csv", _table(train, masks["train"], train_format))
        everything = _table(test, {plan.id: f"1 {height * width}" for plan in test}, "pairs")
        write_csv(building / "sample_submission.csv", everything)
        write_csv(f"{target}-truth.csv", _table(test, masks["test"], train_format))
        write_csv(f"{target}-{BESIDE}.csv", _twins(train + test))
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)


def _check(
    target: Path, images: int, test_images: int, size: tuple[int, int], train_format: str
) -> None:
    if images < metal.CLASSES:
        raise InputError(f"images is {images}: each of the four classes needs an image.")
    if test_images < 0:
        raise InputError(f"test_images is {test_images}: take 0 or more.")
    if min(size) < 32:
        raise InputError(f"size is {size[0]}×{size[1]}: defects need at least 32 pixels.")
    if train_format not in FORMATS:
        raise InputError(f"train_format is {train_format!r}: take one of {', '.join(FORMATS)}.")
    if any(path.is_file() for path in target.rglob("*")):
        raise InputError(f"{target} has files in it: delete it, or name a new folder.")


# --- what to draw -------------------------------------------------------------------------------


def _plans(
    images: int, test_images: int, size: tuple[int, int], random: np.random.Generator
) -> tuple[list[_Plan], list[_Plan]]:
    """Plan all pictures: ids, classes, streams of chance and twins."""
    classes = [*_deal(images, 1, random), *_deal(test_images, 0, random)]
    ids: dict[str, None] = {}
    while len(ids) < len(classes):
        ids[f"{int(random.integers(16**9)):09x}.jpg"] = None
    streams = random.integers(2**63, size=len(classes))
    plans = [
        _Plan(name, size, kinds, int(stream))
        for name, kinds, stream in zip(ids, classes, streams, strict=True)
    ]
    _pair(plans, random)
    return plans[:images], plans[images:]


def _deal(count: int, least: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    """Give each of `count` images its classes: shares as in the original, some with two."""
    numbers = [max(least, round(share * count)) for share in SHARES]
    # Rare classes come first, each on its own image. The rest is of the most frequent class, and
    # goes to images that show another class.
    rare_first = sorted(range(metal.CLASSES), key=lambda kind: numbers[kind])
    wanted = [kind for kind in rare_first for _ in range(numbers[kind])]
    defective = min(len(wanted), max(round(DEFECTIVE * count), metal.CLASSES * least))
    shown = [{kind} for kind in wanted[:defective]]
    for kind in wanted[defective:]:
        others = [held for held in shown if kind not in held]
        if others:
            others[int(random.integers(len(others)))].add(kind)
    dealt = [tuple(sorted(held)) for held in shown] + [()] * (count - defective)
    return [dealt[place] for place in random.permutation(count)]


def _pair(plans: list[_Plan], random: np.random.Generator) -> None:
    """Make some plans near copies of others that show the same classes, in place."""
    free = set(range(len(plans)))
    for second in random.permutation(len(plans))[: round(TWINS * len(plans))].tolist():
        plan = plans[second]
        alike = [place for place in sorted(free - {second}) if plans[place].classes == plan.classes]
        if second in free and alike:
            first = alike[int(random.integers(len(alike)))]
            plans[second] = replace(plan, stream=plans[first].stream, twin=first)
            free -= {first, second}


def _twins(plans: list[_Plan]) -> pd.DataFrame:
    rows = [(plan.id, plans[plan.twin].id) for plan in plans if plan.twin is not None]
    return pd.DataFrame(rows, columns=["id", "twin"])


# --- drawn and written --------------------------------------------------------------------------


def _write_images(folder: Path, plans: list[_Plan], workers: int) -> dict[str, list[str]]:
    """Write all pictures of a part; give id → run lengths of each class."""
    folder.mkdir(parents=True)
    masks = {}
    for plan, (data, runs) in zip(plans, _drawn(plans, workers), strict=True):
        (folder / plan.id).write_bytes(data)
        masks[plan.id] = runs
    return masks


def _drawn(plans: list[_Plan], workers: int) -> Iterator[tuple[bytes, list[str]]]:
    if workers < 2:
        yield from map(_draw, plans)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_draw, plans, chunksize=8)


def _draw(plan: _Plan) -> tuple[bytes, list[str]]:
    """Draw one picture: a JPEG file, and the run lengths of each class."""
    cv2.setNumThreads(1)
    random = np.random.default_rng(plan.stream)
    sheet = metal.sheet(*plan.size, plan.classes, random)
    image, mask = sheet.image, sheet.mask
    if plan.twin is not None:
        random = np.random.default_rng(seed_for("twin", plan.id))
        image, mask = _disturbed(image, mask, random)
    quality = int(random.integers(*_QUALITY))
    grey = np.repeat(image[..., None], 3, axis=2)
    done, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError(f"{plan.id}: OpenCV could not encode the image.")
    return data.tobytes(), [encode(mask[..., kind]) for kind in range(metal.CLASSES)]


def _disturbed(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make a near copy of a picture: perhaps moved, brighter or darker, or with masks redrawn.

    A moved picture repeats its border.
    """
    reach = max(1, round(3 * len(image) / metal.ROWS))
    down, across = (int(v) for v in random.integers(-reach, reach + 1, 2))
    if random.random() < 0.4:
        down = across = 0
    rows = np.clip(np.arange(image.shape[0]) + down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) + across, 0, image.shape[1] - 1)
    gain = random.uniform(0.98, 1.02)
    moved = np.clip(np.rint(image[rows][:, columns] * gain), 0, 255).astype(np.uint8)
    mask = mask[rows][:, columns]
    if random.random() < 0.3:  # by another annotator, who draws wider
        mask = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)
    return moved, np.ascontiguousarray(mask)


def _table(
    plans: list[_Plan], masks: dict[str, list[str]] | dict[str, str], form: str
) -> pd.DataFrame:
    """Give rows of all pairs, or of defects only, in order of image and class."""
    rows: list[tuple[str | int, ...]] = []
    for plan in sorted(plans, key=lambda plan: plan.id):
        runs = masks[plan.id]
        for kind in range(metal.CLASSES):
            text = runs if isinstance(runs, str) else runs[kind]
            if form == "pairs":
                rows.append((f"{plan.id}_{kind + 1}", text))
            elif text:
                rows.append((plan.id, kind + 1, text))
    return pd.DataFrame(rows, columns=FORMATS[form])
