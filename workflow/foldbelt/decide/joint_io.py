"""The joint decision from prediction files to a file: see :mod:`foldbelt.decide.joint`.

The blends of all images are made anew for each fold, with what was found without it. The blend that
is kept would not do: of the images outside a fold it has what was found with the truth of this one.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.bootstrap import Resampling
from foldbelt.boxes import Boxes
from foldbelt.decide import boxes as fusing
from foldbelt.decide import joint, label_blocks, output_files
from foldbelt.decide import units as unit
from foldbelt.decide.joint_mixing import Given, apply
from foldbelt.files import PathLike, write_json
from foldbelt.search.oof import read_folds

_ROLES = ("none", "negative", "box")
_TABLE = ("height", "width")


def run(
    *,
    members: Mapping[str, output_files.Members],
    decisions: Mapping[str, PathLike],
    data: PathLike,
    folds: PathLike,
    settings: Mapping[str, Any],
    classes: Sequence[str] | None,
    draws: int,
    seed: int,
    decision: PathLike,
    blend: PathLike,
) -> None:
    """Decide labels and boxes together, and score them leave-one-fold-out.

    Parameters
    ----------
    members
        Output (``labels``, and ``boxes`` where the run has them) → name → ``oof.h5`` of its folds.
    decisions
        Output → the JSON of its own decision.
    data, folds
        ``train.h5``, and the csv with id, fold and group.
    settings
        The config's ``joint``.
    classes
        Labels and classes of boxes whose mean is the score; None: all that are predicted.
    draws, seed
        Of the bootstrap.
    decision
        The JSON to write: what :func:`foldbelt.decide.joint.search` gives, and ``roles``, the
        labels and boxes that play a part, and ``level``, the column of the units of `negative`.
    blend
        The file to write: labels and boxes of every image as they were decided without its fold.

    Raises
    ------
    InputError
        If a unit has images in several folds, or nothing can be scored.
    """
    table = read_folds(folds, data)
    ids, numbers = table["id"].tolist(), table["fold"].to_numpy(np.int64)
    blends = _Blends(members, decisions, data, ids, settings)
    for level, names in blends.units.items():
        unit.check_folds(names, numbers, level)
    given = {fold: blends.without(fold) for fold in np.unique(numbers).tolist()}
    resampling = Resampling(table["group"].tolist(), draws, seed)
    final, truth = blends.without(None), _truth(data, ids, blends)
    result, labels, boxes = joint.search(
        given, final, truth, numbers, settings, classes, resampling
    )
    roles = {role: settings[role] for role in _ROLES}
    write_json(decision, result | {"roles": roles, "level": blends.level})
    _write(blend, data, ids, final, labels, boxes, sorted(blends.units))
    print(
        f"{result['metric']} of labels and boxes together, leave-one-fold-out: "
        f"{result['score']:.4f} (without any model {result['baseline']:.4f})"
    )


def apply_test(
    *,
    labels: PathLike,
    boxes: PathLike | None,
    data: PathLike,
    decision: PathLike,
    out: PathLike,
) -> None:
    """Change the blends of the test images as was decided.

    Parameters
    ----------
    labels, boxes
        ``test.h5`` of the blends; None where the run has no boxes.
    data
        ``test.h5`` of the data.
    decision
        What `run` wrote.
    out
        The file to write: id, labels, boxes, and the columns that units, heights and widths are in.
    """
    decided = json.loads(Path(decision).read_text(encoding="utf-8"))
    ids = store.read(data, "id").astype(str).tolist()
    level = decided["level"]
    given = Given(
        store.read(labels, "labels", ids),
        list(store.attrs(labels)["label_names"]),
        np.arange(len(ids)) if level is None else unit.number(unit.read(data, level, ids)),
        None if boxes is None else Boxes.from_bytes(store.read(boxes, "boxes", ids)),
        [] if boxes is None else list(store.attrs(boxes)["box_names"]),
        np.full(len(ids), boxes is not None),
    )
    made, scored = apply(given, decided["roles"], decided["params"])
    _write(out, data, ids, given, made, scored, [] if level is None else [level])


class _Blends:
    """The members' predictions of N images, to be blended with what was found without a fold."""

    def __init__(
        self,
        members: Mapping[str, output_files.Members],
        decisions: Mapping[str, PathLike],
        data: PathLike,
        ids: Sequence[str],
        settings: Mapping[str, Any],
    ) -> None:
        content = store.attrs(data)
        self.decided = {
            output: json.loads(Path(path).read_text(encoding="utf-8"))
            for output, path in decisions.items()
        }
        self.names = list(content["label_names"])
        self.box_names = list(content.get("box_names", [])) if "boxes" in members else []
        self.levels: dict[str, list[str]] = content.get("label_levels", {})
        self.number = len(ids)
        self.labels, _ = output_files.gathered("labels", members["labels"], ids)
        self.boxes: dict[str, Boxes] = {}
        self.known: dict[str, np.ndarray] = {}
        if "boxes" in members:
            self.boxes, self.known = output_files.gathered("boxes", members["boxes"], ids)
        self.units = {level: unit.read(data, level, ids) for level in self.levels}
        named = [n for n, labels in self.levels.items() if settings["negative"] in labels]
        self.level = named[0] if named else None

    def without(self, fold: int | None) -> Given:
        """Blend all images with what was found without a fold; None: with what was on all."""
        labels = label_blocks.apply(
            self.labels, _of_fold(self.decided["labels"], fold), self.names, self.units
        )
        boxes, predicted = None, np.zeros(self.number, bool)
        if self.boxes:
            boxes = fusing.apply(self.boxes, _of_fold(self.decided["boxes"], fold), self.known)
            predicted = np.any(list(self.known.values()), axis=0)
        whole = np.arange(self.number)
        units = whole if self.level is None else unit.number(self.units[self.level])
        return Given(labels, self.names, units, boxes, self.box_names, predicted)


def _of_fold(decision: Mapping[str, Any], fold: int | None) -> dict[str, Any]:
    """Give a decision with the parameters that were found without a fold."""
    if fold is None:
        return dict(decision)
    (entry,) = (entry for entry in decision["per_fold"] if entry["fold"] == fold)
    return {**decision, "params": entry["params"]}


def _truth(data: PathLike, ids: Sequence[str], blends: _Blends) -> joint.Truth:
    """Read the truth; that of a unit's labels stands at its first image."""
    labels = store.read(data, "labels", ids).astype(np.float64)
    for level, listed in blends.levels.items():
        numbers = unit.number(blends.units[level])
        columns = np.array([blends.names.index(label) for label in listed])
        labels[:, columns] = unit.first_alone(labels[:, columns], numbers)
    if not blends.boxes:
        return joint.Truth(labels, None, np.zeros(len(labels), bool))
    boxes = Boxes.from_bytes(store.read(data, "boxes", ids))
    return joint.Truth(labels, boxes, store.read(data, "table/boxes", ids) >= 0)


def _write(
    out: PathLike,
    data: PathLike,
    ids: Sequence[str],
    given: Given,
    labels: np.ndarray,
    boxes: Boxes | None,
    levels: Sequence[str],
) -> None:
    """Write labels and boxes of images, with the columns of their units and sizes."""
    known = store.columns(data, ids)
    table = {name: known[name] for name in ("id", *levels, *_TABLE) if name in known}
    arrays: dict[str, Any] = {"labels": labels.astype(np.float32)}
    attrs = {"label_names": list(given.names)}
    if boxes is not None:
        arrays["boxes"] = boxes.to_bytes()
        attrs["box_names"] = list(given.box_names)
        if not given.predicted.all():
            table["predicted"] = given.predicted.astype(np.int64)
    store.write(out, arrays, table, attrs)
