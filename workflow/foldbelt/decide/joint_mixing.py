"""How labels and boxes change each other where they are decided together.

What says that an image shows nothing is mixed: its own label, the unit's label that says the same,
and what the detector saw. The unit's label takes in the mean over its images, and boxes lose score
where an image probably shows nothing: they rank as by ``score^a · (1 − none)^b``. The a-th root of
that is taken for the score, which ranks alike, and lets folds that found other exponents share a
scale: a box of which nothing is doubted scores 1 in all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.decide import units as unit
from foldbelt.files import InputError

NEUTRAL: dict[str, Any] = {
    "none_mix": {"negative": 0.0, "absence": 0.0},
    "absence": "product",
    "negative_mix": 0.0,
    "box_exponent": 1.0,
    "none_exponent": 0.0,
}
"""Parameters that change nothing."""

PARTS: dict[str, dict[str, Any]] = {
    "none_mix": {"none_mix": {"negative": [0], "absence": [0]}, "absence": ["product"]},
    "negative_mix": {"negative_mix": [0]},
    "none_product": {"box_exponent": [1], "none_exponent": [0]},
}
"""Name of a part of the decision → the settings with which it is off."""

ABSENCES = ("product", "max")
"""What an image's boxes say of there being none: Π(1 − score), or 1 − the largest score."""


@dataclass(frozen=True)
class Given:
    """Predictions of N images.

    Attributes
    ----------
    labels
        (N, L) float32, joined at their levels; NaN where nothing was predicted.
    names
        Of the L labels.
    units
        (N,) int64, which images share the answer `negative`.
    boxes
        Of the images; None where the run has none.
    box_names
        Of their classes.
    predicted
        (N,) bool, of which images boxes were predicted.
    """

    labels: np.ndarray
    names: Sequence[str]
    units: np.ndarray
    boxes: Boxes | None
    box_names: Sequence[str]
    predicted: np.ndarray


@dataclass(frozen=True)
class Roles:
    """Which labels and boxes play a part; None of them where the run does not have it.

    Attributes
    ----------
    none, negative
        Columns of labels.
    boxes
        Numbers of the classes whose scores change.
    """

    none: int | None
    negative: int | None
    boxes: tuple[int, ...]

    @classmethod
    def of(cls, given: Given, settings: Mapping[str, Any]) -> "Roles":
        """Find the labels and classes that the config's ``joint`` names.

        Labels that are not there, or that nobody predicts, play no part.

        Raises
        ------
        InputError
            If the class of boxes is unknown.
        """
        predicted = ~np.isnan(given.labels).all(axis=0)
        columns = {n: k for k, n in enumerate(given.names) if predicted[k]}
        classes = list(given.box_names) if given.boxes is not None else []
        named = settings["box"]
        if named is not None and classes and named not in classes:
            raise InputError(f"joint.box is {named!r}; boxes are of {', '.join(classes)}.")
        changed = [k for k, name in enumerate(classes) if named in (None, name)]
        negative = settings["negative"]
        return cls(
            columns.get(settings["none"]),
            None if negative is None else columns.get(negative),
            tuple(changed),
        )


def absence(boxes: Boxes, classes: Sequence[int], how: str) -> np.ndarray:
    """Say by its boxes how probable it is that an image shows nothing, (N,) float64.

    Parameters
    ----------
    boxes
        Of N images.
    classes
        That count.
    how
        One of `ABSENCES`.

    Examples
    --------
    >>> boxes = Boxes.join([[[0, 0, 0, 1, 1, 0.5], [0, 2, 2, 3, 3, 0.5]], []])
    >>> absence(boxes, [0], "product").tolist(), absence(boxes, [0], "max").tolist()
    ([0.25, 1.0], [0.5, 1.0])
    """
    rest = np.ones(len(boxes))
    rows = np.isin(boxes.classes, classes)
    of, left = boxes.of()[rows], 1 - boxes.scores[rows].astype(np.float64)
    if how == "max":
        np.minimum.at(rest, of, left)
    else:
        np.multiply.at(rest, of, left)
    return rest


def mixed_none(given: Given, roles: Roles, params: Mapping[str, Any]) -> np.ndarray:
    """Mix what says that an image shows nothing, (N,) float64; NaN where none was predicted.

    Where an image has no boxes predicted, or its unit no label, their shares go to none itself.
    """
    if roles.none is None:
        raise InputError("no label says that an image shows nothing.")
    none = given.labels[:, roles.none].astype(np.float64)
    made = none.copy()
    shares = params["none_mix"]
    if roles.negative is not None and shares["negative"]:
        negative = given.labels[:, roles.negative].astype(np.float64)
        negative = np.where(np.isnan(negative), none, negative)
        made += shares["negative"] * (negative - none)
    if given.boxes is not None and shares["absence"]:
        seen = absence(given.boxes, roles.boxes, params["absence"])
        made += shares["absence"] * (np.where(given.predicted, seen, none) - none)
    return made


def mixed_negative(
    given: Given, roles: Roles, none: np.ndarray, params: Mapping[str, Any]
) -> np.ndarray:
    """Mix the mean of the unit's none into its label, (N,) float64."""
    negative = given.labels[:, roles.negative].astype(np.float64)
    share = params["negative_mix"]
    if not share:
        return negative
    of_unit = unit.join(none[:, None], given.units, "mean")[:, 0].astype(np.float64)
    return negative + share * (np.where(np.isnan(of_unit), negative, of_unit) - negative)


def scaled_scores(
    given: Given, roles: Roles, none: np.ndarray | None, params: Mapping[str, Any]
) -> np.ndarray:
    """Give the scores of all boxes, score · (1 − none)^(b / a), (M,) float32."""
    boxes = given.boxes
    if boxes is None:
        raise InputError("there are no boxes.")
    a, b = params["box_exponent"], params["none_exponent"]
    if b == 0:
        return boxes.scores
    made = boxes.scores.astype(np.float64)
    if none is not None:
        left = np.clip(1 - np.nan_to_num(none, nan=0.0), 0, 1)
        made *= (left ** (b / a))[boxes.of()]
    changed = np.isin(boxes.classes, roles.boxes)
    return np.where(changed, made, boxes.scores).astype(np.float32)


def apply(
    given: Given, settings: Mapping[str, Any], params: Mapping[str, Any]
) -> tuple[np.ndarray, Boxes | None]:
    """Apply a decision to images.

    Parameters
    ----------
    given
        What was predicted of them.
    settings
        The config's ``joint``.
    params
        Of the decision.

    Returns
    -------
    labels, boxes
        (N, L) float32, and the boxes, in the order that they had.
    """
    roles, labels = Roles.of(given, settings), given.labels.copy()
    none = None if roles.none is None else mixed_none(given, roles, params)
    if none is not None:
        labels[:, roles.none] = none
    if none is not None and roles.negative is not None:
        labels[:, roles.negative] = mixed_negative(given, roles, none, params)
    boxes = given.boxes
    if boxes is not None:
        boxes = replace(boxes, scores=scaled_scores(given, roles, none, params))
    return labels, boxes
