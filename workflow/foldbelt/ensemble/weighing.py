"""The members' weights: fixed, equal, or searched out of fold, those of masks and of labels apart.

Weights lie on a grid over the simplex. Those of masks are searched by the metric, together with the
pixel threshold, so that a blend is not judged at a threshold that suits another; those of labels by
their log loss, so that a classifier, which has no mask, gets its weight, too. Where the grid would
be large, forward selection with replacement takes its place: Caruana, Niculescu-Mizil, Crew,
Ksikes: Ensemble Selection from Libraries of Models, ICML 2004. The weights for fold f are found
without the truth of fold f; those for the test images with all of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from math import comb

import numpy as np

from foldbelt import metrics
from foldbelt.ensemble.settings import BlendSettings
from foldbelt.files import InputError
from foldbelt.search.blends import Blends, count_blends
from foldbelt.search.labels import log_loss, true_labels
from foldbelt.search.means import PLAIN, Mean, Vector, mix_labels
from foldbelt.search.oof import OutOfFold
from foldbelt.search.space import EQUAL, Grid
from foldbelt.search.sums import fold_sums

Weights = tuple[float, ...]
Parts = tuple[int, ...]  # weights as numbers of steps

CANDIDATES = 300  # above, weights are selected greedily
THRESHOLDS = np.arange(4, 17) / 20  # .20, .25 … .80


def optimise(oof: OutOfFold, settings: BlendSettings, metric: str) -> Blends:
    """Find the members' weights, once without each fold and once with all.

    Weights that the config fixes are taken as they are. Else members with masks share the weights
    of masks, and those with labels the weights of labels. Equal scores go to the weights closest
    to equal ones, then to the first of the grid.

    Parameters
    ----------
    oof
        The members' out-of-fold predictions.
    settings
        The config's ``blend``.
    metric
        What the weights of masks maximise, over weights and threshold together. Those of labels
        minimise their log loss; where the data has no labels they are equal.

    Returns
    -------
    Blends
        The predictions with the weights found without each fold's truth, and with all.

    Raises
    ------
    InputError
        If the step does not divide 1, or all members with masks, or with labels, weigh 0.
    """
    folds = np.unique(oof.fold).tolist()
    left_out = [*folds, None]
    mean = settings.mean
    if settings.weights:
        fixed = Vector.of(_fixed(oof.members, settings.weights), oof.masked, oof.labelled)
        return Blends(oof, dict.fromkeys(left_out, fixed), mean)
    equal = oof.equal()
    masks, labels = [equal.masks] * len(left_out), [equal.labels] * len(left_out)
    if settings.search and sum(oof.masked) > 1:
        masks = _search(MaskTable(oof, metric, mean), settings.step)
    if not any(oof.labelled):
        labels = masks
    elif settings.search and sum(oof.labelled) > 1:
        table = LabelTable(oof, mean)
        labels = labels if table.truth is None else _search(table, settings.step)
    vectors = [Vector(*pair) for pair in zip(masks, labels, strict=True)]
    return Blends(oof, dict(zip(left_out, vectors, strict=True)), mean)


def _fixed(members: Sequence[str], weights: Mapping[str, float]) -> list[float]:
    """Give each member the weight of its model: snapshots are named net.s1, net.s2 …, nets 1."""
    models = [name.partition(".s")[0] for name in members]
    return [
        float(weights.get(name, weights.get(model, 1) / models.count(model)))
        for name, model in zip(members, models, strict=True)
    ]


class Table(ABC):
    """Scores of candidate weights on each fold, each computed once.

    Parameters
    ----------
    oof
        The members' out-of-fold predictions.
    has
        Which members get weights.
    mean
        What the candidates are the weights of.
    """

    def __init__(self, oof: OutOfFold, has: Sequence[bool], mean: Mean) -> None:
        self.oof = oof
        self.mean = mean
        self.places = np.flatnonzero(has).tolist()
        self.folds, self.fold_index = np.unique(oof.fold, return_inverse=True)
        self.sizes = np.bincount(self.fold_index)
        self.sums: dict[Parts, np.ndarray] = {}  # (folds, …), the better the higher

    def weights(self, parts: Parts) -> Weights:
        """Give the weights of all members; 0 for those that get none."""
        weights = [0.0] * len(self.oof.members)
        for place, part in zip(self.places, parts, strict=True):
            weights[place] = part / sum(parts)
        return tuple(weights)

    def compute(self, candidates: Sequence[Parts]) -> None:
        """Score those candidates that were not scored before."""
        new = [parts for parts in dict.fromkeys(candidates) if parts not in self.sums]
        self.sums |= zip(new, self._scored(new), strict=True)

    @abstractmethod
    def _scored(self, candidates: Sequence[Parts]) -> list[np.ndarray]:
        """Give of each candidate the sums over the images of each fold."""

    @abstractmethod
    def _mean(self, sums: np.ndarray, number: int) -> float:
        """Make one score of sums (folds, …) over so many images."""

    def best(self, candidates: Sequence[Parts], left_out: int | None) -> Parts:
        """Give the best candidate on all folds but one."""
        use = np.arange(len(self.folds)) != (-1 if left_out is None else left_out)
        number = self.sizes[use].sum()
        means = [self._mean(self.sums[parts][use], number) for parts in candidates]
        equals = [p for p, m in zip(candidates, means, strict=True) if m >= max(means) - EQUAL]
        # Fractions of whole numbers: rounded, so that mirror images are equally far from equal.
        spread = [round(float(np.var(np.array(p) / sum(p))), 12) for p in equals]
        return equals[spread.index(min(spread))]


class MaskTable(Table):
    """Candidate weights of the members with masks, each class at its best threshold.

    Parameters
    ----------
    oof
        The members' out-of-fold predictions.
    metric
        Name of the metric.
    mean
        What the candidates are the weights of.
    """

    def __init__(self, oof: OutOfFold, metric: str, mean: Mean = PLAIN) -> None:
        super().__init__(oof, oof.masked, mean)
        self.score = metrics.from_counts(metric)
        self.grid = Grid.of({"threshold": THRESHOLDS})

    def _scored(self, candidates: Sequence[Parts]) -> list[np.ndarray]:
        """Score in one pass over the files, or a few: two counts of 4 bytes an image, class and
        threshold are bounded to 64 MiB."""
        each = len(self.oof) * self.oof.classes() * len(THRESHOLDS) * 8
        group = max(1, 2**26 // each)
        labels = self.oof.equal().labels  # the gate is off, so they do not matter
        scores = []
        for start in range(0, len(candidates), group):
            batch = [Vector(self.weights(p), labels) for p in candidates[start : start + group]]
            for counts in count_blends(self.oof, batch, self.grid.levels, self.mean):
                sums = fold_sums(counts, self.grid, self.score, self.fold_index, len(self.folds))
                scores.append(sums[..., 0, 0, 0])  # (folds, classes, thresholds)
        return scores

    def _mean(self, sums: np.ndarray, number: int) -> float:
        return sums.sum(axis=0).max(axis=1).mean() / number


class LabelTable(Table):
    """Candidate weights of the members with labels, by the mean log loss over images and labels.

    Parameters
    ----------
    oof
        The members' out-of-fold predictions.
    mean
        What the candidates are the weights of.

    Attributes
    ----------
    truth
        (N, L), or None where the data has no labels.
    """

    def __init__(self, oof: OutOfFold, mean: Mean = PLAIN) -> None:
        super().__init__(oof, oof.labelled, mean)
        self.probs = oof.label_probs()
        width = next(prob.shape[1] for prob in self.probs if prob is not None)
        self.truth = true_labels(oof.data, oof.ids.tolist(), width)

    def _scored(self, candidates: Sequence[Parts]) -> list[np.ndarray]:
        assert self.truth is not None
        scores = []
        for parts in candidates:
            prob = mix_labels(self.probs, self.weights(parts), *self.mean)
            assert prob is not None
            scores.append(-np.bincount(self.fold_index, log_loss(self.truth, prob)))
        return scores

    def _mean(self, sums: np.ndarray, number: int) -> float:
        return sums.sum() / number


def _search(table: Table, step: float) -> list[Weights]:
    """Find the best weights without each fold, in their order, and with all."""
    steps, number = round(1 / step), len(table.places)
    if abs(steps * step - 1) > 1e-6:
        raise InputError(f"blend.step is {step}; it must divide 1, as .1 or .05 do.")
    left_out = [*range(len(table.folds)), None]
    if comb(steps + number - 1, number - 1) <= CANDIDATES:
        best = _exhaustive(table, left_out, number, steps)
    else:
        best = _greedy(table, left_out, number, steps)
    return [table.weights(parts) for parts in best]


def _exhaustive(
    table: Table, left_out: Sequence[int | None], number: int, steps: int
) -> list[Parts]:
    candidates = list(compositions(steps, number))
    table.compute(candidates)
    return [table.best(candidates, fold) for fold in left_out]


def _greedy(table: Table, left_out: Sequence[int | None], number: int, steps: int) -> list[Parts]:
    """Add the member that helps most, `steps` times; give the best on the way. Folds abreast."""
    paths: list[list[Parts]] = [[] for _ in left_out]
    for _ in range(steps):
        choices = [_additions(path[-1] if path else (0,) * number) for path in paths]
        table.compute([parts for additions in choices for parts in additions])
        for path, additions, fold in zip(paths, choices, left_out, strict=True):
            path.append(table.best(additions, fold))
    return [table.best(path, fold) for path, fold in zip(paths, left_out, strict=True)]


def _additions(parts: Parts) -> list[Parts]:
    return [tuple(p + (i == j) for j, p in enumerate(parts)) for i in range(len(parts))]


def compositions(steps: int, number: int) -> Iterator[Parts]:
    """Give every way to part `steps` among `number` members, in rising order."""
    for bars in combinations(range(steps + number - 1), number - 1):
        edges = (-1, *bars, steps + number - 1)
        yield tuple(b - a - 1 for a, b in pairwise(edges))
