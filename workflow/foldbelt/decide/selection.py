"""Steps are kept only where they pay: each one on top of those kept before, leave-one-fold-out.

The base of the ladder is the grid (:mod:`foldbelt.decide.grid`): the threshold, then the smallest
area, the smallest component, the gate. With several classes comes the question whether they had
better share one set of parameters, which overfits less. Above it come the steps of
:mod:`foldbelt.decide.steps`. The parameters of every rung are found without the fold that they are
scored on. Which rungs are kept is decided on that very score, so of many rungs without any worth
one or the other will stay by chance; the interval of its difference tells.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import bootstrap, metrics
from foldbelt.decide.decision import Decision
from foldbelt.decide.grid import per_image
from foldbelt.decide.masks import Masks, Surroundings, load_step
from foldbelt.decide.steps import Step
from foldbelt.files import seed_for
from foldbelt.search.means import PLAIN, Mean, Vector, mix
from foldbelt.search.oof import OutOfFold, at_size
from foldbelt.search.space import EQUAL

Fit = Callable[..., Decision]

#: What the grid may have besides thresholds, in the order in which it is tried.
AXES = ("min_area", "min_component", "gate")

#: The rung of one set of parameters for all classes.
SHARED = "one for all"


def base(fit: Fit, space: Mapping[str, Any], groups: Any, seed: int, draws: int) -> Decision:
    """Search the grid, leaving out what does not improve the leave-one-fold-out score.

    Parameters
    ----------
    fit
        From a space to a decision (:func:`foldbelt.decide.search_counts`); with several classes it
        takes `shared`, too.
    space
        The whole space.
    groups
        (N,) what the bootstrap draws.
    seed, draws
        Of the intervals.

    Returns
    -------
    Decision
        With its `ladder`. Of what was left out, the first value is held.
    """
    narrow = dict(space)
    for axis in AXES:
        narrow.update(_held(space, axis))
    decision = fit(narrow)
    rungs = [_rung("threshold", decision.score)]
    for axis in AXES:
        if _held(space, axis).items() <= space.items():
            continue  # there is nothing to choose
        wider = {**narrow, **{key: space[key] for key in _held(space, axis) if key in space}}
        tried = fit(wider)
        rungs.append(_compared(axis, tried.images, decision.images, groups, seed, draws))
        if rungs[-1]["kept"]:
            narrow, decision = wider, tried
    if isinstance(decision.params["threshold"], list):
        tried = fit(narrow, shared=True)
        rungs.append(_compared(SHARED, tried.images, decision.images, groups, seed, draws))
        decision = tried if rungs[-1]["kept"] else decision
    return dataclasses.replace(decision, ladder=rungs)


def _held(space: Mapping[str, Any], axis: str) -> dict[str, Any]:
    """Give the part of a space with one axis held at its first value."""
    if axis not in space and axis != "gate":
        return {}
    if axis == "gate":
        modes = list(space.get("gate_mode", ["veto"]))
        if "veto" not in modes:
            return {key: space[key] for key in ("gate", "gate_mode") if key in space}
        held: dict[str, Any] = {"gate": list(space["gate"])[:1]} if "gate" in space else {}
        return held | ({"gate_mode": ["veto"]} if modes != ["veto"] else {})
    return {axis: list(space[axis])[:1]}


def _rung(step: str, score: float) -> dict[str, Any]:
    return {"step": step, "score": score, "difference": None, "interval": None, "kept": True}


def _compared(
    step: str,
    after: Mapping[str, Sequence[float]],
    before: Mapping[str, Sequence[float]],
    groups: Any,
    seed: int,
    draws: int,
) -> dict[str, Any]:
    new, old = np.asarray(after["score"]), np.asarray(before["score"])
    gain, *interval = bootstrap.paired(new, old, groups, draws, seed_for(seed, "ladder", step))
    rung = _rung(step, float(new.mean()))
    return rung | {"difference": gain, "interval": interval, "kept": bool(gain > EQUAL)}


def climb(
    decision: Decision,
    oof: OutOfFold,
    weights: Mapping[int | None, Vector],
    steps: Mapping[str, Mapping[str, Any] | None],
    around: Surroundings,
    seed: int,
    draws: int,
    mean: Mean = PLAIN,
) -> Decision:
    """Try steps, one after the other, on top of a decision.

    Parameters
    ----------
    decision
        The base.
    oof
        The predictions of the blend's members.
    weights
        For each fold the members' weights found without it, and under None those found with all.
    steps
        Name → options, in the order in which they are tried.
    around
        What the steps may look at.
    seed, draws
        Of the intervals.
    mean
        What the members are averaged by.

    Returns
    -------
    Decision
        `decision` itself, but for its ladder, if nothing is kept.
    """
    chains: dict[int | None, Decision] = {
        entry["fold"]: dataclasses.replace(decision, params=entry["params"], steps=[])
        for entry in decision.per_fold
    }
    chains[None] = dataclasses.replace(decision, steps=[])
    images: dict[str, list[Any]] = {
        key: decision.images[key] for key in ("score", "classes") if key in decision.images
    }
    optimistic, rungs = decision.optimistic, list(decision.ladder)
    for name, options in steps.items():
        step = load_step(name, options)
        candidates = step.candidates()
        keys = {fold: _key(chain, weights[fold]) for fold, chain in chains.items()}
        states = {keys[fold]: (weights[fold], chain) for fold, chain in chains.items()}
        tried = _scores(oof, step, candidates, states, mean, around)
        after, chosen = _fit(tried, keys, oof.fold)
        scored = per_image(after)
        rung = _compared(name, scored, images, oof.groups, seed, draws)
        final = chosen[None]
        rung["params"] = candidates[final - 1] if final else None
        rungs.append(rung)
        if not rung["kept"]:
            continue
        images = scored
        optimistic = float(tried[keys[None]][:, final].mean(axis=1).mean())
        for fold, choice in chosen.items():
            if choice:
                entry = {"step": name, "options": dict(options or {})}
                entry["params"] = candidates[choice - 1]
                steps_now = [*chains[fold].steps, entry]
                chains[fold] = dataclasses.replace(chains[fold], steps=steps_now)
    return _result(decision, chains, images, optimistic, rungs, oof, seed, draws)


def _key(chain: Decision, weights: Vector) -> str:
    return json.dumps([chain.params, chain.steps, weights], sort_keys=True)


def _fit(
    tried: Mapping[str, np.ndarray], keys: Mapping[int | None, str], folds: np.ndarray
) -> tuple[np.ndarray, dict[int | None, int]]:
    """Choose without each fold, 0 for nothing; give the scores (N, K) of the folds so decided."""
    classes = next(iter(tried.values())).shape[2]
    after, chosen = np.empty((len(folds), classes)), {}
    for fold, key in keys.items():
        scores = tried[key]
        fitted = scores if fold is None else scores[folds != fold]
        means = fitted.mean(axis=2).mean(axis=0)
        chosen[fold] = int(np.flatnonzero(means >= means.max() - EQUAL)[0])
        if fold is not None:
            after[folds == fold] = scores[folds == fold, chosen[fold]]
    return after, chosen


def _scores(
    oof: OutOfFold,
    step: Step,
    candidates: Sequence[Mapping[str, Any]],
    states: Mapping[str, tuple[Vector, Decision]],
    mean: Mean,
    around: Surroundings,
) -> dict[str, np.ndarray]:
    """Score all images without the step and with each candidate: key → (N, 1 + C, K)."""
    shape = len(oof), 1 + len(candidates), oof.classes()
    out = {key: np.empty(shape) for key in states}
    made = {key: Masks(chain, around) for key, (_, chain) in states.items()}
    for block, truths in oof.with_truth():
        ids = oof.ids[block.rows].tolist()
        for key, (vector, chain) in states.items():
            labels = oof.gate_labels(block, vector.labels, mean)
            probs = [
                _known(at_size(mix(parts, vector.masks, *mean), truth.shape[:2]), ignore)
                for parts, (truth, ignore) in zip(block.images(), truths, strict=True)
            ]
            tiles = made[key].tiles(ids, probs, labels, step.needs)
            for row, tile, (truth, ignore) in zip(block.rows, tiles, truths, strict=True):
                masks = np.stack([tile.mask, *(step(tile, one) for one in candidates)])
                true = np.broadcast_to(truth, masks.shape)
                hide = None if ignore is None else np.broadcast_to(ignore, masks.shape[:3])
                out[key][row] = metrics.score_pairs(chain.metric, true, masks, hide)
    return out


def _known(prob: np.ndarray, ignore: np.ndarray | None) -> np.ndarray:
    """Set the probabilities (h, w[, K]) of ignored pixels to zero: they count nowhere."""
    planes = prob if prob.ndim == 3 else prob[..., None]
    return planes if ignore is None else np.where(ignore[..., None], 0, planes).astype(np.uint8)


def _result(
    decision: Decision,
    chains: Mapping[int | None, Decision],
    images: Mapping[str, list[Any]],
    optimistic: float,
    rungs: list[dict[str, Any]],
    oof: OutOfFold,
    seed: int,
    draws: int,
) -> Decision:
    if not any(rung["kept"] for rung in rungs[len(decision.ladder) :]):
        return dataclasses.replace(decision, ladder=rungs)
    values = np.asarray(images["score"])
    per_fold = [
        {
            **entry,
            "steps": chains[entry["fold"]].steps,
            "score": float(values[oof.fold == entry["fold"]].mean()),
        }
        for entry in decision.per_fold
    ]
    return dataclasses.replace(
        decision,
        score=float(values.mean()),
        optimistic=optimistic,
        interval=list(bootstrap.interval(values, oof.groups, draws, seed)),
        per_fold=per_fold,
        images={**decision.images, **images, "base": decision.images["score"]},
        steps=chains[None].steps,
        ladder=rungs,
    )
