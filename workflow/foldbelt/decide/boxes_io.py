"""Boxes from prediction files to a decision, and the boxes that it makes of them to a file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.bootstrap import Resampling
from foldbelt.boxes import Boxes
from foldbelt.boxes.fusion import weighted_boxes_fusion
from foldbelt.decide import boxes
from foldbelt.files import PathLike

MOST = 300  # boxes of an image: the many that hardly anybody saw are not worth their rows
FOLDS_IOU = 0.55
"""Above it boxes by the models of several folds are of one object (Solovyev et al. 2021)."""


def gather(files: Sequence[tuple[PathLike, np.ndarray]], number: int) -> Boxes:
    """Read the boxes of a member: of every file where its images lie among so many."""
    images = [np.zeros((0, 6), np.float32)] * number
    for path, places in files:
        read = Boxes.from_bytes(store.read(path, "boxes"))
        for row, place in enumerate(places):
            images[place] = read.image(row)
    return Boxes.join(images)


def search(
    data: PathLike,
    ids: Sequence[str],
    given: Mapping[str, Boxes],
    known: Mapping[str, np.ndarray],
    folds: np.ndarray,
    settings: Mapping[str, Any],
    resampling: Resampling,
) -> tuple[dict[str, Any], Boxes]:
    """Decide how boxes are fused; see :func:`foldbelt.decide.boxes.search`."""
    truth = Boxes.from_bytes(store.read(data, "boxes", ids))
    labelled = store.read(data, "table/boxes", ids) >= 0
    names = store.attrs(data)["box_names"]
    space = {key: value for key, value in settings.items() if key != "external"}
    return boxes.search(given, known, truth, labelled, names, folds, space, resampling)


def apply(
    members: Mapping[str, Sequence[PathLike]],
    folds: Mapping[str, Sequence[int]],
    ids: Sequence[str],
    decision: Mapping[str, Any],
    data: PathLike,
    extra: Mapping[str, tuple[PathLike, float]],
) -> Boxes:
    """Fuse the boxes of test images.

    The models of one fold are fused as was decided, for that is what was scored; then the folds
    are, all alike.

    Parameters
    ----------
    members, folds
        Name → its files, and the folds that they are of.
    ids
        The images.
    decision
        As `search` gave it.
    data
        Not looked at; labels have units.
    extra
        Members that the decision does not know: name → its file, and its share.
    """
    more = {
        name: (Boxes.from_bytes(store.read(path, "boxes", ids)), share)
        for name, (path, share) in extra.items()
    }
    made = []
    for fold in sorted({fold for numbers in folds.values() for fold in numbers}):
        given, known = {}, {}
        for name, paths in members.items():
            there = fold in folds[name]
            path = paths[list(folds[name]).index(fold)] if there else None
            rows = store.read(path, "boxes", ids) if path is not None else [b""] * len(ids)
            given[name], known[name] = Boxes.from_bytes(rows), np.full(len(ids), there)
        made.append(boxes.apply(given, decision, known, more).first(MOST))
    if len(made) == 1:
        return made[0]
    return weighted_boxes_fusion(made, [1.0] * len(made), FOLDS_IOU).first(MOST)


def write(
    path: PathLike,
    ids: Sequence[str],
    made: Boxes,
    names: Sequence[str],
    predicted: np.ndarray | None = None,
) -> None:
    """Write the boxes of images; a column says which a model predicted, if it was not all."""
    table: dict[str, Any] = {"id": list(ids)}
    if predicted is not None and not predicted.all():
        table["predicted"] = predicted.astype(np.int64)
    store.write(path, {"boxes": made.to_bytes()}, table, {"box_names": list(names)})


def names_of(path: PathLike) -> list[str]:
    """Names of the classes, from a file of predictions or of data."""
    return list(store.attrs(path)["box_names"])
