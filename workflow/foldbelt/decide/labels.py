"""How the members' label probabilities are averaged and decided, found leave-one-fold-out.

For each fold the mean, the members' weights and, where the metric is one of decided labels, the
thresholds are found on the other folds alone; what is found on all folds is for the test images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foldbelt.bootstrap import SCORES, Resampling, count_groups
from foldbelt.decide.outputs import check_folds, check_space, common, number_or_none
from foldbelt.ensemble.simplex import fitted
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.metrics import labels as metrics
from foldbelt.search.means import MEANS, mean_of, mix_labels
from foldbelt.search.space import EQUAL

SPACE: dict[str, Any] = {
    "mean": ["probability"],
    "power": [0.5],
    "weights": "equal",
    "step": 0.25,
    "threshold": [place / 20 for place in range(1, 20)],
}
"""What is tried where `space` does not say.

mean: names of `foldbelt.search.means.MEANS`; power: exponents of the mean "power"; weights: "equal"
or "fitted", on a grid of that step, after the mean was found with equal ones; threshold: of every
label on its own, for metrics of decided labels that do not exclude each other.
"""


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
        See `SPACE`.
    metric
        One of `foldbelt.metrics.labels.METRICS`.
    resampling
        Of the interval.

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
    task = _Task.of(members, known, truth, names, exclusive, folds, space, metric)
    prob, judged, per_fold = _left_out(task)
    use = task.counted
    rows, given = task.truth[use], judged[use]

    def score(count: np.ndarray) -> float:
        return metrics.score(metric, rows, given, exclusive, count)

    middle = score(np.ones(len(rows)))
    if np.isnan(middle):
        raise InputError(f"{metric} cannot be computed: no label is on some images and off others.")
    final = _choose(task, use)
    whole = _judged(task, _mixed(task, np.flatnonzero(use), final), final)
    classes = metrics.by_label(metric, rows, given, exclusive)
    worst = float(-np.log(metrics.LEAST))
    sample = resampling.take(np.flatnonzero(use))
    bounds = (0.0, worst) if metric in metrics.FALLING else SCORES
    decision = {
        "output": "labels",
        "metric": metric,
        "score": middle,
        "interval": sample.ranked(score, len(rows), bounds),
        "optimistic": metrics.score(metric, rows, whole, exclusive),
        "baseline": number_or_none(_baseline(task)),
        "exclusive": exclusive,
        "params": final,
        "per_fold": per_fold,
        "members": {name: _alone(task, name) for name in task.members},
        "classes": dict(zip(names, map(number_or_none, classes), strict=True)),
        "coverage": {name: float(task.known[m].mean()) for m, name in enumerate(task.members)},
        "images": len(rows),
        "groups": count_groups(sample.groups, len(rows)),
    }
    return decision, prob


def apply(
    members: Mapping[str, np.ndarray],
    decision: Mapping[str, Any],
    known: Mapping[str, np.ndarray] | None = None,
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
    return _average(probs, there, used, decision["params"], decision["exclusive"])


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


@dataclass(frozen=True)
class _Task:
    """What a search works on; `known` (members, N), `counted` (N,) the images that are scored."""

    members: dict[str, np.ndarray]
    known: np.ndarray
    truth: np.ndarray
    counted: np.ndarray
    exclusive: bool
    folds: np.ndarray
    space: dict[str, Any]
    metric: str

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
    ) -> "_Task":
        if metric not in metrics.METRICS:
            raise InputError(
                f"metric {metric!r} is none of labels; choose one of {', '.join(metrics.METRICS)}."
            )
        whole = check_space(space, SPACE, {"mean": MEANS})
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
        lengths = {f"known of {name}": len(known[name]) for name in members if name in known}
        unknown: np.ndarray = np.isnan(true)
        labelled = np.logical_not(unknown.any(axis=1) if exclusive else unknown.all(axis=1))
        there, counted = check_folds(members, known, labelled, folds, len(true), lengths)
        return cls(given, there, true, counted, exclusive, np.asarray(folds), whole, metric)

    @property
    def thresholded(self) -> bool:
        """Whether labels are decided by thresholds."""
        return self.metric in metrics.DECIDED and not self.exclusive

    def means(self) -> list[dict[str, Any]]:
        """Give the means to try, with their powers."""
        made = []
        for mean in self.space["mean"]:
            powers = self.space["power"] if mean == "power" else [1.0]
            made += [mean_of({"mean": mean, "power": power}).to_dict() for power in powers]
        return made


def _left_out(task: _Task) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Average and judge every fold with what was found without it; and tell what that was."""
    prob, judged = np.empty((2, *task.truth.shape), np.float32)
    per_fold = []
    for fold in np.unique(task.folds).tolist():
        rows = np.flatnonzero(task.folds == fold)
        params = _choose(task, task.counted & (task.folds != fold))
        prob[rows] = _mixed(task, rows, params)
        judged[rows] = _judged(task, prob[rows], params)
        use = rows[task.counted[rows]]
        score = metrics.score(task.metric, task.truth[use], judged[use], task.exclusive)
        per_fold.append({"fold": fold, "params": params, "score": number_or_none(score)})
    return prob, judged, per_fold


def _choose(task: _Task, use: np.ndarray) -> dict[str, Any]:
    """Find all parameters on some images (N,) bool."""
    names, rows = list(task.members), np.flatnonzero(use)
    equal = dict.fromkeys(names, 1 / len(names))
    candidates = [{**mean, "weights": equal} for mean in task.means()]
    params = candidates[0]
    if len(names) > 1:
        if len(candidates) > 1:
            params = candidates[_first_best([_worth(task, rows, one) for one in candidates])]
        if task.space["weights"] == "fitted":
            params = {**params, "weights": _weights(task, use, params)}
    if task.thresholded:
        prob = _mixed(task, rows, params)
        scores = np.stack(
            [
                metrics.by_label(task.metric, task.truth[rows], prob, threshold=limit)
                for limit in task.space["threshold"]
            ]
        )
        best = [_first_best(scores[:, k]) for k in range(scores.shape[1])]
        params = {**params, "threshold": [float(task.space["threshold"][b]) for b in best]}
    return params


def _weights(task: _Task, use: np.ndarray, params: Mapping[str, Any]) -> dict[str, float]:
    """Fit the members' weights on those of some images that all members predicted."""
    names, rows = list(task.members), common(task.known, task.counted, use, list(task.members))
    if not len(rows):
        return dict.fromkeys(names, 1 / len(names))

    def score(weights: tuple[float, ...]) -> float:
        return _worth(task, rows, {**params, "weights": dict(zip(names, weights, strict=True))})

    return dict(zip(names, fitted(len(names), task.space["step"], score), strict=True))


def _worth(task: _Task, rows: np.ndarray, params: Mapping[str, Any]) -> float:
    """Give what means and weights maximise."""
    metric = "log_loss" if task.metric in metrics.DECIDED else task.metric
    made = metrics.score(metric, task.truth[rows], _mixed(task, rows, params), task.exclusive)
    return -made if metric in metrics.FALLING else made


def _first_best(scores: Sequence[float] | np.ndarray) -> int:
    """Give the place of the first best score; NaN is the worst."""
    values = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    return int((values >= values.max() - EQUAL).argmax())


def _mixed(task: _Task, rows: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Average the probabilities of some images, (n, L) float32."""
    probs = [prob[rows] for prob in task.members.values()]
    return _average(probs, task.known[:, rows], list(task.members), params, task.exclusive)


def _average(
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
    if exclusive and mean.mean != "probability":
        total = made.sum(axis=1, keepdims=True)
        made = np.divide(made, total, out=made, where=total > 0)
    return made


def _judged(task: _Task, prob: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Give what the metric looks at: decided labels as 0 and 1, else probabilities."""
    if not task.thresholded:
        return prob
    with np.errstate(invalid="ignore"):
        given = (prob > np.asarray(params["threshold"])).astype(np.float32)
    return np.where(np.isnan(prob), np.nan, given).astype(np.float32)


def _alone(task: _Task, name: str) -> float | None:
    """Give the leave-one-fold-out score of one member on the images that it predicted."""
    known = task.known[[list(task.members).index(name)]]
    counted = task.counted & known[0]
    if len(np.unique(task.folds[counted])) < 2 and task.thresholded:
        return None  # there is nothing else to find its thresholds on
    part = replace(task, members={name: task.members[name]}, known=known, counted=counted)
    judged = _left_out(part)[1]
    score = metrics.score(task.metric, task.truth[counted], judged[counted], task.exclusive)
    return number_or_none(score)


def _baseline(task: _Task) -> float:
    """Score what needs no image: the shares of labels outside each fold, or what ranks nothing."""
    truth, folds = task.truth[task.counted], task.folds[task.counted]
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
