"""How the members' label probabilities are averaged and decided, found leave-one-fold-out.

For each fold the mean, the members' weights and, where the metric is one of decided labels, the
thresholds are found on the other folds alone; what is found on all folds is for the test images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.bootstrap import SCORES, Interval, Resampling, count_groups
from foldbelt.decide import label_task
from foldbelt.decide.label_task import Task
from foldbelt.decide.outputs import number_or_none
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.metrics import labels as metrics


def search(
    members: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    truth: np.ndarray,
    names: Sequence[str],
    exclusive: bool,
    folds: np.ndarray,
    space: Mapping[str, Any],
    metric: str,
    resampling: Resampling,
    units: np.ndarray | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Find how to average label probabilities, and how to decide labels if the metric needs it.

    Means and weights have the best metric, or the least log loss where labels are decided: an
    accuracy jumps from one candidate to the next.

    Parameters
    ----------
    members
        Name → (N, L) out-of-fold probabilities.
    known
        Name → (N,) bool, which images the member predicted. Weights are fitted on the images that
        all of them predicted; where one is missing the others are averaged with their share.
        Without a fold there may be no such images: then members weigh alike in that fold.
    truth
        (N, L), NaN where not known.
    names
        Of the labels.
    exclusive
        Whether labels exclude each other: their largest probability decides, and means that do not
        sum to 1 are divided by their sum.
    folds
        (N,) int, the fold in which each image was left out.
    space
        See `foldbelt.decide.label_task.SPACE`.
    metric
        One of `foldbelt.metrics.labels.METRICS`.
    resampling
        Of the interval.
    units
        (N,) int64, which images share an answer: they are joined, and scored once. None: none do.

    Returns
    -------
    decision, prob
        The decision as JSON can hold it: output, metric, score (leave-one-fold-out), interval,
        optimistic, baseline (what constant predictions score), exclusive, params, per_fold,
        members, classes, coverage. And (N, L) float32 probabilities, each image's with the
        parameters that were found without its fold; NaN where no member predicted it.

    Raises
    ------
    InputError
        If shapes do not fit, the space or the metric are unknown, fewer than two folds count, the
        labels cannot be scored, or weights are to be fitted and no image was predicted by all.
    """
    task = Task.of(members, known, truth, names, exclusive, folds, space, metric, units)
    found = find(task)
    rows = found.rows
    sample = resampling.take(rows)

    def score(count: np.ndarray) -> float:
        return metrics.score(metric, task.truth[rows], found.judged[rows], exclusive, count)

    interval = sample.ranked(score, len(rows), bounds(metric))
    decision = {
        "output": "labels",
        "metric": metric,
        **described(found, names, interval),
        "images": len(rows),
        "groups": count_groups(sample.groups, len(rows)),
    }
    return decision, found.prob


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    task
        What it worked on.
    rows
        (n,) int64, the images that are scored, one of each unit.
    prob, judged
        (N, L) float32, each image's with what was found without its fold: probabilities, and what
        the metric looks at.
    whole
        (n, L) float32, what the metric looks at with what was found on all images.
    score
        Leave-one-fold-out.
    params, per_fold
        Found on all images; {fold, params, score} of each fold.
    """

    task: Task
    rows: np.ndarray
    prob: np.ndarray
    judged: np.ndarray
    whole: np.ndarray
    score: float
    params: dict[str, Any]
    per_fold: list[dict[str, Any]]


def find(task: Task) -> Found:
    """Find parameters without each fold, and on all images.

    Raises
    ------
    InputError
        If the labels cannot be scored.
    """
    prob, judged, per_fold = label_task.left_out(task)
    counted = np.flatnonzero(task.counted)
    scored = task.scored(counted)
    rows = counted[scored]
    score = metrics.score(task.metric, task.truth[rows], judged[rows], task.exclusive)
    if np.isnan(score):
        raise InputError(
            f"{task.metric} cannot be computed: no label is on some images and off others."
        )
    params = label_task.choose(task, task.counted)
    whole = label_task.judge(task, label_task.mixed(task, counted, params), params)[scored]
    return Found(task, rows, prob, judged, whole, score, params, per_fold)


def described(found: Found, names: Sequence[str], interval: Interval) -> dict[str, Any]:
    """Say what was found, as JSON can hold it; the keys of :func:`search` from score to coverage.

    Parameters
    ----------
    found
        By `find`.
    names
        Of the labels.
    interval
        Of the score.
    """
    task, rows = found.task, found.rows
    truth = task.truth[rows]
    classes = metrics.by_label(task.metric, truth, found.judged[rows], task.exclusive)
    return {
        "score": found.score,
        "interval": interval,
        "optimistic": metrics.score(task.metric, truth, found.whole, task.exclusive),
        "baseline": number_or_none(label_task.baseline(task)),
        "exclusive": task.exclusive,
        "params": found.params,
        "per_fold": found.per_fold,
        "members": {name: label_task.alone(task, name) for name in task.members},
        "classes": dict(zip(names, map(number_or_none, classes), strict=True)),
        "coverage": {name: float(task.known[m].mean()) for m, name in enumerate(task.members)},
    }


def bounds(metric: str) -> tuple[float, float]:
    """Give the least and the greatest value that a metric can have."""
    return (0.0, float(-np.log(metrics.LEAST))) if metric in metrics.FALLING else SCORES


def apply(
    members: Mapping[str, np.ndarray],
    decision: Mapping[str, Any],
    known: Mapping[str, np.ndarray] | None = None,
    units: np.ndarray | None = None,
) -> np.ndarray:
    """Average the label probabilities of other images by a decision.

    Parameters
    ----------
    members
        Name → (N, L), of all members of the decision that weigh more than 0.
    decision
        Of :func:`search`.
    known
        Name → (N,) bool, which images a member predicted; None: all.
    units
        (N,) int64, which images are joined; None: none are.

    Returns
    -------
    ndarray
        (N, L) float32; NaN where no member predicted an image.

    Raises
    ------
    InputError
        If members are missing, or there are some that the decision does not know.
    """
    weights = decision["params"]["weights"]
    wrong = [
        Problem(name, "was not there when weights were found")
        for name in members
        if name not in weights
    ]
    used = [name for name in weights if name in members]
    wrong += [
        Problem(name, "has no labels of these images")
        for name, weight in weights.items()
        if weight > 0 and name not in members
    ]
    raise_all(wrong, "members of the blend", "Predict with all of them, or decide again.")
    probs = [np.asarray(members[name], np.float32) for name in used]
    there = np.ones((len(used), len(probs[0])), bool)
    if known is not None:
        there = np.stack([np.asarray(known[name], bool) for name in used])
    params, exclusive = decision["params"], decision["exclusive"]
    made = label_task.average(probs, there, used, params, exclusive)
    return made if units is None else label_task.joined(made, units, params, exclusive)


def decide(prob: np.ndarray, decision: Mapping[str, Any]) -> np.ndarray:
    """Tell which labels images have.

    Parameters
    ----------
    prob
        (N, L) probabilities from :func:`apply`.
    decision
        Of :func:`search`.

    Returns
    -------
    ndarray
        (N, L) bool: the first largest probability of each image where labels exclude each other,
        else those above their thresholds; none where an image was not predicted.

    Raises
    ------
    InputError
        If the decision has no thresholds and labels do not exclude each other.
    """
    if decision["exclusive"]:
        predicted = ~np.isnan(prob).any(axis=1)
        best = np.where(np.isnan(prob), -np.inf, prob).argmax(axis=1)
        return (np.arange(prob.shape[1]) == best[:, None]) & predicted[:, None]
    thresholds = decision["params"].get("threshold")
    if thresholds is None:
        raise InputError(
            f"labels were not decided: {decision['metric']} needs no thresholds. Choose one of "
            f"{', '.join(metrics.DECIDED)}."
        )
    with np.errstate(invalid="ignore"):
        return prob > np.asarray(thresholds)
