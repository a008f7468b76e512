"""What the journal notes of an image, as a line of JSON that may have been damaged or changed."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from foldbelt import rle
from foldbelt.boxes import NUMBERS
from foldbelt.bundle.answers import Answer

_BOX_BYTES = 4 * len(NUMBERS)


@dataclass(frozen=True)
class Form:
    """What a bundle predicts of every image.

    Attributes
    ----------
    masks, labels, boxes
        Numbers of the classes of masks, of labels and of the classes of boxes; 0 where the run
        does not decide on them.
    levels
        Columns that say of which units images are.
    """

    masks: int
    labels: int
    boxes: int
    levels: Sequence[str]


@dataclass(frozen=True)
class Record:
    """One image that is done.

    Attributes
    ----------
    id
        Its name.
    source
        `foldbelt.files.digest` of the file that was predicted.
    size
        (height, width).
    runs
        Run lengths of its masks, class by class; none where the run has no masks.
    picture
        SHA-256 of the mask's file; empty where the run has no masks.
    units
        See `Answer`.
    labels
        Probabilities, not yet joined; None for NaN. Of 32 bits, which JSON keeps.
    boxes
        The bytes of (m, 6) float32, in base 64.
    """

    id: str
    source: str
    size: tuple[int, int]
    runs: list[str] = field(default_factory=list)
    picture: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    labels: list[float | None] | None = None
    boxes: str | None = None

    @classmethod
    def of(cls, answer: Answer, source: str, picture: str) -> "Record":
        """Note what is predicted of an image."""
        mask, labels, boxes = answer.mask, answer.labels, answer.boxes
        return cls(
            answer.id,
            source,
            answer.size,
            [] if mask is None else [rle.encode(mask[..., k]) for k in range(mask.shape[2])],
            picture,
            answer.units,
            None if labels is None else [None if p != p else p for p in labels.tolist()],
            None if boxes is None else base64.b64encode(boxes.tobytes()).decode("ascii"),
        )

    def answer(self) -> Answer:
        """Give what was predicted, less the mask."""
        labels = self.labels
        return Answer(
            self.id,
            self.size,
            self.units,
            None,
            None if labels is None else np.array(labels, np.float32),
            None if self.boxes is None else _boxes(self.boxes),
        )


def content_of(line: bytes) -> dict[str, Any] | None:
    """Read a line of the journal; None if it is not whole."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if line.endswith(b"\n") and isinstance(content, dict) else None


def record_of(content: Mapping[str, Any], form: Form) -> Record | None:
    """Give what a line says of an image; None if it is not what a bundle of this form notes."""
    if content.keys() != {one.name for one in fields(Record)}:
        return None
    try:
        sound = _is_sound(Record(**content), form)
    except ValueError:  # of what is no base 64, and of runs
        return None
    return Record(**{**content, "size": tuple(content["size"])}) if sound else None


def _is_sound(given: Record, form: Form) -> bool:
    """Tell whether all values are of the types, numbers and ranges that they should be."""
    return (
        _is_name(given.id)
        and isinstance(given.source, str)
        and _is_size(given.size)
        and _are_runs(given.runs, given.size, form.masks)
        and isinstance(given.picture, str)
        and _are_units(given.units, form.levels)
        and _are_labels(given.labels, form.labels)
        and _are_boxes(given.boxes, form.boxes)
    )


def _is_name(value: Any) -> bool:
    """Tell whether a value names a file within a folder."""
    if not isinstance(value, str):
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(side) is int and side > 0 for side in value)
    )


def _are_runs(value: Any, size: tuple[int, int], classes: int) -> bool:
    if not isinstance(value, list) or len(value) != classes:
        return False
    if not all(isinstance(runs, str) for runs in value):
        return False
    for runs in value:
        rle.check(runs, size)
    return True


def _are_units(value: Any, levels: Sequence[str]) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == set(levels)
        and all(isinstance(unit, str) for unit in value.values())
    )


def _are_labels(value: Any, count: int) -> bool:
    if not count:
        return value is None
    return (
        isinstance(value, list)
        and len(value) == count
        and all(p is None or (isinstance(p, float) and abs(p) < 2) for p in value)  # NaN is not
    )


def _are_boxes(value: Any, classes: int) -> bool:
    if not classes:
        return value is None
    if not isinstance(value, str) or len(base64.b64decode(value, validate=True)) % _BOX_BYTES:
        return False
    boxes = _boxes(value)
    return bool(np.isfinite(boxes).all() and np.isin(boxes[:, 0], range(classes)).all())


def _boxes(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32).reshape(-1, len(NUMBERS))
