"""How the members' boxes are fused, found leave-one-fold-out.

For each fold the members' calibrations, the fusion and its parameters, and the members' weights are
found on the other folds alone, and the images of the fold are fused with them; what is found on all
folds is for the test images. Nothing need be cut off by score, for average precision only ranks.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.bootstrap import Resampling, count_groups
from foldbelt.boxes import Boxes
from foldbelt.boxes.fusion import FUSIONS, fuse
from foldbelt.decide.outputs import (
    check_folds,
    check_space,
    common,
    number_or_none,
    scaled,
    shares,
)
from foldbelt.ensemble.calibration import Calibration, calibrate
from foldbelt.ensemble.simplex import fitted
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.metrics.ranked import Ranking
from foldbelt.search.space import EQUAL

METRIC = "mean_average_precision"

SPACE: dict[str, Any] = {
    "fusion": ["wbf"],
    "iou": [0.55],
    "least": [0.0],
    "weights": "equal",
    "step": 0.25,
    "calibrate": [False, True],
}
"""What is tried where `space` does not say.

fusion: names of `foldbelt.boxes.fusion.FUSIONS`; iou: overlaps from which boxes are the same;
least: scores below which boxes are left out, after calibration; weights: "equal" or "fitted", on a
grid of that step, after the rest was found with equal ones, or a number a member; calibrate:
whether the scores of several members are calibrated before; a single answer need be no list.
"""


def search(
    members: Mapping[str, Boxes],
    known: Mapping[str, np.ndarray],
    truth: Boxes,
    labelled: np.ndarray,
    names: Sequence[str],
    folds: np.ndarray,
    space: Mapping[str, Any],
    resampling: Resampling,
) -> tuple[dict[str, Any], Boxes]:
    """Find how to fuse boxes.

    Parameters
    ----------
    members
        Name → out-of-fold boxes of the N images.
    known
        Name → (N,) bool, which images the member predicted. Weights are fitted on the images that
        all of them predicted; where one is missing the others are fused with their share.
        Without a fold there may be no such images: then members weigh alike in that fold.
    truth
        True boxes of the N images.
    labelled
        (N,) bool, of which images the true boxes are known. Others, and those that no member
        predicted, count in no score.
    names
        Of the classes.
    folds
        (N,) int, the fold in which each image was left out.
    space
        See `SPACE`.
    resampling
        Of the interval.

    Returns
    -------
    decision, boxes
        The decision as JSON can hold it: output, metric, score (leave-one-fold-out), interval,
        optimistic, baseline, params, per_fold, members, classes, coverage. And the boxes of the N
        images, each with the parameters that were found without its fold.

    Raises
    ------
    InputError
        If lengths do not fit, the space has unknown keys or values, fewer than two folds count, or
        weights are to be fitted and no image was predicted by all members.
    """
    task = _Task.of(members, known, truth, labelled, names, folds, space)
    parts, places, per_fold = [], [], []
    for fold in np.unique(task.folds).tolist():
        inside = task.folds == fold
        params = _choose(task, task.counted & ~inside)
        rows = np.flatnonzero(inside)
        parts.append(_fused(task.take(rows), params))
        places.append(rows)
        made = task.ranking(parts[-1], rows).score()
        per_fold.append({"fold": fold, "params": params, "score": number_or_none(made)})
    boxes = concatenated(parts).take(np.argsort(np.concatenate(places)))
    final = _choose(task, task.counted)
    counted = np.flatnonzero(task.counted)
    ranking = task.ranking(boxes.take(counted), counted)
    sample = resampling.take(counted)
    optimistic = task.ranking(_fused(task.take(counted), final), counted).score()
    decision = {
        "output": "boxes",
        "metric": METRIC,
        "score": ranking.score(),
        "interval": sample.ranked(ranking.score, len(counted)),
        "optimistic": optimistic,
        "baseline": 0.0,
        "params": final,
        "per_fold": per_fold,
        "members": {name: _alone(task, name) for name in task.members},
        "classes": dict(zip(names, map(number_or_none, ranking.classes()), strict=True)),
        "coverage": {name: float(task.known[m].mean()) for m, name in enumerate(task.members)},
        "images": len(counted),
        "groups": count_groups(sample.groups, len(counted)),
    }
    return decision, boxes


def apply(
    members: Mapping[str, Boxes],
    decision: Mapping[str, Any],
    known: Mapping[str, np.ndarray] | None = None,
    extra: Mapping[str, tuple[Boxes, float]] | None = None,
) -> Boxes:
    """Fuse the boxes of other images by a decision.

    Parameters
    ----------
    members
        Name → boxes of the images, of all members of the decision that weigh more than 0.
    decision
        Of :func:`search`.
    known
        Name → (N,) bool, which images a member predicted; None: all.
    extra
        Members that the decision does not know: name → its boxes of all images, and the share of
        the weights that is its own. The others' shrink by as much. Their scores stay as they are.

    Raises
    ------
    InputError
        If members are missing, or there are some that the decision does not know.
    """
    params = decision["params"]
    wrong = [Problem(n, "was not there when weights were found") for n in members]
    wrong = [problem for problem in wrong if problem.file not in params["weights"]]
    needed = [name for name, weight in params["weights"].items() if weight > 0]
    wrong += [Problem(n, "has no boxes of these images") for n in needed if n not in members]
    raise_all(wrong, "members of the fusion", "Predict with all of them, or decide again.")
    used = [name for name in params["weights"] if name in members]
    there = None if known is None else np.stack([known[name] for name in used])
    given = [members[name] for name in used]
    if extra:
        weights = scaled(params["weights"], {name: share for name, (_, share) in extra.items()})
        params = {**params, "weights": weights}
        given += [boxes for boxes, _ in extra.values()]
        used += list(extra)
        if there is not None:
            there = np.concatenate([there, np.ones((len(extra), there.shape[1]), bool)])
    return _fused(_Part(given, used, there), params)


@dataclass(frozen=True)
class _Part:
    """Members' boxes of some images; `known` (members, n) or None."""

    boxes: list[Boxes]
    names: list[str]
    known: np.ndarray | None


@dataclass(frozen=True)
class _Task:
    """What a search works on; `known` (members, N), `counted` (N,) the images that are scored."""

    members: dict[str, Boxes]
    known: np.ndarray
    truth: Boxes
    counted: np.ndarray
    classes: int
    folds: np.ndarray
    space: dict[str, Any]

    @classmethod
    def of(
        cls,
        members: Mapping[str, Boxes],
        known: Mapping[str, np.ndarray],
        truth: Boxes,
        labelled: np.ndarray,
        names: Sequence[str],
        folds: np.ndarray,
        space: Mapping[str, Any],
    ) -> "_Task":
        given_space = dict(space)
        if isinstance(space.get("calibrate"), bool):
            given_space["calibrate"] = [space["calibrate"]]
        whole = check_space(given_space, SPACE, {"fusion": FUSIONS})
        lengths = {f"boxes of {name}": len(boxes) for name, boxes in members.items()}
        lengths |= {f"known of {name}": len(known[name]) for name in members if name in known}
        there, counted = check_folds(members, known, labelled, folds, len(truth), lengths)
        if not counted[truth.of()].any():
            raise InputError(
                "no labelled image that was predicted has a box: nothing can be found."
            )
        pairs = zip(members.items(), there, strict=True)
        given = {name: boxes.keep(predicted[boxes.of()]) for (name, boxes), predicted in pairs}
        return cls(given, there, truth, counted, len(names), np.asarray(folds), whole)

    def take(self, rows: np.ndarray) -> _Part:
        """Give the members' boxes of some images."""
        taken = [boxes.take(rows) for boxes in self.members.values()]
        return _Part(taken, list(self.members), self.known[:, rows])

    def ranking(self, boxes: Boxes, rows: np.ndarray) -> Ranking:
        """Match boxes of some images, of which those that are not counted are left out."""
        return Ranking.match(self.truth.take(rows), boxes, self.classes, self.counted[rows])

    def points(self) -> list[dict[str, Any]]:
        """Give the points of the grid, the first key outermost."""
        axes = ("fusion", "iou", "least")
        values = itertools.product(*(self.space[axis] for axis in axes))
        return [dict(zip(axes, point, strict=True)) for point in values]


def _choose(task: _Task, use: np.ndarray) -> dict[str, Any]:
    """Find all parameters on some images (N,) bool."""
    rows = np.flatnonzero(use)
    part = task.take(rows)
    names = part.names
    weights = shares(task.space["weights"], names)
    points = [
        {**point, "weights": weights, "calibration": calibration}
        for calibration in _calibrations(task, part, rows)
        for point in task.points()
    ]
    if len(points) > 1:
        scores = [task.ranking(_fused(part, point), rows).score() for point in points]
        points = points[_first_best(scores) :]
    params = points[0]
    if task.space["weights"] != "fitted" or len(names) == 1:
        return params
    complete = common(task.known, task.counted, use, names)
    if not len(complete):
        return params
    whole = task.take(complete)

    def score(weights: tuple[float, ...]) -> float:
        given = {**params, "weights": dict(zip(names, weights, strict=True))}
        return task.ranking(_fused(whole, given), complete).score()

    best = fitted(len(names), task.space["step"], score)
    return {**params, "weights": dict(zip(names, best, strict=True))}


def _first_best(scores: Sequence[float]) -> int:
    """Give the place of the first best score; NaN is the worst."""
    values = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    return int((values >= values.max() - EQUAL).argmax())


def _calibrations(task: _Task, part: _Part, rows: np.ndarray) -> list[dict[str, Any] | None]:
    """Give what to try: every member calibrated on some images, or None where none is.

    None for one alone, whose order stays anyway.
    """
    if not any(task.space["calibrate"]) or len(part.names) == 1:
        return [None]
    made = {}
    for name, boxes in zip(part.names, part.boxes, strict=True):
        right = task.ranking(boxes, rows).right
        made[name] = calibrate(boxes.scores, right).to_dict()
    return [made if wanted else None for wanted in task.space["calibrate"]]


def _fused(part: _Part, params: Mapping[str, Any]) -> Boxes:
    """Calibrate and fuse the boxes of some images."""
    boxes = part.boxes
    if params["calibration"] is not None:
        fitted_to = params["calibration"]  # not to members that joined after the search
        boxes = [
            Boxes(one.start, one.xyxy, one.classes, Calibration.of(fitted_to[name])(one.scores))
            if name in fitted_to
            else one
            for name, one in zip(part.names, boxes, strict=True)
        ]
    weights = [params["weights"][name] for name in part.names]
    return fuse(boxes, weights, params["fusion"], params["iou"], params["least"], part.known)


def _alone(task: _Task, name: str) -> float | None:
    """Give the leave-one-fold-out score of one member on the images that it predicted.

    A calibration would change no order, so the folds share what is fused.
    """
    known = task.known[list(task.members).index(name)] & task.counted
    rows, folds = np.flatnonzero(known), task.folds[known]
    part = _Part([task.members[name].take(rows)], [name], None)
    fixed = {"weights": {name: 1.0}, "calibration": None}
    fused = [_fused(part, {**point, **fixed}) for point in task.points()]
    rankings = [task.ranking(boxes, rows) for boxes in fused]
    parts, places = [], []
    for fold in np.unique(folds).tolist():
        best = _first_best([ranking.score(folds != fold) for ranking in rankings])
        places.append(np.flatnonzero(folds == fold))
        parts.append(fused[best].take(places[-1]))
    if not parts:
        return None
    boxes = concatenated(parts).take(np.argsort(np.concatenate(places)))
    return number_or_none(task.ranking(boxes, rows).score())


def concatenated(parts: Sequence[Boxes]) -> Boxes:
    """Put the images of several sets one after the other."""
    sizes = [np.diff(part.start) for part in parts]
    start = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
    columns = [(part.xyxy, part.classes, part.scores) for part in parts]
    return Boxes(start, *(np.concatenate(column) for column in zip(*columns, strict=True)))
