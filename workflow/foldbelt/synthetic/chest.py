"""A synthetic chest data set in the form, and with the quirks, of SIIM-FISABIO-RSNA COVID-19.

The shares and quirks were counted in the original's tables: see `chest`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foldbelt.boxes import XYXY
from foldbelt.files import InputError, PathLike, seed_for, write_csv
from foldbelt.synthetic import _chest_tables as tables
from foldbelt.synthetic import _dicom as dicom
from foldbelt.synthetic._studies import Picture, Study, draw, names, plan

BESIDE = "opacities"
"""End of the name of the other file beside the folder: `<directory>-opacities.csv`."""

LEAST_IMAGES = 24
"""So many training images show every class, in several studies each, and studies of two images."""

_LEAST_SIDE = 64
_NEGATIVE_X = -3.56 / 3000  # of a picture's width: where one box begins
_WHOLE = (0.0, 0.0, 1.0, 1.0)  # the box of what is said of an image or study as a whole

Drawn = dict[str, NDArray[np.float64]]  # image → boxes


def chest(
    directory: PathLike,
    images: int,
    test_images: int,
    side: int,
    seed: int,
    workers: int = 1,
) -> None:
    """Write a synthetic competition folder, and beside it files that a competitor does not get.

    The folder has `train/<study>/<series>/<image>.dcm`, `test/…` alike, `train_study_level.csv`,
    `train_image_level.csv` and `sample_submission.csv`. In the lungs of every picture lie five
    shadows, which are drawn alike for all classes in size, place, mean and variance; those with a
    mottled pattern are opacities, those with streaks are not. Which of them are makes the class of
    the study: none is *negative*; low at both sides, perhaps with more, is *typical*; one low at
    one side, perhaps with one above it, or a central one alone is *indeterminate*; one in an upper
    lobe alone is *atypical*. So brightness tells nothing, as exposure differs by picture, too.

    As in the original, patients have several studies, often of different classes, and their id is
    in the DICOM header only; a few studies have two images, of which the second says `none` though
    it shows the same chest; some atypical studies have no box (theirs is a ring, not an opacity);
    one x is negative. Files are MONOCHROME1 or 2 of 10 to 16 bits, some with a window or a VOI LUT,
    a fifth of them JPEG 2000. The ids of the tables are the names of folders and files; UIDs in the
    header are `2.25.` and the id as a decimal number.

    Beside it lie `<directory>-truth.csv` (id, class, x1, y1, x2, y2: the rows that the metric
    compares with a submission, of all test studies and images) and `<directory>-opacities.csv`
    (image, study, patient, class, x1, y1, x2, y2: of all images, those that the tables are silent
    about among them; a row without coordinates for an image without opacities).

    Parameters
    ----------
    directory
        The folder to make. It may exist if there are no files in it.
    images, test_images
        How many; at least 24 for training.
    side
        The longer side in pixels, at least 64; the shorter one is drawn.
    seed
        The same arguments and `seed` give the same bytes, whatever `workers`.
    workers
        Processes that draw pictures at the same time.

    Raises
    ------
    InputError
        If numbers are too small, or the folder has files in it.
    """
    target = Path(directory)
    _check(target, images, test_images, side)
    random = np.random.default_rng(seed_for("synthetic", "chest", images, test_images, side, seed))
    ids, codings = names(random), dicom.codings(random)
    parts = {
        part: plan(count, side, random, ids, codings)
        for part, count in (("train", images), ("test", test_images))
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
        building = Path(name, "data")
        boxes = {
            part: _write_images(building / part, studies, workers)
            for part, studies in parts.items()
        }
        _write_tables(building, parts, boxes["train"])
        write_csv(f"{target}-truth.csv", _truth(parts["test"], boxes["test"]))
        write_csv(f"{target}-{BESIDE}.csv", _opacities(parts, boxes))
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)


def _check(target: Path, images: int, test_images: int, side: int) -> None:
    if images < LEAST_IMAGES:
        raise InputError(f"images is {images}: every class needs some, {LEAST_IMAGES} in all.")
    if test_images < 0:
        raise InputError(f"test_images is {test_images}: take 0 or more.")
    if side < _LEAST_SIDE:
        raise InputError(f"side is {side}: opacities need at least {_LEAST_SIDE} pixels.")
    if any(path.is_file() for path in target.rglob("*")):
        raise InputError(f"{target} has files in it: delete it, or name a new folder.")


# --- drawn and written --------------------------------------------------------------------------


def _write_images(folder: Path, studies: list[Study], workers: int) -> Drawn:
    """Write all files of a part; give the boxes of the opacities that each picture shows."""
    folder.mkdir(parents=True)
    pairs = [(study, picture) for study in studies for picture in study.pictures]
    boxes = {}
    for (study, picture), (data, found) in zip(pairs, _drawn(pairs, workers), strict=True):
        path = folder / study.name / picture.series / f"{picture.image}.dcm"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        boxes[picture.image] = found
    return boxes


def _drawn(
    pairs: list[tuple[Study, Picture]], workers: int
) -> Iterator[tuple[bytes, NDArray[np.float64]]]:
    if workers < 2:
        yield from map(_file, pairs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_file, pairs, chunksize=8)


def _file(pair: tuple[Study, Picture]) -> tuple[bytes, NDArray[np.float64]]:
    study, picture = pair
    drawn = draw(study, picture)
    names = dicom.Names(study.patient, study.name, picture.series, picture.image)
    return dicom.to_bytes(drawn.light, picture.coding, names), drawn.boxes


def _write_tables(folder: Path, parts: dict[str, list[Study]], boxes: Drawn) -> None:
    """Write the competition's three tables; the second image of a study has no boxes there."""
    nothing = np.zeros((0, 4))
    rows = [
        tables.Row(picture.image, study.name, boxes[picture.image] if picture.listed else nothing)
        for study in parts["train"]
        for picture in study.pictures
    ]
    widths = {p.image: p.shape[1] for study in parts["train"] for p in study.pictures}
    first = min((row for row in rows if len(row.boxes)), key=lambda row: row.boxes[:, 0].min())
    first.boxes[first.boxes[:, 0].argmin(), 0] = _NEGATIVE_X * widths[first.image]
    kinds = [(study.name, study.kind) for study in parts["train"]]
    write_csv(folder / "train_image_level.csv", tables.image_table(rows))
    write_csv(folder / "train_study_level.csv", tables.study_table(kinds))
    images = [picture.image for study in parts["test"] for picture in study.pictures]
    sample = tables.sample_table([study.name for study in parts["test"]], images)
    write_csv(folder / "sample_submission.csv", sample)


def _truth(studies: list[Study], boxes: Drawn) -> pd.DataFrame:
    """List what a perfect submission says; a second image's opacities are among it."""
    rows = [(f"{study.name}_study", tables.CLASSES[study.kind], *_WHOLE) for study in studies]
    images: list[tuple[str | float, ...]] = []
    for image, found in boxes.items():
        key = f"{image}_image"
        images += [(key, "opacity", *box) for box in found.round(tables.DIGITS).tolist()]
        images += [] if len(found) else [(key, "none", *_WHOLE)]
    return pd.DataFrame([*sorted(rows), *sorted(images)], columns=["id", "class", *XYXY])


def _opacities(parts: dict[str, list[Study]], boxes: dict[str, Drawn]) -> pd.DataFrame:
    rows: list[tuple[str | float, ...]] = []
    for part, studies in parts.items():
        for study in studies:
            for picture in study.pictures:
                said = (picture.image, study.name, study.patient, tables.CLASSES[study.kind])
                found = boxes[part][picture.image].round(tables.DIGITS).tolist()
                rows += [(*said, *box) for box in found] or [(*said, *[""] * len(XYXY))]
    return pd.DataFrame(rows, columns=["image", "study", "patient", "class", *XYXY])
