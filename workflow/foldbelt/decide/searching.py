"""Exhaustive search of decision parameters, scored leave-one-fold-out.

The grid is threshold × min_area × min_component × gate, and the search never touches a pixel: it
works on counts of pixels (:mod:`foldbelt.search.counting`), or where components may go on tables of
components (:mod:`foldbelt.search.tables`). The metrics are means over image-class pairs, so each
class is searched on its own. Equal scores go to the first point of the grid, threshold outermost,
then min_area, min_component and gate, each in the order given; the values of a veto come before the
other modes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from foldbelt import metrics
from foldbelt.bootstrap import Resampling
from foldbelt.decide.decision import Decision
from foldbelt.decide.ends import at_ends
from foldbelt.files import InputError
from foldbelt.search.counting import counts
from foldbelt.search.gates import keeps
from foldbelt.search.space import EMPTY, EQUAL, NEUTRAL, Grid
from foldbelt.search.sums import Counted, Sums
from foldbelt.search.tables import Cuts, tabulate


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
    draws: int = 1000,
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
        {"threshold": [fractions], "min_area": [pixels], "min_component": [pixels], "gate":
        [fractions]}; see :class:`foldbelt.decide.Decision` for their meaning. Missing ones are .5,
        0, 0 and 0.
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
    draws
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
    grid = Grid.of(space)
    once: Counted = (
        tabulate(pairs, Cuts.of(grid), label_prob)
        if grid.by_component
        else counts(pairs, grid.levels, label_prob)
    )
    folds = np.asarray(folds)
    counts_for_fold: dict[int | None, Counted] = dict.fromkeys(np.unique(folds).tolist(), once)
    counts_for_fold[None] = once
    resampling = Resampling(groups, draws, seed)
    return search_counts(counts_for_fold, folds, grid, metric, resampling)


def search_counts(
    counts_for_fold: Mapping[int | None, Counted],
    folds: ArrayLike,
    grid: Grid,
    metric: str,
    resampling: Resampling | None,
    shared: bool = False,
) -> Decision:
    """Search on counts, which may differ with the fold that is left out.

    Parameters
    ----------
    counts_for_fold
        For each fold f the counts of *all* images, from probabilities that were blended without
        knowing the truth of f: the parameters for f are found on their rows outside f and scored
        on their rows in f. Under None the counts with which the final parameters are found.
    folds, metric
        As for :func:`search`.
    grid
        The values to try.
    resampling
        Of the interval; None for none.
    shared
        Whether all classes share one set of parameters.

    Returns
    -------
    Decision
    """
    score = metrics.from_counts(metric)
    final = counts_for_fold[None]
    folds = np.asarray(folds)
    if folds.shape != (len(final.truth),) or folds.dtype.kind not in "iu":
        wanted = len(final.truth)
        raise InputError(f"folds must be {wanted} integers, one an image, not {folds.shape}.")
    names, fold_index = np.unique(folds, return_inverse=True)
    if len(names) < 2:
        raise InputError("leave-one-fold-out scores need at least two folds.")
    sums: dict[int, Sums] = {}
    for counted in counts_for_fold.values():
        if id(counted) not in sums:  # usually all are the same
            sums[id(counted)] = Sums(counted, grid, score, fold_index, len(names), shared)
    classes = np.empty(final.truth.shape)
    per_fold = []
    for index, fold in enumerate(names.tolist()):
        counted, rows = counts_for_fold[fold], np.flatnonzero(fold_index == index)
        means, gates = sums[id(counted)].means(index)
        chosen = _first_best(means, shared)
        values = _gates(grid, chosen, gates)
        params = grid.params(chosen, values)
        classes[rows] = score_images(counted, rows, params, score)
        entry = {"fold": fold, "params": params}
        fold_score = float(classes[rows].mean(axis=1).mean())
        per_fold.append({**entry, "score": fold_score, "images": len(rows)})
    means, gates = sums[id(final)].means(None)
    chosen = _first_best(means, shared)
    params = grid.params(chosen, _gates(grid, chosen, gates))
    images = classes.mean(axis=1)
    all_rows = np.arange(len(folds))
    lines = sums[id(final)].lines(chosen)
    compared = np.broadcast_to(means.mean(axis=0), means.shape) if shared else means
    return Decision(
        params=params,
        metric=metric,
        score=float(images.mean()),
        optimistic=float(score_images(final, all_rows, params, score).mean(axis=1).mean()),
        interval=None if resampling is None else resampling.interval(images),
        per_fold=per_fold,
        gate_on=final.gate_on,
        space=grid.space(),
        curves=_curves(lines, grid, names, np.bincount(fold_index)),
        images=per_image(classes),
        ends=at_ends(compared, chosen, grid, EQUAL),
    )


def per_image(classes: np.ndarray) -> dict[str, list[Any]]:
    """Give scores (N, K) as `images` of a :class:`Decision` holds them."""
    images: dict[str, list[Any]] = {"score": classes.mean(axis=1).tolist()}
    return images if classes.shape[1] == 1 else {**images, "classes": classes.tolist()}


def _first_best(means: np.ndarray, shared: bool = False) -> list[tuple[int, ...]]:
    """Give the first best point of each class, or the one of all; means (K, T, M, C, G)."""
    flat = means.reshape(len(means), -1)
    if shared:
        flat = np.broadcast_to(flat.mean(axis=0), flat.shape)
    first = (flat >= flat.max(axis=1, keepdims=True) - EQUAL).argmax(axis=1)
    return [tuple(int(i) for i in np.unravel_index(i, means.shape[1:])) for i in first]


def _gates(grid: Grid, chosen: Sequence[tuple[int, ...]], gates: np.ndarray | None) -> list[float]:
    """Give the gate of each class at the points chosen."""
    return [
        float(gates[k, t, m, c])
        if gates is not None and grid.mode[g] == "expected"
        else float(grid.gate[g])
        for k, (t, m, c, g) in enumerate(chosen)
    ]


def score_images(
    counts: Counted, rows: np.ndarray, params: Mapping[str, Any], score: metrics.CountsMetric
) -> np.ndarray:
    """Score some images, (n, K), with the parameters of a decision.

    Parameters
    ----------
    counts
        Of all images.
    rows
        Places of those to score.
    params
        As `params` of a :class:`Decision`.
    score
        From :func:`foldbelt.metrics.from_counts`.
    """
    classes = counts.truth.shape[1]
    values = {**NEUTRAL, "gate_mode": "veto", **params}
    scores = np.empty((len(rows), classes))
    for k in range(classes):
        of_class = {name: v[k] if isinstance(v, list) else v for name, v in values.items()}
        mode, least = of_class["gate_mode"], of_class["min_component"]
        cut = np.array([of_class["threshold"]])
        inter, area = (part[rows] for part in counts.at(k, cut, mode == "product", least))
        p = counts.gate[rows, k, None]
        kept = keeps(area, p, of_class["min_area"], of_class["gate"], mode)
        scores[:, k] = score(inter * kept, area * kept, counts.truth[rows, k, None])[:, 0]
    return scores


def _curves(
    lines: Sequence[np.ndarray], grid: Grid, names: np.ndarray, sizes: np.ndarray
) -> list[dict[str, Any]]:
    curves, tried = [], grid.threshold < EMPTY  # beyond all probabilities there is nothing to see
    for k, whole_line in enumerate(lines):
        line = whole_line[:, tried]
        folds = {
            str(f): means.tolist() for f, means in zip(names, line / sizes[:, None], strict=True)
        }
        whole = (line.sum(axis=0) / sizes.sum()).tolist()
        curves.append(
            {"class": k, "threshold": grid.threshold[tried].tolist(), "all": whole, "folds": folds}
        )
    return curves
