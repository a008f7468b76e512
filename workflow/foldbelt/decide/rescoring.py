"""The leave-one-fold-out score of a decision that is there, on what is left of its members.

Nothing is searched: every fold is decided with the parameters, and the weights, that were found
without it, and scored as the search does. So with all members the score is that of the decision.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import metrics, store
from foldbelt.boxes import Boxes
from foldbelt.decide import boxes as fusing
from foldbelt.decide import joint, label_blocks, output_files
from foldbelt.decide import joint_io as together
from foldbelt.decide import units as unit
from foldbelt.decide.decision import Decision
from foldbelt.decide.joint_mixing import apply as mix_joint
from foldbelt.decide.label_task import Task
from foldbelt.decide.labels import decide
from foldbelt.decide.masks import Masks, Surroundings
from foldbelt.ensemble.weights import read_blends
from foldbelt.files import PathLike
from foldbelt.metrics import labels as label_metrics
from foldbelt.metrics.ranked import Ranking
from foldbelt.search.means import mix
from foldbelt.search.oof import OutOfFold, read_folds
from foldbelt.store.geometry import at_size

Members = Mapping[str, Sequence[PathLike]]


def of_masks(
    members: Members, weights: PathLike, decision: PathLike, data: PathLike, folds: PathLike
) -> float:
    """Score masks.

    Parameters
    ----------
    members
        Name → ``oof.h5`` of its folds.
    weights, decision
        ``weights.json`` of these members, and the decision, whose steps look at no other image.
    data, folds
        ``train.h5``, and the csv with id and fold.
    """
    blends = read_blends(weights, OutOfFold(members, data, folds))
    decided = json.loads(Path(decision).read_text(encoding="utf-8"))
    oof, mean, around = blends.oof, blends.mean, Surroundings(data)
    masks = {
        entry["fold"]: Masks(
            Decision(entry["params"], gate_on=decided["gate_on"], steps=entry.get("steps", [])),
            around,
        )
        for entry in decided["per_fold"]
    }
    scores = np.empty(len(oof))
    for block, truths in oof.with_truth():
        vector = blends.weights[block.fold]
        labels = oof.gate_labels(block, vector.labels, mean)
        probs = (
            at_size(mix(probs, vector.masks, *mean), truth.shape[:2])
            for probs, (truth, _) in zip(block.images(), truths, strict=True)
        )
        made = masks[block.fold](oof.ids[block.rows].tolist(), probs, labels)
        for row, mask, (truth, ignore) in zip(block.rows, made, truths, strict=True):
            known = None if ignore is None else ignore[None]
            given = truth[None], mask[None], known
            scores[row] = metrics.score_images(decided["metric"], *given)[0]
    return float(scores.mean())


def of_output(
    output: str, members: Members, decision: PathLike, data: PathLike, folds: PathLike
) -> float:
    """Score labels or boxes.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    members, decision, data, folds
        As for `of_masks`.
    """
    table = read_folds(folds, data)
    ids, numbers = table["id"].tolist(), table["fold"].to_numpy(np.int64)
    decided = json.loads(Path(decision).read_text(encoding="utf-8"))
    given, known = output_files.gathered(output, members, ids)
    of_fold = {entry["fold"]: {**decided, **entry} for entry in decided["per_fold"]}
    if output == "labels":
        return _of_labels(given, of_fold, decided, data, ids, numbers)
    parts, places = [], []
    for fold, one in of_fold.items():
        places.append(np.flatnonzero(numbers == fold))
        parts.append(fusing.apply(given, one, known).take(places[-1]))
    made = fusing.concatenated(parts).take(np.argsort(np.concatenate(places)))
    counts = store.read(data, "table/boxes", ids) >= 0
    counts &= np.any(list(known.values()), axis=0)
    truth = Boxes.from_bytes(store.read(data, "boxes", ids))
    return Ranking.match(truth, made, len(store.attrs(data)["box_names"]), counts).score()


def _of_labels(
    given: Mapping[str, np.ndarray],
    of_fold: Mapping[int, Mapping[str, Any]],
    decided: Mapping[str, Any],
    data: PathLike,
    ids: Sequence[str],
    folds: np.ndarray,
) -> float:
    """Score labels, block by block, as `foldbelt.decide.label_blocks` does."""
    content, metric = store.attrs(data), decided["metric"]
    names = list(content["label_names"])
    levels = content.get("label_levels", {})
    units = {level: unit.read(data, level, ids) for level in levels}
    truth = store.read(data, "labels", ids).astype(np.float64)
    prob = np.full(truth.shape, np.nan, np.float32)
    for fold, one in of_fold.items():
        rows = folds == fold
        prob[rows] = label_blocks.apply(given, one, names, units)[rows]
    whole = {"labels": names, "exclusive": decided["exclusive"], "level": None}
    values = []
    for block in decided.get("blocks", [whole]):
        columns = [names.index(label) for label in block["labels"]]
        part, exclusive = prob[:, columns], bool(block["exclusive"])
        known = {"blend": np.asarray(~np.isnan(part).any(axis=1))}
        of_unit = None if block["level"] is None else unit.number(units[block["level"]])
        task = Task.of(
            {"blend": part},
            known,
            truth[:, columns],
            block["labels"],
            exclusive,
            folds,
            {},
            metric,
            of_unit,
        )
        rows = np.flatnonzero(task.counted)
        rows = rows[task.scored(rows)]
        judged = part.copy()
        for fold, one in of_fold.items() if task.thresholded else ():
            params = one["params"][block["name"]] if "name" in block else one["params"]
            inside = folds == fold
            chosen = {**decided, "exclusive": False, "params": params}
            judged[inside] = decide(part[inside], chosen)
        answer = metric, task.truth[rows], judged[rows], exclusive
        if "name" not in block or (exclusive and metric in ("accuracy", "log_loss")):
            values.append(np.array([label_metrics.score(*answer)]))
        else:
            values.append(label_metrics.by_label(*answer))
    there = np.concatenate(values)
    return float(there[~np.isnan(there)].mean())


def of_joint(
    members: Mapping[str, Members],
    decisions: Mapping[str, PathLike],
    decision: PathLike,
    settings: Mapping[str, Any],
    classes: Sequence[str] | None,
    data: PathLike,
    folds: PathLike,
) -> float:
    """Score labels and boxes that are decided together.

    Parameters
    ----------
    members, decisions, settings, classes
        As for :func:`foldbelt.decide.joint_io.run`; the decisions are those of what is left.
    decision
        The joint decision.
    data, folds
        As for `of_masks`.
    """
    table = read_folds(folds, data)
    ids, numbers = table["id"].tolist(), table["fold"].to_numpy(np.int64)
    blends = together.Blends(members, decisions, data, ids, settings)
    decided = json.loads(Path(decision).read_text(encoding="utf-8"))
    final, truth = blends.without(None), together.truth_of(data, ids, blends)
    task = joint.Task.of({}, final, truth, numbers, settings, classes)
    labels = np.empty_like(final.labels)
    parts, places = [], []
    for entry in decided["per_fold"]:
        given, rows = blends.without(entry["fold"]), np.flatnonzero(numbers == entry["fold"])
        made, boxes = mix_joint(given, settings, entry["params"])
        labels[rows] = made[rows]
        if boxes is not None:
            parts.append(boxes.take(rows))
            places.append(rows)
    joined = None
    if parts:
        joined = fusing.concatenated(parts).take(np.argsort(np.concatenate(places)))
    whole = joint.Matched.of(replace(final, labels=labels, boxes=joined), truth)
    return task.scores(whole, labels, joined).mean()
