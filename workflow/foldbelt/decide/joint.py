"""Labels and boxes decided together: what each knows of "nothing here" helps the others.

What is mixed how is in :mod:`foldbelt.decide.joint_mixing`. All of it only changes how images and
boxes are ranked, and is found leave-one-fold-out by the mean of the average precisions.

The search is one of parts. Each part changes the average precision of one class, given the parts
before it: none's shares that of none, negative's share that of negative, the exponents those of
boxes. A box is matched once: the order within an image never changes, so which box is right does
not either, and only the ranking over images does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from foldbelt.bootstrap import Resampling, count_groups
from foldbelt.boxes import Boxes
from foldbelt.decide.boxes import concatenated
from foldbelt.decide.joint_mixing import (
    NEUTRAL,
    PARTS,
    Given,
    Roles,
    apply,
    mixed_negative,
    mixed_none,
    scaled_scores,
)
from foldbelt.decide.outputs import number_or_none
from foldbelt.files import InputError
from foldbelt.metrics.ranked import Ranking
from foldbelt.search.space import EQUAL

METRIC = "mean_average_precision"


@dataclass(frozen=True)
class Truth:
    """What is true of N images.

    Attributes
    ----------
    labels
        (N, L), NaN where not known or not to be counted: labels of a unit stand at its first image.
    boxes
        True boxes; None where the run has none.
    labelled
        (N,) bool, of which images they are known.
    """

    labels: np.ndarray
    boxes: Boxes | None
    labelled: np.ndarray


def search(
    given: Mapping[int, Given],
    final: Given,
    truth: Truth,
    folds: np.ndarray,
    settings: Mapping[str, Any],
    classes: Sequence[str] | None,
    resampling: Resampling,
) -> tuple[dict[str, Any], np.ndarray, Boxes | None]:
    """Find how labels and boxes are decided together.

    Parameters
    ----------
    given
        Fold → what was predicted, out of fold, of N images, blended with what was found without
        this fold: so nothing that is found here without it knows its truth.
    final
        The same, blended with what was found on all images, as the test images are.
    truth
        What is true of the images.
    folds
        (N,) int.
    settings
        The config's ``joint``.
    classes
        Names of labels and classes of boxes whose mean is the score; one that nobody predicts
        counts 0. None: all that are predicted.
    resampling
        Of the intervals.

    Returns
    -------
    decision, labels, boxes
        The decision as JSON can hold it: output, metric, score (leave-one-fold-out), interval,
        optimistic, baseline (what constant predictions score: the labels' shares), params,
        per_fold, classes, members, coverage, images, groups, and ``without``: part → score without
        it, the difference that it makes, and its interval. And labels and boxes of the N images,
        each with what was found without its fold.

    Raises
    ------
    InputError
        If nothing can be scored, or names are unknown.
    """
    task = Task.of(given, final, truth, folds, settings, classes)
    made = task.left_out()
    number = len(task.folds)
    rows = np.flatnonzero(task.counted())
    if not len(rows) or np.isnan(made.scores.mean()):
        raise InputError("joint: none of the classes is on an image that was predicted.")
    sample = resampling.take(rows)
    whole = made.scores.at(rows, number)
    params = task.choose(task.final, np.ones(number))
    without = {}
    for part in task.parts():
        less = task.without(part).left_out().scores
        difference, interval = sample.ranked_paired(whole, less.at(rows, number), len(rows))
        without[part] = {"score": less.mean(), "difference": difference, "interval": interval}
    decision = {
        "output": "joint",
        "metric": METRIC,
        "score": made.scores.mean(),
        "interval": sample.ranked(whole, len(rows)),
        "optimistic": task.scores(task.final, *apply(final, settings, params)).mean(),
        "baseline": task.baseline(made.scores),
        "params": params,
        "per_fold": made.per_fold,
        "classes": {n: number_or_none(s) for n, s in made.scores.classes().items()},
        "members": {},
        "coverage": {},
        "without": without,
        "images": len(rows),
        "groups": count_groups(sample.groups, len(rows)),
    }
    return decision, made.labels, made.boxes


@dataclass(frozen=True)
class Scores:
    """Average precision of every class, of rankings that were matched once.

    Attributes
    ----------
    rankings
        Class → its ranking of the N images; None counts 0.
    """

    rankings: Mapping[str, Ranking | None]

    def classes(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """Give the average precision of every class; NaN where it has no truth."""
        return {
            name: 0.0 if ranking is None else float(ranking.classes(weights)[0])
            for name, ranking in self.rankings.items()
        }

    def mean(self, weights: np.ndarray | None = None) -> float:
        """Average over the classes that have truth; NaN if none has."""
        made = [score for score in self.classes(weights).values() if not np.isnan(score)]
        return float(np.mean(made)) if made else float("nan")

    def at(self, rows: np.ndarray, images: int) -> Callable[[np.ndarray], float]:
        """Give the score as a function of how often some of the images count."""

        def score(count: np.ndarray) -> float:
            weights = np.zeros(images)
            weights[rows] = count
            return self.mean(weights)

        return score


@dataclass(frozen=True)
class Made:
    """What was made leave-one-fold-out."""

    labels: np.ndarray
    boxes: Boxes | None
    per_fold: list[dict[str, Any]]
    scores: Scores


@dataclass(frozen=True)
class Matched:
    """Predictions, and which of their boxes are right.

    Attributes
    ----------
    given
        The predictions.
    right
        (M,) bool, of each box whether it claims a true one.
    ranked
        What was ranked so far, by the parameters that it was ranked with.
    """

    given: Given
    right: np.ndarray
    ranked: dict[tuple[Any, ...], Ranking] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Given, truth: Truth) -> "Matched":
        """Match the boxes to the true ones."""
        if given.boxes is None or truth.boxes is None:
            return cls(given, np.zeros(0, bool))
        return cls(given, Ranking.match(truth.boxes, given.boxes, len(given.box_names)).right)


@dataclass(frozen=True)
class Task:
    """What a search works on; see :func:`search`."""

    matched: Mapping[int, Matched]
    final: Matched
    truth: Truth
    folds: np.ndarray
    settings: Mapping[str, Any]
    roles: Roles
    names: Sequence[str] | None

    @classmethod
    def of(
        cls,
        given: Mapping[int, Given],
        final: Given,
        truth: Truth,
        folds: np.ndarray,
        settings: Mapping[str, Any],
        names: Sequence[str] | None,
    ) -> "Task":
        """Match all boxes."""
        matched = {fold: Matched.of(one, truth) for fold, one in given.items()}
        last, roles = Matched.of(final, truth), Roles.of(final, settings)
        return cls(matched, last, truth, np.asarray(folds), settings, roles, names)

    def parts(self) -> list[str]:
        """Name the parts that the data have and that try more than to change nothing."""
        changing = {
            "none_mix": len(self._mixes()) > 1,
            "negative_mix": self.roles.negative is not None and any(self.settings["negative_mix"]),
            "none_product": self._boxed() and any(b for _, b in self._exponents()),
        }
        return [part for part in PARTS if self.roles.none is not None and changing[part]]

    def without(self, part: str) -> "Task":
        """Give the same search with one part off."""
        return replace(self, settings={**self.settings, **PARTS[part]})

    def counted(self) -> np.ndarray:
        """Tell (N,) which images count in any class."""
        given = self.final.given
        there = ~np.isnan(self.truth.labels) & ~np.isnan(given.labels)
        boxes = self.truth.labelled & given.predicted if given.boxes is not None else False
        return there.any(axis=1) | boxes

    def left_out(self) -> Made:
        """Decide every fold with what was found without it."""
        labels, parts, places, per_fold = np.empty_like(self.final.given.labels), [], [], []
        for fold in np.unique(self.folds).tolist():
            one, inside = self.matched[fold], np.flatnonzero(self.folds == fold)
            params = self.choose(one, (self.folds != fold).astype(np.float64))
            made, boxes = apply(one.given, self.settings, params)
            labels[inside] = made[inside]
            if boxes is not None:
                parts.append(boxes.take(inside))
                places.append(inside)
            per_fold.append({"fold": fold, "params": params})
        joined = None
        if parts:
            order = np.argsort(np.concatenate(places))
            joined = concatenated(parts).take(order)
        whole = replace(self.final.given, labels=labels, boxes=joined)
        scores = self.scores(Matched.of(whole, self.truth), labels, joined)
        for entry in per_fold:
            inside = (self.folds == entry["fold"]).astype(np.float64)
            entry["score"] = number_or_none(scores.mean(inside))
        return Made(labels, joined, per_fold, scores)

    def choose(self, of: Matched, weights: np.ndarray) -> dict[str, Any]:
        """Find all parameters, part by part, on images that count so often (N,)."""
        params, roles = dict(NEUTRAL), self.roles
        if roles.none is None:
            return params
        mixes = [{**params, "none_mix": shares, "absence": how} for shares, how in self._mixes()]
        nones = [mixed_none(of.given, roles, one) for one in mixes]
        best = _best([self.ranking(roles.none, none) for none in nones], weights)
        params, none = mixes[best], nones[best]
        if roles.negative is not None:
            tried = [{**params, "negative_mix": float(s)} for s in self.settings["negative_mix"]]
            made = [mixed_negative(of.given, roles, none, one) for one in tried]
            params = tried[_best([self.ranking(roles.negative, m) for m in made], weights)]
        if self._boxed():
            tried = [
                {**params, "box_exponent": a, "none_exponent": b} for a, b in self._exponents()
            ]
            areas = [self._area(of, none, one, weights) for one in tried]
            params = tried[_first_best(areas)]
        return params

    def _area(
        self, of: Matched, none: np.ndarray, params: Mapping[str, Any], weights: np.ndarray
    ) -> float:
        """Give the mean over the classes of boxes that change."""
        keys = ("none_mix", "absence", "box_exponent", "none_exponent")
        key = tuple(str(params[name]) for name in keys)
        missing = [k for k in self.roles.boxes if (*key, k) not in of.ranked]
        if missing:
            scores = scaled_scores(of.given, self.roles, none, params)
            of.ranked.update({(*key, k): self.of_boxes(of, k, scores) for k in missing})
        areas = [of.ranked[*key, k].classes(weights)[0] for k in self.roles.boxes]
        there = [area for area in areas if not np.isnan(area)]
        return float(np.mean(there)) if there else float("nan")

    def _boxed(self) -> bool:
        return self.final.given.boxes is not None and bool(self.roles.boxes)

    def _mixes(self) -> list[tuple[dict[str, float], str]]:
        """Give the shares that are mixed into none, and how boxes say that there is nothing."""
        shares = self.settings["none_mix"]
        of_negative = shares["negative"] if self.roles.negative is not None else [0]
        of_absence = shares["absence"] if self._boxed() else [0]
        made = [
            ({"negative": float(n), "absence": float(a)}, how)
            for how in self.settings["absence"]
            for n in of_negative
            for a in of_absence
            if n + a <= 1 and (a or how == self.settings["absence"][0])
        ]
        return made or [(dict(NEUTRAL["none_mix"]), NEUTRAL["absence"])]

    def _exponents(self) -> list[tuple[float, float]]:
        """Give the pairs to try: the first of each ratio, which alone decides the ranking."""
        exponents = self.settings["box_exponent"], self.settings["none_exponent"]
        pairs = [(float(a), float(b)) for a in exponents[0] for b in exponents[1]]
        first: dict[float, tuple[float, float]] = {}
        for a, b in pairs:
            first.setdefault(b / a, (a, b))
        return list(first.values())

    def scores(self, of: Matched, labels: np.ndarray, boxes: Boxes | None) -> Scores:
        """Rank labels (N, L) and boxes, of which those that are right are known."""
        given = self.final.given
        rankings: dict[str, Ranking | None] = {
            name: self.ranking(k, labels[:, k])
            for k, name in enumerate(given.names)
            if not np.isnan(given.labels[:, k]).all()
        }
        if boxes is not None:
            for k, name in enumerate(given.box_names):
                rankings[name] = self.of_boxes(of, k, boxes.scores)
        if self.names is not None:
            return Scores({name: rankings.get(name) for name in self.names})
        return Scores(rankings)

    def ranking(self, label: int, prob: np.ndarray) -> Ranking:
        """Rank images by a label, like boxes of which each has one; ties in row order."""
        truth = self.truth.labels[:, label]
        known = np.flatnonzero(~np.isnan(truth) & ~np.isnan(prob))
        order = known[np.argsort(-prob[known].astype(np.float32), kind="stable")]
        has = truth > 0.5
        hits, places = np.flatnonzero(has[order]), np.array([0, len(order)])
        return Ranking(has, order, places, (hits,), (known[has[known]],), len(truth))

    def of_boxes(self, of: Matched, number: int, scores: np.ndarray) -> Ranking:
        """Rank the boxes of a class by scores (M,) that keep the order within an image."""
        boxes, true = of.given.boxes, self.truth.boxes
        if boxes is None or true is None:
            raise InputError("there are no boxes.")
        counts = self.truth.labelled & of.given.predicted
        image, true_image = boxes.of(), true.of()
        rows = np.flatnonzero((boxes.classes == number) & counts[image])
        rows = rows[np.argsort(-scores[rows].astype(np.float32), kind="stable")]
        there = true_image[(true.classes == number) & counts[true_image]]
        hits, places = np.flatnonzero(of.right[rows]), np.array([0, len(rows)])
        return Ranking(of.right, image[rows], places, (hits,), (there,), len(true))

    def baseline(self, scores: Scores) -> float:
        """Score constant predictions: the share of each label, and 0 for boxes."""
        truth = self.truth.labels
        shares = []
        for name, score in scores.classes().items():
            if np.isnan(score):
                continue
            share = 0.0
            if name in self.final.given.names and scores.rankings[name] is not None:
                known = truth[:, list(self.final.given.names).index(name)]
                share = float(np.mean(known[~np.isnan(known)] > 0.5))
            shares.append(share)
        return float(np.mean(shares))


def _best(rankings: Sequence[Ranking], weights: np.ndarray) -> int:
    return _first_best([float(ranking.classes(weights)[0]) for ranking in rankings])


def _first_best(scores: Sequence[float]) -> int:
    """Give the place of the first best score; NaN is the worst."""
    values = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    return int((values >= values.max() - EQUAL).argmax())
