"""Patients, their studies and their pictures: who has what, and drawn."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from foldbelt.synthetic import _exposure as exposure
from foldbelt.synthetic import _shadows
from foldbelt.synthetic._canvas import Random
from foldbelt.synthetic._dicom import Coding
from foldbelt.synthetic._thorax import Build, thorax

SHARES = (0.277, 0.472, 0.173, 0.078)
"""Shares of the original's studies that are negative, typical, indeterminate and atypical."""

_OF_TWO = 0.038  # of the studies: have two images
_NEGATIVE_OF_TWO = 0.23  # of those: are negative
_BOXLESS = 0.17  # of the atypical studies of one image: have no box
_LEAST = 3  # studies of a class, and
_MANY = 20  # of so many in all
_ONE_STUDY = 0.63  # of the patients
_MOST_STUDIES = 6
_NARROW = 0.82  # the shorter side, to the longer one
_WIDER = 0.06  # of a box's side: so much wider may it be drawn than needed, at either end


@dataclass(frozen=True)
class Picture:
    """One picture before it is drawn."""

    image: str
    series: str
    shape: tuple[int, int]
    coding: Coding
    listed: bool  # its boxes are in the table
    stream: int


@dataclass
class Study:
    """One study before it is drawn."""

    name: str
    kind: int
    stream: int
    boxless: bool = False
    patient: str = ""
    build: int = 0  # stream of the patient's chest
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Radiograph:
    """A picture (height, width) between 0 and 1, and its opacities' boxes (n, 4) in pixels."""

    light: NDArray[np.float32]
    boxes: NDArray[np.float64]


def names(random: Random) -> Iterator[str]:
    """Draw ids without end: twelve hexadecimal digits, none twice."""
    met = set()
    while True:
        name = f"{int(random.integers(16**12)):012x}"
        if name not in met:
            met.add(name)
            yield name


def plan(
    images: int, side: int, random: Random, ids: Iterator[str], codings: Iterator[Coding]
) -> list[Study]:
    """Plan studies that have so many images together.

    Patients of two calls differ. A class has at least three studies if there are enough for that.
    """
    of_two = max(2, round(_OF_TWO * images)) if images >= _MANY else 0
    studies = [
        Study(next(ids), kind, int(random.integers(2**63)))
        for kind in _kinds(images - of_two, random)
    ]
    _give_patients(studies, random, ids)
    second = _choose(studies, of_two, random)
    _take_boxes(studies, second, random)
    for number, study in enumerate(studies):
        for place in range(1 + (number in second)):
            shape = _shape(side, random)
            stream = int(random.integers(2**63))
            picture = Picture(next(ids), next(ids), shape, next(codings), place == 0, stream)
            study.pictures.append(picture)
    return studies


def _kinds(count: int, random: Random) -> list[int]:
    least = _LEAST if count >= _MANY else min(1, count // len(SHARES))
    numbers = [max(least, round(share * count)) for share in SHARES]
    numbers[_shadows.TYPICAL] += count - sum(numbers)
    kinds = np.repeat(np.arange(len(SHARES)), np.maximum(numbers, 0))[:count]
    return [int(kind) for kind in random.permutation(kinds)]


def _give_patients(studies: list[Study], random: Random, ids: Iterator[str]) -> None:
    """Share studies among patients, one or several each."""
    left = iter(studies)
    while True:
        alone = random.random() < _ONE_STUDY
        count = 1 if alone else min(2 + int(random.poisson(1.0)), _MOST_STUDIES)
        patient, build = next(ids), int(random.integers(2**63))
        given = list(itertools.islice(left, count))
        for study in given:
            study.patient, study.build = patient, build
        if not given:
            return


def _choose(studies: list[Study], count: int, random: Random) -> set[int]:
    """Choose studies of two images, of which some are negative and some are not."""
    negative = min(count, max(1, round(_NEGATIVE_OF_TWO * count)))
    order = random.permutation(len(studies)).tolist()
    nothing = [place for place in order if studies[place].kind == _shadows.NEGATIVE]
    something = [place for place in order if studies[place].kind != _shadows.NEGATIVE]
    return {*nothing[:negative], *something[: count - negative]}


def _take_boxes(studies: list[Study], second: set[int], random: Random) -> None:
    single = [
        study
        for number, study in enumerate(studies)
        if study.kind == _shadows.ATYPICAL and number not in second
    ]
    count = round(_BOXLESS * len(single)) or int(len(single) > 1)
    for place in random.permutation(len(single))[:count].tolist():
        single[place].boxless = True


def _shape(side: int, random: Random) -> tuple[int, int]:
    short = round(side * random.uniform(_NARROW, 1))
    return (side, short) if random.random() < 0.7 else (short, side)


def draw(study: Study, picture: Picture) -> Radiograph:
    """Draw a picture of a study: its patient's chest with the study's shadows, exposed anew."""
    cv2.setNumThreads(1)
    random = np.random.default_rng(study.stream)
    shadows = _shadows.shadows(study.kind, random, study.boxless)
    random = np.random.default_rng(picture.stream)
    frame = exposure.framed(picture.shape, random)
    chest = thorax(picture.shape, frame, Build.drawn(np.random.default_rng(study.build)))
    density = chest.density.copy()
    boxes = []
    for shadow in shadows:
        box = _shadows.add(density, frame, shadow)
        if shadow.kind == _shadows.OPACITY:
            boxes.append(_annotated(box, picture.shape, random))
    exposure.things(density, chest, frame, random)
    light = exposure.exposed(density, random)
    return Radiograph(light, np.array(boxes, np.float64).reshape(-1, 4))


def _annotated(
    box: NDArray[np.float64], shape: tuple[int, int], random: Random
) -> NDArray[np.float64]:
    """Draw a box as a person does: a little wider than what is in it."""
    x1, y1, x2, y2 = box
    more = random.uniform(0, _WIDER, 4) * np.array([x2 - x1, y2 - y1, x2 - x1, y2 - y1])
    wider = box + np.array([-1, -1, 1, 1]) * more
    return np.clip(wider, 0, [shape[1], shape[0], shape[1], shape[0]])
