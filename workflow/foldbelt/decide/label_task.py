"""What a search of labels works on, and how it finds parameters on some images.

Labels are searched block by block (:mod:`foldbelt.decide.label_blocks`); this is of one block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foldbelt.decide import units as unit
from foldbelt.decide.outputs import check_folds, check_space, common, number_or_none, shares
from foldbelt.ensemble.simplex import fitted
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.metrics import labels as metrics
from foldbelt.search.means import MEANS, mean_of, mix_labels
from foldbelt.search.space import EQUAL

SPACE: dict[str, Any] = {
    "mean": ["probability"],
    "power": [0.5],
    "join": ["mean"],
    "weights": "equal",
    "step": 0.25,
    "threshold": [place / 20 for place in range(1, 20)],
}
"""What is tried where `space` does not say.

mean: names of `foldbelt.search.means.MEANS`; power: exponents of the mean "power"; join: of
`foldbelt.decide.units.JOINS`, where units have several images; weights: "equal", or "fitted" on a
grid of that step, after the mean was found with equal ones, or a number a member; threshold: of
every label on its own, for metrics of decided labels that do not exclude each other.
"""


@dataclass(frozen=True)
class Task:
    """What a search works on.

    Attributes
    ----------
    members, truth, exclusive, folds, space, metric
        As for :func:`foldbelt.decide.labels.search`; the truth is that of an image's unit.
    known
        (members, N) bool, which images each member predicted.
    counted
        (N,) bool, the images that are scored.
    units
        (N,) int64, which images share an answer; None: none do.
    """

    members: dict[str, np.ndarray]
    known: np.ndarray
    truth: np.ndarray
    counted: np.ndarray
    exclusive: bool
    folds: np.ndarray
    space: dict[str, Any]
    metric: str
    units: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        members: Mapping[str, np.ndarray],
        known: Mapping[str, np.ndarray],
        truth: np.ndarray,
        names: Sequence[str],
        exclusive: bool,
        folds: np.ndarray,
        space: Mapping[str, Any],
        metric: str,
        units: np.ndarray | None = None,
    ) -> "Task":
        """Check what a search is given."""
        if metric not in metrics.METRICS:
            raise InputError(
                f"metric {metric!r} is none of labels; choose one of {', '.join(metrics.METRICS)}."
            )
        whole = check_space(space, SPACE, {"mean": MEANS, "join": unit.JOINS})
        true: np.ndarray = np.asarray(truth, np.float64)
        given: dict[str, np.ndarray] = {
            name: np.asarray(prob, np.float32) for name, prob in members.items()
        }
        wanted = (len(true), len(names))
        wrong = [
            Problem(name, f"is {array.shape}, not {wanted}")
            for name, array in [("truth", true), *given.items()]
            if array.shape != wanted
        ]
        raise_all(wrong, "labels of a decision")
        true = true if units is None else unit.spread(true, units)
        lengths = {f"known of {name}": len(known[name]) for name in members if name in known}
        unknown: np.ndarray = np.isnan(true)
        labelled = np.logical_not(unknown.any(axis=1) if exclusive else unknown.all(axis=1))
        there, counted = check_folds(members, known, labelled, folds, len(true), lengths)
        return cls(given, there, true, counted, exclusive, np.asarray(folds), whole, metric, units)

    @property
    def thresholded(self) -> bool:
        """Whether labels are decided by thresholds."""
        return self.metric in metrics.DECIDED and not self.exclusive

    def scored(self, rows: np.ndarray) -> np.ndarray:
        """Give the places among some images (n,) of those that are scored: one of each unit."""
        return np.arange(len(rows)) if self.units is None else unit.once(self.units[rows])

    def means(self) -> list[dict[str, Any]]:
        """Give what to try: means with their powers, where units have several images joined."""
        made = []
        for mean in self.space["mean"]:
            powers = self.space["power"] if mean == "power" else [1.0]
            made += [mean_of({"mean": mean, "power": power}).to_dict() for power in powers]
        made = made if len(self.members) > 1 else made[:1]  # of one, all means are the same
        joins = [{}] if self.units is None else [{"join": how} for how in self.space["join"]]
        return [{**mean, **how} for mean in made for how in joins]

    def start(self) -> dict[str, float]:
        """Give the weights that are given, or equal ones."""
        return shares(self.space["weights"], list(self.members))


def left_out(task: Task) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Average and judge every fold with what was found without it; and tell what that was."""
    prob, judged = np.empty((2, *task.truth.shape), np.float32)
    per_fold = []
    for fold in np.unique(task.folds).tolist():
        rows = np.flatnonzero(task.folds == fold)
        params = choose(task, task.counted & (task.folds != fold))
        prob[rows] = mixed(task, rows, params)
        judged[rows] = judge(task, prob[rows], params)
        use = rows[task.counted[rows]]
        use = use[task.scored(use)]
        score = metrics.score(task.metric, task.truth[use], judged[use], task.exclusive)
        per_fold.append({"fold": fold, "params": params, "score": number_or_none(score)})
    return prob, judged, per_fold


def choose(task: Task, use: np.ndarray) -> dict[str, Any]:
    """Find all parameters on some images (N,) bool."""
    rows, weights = np.flatnonzero(use), task.start()
    candidates = [{**one, "weights": weights} for one in task.means()]
    params = candidates[0]
    if len(candidates) > 1:
        params = candidates[_first_best([_worth(task, rows, one) for one in candidates])]
    if len(task.members) > 1 and task.space["weights"] == "fitted":
        params = {**params, "weights": _weights(task, use, params)}
    if task.thresholded:
        scored = task.scored(rows)
        prob, truth = mixed(task, rows, params)[scored], task.truth[rows][scored]
        scores = np.stack(
            [
                metrics.by_label(task.metric, truth, prob, threshold=limit)
                for limit in task.space["threshold"]
            ]
        )
        best = [_first_best(scores[:, k]) for k in range(scores.shape[1])]
        params = {**params, "threshold": [float(task.space["threshold"][b]) for b in best]}
    return params


def _weights(task: Task, use: np.ndarray, params: Mapping[str, Any]) -> dict[str, float]:
    """Fit the members' weights on those of some images that all members predicted."""
    names, rows = list(task.members), common(task.known, task.counted, use, list(task.members))
    if not len(rows):
        return dict.fromkeys(names, 1 / len(names))

    def score(weights: tuple[float, ...]) -> float:
        return _worth(task, rows, {**params, "weights": dict(zip(names, weights, strict=True))})

    return dict(zip(names, fitted(len(names), task.space["step"], score), strict=True))


def _worth(task: Task, rows: np.ndarray, params: Mapping[str, Any]) -> float:
    """Give what means and weights maximise."""
    metric = "log_loss" if task.metric in metrics.DECIDED else task.metric
    scored = task.scored(rows)
    prob, truth = mixed(task, rows, params)[scored], task.truth[rows][scored]
    made = metrics.score(metric, truth, prob, task.exclusive)
    return -made if metric in metrics.FALLING else made


def _first_best(scores: Sequence[float] | np.ndarray) -> int:
    """Give the place of the first best score; NaN is the worst."""
    values = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    return int((values >= values.max() - EQUAL).argmax())


def mixed(task: Task, rows: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Average the probabilities of some images, and join those of a unit; (n, L) float32."""
    probs = [prob[rows] for prob in task.members.values()]
    made = average(probs, task.known[:, rows], list(task.members), params, task.exclusive)
    return made if task.units is None else joined(made, task.units[rows], params, task.exclusive)


def average(
    probs: Sequence[np.ndarray],
    known: np.ndarray,
    names: Sequence[str],
    params: Mapping[str, Any],
    exclusive: bool,
) -> np.ndarray:
    """Average over those members that predicted an image; where all of them weigh 0, equally."""
    mean = mean_of(params)
    weights = [params["weights"][name] for name in names]
    made = np.full(probs[0].shape, np.nan, np.float32)
    for there in np.unique(known, axis=1).T:
        rows = (known == there[:, None]).all(axis=0)
        if there.any():
            parts = [p[rows] if has else None for p, has in zip(probs, there, strict=True)]
            made[rows] = mix_labels(parts, weights, *mean)
    return _summing_to_one(made) if exclusive and mean.mean != "probability" else made


def joined(
    prob: np.ndarray, units: np.ndarray, params: Mapping[str, Any], exclusive: bool
) -> np.ndarray:
    """Join the probabilities of the images of each unit, (n, L) float32."""
    made = unit.join(prob, units, params["join"])
    return _summing_to_one(made) if exclusive and params["join"] != "mean" else made


def _summing_to_one(prob: np.ndarray) -> np.ndarray:
    total = prob.sum(axis=1, keepdims=True)
    return np.divide(prob, total, out=prob.copy(), where=total > 0)


def judge(task: Task, prob: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Give what the metric looks at: decided labels as 0 and 1, else probabilities."""
    if not task.thresholded:
        return prob
    with np.errstate(invalid="ignore"):
        given = (prob > np.asarray(params["threshold"])).astype(np.float32)
    return np.where(np.isnan(prob), np.nan, given).astype(np.float32)


def alone(task: Task, name: str) -> float | None:
    """Give the leave-one-fold-out score of one member on the images that it predicted."""
    known = task.known[[list(task.members).index(name)]]
    counted = task.counted & known[0]
    if len(np.unique(task.folds[counted])) < 2 and task.thresholded:
        return None  # there is nothing else to find its thresholds on
    space = {**task.space, "weights": "equal"}
    part = replace(
        task, members={name: task.members[name]}, known=known, counted=counted, space=space
    )
    judged, rows = left_out(part)[1], np.flatnonzero(counted)
    rows = rows[task.scored(rows)]
    score = metrics.score(task.metric, task.truth[rows], judged[rows], task.exclusive)
    return number_or_none(score)


def baseline(task: Task) -> float:
    """Score what needs no image: the shares of labels outside each fold, or what ranks nothing."""
    rows = np.flatnonzero(task.counted)
    rows = rows[task.scored(rows)]
    truth, folds = task.truth[rows], task.folds[rows]
    if task.metric == "auc":
        return 0.5
    if task.metric == "balanced_accuracy":
        return 1 / int((truth > 0.5).any(axis=0).sum()) if task.exclusive else 0.5
    if task.metric == "mean_average_precision":
        constant = np.zeros_like(truth)  # all images tie: the precision is the label's share
        return metrics.score(task.metric, truth, constant)
    prior = np.empty_like(truth)
    for fold in np.unique(folds):
        others = truth[folds != fold]
        known = ~np.isnan(others)
        total = np.nan_to_num(others).sum(axis=0)
        prior[folds == fold] = total / np.maximum(known.sum(axis=0), 1)
    return metrics.score(task.metric, truth, prior, task.exclusive)
