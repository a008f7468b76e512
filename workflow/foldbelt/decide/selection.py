"""Forward selection: each part on top of those kept before, where the score rises.

:func:`select_axes` begins with the threshold alone and tries the other axes of the grid
(:mod:`foldbelt.decide.searching`): the smallest area, the smallest component, the gate. With
several classes comes the question whether they had better share one set of parameters, which
overfits less. Each search goes on beyond the values tried where the best one is the last of them
(:mod:`foldbelt.decide.widening`), so that no part is dropped because its list ends too early.
:func:`select_steps` goes on with :mod:`foldbelt.decide.steps`.

What is kept is decided on leave-one-fold-out scores, so of many candidates without any worth one or
the other will stay by chance, and the scores that chose it flatter: by .047 at 60 images and by
.020 at 400 where no part is of any worth (`benchmarks/selection_bias.py`). Therefore all of this is
done once more without each fold, and each fold is scored with what was chosen without it (nested
cross-validation; Varma and Simon, 2006). The choice of all folds together is for the submission,
and for the table of what each candidate brought.
"""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from foldbelt import metrics
from foldbelt.bootstrap import Resampling
from foldbelt.decide.decision import Decision
from foldbelt.decide.masks import Masks, Surroundings, load_step
from foldbelt.decide.searching import per_image, score_images, search_counts
from foldbelt.decide.steps import Step
from foldbelt.decide.widening import ROUNDS, widened
from foldbelt.search.blends import Blends
from foldbelt.search.means import Vector, mix
from foldbelt.search.space import EMPTY, EQUAL, Grid
from foldbelt.search.sums import Counted
from foldbelt.store.geometry import at_size

#: What the grid may have besides thresholds, in the order in which it is tried.
AXES = ("min_area", "min_component", "gate")

#: The candidate that has one set of parameters for all classes.
SHARED = "one for all"


def select_axes(
    counts: Mapping[int | None, Counted],
    folds: ArrayLike,
    grid: Grid,
    metric: str,
    resampling: Resampling,
    forced: Collection[str] = (),
) -> Decision:
    """Search the grid, leaving out what does not improve the leave-one-fold-out score.

    Parameters
    ----------
    counts, folds, metric, resampling
        As for :func:`foldbelt.decide.search_counts`.
    grid
        The whole grid; that all masks are empty is tried, too.
    forced
        Names of axes that are kept whatever they bring, without the value that leaves them out.

    Returns
    -------
    Decision
        With its `selection`. Of what was left out, the first value is held. Each fold is scored
        with what was selected without it.
    """
    folds, grid = np.asarray(folds), grid.with_empty()
    whole = _selected(counts, folds, grid, metric, resampling, forced)
    groups = np.arange(len(folds)) if resampling.groups is None else np.asarray(resampling.groups)
    score = metrics.from_counts(metric)
    classes = np.empty(counts[None].truth.shape)
    per_fold = []
    for entry in whole.per_fold:
        fold = entry["fold"]
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        inner = _inner_folds(folds[others], groups[others])
        part = counts[fold].take(others)
        parts: dict[int | None, Counted] = dict.fromkeys([None, *np.unique(inner).tolist()], part)
        params = _selected(parts, inner, grid, metric, None, forced).params
        classes[rows] = score_images(counts[fold], rows, params, score)
        fold_score = float(classes[rows].mean(axis=1).mean())
        per_fold.append({**entry, "params": params, "score": fold_score})
    images = classes.mean(axis=1)
    return dataclasses.replace(
        whole,
        score=float(images.mean()),
        interval=resampling.interval(images),
        images=per_image(classes),
        per_fold=per_fold,
    )


def _inner_folds(folds: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Give folds by which to select without another fold: those there are, or two halves of one.

    Halves keep groups together, where there are two groups.
    """
    import pandas as pd

    if len(np.unique(folds)) > 1:
        return folds
    halves = pd.factorize(pd.Series(groups, dtype=object).map(str))[0] % 2
    return halves if halves.any() else np.arange(len(folds)) % 2


def _selected(
    counts: Mapping[int | None, Counted],
    folds: np.ndarray,
    grid: Grid,
    metric: str,
    resampling: Resampling | None,
    forced: Collection[str],
) -> Decision:
    """Select the axes on all images there are; see :func:`select_axes`."""

    def searched(tried: Grid, shared: bool = False) -> tuple[Grid, Decision]:
        """Search a grid, and wider ones; give the first of those that do best."""
        decision = search_counts(counts, folds, tried, metric, resampling, shared)
        best, last = (tried, decision), decision
        for _ in range(ROUNDS):
            wider = widened(tried, last.ends, counts[None], forced)
            if wider.shape == tried.shape:
                break
            tried, last = wider, search_counts(counts, folds, wider, metric, resampling, shared)
            # What is kept must beat the narrower grid; while empty masks do, this may take rounds.
            if last.optimistic > best[1].optimistic + EQUAL:
                best = tried, last
        return best[0], dataclasses.replace(best[1], ends=last.ends)

    kept_grid = grid
    for axis in AXES:
        kept_grid = kept_grid.held(axis)
    kept_grid, decision = searched(kept_grid)
    selection = [_candidate("threshold", decision.score)]
    for axis in AXES:
        if grid.held(axis).shape == grid.shape and axis not in forced:
            continue  # there is nothing to choose
        whole = grid.forced(axis) if axis in forced else grid
        wider, tried = searched(kept_grid.freed(axis, whole))
        selection.append(_compared(axis, tried.images, decision.images, resampling))
        selection[-1]["kept"] |= axis in forced
        if selection[-1]["kept"]:
            kept_grid, decision = wider, tried
    if isinstance(decision.params["threshold"], list):
        _, tried = searched(kept_grid, shared=True)
        selection.append(_compared(SHARED, tried.images, decision.images, resampling))
        decision = tried if selection[-1]["kept"] else decision
    return dataclasses.replace(decision, selection=selection, ends=_ends_in_use(decision))


def _ends_in_use(decision: Decision) -> list[dict[str, Any]]:
    """Give the ends at which the decision's own values lie, but of classes that it leaves empty."""
    return [
        row
        for row in decision.ends
        if _of_class(decision.params[row["name"]], row["class"]) == row["value"]
        and _of_class(decision.params["threshold"], row["class"]) < EMPTY
    ]


def _of_class(value: Any, number: int) -> Any:
    return value[number] if isinstance(value, list) else value


def select_steps(
    decision: Decision,
    blends: Blends,
    steps: Mapping[str, Mapping[str, Any] | None],
    around: Surroundings,
    resampling: Resampling,
    forced: Collection[str] = (),
) -> Decision:
    """Try steps, one after the other, on top of a decision.

    Parameters
    ----------
    decision
        What :func:`select_axes` gave.
    blends
        The blends that it was searched on.
    steps
        Name → options, in the order in which they are tried.
    around
        What the steps may look at.
    resampling
        Of the intervals.
    forced
        Names of steps that are kept whatever they bring.

    Returns
    -------
    Decision
        `decision` itself, but for its selection, if no fold keeps any.
    """
    chains: dict[int | None, Decision] = {
        entry["fold"]: dataclasses.replace(decision, params=entry["params"], steps=[])
        for entry in decision.per_fold
    }
    chains[None] = dataclasses.replace(decision, steps=[])
    images: dict[str, list[Any]] = {
        key: decision.images[key] for key in ("score", "classes") if key in decision.images
    }
    optimistic, selection = decision.optimistic, list(decision.selection)
    for name, options in steps.items():
        step = load_step(name, options)
        candidates = step.candidates()
        keys = {fold: _key(chain, blends.weights[fold]) for fold, chain in chains.items()}
        states = {keys[fold]: (blends.weights[fold], chain) for fold, chain in chains.items()}
        tried = _scores(blends, step, candidates, states, around)
        must = name in forced
        after, chosen = _choose(tried, keys, blends.oof.fold, must)
        candidate = _compared(name, per_image(after), images, resampling)
        # Where all folds together would rather not, there is nothing to submit.
        candidate["kept"] = must or (candidate["kept"] and bool(chosen[None]))
        final = chosen[None] if candidate["kept"] else 0
        candidate["params"] = candidates[chosen[None] - 1] if chosen[None] else None
        selection.append(candidate)
        if final:
            optimistic = float(tried[keys[None]][:, final].mean(axis=1).mean())
        for fold in chosen:
            if fold is not None and not (must or _helps(tried[keys[fold]], blends, fold)):
                chosen[fold] = 0
        chosen[None] = final
        images = per_image(_of_folds(tried, keys, blends.oof.fold, chosen))
        for fold, choice in chosen.items():
            if choice:
                entry = {"step": name, "options": dict(options or {})}
                entry["params"] = candidates[choice - 1]
                steps_now = [*chains[fold].steps, entry]
                chains[fold] = dataclasses.replace(chains[fold], steps=steps_now)
    result = dataclasses.replace(decision, selection=selection, optimistic=optimistic)
    if not any(chain.steps for chain in chains.values()):
        return result
    return _with_steps(result, chains, images, blends.oof.fold, resampling)


def _candidate(step: str, score: float) -> dict[str, Any]:
    return {"step": step, "score": score, "difference": None, "interval": None, "kept": True}


def _compared(
    step: str,
    after: Mapping[str, Sequence[float]],
    before: Mapping[str, Sequence[float]],
    resampling: Resampling | None,
) -> dict[str, Any]:
    """Describe a candidate by the scores of the images with it and without it."""
    new, old = np.asarray(after["score"]), np.asarray(before["score"])
    gain, interval = float((new - old).mean()), None
    if resampling is not None:
        gain, interval = resampling.seeded("ladder", step).paired(new, old)
    candidate = _candidate(step, float(new.mean()))
    return candidate | {"difference": gain, "interval": interval, "kept": bool(gain > EQUAL)}


def _key(chain: Decision, weights: Vector) -> str:
    """Name a decision of a blend, so that folds which share one share its scores."""
    return json.dumps([chain.params, chain.steps, weights], sort_keys=True)


def _choose(
    tried: Mapping[str, np.ndarray],
    keys: Mapping[int | None, str],
    folds: np.ndarray,
    forced: bool = False,
) -> tuple[np.ndarray, dict[int | None, int]]:
    """Choose without each fold, 0 for nothing; give the scores (N, K) of the folds so decided."""
    chosen: dict[int | None, int] = {}
    for fold, key in keys.items():
        outside = tried[key] if fold is None else tried[key][folds != fold]
        chosen[fold] = _best(outside, forced)
    return _of_folds(tried, keys, folds, chosen), chosen


def _best(scores: np.ndarray, forced: bool) -> int:
    """Give the first best of the candidates of scores (n, 1 + C, K); forced, not nothing."""
    means = scores.mean(axis=2).mean(axis=0)
    first = int(forced)
    return first + int(np.flatnonzero(means[first:] >= means[first:].max() - EQUAL)[0])


def _of_folds(
    tried: Mapping[str, np.ndarray],
    keys: Mapping[int | None, str],
    folds: np.ndarray,
    chosen: Mapping[int | None, int],
) -> np.ndarray:
    """Give the scores (N, K) of each fold with what was chosen without it."""
    scores = np.empty((len(folds), next(iter(tried.values())).shape[2]))
    for fold, key in keys.items():
        if fold is not None:
            scores[folds == fold] = tried[key][folds == fold, chosen[fold]]
    return scores


def _helps(scores: np.ndarray, blends: Blends, fold: int) -> bool:
    """Tell from all other folds whether a step helps, its parameters chosen without each of them.

    Parameters
    ----------
    scores
        (N, 1 + C, K) of the decision made without the fold: without the step, with each candidate.
    blends, fold
        Whose images; the fold that has no say.
    """
    others = blends.oof.fold != fold
    scores = scores[others]
    inner = _inner_folds(blends.oof.fold[others], np.asarray(blends.oof.groups)[others])
    gain = 0.0
    for part in np.unique(inner):
        choice = _best(scores[inner != part], False)
        gain += float((scores[inner == part, choice] - scores[inner == part, 0]).mean(axis=1).sum())
    return gain > EQUAL


def _scores(
    blends: Blends,
    step: Step,
    candidates: Sequence[Mapping[str, Any]],
    states: Mapping[str, tuple[Vector, Decision]],
    around: Surroundings,
) -> dict[str, np.ndarray]:
    """Score all images without the step and with each candidate: key → (N, 1 + C, K)."""
    oof, mean = blends.oof, blends.mean
    shape = len(oof), 1 + len(candidates), oof.classes()
    scores = {key: np.empty(shape) for key in states}
    decided = {key: Masks(chain, around) for key, (_, chain) in states.items()}
    for block, truths in oof.with_truth():
        ids = oof.ids[block.rows].tolist()
        for key, (vector, chain) in states.items():
            labels = oof.gate_labels(block, vector.labels, mean)
            probs = [
                _known(at_size(mix(parts, vector.masks, *mean), truth.shape[:2]), ignore)
                for parts, (truth, ignore) in zip(block.images(), truths, strict=True)
            ]
            tiles = decided[key].tiles(ids, probs, labels, step.needs)
            for row, tile, (truth, ignore) in zip(block.rows, tiles, truths, strict=True):
                masks = np.stack([tile.mask, *(step(tile, params) for params in candidates)])
                true = np.broadcast_to(truth, masks.shape)
                hide = None if ignore is None else np.broadcast_to(ignore, masks.shape[:3])
                scores[key][row] = metrics.score_pairs(chain.metric, true, masks, hide)
    return scores


def _known(prob: np.ndarray, ignore: np.ndarray | None) -> np.ndarray:
    """Set the probabilities (h, w[, K]) of ignored pixels to zero: they count nowhere."""
    planes = prob if prob.ndim == 3 else prob[..., None]
    return planes if ignore is None else np.where(ignore[..., None], 0, planes).astype(np.uint8)


def _with_steps(
    decision: Decision,
    chains: Mapping[int | None, Decision],
    images: Mapping[str, list[Any]],
    folds: np.ndarray,
    resampling: Resampling,
) -> Decision:
    """Give a decision the steps that were kept, and the scores with them."""
    values = np.asarray(images["score"])
    per_fold = [
        {
            **entry,
            "steps": chains[entry["fold"]].steps,
            "score": float(values[folds == entry["fold"]].mean()),
        }
        for entry in decision.per_fold
    ]
    return dataclasses.replace(
        decision,
        score=float(values.mean()),
        interval=resampling.interval(values),
        per_fold=per_fold,
        images={**decision.images, **images, "base": decision.images["score"]},
        steps=chains[None].steps,
    )
