"""Tables in the form of the real chest competition, with its counts and quirks, without pixels."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from foldbelt.synthetic import _chest_tables as tables

IMAGES, STUDIES, PATIENTS = 6334, 6054, 3261
TEST_IMAGES, TEST_STUDIES, TEST_PATIENTS = 1263, 1214, 800
CLASS_COUNTS = (1676, 2855, 1049, 474)
"""Studies that are negative, typical, indeterminate and atypical."""

SEVERAL_STUDIES, OF_SEVERAL_CLASSES = 1200, 770
"""Patients with several studies, and those of them whose studies differ in class."""

BOXED_IMAGES, BOXES, MOST_BOXES = 4294, 7853, 8
NEGATIVE_X = -3.56
BOXLESS = ((2, 1), (3, 81))
"""Studies of one image that are not negative and have no box: (class, how many)."""

SEVERAL_IMAGES = {"boxed": 177, "negative": 53, "boxless": 2}
"""Studies of several images: one image has the boxes; negative; none has, though not negative."""

SIBLINGS = 217
"""Images of studies in which another image has the boxes."""

_SIZES = ((2320, 2832), (2336, 2836), (3480, 4240), (2880, 2880), (2544, 3056), (1140, 1387))


@dataclass
class _Study:
    """A study while it is planned."""

    name: str
    kind: int
    patient: str = ""
    images: list[str] = field(default_factory=list)
    boxed: bool = False  # its first image has boxes


def real_form(directory: Path, seed: int = 0) -> pd.DataFrame:
    """Write `train_study_level.csv`, `train_image_level.csv` and `sample_submission.csv`.

    Returns
    -------
    pandas.DataFrame
        Of every image, training images first: image, study, patient (12 hexadecimal digits each),
        split ("train" or "test"), height, width.
    """
    random = np.random.default_rng(seed)
    ids = _ids(random)
    studies = _train_studies(ids, random)
    _share_images(studies, ids, random)
    test = _test_studies(ids, random)
    listed = pd.DataFrame(
        [
            (image, study.name, study.patient, split, *_SIZES[int(random.integers(len(_SIZES)))])
            for split, those in (("train", studies), ("test", test))
            for study in those
            for image in study.images
        ],
        columns=["image", "study", "patient", "split", "height", "width"],
    )
    directory.mkdir(parents=True, exist_ok=True)
    pairs = [(study.name, study.kind) for study in studies]
    rows = _boxed(studies, listed.set_index("image"), random)
    sample = tables.sample_table(
        [study.name for study in test], [image for study in test for image in study.images]
    )
    for name, table in (
        ("train_study_level", tables.study_table(pairs)),
        ("train_image_level", tables.image_table(rows)),
        ("sample_submission", sample),
    ):
        table.to_csv(directory / f"{name}.csv", index=False, lineterminator="\n")
    return listed


def _ids(random: np.random.Generator):
    met = set()
    while True:
        name = f"{int(random.integers(16**12)):012x}"
        if name not in met:
            met.add(name)
            yield name


def _train_studies(ids, random: np.random.Generator) -> list[_Study]:
    """Deal classes to studies, and studies to patients: exactly as many as the real ones."""
    pool = random.permutation(np.repeat(np.arange(4), CLASS_COUNTS)).tolist()
    more = STUDIES - PATIENTS - SEVERAL_STUDIES  # beyond one of each and a second of some
    counts = 2 + np.bincount(random.integers(SEVERAL_STUDIES, size=more), minlength=SEVERAL_STUDIES)
    patients: list[list[int]] = []
    for number, count in enumerate(sorted(counts.tolist())):
        if number < SEVERAL_STUDIES - OF_SEVERAL_CLASSES:
            kind = pool[int(random.integers(len(pool)))]
            kinds = [kind] * count
        else:
            first = pool[int(random.integers(len(pool)))]
            kinds = [first, next(kind for kind in pool if kind != first)]
            rest = list(pool)
            for kind in kinds:
                rest.remove(kind)
            kinds += [rest[int(place)] for place in random.permutation(len(rest))[: count - 2]]
        for kind in kinds:
            pool.remove(kind)
        patients.append(kinds)
    patients += [[kind] for kind in pool]
    studies = []
    for kinds in patients:
        patient = next(ids)
        studies += [_Study(next(ids), kind, patient) for kind in kinds]
    return [studies[place] for place in random.permutation(len(studies))]


def _share_images(studies: list[_Study], ids, random: np.random.Generator) -> None:
    """Give studies their images, some several, and say which have boxes."""
    left = list(studies)

    def take(count: int, kinds: set[int]) -> list[_Study]:
        chosen = [study for study in left if study.kind in kinds][:count]
        for study in chosen:
            left.remove(study)
        return chosen

    boxed = take(SEVERAL_IMAGES["boxed"], {1, 2, 3})
    empty = take(SEVERAL_IMAGES["negative"], {0}) + take(SEVERAL_IMAGES["boxless"], {3})
    for kind, count in BOXLESS:
        for study in take(count, {kind}):
            study.images = [next(ids)]
    for study in left:
        study.images, study.boxed = [next(ids)], study.kind > 0
    extra = IMAGES - STUDIES - SIBLINGS
    for those, siblings in ((boxed, SIBLINGS), (empty, extra)):
        numbers = np.bincount(
            random.integers(len(those), size=siblings - len(those)), minlength=len(those)
        )
        for study, number in zip(those, numbers.tolist(), strict=True):
            study.images = [next(ids) for _ in range(2 + number)]
            study.boxed = those is boxed


def _test_studies(ids, random: np.random.Generator) -> list[_Study]:
    patients = [next(ids) for _ in range(TEST_PATIENTS)]
    studies = [_Study(next(ids), 0, patients[k % TEST_PATIENTS]) for k in range(TEST_STUDIES)]
    for study in studies:
        study.images = [next(ids)]
    for place in random.permutation(TEST_STUDIES)[: TEST_IMAGES - TEST_STUDIES]:
        studies[place].images.append(next(ids))
    return studies


def _boxed(
    studies: list[_Study], sizes: pd.DataFrame, random: np.random.Generator
) -> list[tables.Row]:
    counts = iter(_box_counts(random))
    place = dict(zip(sizes.index, sizes[["height", "width"]].to_numpy().tolist(), strict=True))
    rows, first = [], True
    for study in studies:
        for image in study.images:
            boxes = np.zeros((0, 4))
            if study.boxed and image == study.images[0]:
                boxes = _boxes(next(counts), *place[image], random)
                if first:
                    boxes[0, 0], first = NEGATIVE_X, False
            rows.append(tables.Row(image, study.name, boxes))
    return rows


def _box_counts(random: np.random.Generator) -> list[int]:
    counts = random.choice([1, 2, 3, 4, 5], BOXED_IMAGES, p=[0.32, 0.56, 0.09, 0.025, 0.005])
    counts[0] = MOST_BOXES
    while (step := int(np.sign(BOXES - counts.sum()))) != 0:
        place = int(random.integers(1, BOXED_IMAGES))
        counts[place] = min(max(counts[place] + step, 1), MOST_BOXES)
    return random.permutation(counts).tolist()


def _boxes(count: int, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Draw boxes that lie in the lungs, one above the other."""
    sides = random.permutation(np.arange(count) % 2)
    boxes = []
    for side, left in ((0, 0.08), (1, 0.55)):
        number = int((sides == side).sum())
        edges = np.linspace(0.12, 0.95, number + 1) if number else np.zeros(1)
        for top, bottom in itertools.pairwise(edges):
            high = min(float(random.lognormal(-1.05, 0.3)), bottom - top)
            wide = min(max(high / float(random.uniform(1.2, 2.4)), 0.034), 0.36)
            y = random.uniform(top, bottom - high)
            x = random.uniform(left, left + 0.37 - wide)
            boxes.append((x * width, y * height, (x + wide) * width, (y + high) * height))
    return np.array(boxes)
