"""Labels that are not all of one kind: each block of them is searched on its own.

A block is a group of labels that exclude each other, or labels that do not, all of one level and
predicted by the same members. Labels at a level are of a unit, such as a study of several images.
The score is over all labels of all blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.bootstrap import Resampling, count_groups
from foldbelt.decide import labels
from foldbelt.decide import units as unit
from foldbelt.decide.label_task import Task
from foldbelt.decide.outputs import number_or_none, scaled
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.metrics import labels as metrics


@dataclass(frozen=True)
class Block:
    """Labels that are decided together.

    Attributes
    ----------
    labels
        Their names.
    exclusive
        Whether they exclude each other.
    level
        The column that says which images share their answer; None: each has its own.
    members
        Names of those that predict them.
    """

    labels: tuple[str, ...]
    exclusive: bool
    level: str | None
    members: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the block is called in a decision."""
        return ", ".join(self.labels)


def blocks_of(
    members: Mapping[str, np.ndarray],
    names: Sequence[str],
    groups: Sequence[Sequence[str]],
    levels: Mapping[str, Sequence[str]],
) -> list[Block]:
    """Sort labels into blocks, in the order of their first labels.

    Parameters
    ----------
    members
        Name → (N, L) probabilities; a member does not predict a label whose column is NaN.
    names
        Of the L labels.
    groups
        Labels that exclude each other, no label in two groups.
    levels
        Column that names units → the labels that are of these.

    Returns
    -------
    list of Block
        Labels that no member predicts are in none.

    Raises
    ------
    InputError
        If a member predicts some labels of a group alone, or a group is of several levels.
    """
    level_of = {label: level for level, listed in levels.items() for label in listed}
    predicted = {
        member: {n for n, there in zip(names, ~np.isnan(prob).all(axis=0), strict=True) if there}
        for member, prob in members.items()
    }
    problems = list(_torn(predicted, groups, level_of))
    raise_all(problems, "labels that exclude each other")
    grouped = {label: tuple(group) for group in groups for label in group}
    found: dict[Any, list[str]] = {}
    for label in names:
        by = tuple(member for member in members if label in predicted[member])
        key = (grouped.get(label), level_of.get(label), by)
        if by:
            found.setdefault(key, []).append(label)
    return [
        Block(tuple(listed), group is not None, level, by)
        for (group, level, by), listed in found.items()
    ]


def _torn(
    predicted: Mapping[str, set[str]],
    groups: Sequence[Sequence[str]],
    level_of: Mapping[str, str],
) -> list[Problem]:
    """List groups that are not predicted as a whole, or not of one level."""
    problems = []
    for group in groups:
        whole = ", ".join(group)
        for member, given in predicted.items():
            part = [label for label in group if label in given]
            if part and len(part) < len(group):
                reason = f"predicts {', '.join(part)} of {whole}; let it predict all, or none"
                problems.append(Problem(member, reason))
        if len({level_of.get(label) for label in group}) > 1:
            problems.append(Problem(whole, "are not of one level; name all of them under it"))
    return problems


def search(
    members: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    truth: np.ndarray,
    names: Sequence[str],
    blocks: Sequence[Block],
    units: Mapping[str, np.ndarray],
    folds: np.ndarray,
    space: Mapping[str, Any],
    metric: str,
    resampling: Resampling,
) -> tuple[dict[str, Any], np.ndarray]:
    """Find how to average, join and decide the labels of every block.

    Parameters
    ----------
    members, known, truth, names, folds, space, metric, resampling
        As for :func:`foldbelt.decide.labels.search`; columns may be NaN.
    blocks
        Of :func:`blocks_of`.
    units
        Level → (N,) names of units.

    Returns
    -------
    decision, prob
        As there. ``params``, of all folds and of each, hold those of every block by its name;
        ``blocks`` lists name, labels, exclusive, level, score, optimistic, baseline and images of
        each, where images are units at a level. The score is the mean over all labels, or, of
        accuracy and log loss, over what can be answered: labels that exclude each other are one
        answer. And (N, L) float32 probabilities, joined where images share an answer; NaN where
        nobody predicted.

    Raises
    ------
    InputError
        If a unit has images in several folds, or as there.
    """
    if not blocks:
        raise InputError(f"no member predicts any of the labels {', '.join(names)}.")
    for level in dict.fromkeys(block.level for block in blocks if block.level is not None):
        unit.check_folds(units[level], folds, level)
    places = [[list(names).index(label) for label in block.labels] for block in blocks]
    found = []
    for block, columns in zip(blocks, places, strict=True):
        given = {name: members[name][:, columns] for name in block.members}
        seen = {name: _seen(given[name], known.get(name)) for name in given}
        of_unit = None if block.level is None else unit.number(units[block.level])
        about = (truth[:, columns], block.labels, block.exclusive, folds, space, metric, of_unit)
        task = Task.of(given, seen, *about)
        found.append(labels.find(task))
    prob = np.full((len(truth), len(names)), np.nan, np.float32)
    for columns, one in zip(places, found, strict=True):
        prob[:, columns] = one.prob
    return _union(blocks, found, names, known, metric, resampling), prob


def _seen(prob: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Tell (N,) of which images a member predicted all labels of a block."""
    there = ~np.isnan(prob).any(axis=1)
    return there if known is None else there & np.asarray(known, bool)


def _union(
    blocks: Sequence[Block],
    found: Sequence[labels.Found],
    names: Sequence[str],
    known: Mapping[str, np.ndarray],
    metric: str,
    resampling: Resampling,
) -> dict[str, Any]:
    """Put the blocks' decisions together."""
    parts = [
        labels.described(one, block.labels, None) for block, one in zip(blocks, found, strict=True)
    ]
    answers = [_answered(one, np.ones(len(one.task.truth))) for one in found]
    numbers = [int((~np.isnan(one)).sum()) for one in answers]
    images = np.unique(np.concatenate([one.rows for one in found]))
    sample = resampling.take(images)

    def score(count: np.ndarray) -> float:
        whole = np.zeros(len(found[0].task.truth))
        whole[images] = count
        return _mean(np.concatenate([_answered(one, whole) for one in found]))

    def joined(key: str) -> float:
        return _weighted([(part[key], n) for part, n in zip(parts, numbers, strict=True)])

    listed = [(part["members"], n) for part, n in zip(parts, numbers, strict=True)]
    of_members = {
        name: _weighted([(scores[name], n) for scores, n in listed if name in scores])
        for name in dict.fromkeys(name for block in blocks for name in block.members)
    }
    classes = {label: score for part in parts for label, score in part["classes"].items()}
    return {
        "output": "labels",
        "metric": metric,
        "score": _mean(np.concatenate(answers)),
        "interval": sample.ranked(score, len(images), labels.bounds(metric)),
        "optimistic": joined("optimistic"),
        "baseline": number_or_none(joined("baseline")),
        "exclusive": False,
        "params": {block.name: part["params"] for block, part in zip(blocks, parts, strict=True)},
        "per_fold": _per_fold(blocks, found),
        "members": {name: number_or_none(score) for name, score in of_members.items()},
        "classes": {label: classes.get(label) for label in names},
        "coverage": {name: float(np.mean(known.get(name, 1.0))) for name in of_members},
        "images": len(images),
        "groups": count_groups(sample.groups, len(images)),
        "blocks": [
            {
                "name": block.name,
                "labels": list(block.labels),
                "exclusive": block.exclusive,
                "level": block.level,
                **{key: part[key] for key in ("score", "optimistic", "baseline", "members")},
                "images": len(one.rows),
            }
            for block, part, one in zip(blocks, parts, found, strict=True)
        ],
    }  # fmt: skip


def _answered(found: labels.Found, count: np.ndarray) -> np.ndarray:
    """Score every answer of a block, images counted so often; NaN where it has no score."""
    task, rows = found.task, found.rows
    given = (task.metric, task.truth[rows], found.judged[rows], task.exclusive, count[rows])
    if task.exclusive and task.metric in ("accuracy", "log_loss"):
        return np.array([metrics.score(*given)])
    return metrics.by_label(*given)


def _per_fold(blocks: Sequence[Block], found: Sequence[labels.Found]) -> list[dict[str, Any]]:
    folds = found[0].task.folds
    entries = []
    for place, fold in enumerate(np.unique(folds).tolist()):
        inside = (folds == fold).astype(np.float64)
        params = {
            block.name: one.per_fold[place]["params"]
            for block, one in zip(blocks, found, strict=True)
        }
        score = _mean(np.concatenate([_answered(one, inside) for one in found]))
        entries.append({"fold": fold, "params": params, "score": number_or_none(score)})
    return entries


def _mean(values: np.ndarray) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def _weighted(pairs: Sequence[tuple[float | None, int]]) -> float:
    """Average scores of blocks by their answers; those without a score are left out."""
    there = [(score, number) for score, number in pairs if score is not None and number]
    total = sum(number for _, number in there)
    return sum(score * number for score, number in there) / total if total else float("nan")


def apply(
    members: Mapping[str, np.ndarray],
    decision: Mapping[str, Any],
    names: Sequence[str],
    units: Mapping[str, np.ndarray],
    extra: Mapping[str, tuple[np.ndarray, float]] | None = None,
) -> np.ndarray:
    """Average and join the labels of other images by a decision.

    Parameters
    ----------
    members
        Name → (N, L).
    decision
        Of :func:`search`, or of :func:`foldbelt.decide.labels.search`, which has one block.
    names
        Of the labels.
    units
        Level → (N,) names of units.
    extra
        Members that the decision does not know: name → (N, L), NaN where it says nothing, and the
        share of the mean that is its own. The others' weights shrink by as much.

    Returns
    -------
    ndarray
        (N, L) float32; NaN where nobody predicted.

    Raises
    ------
    InputError
        If members are missing, or the shares leave the others nothing.
    """
    whole = {"name": None, "labels": list(names), "exclusive": decision["exclusive"], "level": None}
    number = len(next(iter(members.values())))
    made = np.full((number, len(names)), np.nan, np.float32)
    for block in decision.get("blocks", [whole]):
        columns = [list(names).index(label) for label in block["labels"]]
        params = decision["params"]
        given = {name: prob[:, columns] for name, prob in members.items()}
        if block["name"] is not None:
            params = params[block["name"]]
            given = {name: prob for name, prob in given.items() if name in params["weights"]}
        added = {
            name: (prob[:, columns], share)
            for name, (prob, share) in (extra or {}).items()
            if not np.isnan(prob[:, columns]).all()
        }
        weights = scaled(params["weights"], {name: share for name, (_, share) in added.items()})
        given |= {name: prob for name, (prob, _) in added.items()}
        one = {**block, "params": {**params, "weights": weights}}
        of_unit = None if block["level"] is None else unit.number(units[block["level"]])
        seen = {name: _seen(prob, None) for name, prob in given.items()}
        made[:, columns] = labels.apply(given, one, seen, of_unit)
    return made
