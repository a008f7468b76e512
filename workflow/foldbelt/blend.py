"""The blend of the models: weighted means of their probabilities, or of logits and the like.

Weights lie on a grid over the simplex and are fitted together with the pixel threshold, so that a
blend is not judged at a threshold that suits another. Where the grid would be large, forward
selection with replacement takes its place: Caruana, Niculescu-Mizil, Crew, Ksikes: Ensemble
Selection from Libraries of Models, ICML 2004. The weights for fold f are fitted without the truth
of fold f; those for the test images with all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import metrics, store
from foldbelt.decide.grid import EQUAL, Grid, fold_sums, grid
from foldbelt.decide.oof import OutOfFold
from foldbelt.decide.stage import count_blends, read_weights
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_json
from foldbelt.means import PLAIN, Mean, mean_of, mix, mix_labels, read_mean
from foldbelt.predictions import check, mean_over_files, same_ids, same_shapes

Weights = tuple[float, ...]
Parts = tuple[int, ...]  # weights as numbers of steps

CANDIDATES = 300  # above, weights are selected greedily
THRESHOLDS = np.arange(4, 17) / 20  # .20, .25 … .80


def run_oof(
    *,
    members: Mapping[str, Sequence[PathLike]],
    data: PathLike,
    folds: PathLike,
    spec: Mapping[str, Any],
    metric: str,
    out: PathLike,
    weights: PathLike,
) -> None:
    """Fit the weights of the members and blend their out-of-fold predictions.

    Parameters
    ----------
    members
        Model → its ``oof.h5`` files, one a fold, or one file of all images.
    data
        ``train.h5``.
    folds
        The csv with id, fold and group.
    spec
        The config's ``blend``: optimise, mean, power, step.
    metric
        What the weights maximise.
    out
        The blended predictions, in the order of `data`; rows of fold f with weights found without
        it.
    weights
        The weights' JSON: members, mean, its power if it has one, all [w], without {fold: [w]}.

    Raises
    ------
    InputError
        If the predictions do not hold every image exactly once, or `spec` is wrong.
    """
    mean = mean_of(spec)
    oof = OutOfFold(members, data, folds)
    without, final = optimise(oof, spec, metric)
    content = {
        "members": oof.members,
        **mean.to_dict(),
        "all": list(final),
        "without": {str(fold): list(vector) for fold, vector in without.items()},
    }
    table = pd.DataFrame({"id": oof.ids, "fold": oof.fold})
    with store.Writer(out, table=table, attrs={"weights": content}) as writer:
        for run in oof.runs():
            rows = np.concatenate([block.rows for block in run])
            order = np.argsort(rows)
            prob = np.concatenate([mix(block.probs, without[block.fold], *mean) for block in run])
            labels = [mix_labels(block.labels, without[block.fold], *mean) for block in run]
            known = [label for label in labels if label is not None]
            label = np.concatenate(known) if len(known) == len(run) else None
            _put(writer, int(rows.min()), prob[order], None if label is None else label[order])
    write_json(weights, content)


def run_test(
    *,
    members: Mapping[str, Sequence[PathLike]],
    weights: PathLike,
    out: PathLike,
    labelled: Mapping[str, Sequence[PathLike]] | None = None,
) -> None:
    """Blend the test predictions: the mean over folds of each member, then the weighted mean.

    Over folds probabilities are averaged, over members what the weights' file says.

    Parameters
    ----------
    members
        Model → its ``test.h5`` files, one a fold, all of the same images; or one file.
    weights
        The JSON that :func:`run_oof` wrote; ``all`` and the mean are used.
    out
        The blended predictions, in the order of the first file.
    labelled
        Model → the pseudo-labels on which it was trained, in the order of its files. An image is
        then predicted by those folds alone that were not trained on it. Members that are not named
        count with all their files.

    Raises
    ------
    InputError
        If the files differ in their images or their form, the weights are others', or all folds of
        a member were trained on an image.
    """
    _, vector = read_weights(weights, list(members))
    mean = read_mean(weights)
    paths = [path for own in members.values() for path in own]
    check(paths)
    ids = same_ids(paths)
    use = {m: _untaught(m, members[m], taught, ids) for m, taught in (labelled or {}).items()}
    with store.Writer(out, table=pd.DataFrame({"id": np.array(ids, dtype=object)})) as writer:
        names = list(members)
        parts = zip(*(mean_over_files(members[n], ids, use.get(n)) for n in names), strict=True)
        for block in parts:
            same_shapes([prob for _, prob, _ in block], names)
            prob = mix([prob for _, prob, _ in block], vector, *mean)
            label = mix_labels([label for *_, label in block], vector, *mean)
            _put(writer, block[0][0].start, prob, label)


def _untaught(
    member: str, paths: Sequence[PathLike], labelled: Sequence[PathLike], ids: Sequence[str]
) -> np.ndarray:
    """Tell (files, ids) which models were not trained on which images."""
    if len(labelled) != len(paths):
        raise InputError(
            f"{member}: {len(labelled)} files of pseudo-labels for {len(paths)} of predictions; "
            "give one a fold, in the same order."
        )
    use = np.stack([~np.isin(ids, store.read(path, "id").astype(str)) for path in labelled])
    lost = np.array(ids)[~use.any(axis=0)].tolist()
    problems = [Problem(member, f"all its folds were trained on {name}") for name in lost]
    cure = "Halves need models of a fold with an even number and of one with an odd number."
    raise_all(problems, "test predictions", cure)
    return use


def optimise(
    oof: OutOfFold, spec: Mapping[str, Any], metric: str
) -> tuple[dict[int, Weights], Weights]:
    """Find the members' weights, once without each fold and once with all.

    Equal scores go to the weights closest to equal ones, then to the first of the grid.

    Parameters
    ----------
    oof
        The members' out-of-fold predictions.
    spec
        optimise (False: equal weights), step, mean and power.
    metric
        What to maximise, over weights and threshold together.

    Returns
    -------
    without : dict
        Fold → weights fitted without its truth.
    final : tuple of float
        The weights fitted on all folds.
    """
    folds = np.unique(oof.fold).tolist()
    number = len(oof.members)
    if not spec["optimise"] or number == 1:
        equal = (1 / number,) * number
        return dict.fromkeys(folds, equal), equal
    steps = round(1 / spec["step"])
    if abs(steps * spec["step"] - 1) > 1e-6:
        raise InputError(f"blend.step is {spec['step']}; it must divide 1, as .1 or .05 do.")
    table = Table(oof, metric, mean_of(spec))
    left_out = [*range(len(folds)), None]
    if comb(steps + number - 1, number - 1) <= CANDIDATES:
        best = _exhaustive(table, left_out, number, steps)
    else:
        best = _greedy(table, left_out, number, steps)
    vectors = [tuple(part / sum(parts) for part in parts) for parts in best]
    return dict(zip(folds, vectors[:-1], strict=True)), vectors[-1]


class Table:
    """Scores of candidate weights on each fold, each computed once.

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
        self.oof = oof
        self.mean = mean
        self.score = metrics.from_counts(metric)
        self.grid: Grid = grid({"threshold": THRESHOLDS})
        self.folds, self.member = np.unique(oof.fold, return_inverse=True)
        self.sizes = np.bincount(self.member)
        self._sums: dict[Parts, np.ndarray] = {}  # (folds, classes, thresholds)

    def compute(self, candidates: Sequence[Parts]) -> None:
        """Score those candidates that were not scored before, in one pass over the files."""
        new = [parts for parts in dict.fromkeys(candidates) if parts not in self._sums]
        # Two counts of 4 bytes an image, class and threshold: bounded to 64 MiB of them.
        each = len(self.oof) * self.oof.classes() * len(THRESHOLDS) * 8
        group = max(1, 2**26 // each)
        for start in range(0, len(new), group):
            some = new[start : start + group]
            vectors = [tuple(part / sum(parts) for part in parts) for parts in some]
            counted = count_blends(self.oof, vectors, self.grid.levels, self.mean)
            for parts, counts in zip(some, counted, strict=True):
                sums = fold_sums(counts, self.grid, self.score, self.member, len(self.folds))
                self._sums[parts] = sums[..., 0, 0]

    def best(self, candidates: Sequence[Parts], left_out: int | None) -> Parts:
        """Give the best candidate on all folds but one, each class at its best threshold."""
        use = np.arange(len(self.folds)) != (-1 if left_out is None else left_out)
        number = self.sizes[use].sum()
        means = [self._sums[p][use].sum(axis=0).max(axis=1).mean() / number for p in candidates]
        equals = [p for p, m in zip(candidates, means, strict=True) if m >= max(means) - EQUAL]
        # Fractions of whole numbers: rounded, so that mirror images are equally far from equal.
        spread = [round(float(np.var(np.array(p) / sum(p))), 12) for p in equals]
        return equals[spread.index(min(spread))]


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
        table.compute([parts for some in choices for parts in some])
        for path, some, fold in zip(paths, choices, left_out, strict=True):
            path.append(table.best(some, fold))
    return [table.best(path, fold) for path, fold in zip(paths, left_out, strict=True)]


def _additions(parts: Parts) -> list[Parts]:
    return [tuple(p + (i == j) for j, p in enumerate(parts)) for i in range(len(parts))]


def compositions(steps: int, number: int) -> Iterator[Parts]:
    """Give every way to part `steps` among `number` members, in rising order."""
    for bars in combinations(range(steps + number - 1), number - 1):
        edges = (-1, *bars, steps + number - 1)
        yield tuple(b - a - 1 for a, b in pairwise(edges))


def _put(writer: store.Writer, start: int, prob: np.ndarray, label: np.ndarray | None) -> None:
    """Write a run of rows; the first lays out the datasets."""
    for name, array, dtype in (("prob", prob, np.uint8), ("label_prob", label, np.float32)):
        if array is None:
            continue
        if start == 0:
            writer.create(name, array.shape[1:], dtype)
        writer.put(name, start, array)
