"""Exhaustive search of decision parameters, scored leave-one-fold-out.

The grid is threshold × min_area × gate, and the search never touches a pixel: it works on counts
(:mod:`foldbelt.decide.counting`). The metrics are means over image-class pairs, so each class is
fitted on its own. Equal scores go to the first point of the grid, threshold outermost, then
min_area, then gate, each in the order given; the values of a veto come before the other modes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from foldbelt import compare, metrics
from foldbelt.decide.counting import LEVELS, Counts, counts, level
from foldbelt.decide.decision import DEFAULTS, MODES, Decision, keeps, product_level
from foldbelt.files import InputError

# Means that differ by less are equal: the same scores summed in another order.
EQUAL = 1e-12


@dataclass(frozen=True)
class Grid:
    """The values to try: threshold (T,), min_area (M,) and gate (G,), float64.

    `mode` says of each gate what it does; modes other than "veto" have no value.
    """

    threshold: np.ndarray
    min_area: np.ndarray
    gate: np.ndarray
    mode: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """T, M, G."""
        return len(self.threshold), len(self.min_area), len(self.gate)

    @property
    def levels(self) -> np.ndarray:
        """The uint8 level of each threshold (T,), or all that a product with p may need."""
        return np.arange(LEVELS) if "product" in self.mode else level(self.threshold)

    def params(self, chosen: Sequence[tuple[int, ...]]) -> dict[str, Any]:
        """Name the values of one point a class: floats for one class, else lists."""
        every: dict[str, list[Any]] = {
            name: [float(getattr(self, name)[point[axis]]) for point in chosen]
            for axis, name in enumerate(DEFAULTS)
        }
        if set(self.mode) != {"veto"}:
            every["gate_mode"] = [self.mode[point[2]] for point in chosen]
        return {name: v[0] if len(v) == 1 else v for name, v in every.items()}

    def space(self) -> dict[str, Any]:
        """Give what :func:`grid` made it of."""
        veto = self.gate[[mode == "veto" for mode in self.mode]].tolist()
        values: dict[str, Any] = {name: getattr(self, name).tolist() for name in DEFAULTS}
        values["gate"] = veto
        modes = list(dict.fromkeys(self.mode))
        return values if modes == ["veto"] else {**values, "gate_mode": modes}


def grid(space: Mapping[str, Any]) -> Grid:
    """Check a search space and fill in what it leaves out.

    Parameters
    ----------
    space
        threshold and gate (fractions), min_area (pixels): lists of numbers, or one number. Missing
        ones are .5, 0 and 0. gate_mode: a list of veto, product, area (see
        :data:`foldbelt.decide.decision.MODES`); by default veto, the only one that `gate` is of.

    Raises
    ------
    InputError
        If a name is unknown, a list is empty or a value is out of range (all are listed).
    """
    wrong = [f"{name} is unknown" for name in space if name not in {*DEFAULTS, "gate_mode"}]
    values = {}
    for name, default in DEFAULTS.items():
        array = np.atleast_1d(np.asarray(space.get(name, default)))
        if array.dtype.kind not in "iuf" or array.ndim != 1 or not array.size:
            wrong.append(f"{name} must be a list of numbers, not {space[name]!r}")
            continue
        high = np.inf if name == "min_area" else 1
        bad = array[~((array >= 0) & (array <= high) & np.isfinite(array))]
        if bad.size:
            bounds = "pixels, 0 or more" if name == "min_area" else "fractions, 0 to 1"
            wrong.append(f"{name} takes {bounds}, not {', '.join(map(str, bad.tolist()))}")
        values[name] = array.astype(np.float64)
    modes = list(space.get("gate_mode", ["veto"]))
    wrong += [f"gate_mode {mode!r} is unknown" for mode in modes if mode not in MODES]
    if wrong or not modes:
        wrong += [] if modes else ["gate_mode must hold a mode"]
        raise InputError(
            f"decision space: {'; '.join(wrong)}. It may hold {', '.join(DEFAULTS)}, and gate_mode "
            f"of {', '.join(MODES)}."
        )
    veto = values["gate"] if "veto" in modes else values["gate"][:0]
    others = [mode for mode in MODES if mode in modes and mode != "veto"]
    values["gate"] = np.concatenate([veto, np.zeros(len(others))])
    return Grid(**values, mode=("veto",) * len(veto) + tuple(others))


def search(
    prob: np.ndarray,
    truth: np.ndarray,
    folds: ArrayLike,
    space: Mapping[str, Any],
    metric: str,
    groups: Any = None,
    ignore: np.ndarray | None = None,
    seed: int = 0,
    label_prob: np.ndarray | None = None,
    bootstrap: int = 1000,
) -> Decision:
    """Find the best decision parameters on a grid, in one pass over the probabilities.

    Parameters
    ----------
    prob
        Out-of-fold probabilities (value/255), uint8, (N, H, W) or (N, H, W, K).
    truth
        Masks of that shape, bool or 0/1.
    folds
        (N,) int, the fold in which each image was left out.
    space
        {"threshold": [fractions], "min_area": [pixels], "gate": [fractions]}; see
        :class:`foldbelt.decide.Decision` for their meaning. Missing ones are .5, 0 and 0.
    metric
        Name of a function in :mod:`foldbelt.metrics` that can be computed from pixel counts.
    groups
        (N,) what the bootstrap draws; None: single images.
    ignore
        (N, H, W) pixels without a known truth. They count nowhere, as if they were off.
    seed
        Of the bootstrap.
    label_prob
        (N, K) or (N,) label probabilities for the gate; None: it looks at the largest pixel
        probability.
    bootstrap
        Number of draws.

    Returns
    -------
    Decision

    Raises
    ------
    InputError
        If shapes, dtypes or values do not fit, or there are fewer than two folds.

    Examples
    --------
    >>> prob = np.array([[[200, 90]], [[220, 80]]], np.uint8)
    >>> decision = search(prob, prob > 100, [0, 1], {"threshold": [0.2, 0.5]}, "salt_score")
    >>> decision.params["threshold"], decision.score
    (0.5, 1.0)
    """
    prob, truth = np.asarray(prob), np.asarray(truth)
    if prob.shape != truth.shape or prob.ndim not in (3, 4):
        raise InputError(
            f"prob is {prob.shape} and truth is {truth.shape}; both must be (N, H, W) or "
            "(N, H, W, K)."
        )
    if ignore is not None and np.shape(ignore) != prob.shape[:3]:
        raise InputError(f"ignore is {np.shape(ignore)}, the images are {prob.shape[:3]}.")
    ignores = [None] * len(prob) if ignore is None else np.asarray(ignore)
    pairs = zip(prob, truth, ignores, strict=True)
    once = counts(pairs, grid(space).levels, label_prob)
    folds = np.asarray(folds)
    every: dict[int | None, Counts] = dict.fromkeys(np.unique(folds).tolist(), once)
    every[None] = once
    return search_counts(every, folds, space, metric, groups, seed, bootstrap)


def search_counts(
    counts_for_fold: Mapping[int | None, Counts],
    folds: ArrayLike,
    space: Mapping[str, Any],
    metric: str,
    groups: Any = None,
    seed: int = 0,
    bootstrap: int = 1000,
) -> Decision:
    """Search on counts, which may differ with the fold that is left out.

    Parameters
    ----------
    counts_for_fold
        For each fold f the counts of *all* images, from probabilities that were blended without
        knowing the truth of f: the parameters for f are fitted on their rows outside f and scored
        on their rows in f. Under None the counts with which the final parameters are fitted.
    folds, space, metric, groups, seed, bootstrap
        As for :func:`search`.

    Returns
    -------
    Decision
    """
    steps = grid(space)
    score = metrics.from_counts(metric)
    final = counts_for_fold[None]
    folds = np.asarray(folds)
    if folds.shape != (len(final),) or folds.dtype.kind not in "iu":
        raise InputError(f"folds must be {len(final)} integers, one an image, not {folds.shape}.")
    names, member = np.unique(folds, return_inverse=True)
    if len(names) < 2:
        raise InputError("leave-one-fold-out scores need at least two folds.")
    sums: dict[int, np.ndarray] = {}
    for one in counts_for_fold.values():
        if id(one) not in sums:  # usually all are the same
            sums[id(one)] = fold_sums(one, steps, score, member, len(names))
    images = np.empty(len(folds))
    per_fold = []
    for index, fold in enumerate(names.tolist()):
        own, rows = counts_for_fold[fold], np.flatnonzero(member == index)
        others = np.delete(sums[id(own)], index, axis=0).sum(axis=0)
        chosen = _first_best(others / (len(folds) - len(rows)))
        images[rows] = _at(own.take(rows), steps, score, chosen)
        entry = {"fold": fold, "params": steps.params(chosen)}
        per_fold.append({**entry, "score": float(images[rows].mean()), "images": len(rows)})
    chosen = _first_best(sums[id(final)].sum(axis=0) / len(folds))
    return Decision(
        params=steps.params(chosen),
        metric=metric,
        score=float(images.mean()),
        optimistic=float(_at(final, steps, score, chosen).mean()),
        interval=list(compare.bootstrap(images, groups, bootstrap, seed)),
        per_fold=per_fold,
        gate_on=final.gate_on,
        space=steps.space(),
        curves=_curves(sums[id(final)], chosen, steps, names, np.bincount(member)),
        images={"score": images.tolist()},
    )


def fold_sums(
    counts: Counts,
    steps: Grid,
    score: metrics.CountsMetric,
    member: np.ndarray,
    number: int,
) -> np.ndarray:
    """Sum the scores of the images of each fold at each point of the grid.

    Parameters
    ----------
    counts
        Of N images.
    steps
        The grid.
    score
        From :func:`foldbelt.metrics.from_counts`.
    member
        (N,) fold of each image, 0 … number - 1, each occurring.
    number
        How many folds there are.

    Returns
    -------
    ndarray
        (number, K, T, M, G) float64.
    """
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(number))
    sums = np.empty((number, counts.classes, *steps.shape))
    counts = counts.take(order)
    columns = _columns(counts, steps)
    for k in range(counts.classes):
        truth = counts.truth[:, k, None]
        empty = score(np.zeros_like(truth), np.zeros_like(truth), truth)
        found: dict[bool, tuple[np.ndarray, np.ndarray]] = {}
        for g, mode in enumerate(steps.mode):
            product = mode == "product"
            if product not in found:
                inter, area = _at_levels(counts, k, columns, steps.threshold, mode)
                found[product] = area, score(inter, area, truth)
            area, full = found[product]
            for m in range(len(steps.min_area)):
                kept = _kept(area, counts.gate[:, k, None], steps, m, g)
                some = np.where(kept, full, empty)
                sums[:, k, :, m, g] = np.add.reduceat(some, starts, axis=0)
    return sums


def _columns(counts: Counts, steps: Grid) -> np.ndarray:
    columns = np.searchsorted(counts.levels, steps.levels)
    inside = np.minimum(columns, len(counts.levels) - 1)
    if (counts.levels[inside] != steps.levels).any():
        raise InputError("the counts were taken at other thresholds than the space holds.")
    return np.searchsorted(counts.levels, level(steps.threshold))


def _at_levels(
    counts: Counts, k: int, columns: np.ndarray, thresholds: np.ndarray, mode: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels on that are truly on, and pixels on, of one class: (N, T) each."""
    if mode != "product":
        return counts.inter[:, k, columns], counts.pred[:, k, columns]
    places = product_level(thresholds, counts.gate[:, k, None])
    inter, pred = (
        np.take_along_axis(part[:, k], places, 1) for part in (counts.inter, counts.pred)
    )
    return inter, pred


def _kept(area: np.ndarray, gate: np.ndarray, steps: Grid, m: int, g: int) -> np.ndarray:
    """Tell which masks stay: area (N, …) and gate (N, 1) or (N,)."""
    value, mode = steps.gate[g], steps.mode[g]
    return keeps(area, gate, steps.min_area[m], value, mode)


def _first_best(means: np.ndarray) -> list[tuple[int, ...]]:
    """Give the first best point of each class; means (K, T, M, G)."""
    flat = means.reshape(len(means), -1)
    first = (flat >= flat.max(axis=1, keepdims=True) - EQUAL).argmax(axis=1)
    return [tuple(int(i) for i in np.unravel_index(i, means.shape[1:])) for i in first]


def _at(
    counts: Counts, steps: Grid, score: metrics.CountsMetric, chosen: Sequence[tuple[int, ...]]
) -> np.ndarray:
    """Score images, (N,), at one point of the grid a class."""
    columns = _columns(counts, steps)
    scores = np.empty(counts.truth.shape)
    for k, (t, m, g) in enumerate(chosen):
        one = slice(t, t + 1)
        inter, area = _at_levels(counts, k, columns[one], steps.threshold[one], steps.mode[g])
        kept = _kept(area, counts.gate[:, k, None], steps, m, g)
        scores[:, k] = score(inter * kept, area * kept, counts.truth[:, k, None])[:, 0]
    return scores.mean(axis=1)


def _curves(
    sums: np.ndarray,
    chosen: Sequence[tuple[int, ...]],
    steps: Grid,
    names: np.ndarray,
    sizes: np.ndarray,
) -> list[dict[str, Any]]:
    curves = []
    for k, (_, m, g) in enumerate(chosen):
        line = sums[:, k, :, m, g]
        folds = {
            str(f): means.tolist() for f, means in zip(names, line / sizes[:, None], strict=True)
        }
        every = (line.sum(axis=0) / sizes.sum()).tolist()
        curves.append(
            {"class": k, "threshold": steps.threshold.tolist(), "all": every, "folds": folds}
        )
    return curves
