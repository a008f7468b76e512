"""Forward selection: each part on top of those kept before, where the score rises.

:func:`select_axes` begins with the threshold alone and tries the other axes of the grid
(:mod:`foldbelt.decide.searching`): the smallest area, the smallest component, the gate. With
several classes comes the question whether they had better share one set of parameters, which
overfits less. :func:`select_steps` goes on with :mod:`foldbelt.decide.steps`. The parameters of
every candidate are found without the fold that they are scored on. What is kept is decided on that
very score, so of many candidates without any worth one or the other will stay by chance; the
interval of its difference tells.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from foldbelt import metrics
from foldbelt.bootstrap import Resampling
from foldbelt.decide.decision import Decision
from foldbelt.decide.masks import Masks, Surroundings, load_step
from foldbelt.decide.searching import per_image, search_counts
from foldbelt.decide.steps import Step
from foldbelt.search.blends import Blends
from foldbelt.search.means import Vector, mix
from foldbelt.search.space import EQUAL, Grid
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
) -> Decision:
    """Search the grid, leaving out what does not improve the leave-one-fold-out score.

    Parameters
    ----------
    counts, folds, metric, resampling
        As for :func:`foldbelt.decide.search_counts`.
    grid
        The whole grid.

    Returns
    -------
    Decision
        With its `selection`. Of what was left out, the first value is held.
    """
    kept_grid = grid
    for axis in AXES:
        kept_grid = kept_grid.held(axis)
    decision = search_counts(counts, folds, kept_grid, metric, resampling)
    selection = [_candidate("threshold", decision.score)]
    for axis in AXES:
        if grid.held(axis).shape == grid.shape:
            continue  # there is nothing to choose
        wider = kept_grid.freed(axis, grid)
        tried = search_counts(counts, folds, wider, metric, resampling)
        selection.append(_compared(axis, tried.images, decision.images, resampling))
        if selection[-1]["kept"]:
            kept_grid, decision = wider, tried
    if isinstance(decision.params["threshold"], list):
        tried = search_counts(counts, folds, kept_grid, metric, resampling, shared=True)
        selection.append(_compared(SHARED, tried.images, decision.images, resampling))
        decision = tried if selection[-1]["kept"] else decision
    return dataclasses.replace(decision, selection=selection)


def select_steps(
    decision: Decision,
    blends: Blends,
    steps: Mapping[str, Mapping[str, Any] | None],
    around: Surroundings,
    resampling: Resampling,
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

    Returns
    -------
    Decision
        `decision` itself, but for its selection, if nothing is kept.
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
        after, chosen = _choose(tried, keys, blends.oof.fold)
        scored = per_image(after)
        candidate = _compared(name, scored, images, resampling)
        final = chosen[None]
        candidate["params"] = candidates[final - 1] if final else None
        selection.append(candidate)
        if not candidate["kept"]:
            continue
        images = scored
        optimistic = float(tried[keys[None]][:, final].mean(axis=1).mean())
        for fold, choice in chosen.items():
            if choice:
                entry = {"step": name, "options": dict(options or {})}
                entry["params"] = candidates[choice - 1]
                steps_now = [*chains[fold].steps, entry]
                chains[fold] = dataclasses.replace(chains[fold], steps=steps_now)
    result = dataclasses.replace(decision, selection=selection)
    if not any(candidate["kept"] for candidate in selection[len(decision.selection) :]):
        return result
    result = dataclasses.replace(result, optimistic=optimistic)
    return _with_steps(result, chains, images, blends.oof.fold, resampling)


def _candidate(step: str, score: float) -> dict[str, Any]:
    return {"step": step, "score": score, "difference": None, "interval": None, "kept": True}


def _compared(
    step: str,
    after: Mapping[str, Sequence[float]],
    before: Mapping[str, Sequence[float]],
    resampling: Resampling,
) -> dict[str, Any]:
    """Describe a candidate by the scores of the images with it and without it."""
    new, old = np.asarray(after["score"]), np.asarray(before["score"])
    gain, interval = resampling.seeded("ladder", step).paired(new, old)
    candidate = _candidate(step, float(new.mean()))
    return candidate | {"difference": gain, "interval": interval, "kept": bool(gain > EQUAL)}


def _key(chain: Decision, weights: Vector) -> str:
    """Name a decision of a blend, so that folds which share one share its scores."""
    return json.dumps([chain.params, chain.steps, weights], sort_keys=True)


def _choose(
    tried: Mapping[str, np.ndarray], keys: Mapping[int | None, str], folds: np.ndarray
) -> tuple[np.ndarray, dict[int | None, int]]:
    """Choose without each fold, 0 for nothing; give the scores (N, K) of the folds so decided."""
    classes = next(iter(tried.values())).shape[2]
    after, chosen = np.empty((len(folds), classes)), {}
    for fold, key in keys.items():
        scores = tried[key]
        outside = scores if fold is None else scores[folds != fold]
        means = outside.mean(axis=2).mean(axis=0)
        chosen[fold] = int(np.flatnonzero(means >= means.max() - EQUAL)[0])
        if fold is not None:
            after[folds == fold] = scores[folds == fold, chosen[fold]]
    return after, chosen


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
