"""The decision of a round: from the members' out-of-fold predictions to a JSON file.

The blend that scores fold f must not have been weighted with the truth of f, nor may its parameters
be fitted on it. So the blended predictions of all images are counted once for each left-out fold,
with the weights found without it. The file ``blend/…/oof.h5`` would not do: its rows outside f were
weighted with the truth of f.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.decide.counting import Counter, Counts
from foldbelt.decide.decision import Decision
from foldbelt.decide.grid import grid, search_counts
from foldbelt.decide.ladder import base, climb
from foldbelt.decide.masks import Surroundings
from foldbelt.decide.oof import OutOfFold, at_size
from foldbelt.files import InputError, PathLike, write_json
from foldbelt.means import PLAIN, Mean, mix, mix_labels, read_mean

Weights = tuple[float, ...]


def run(
    *,
    members: Mapping[str, Sequence[PathLike]],
    weights: PathLike,
    data: PathLike,
    folds: PathLike,
    spec: Mapping[str, Any],
    seed: int,
    out: PathLike,
    mosaic: PathLike | None = None,
) -> None:
    """Search the decision of the blend of some models and write it as JSON.

    Parameters
    ----------
    members
        Model → its ``oof.h5`` files, one a fold.
    weights
        ``weights.json`` of the blend.
    data
        ``train.h5``.
    folds
        The csv with id, fold and group.
    spec
        The config's ``decision``: metric, space, bootstrap, steps.
    seed
        Of the bootstrap.
    out
        The decision's file.
    mosaic
        The csv of mosaics; needed by steps that look at neighbours.

    Raises
    ------
    InputError
        If the predictions do not hold every image exactly once, or the weights are others'.
    """
    oof = OutOfFold(members, data, folds)
    without, final = read_weights(weights, oof.members, np.unique(oof.fold).tolist())
    every: dict[int | None, Weights] = dict(without.items())
    every[None] = final
    mean = read_mean(weights)
    decision = fit(oof, every, spec, seed, mean)
    write_json(out, mended(decision, oof, every, spec, seed, mosaic, mean).to_dict())


def member(
    paths: Sequence[PathLike] | Mapping[str, Sequence[PathLike]],
    data: PathLike,
    folds: PathLike,
    spec: Mapping[str, Any],
    seed: int,
    only: Sequence[int] | None = None,
    mosaic: PathLike | None = None,
    steps: bool = False,
) -> Decision:
    """Search the decision that one model would have alone.

    Parameters
    ----------
    paths
        Its ``oof.h5`` files, one a fold; or several members' by name, which count alike (the
        snapshots of a training).
    data, folds, spec, seed
        As for :func:`run`.
    only
        The folds that were predicted; None for all.
    mosaic
        As for :func:`run`.
    steps
        Whether to try the steps of `spec`, too.

    Returns
    -------
    Decision
    """
    members = paths if isinstance(paths, Mapping) else {"member": paths}
    oof = OutOfFold(members, data, folds, only)
    alike = (1 / len(members),) * len(members)
    weights: dict[int | None, Weights] = dict.fromkeys([None, *np.unique(oof.fold).tolist()], alike)
    decision = fit(oof, weights, spec, seed)
    return mended(decision, oof, weights, spec, seed, mosaic) if steps else decision


def fit(
    oof: OutOfFold,
    weights: Mapping[int | None, Weights],
    spec: Mapping[str, Any],
    seed: int,
    mean: Mean = PLAIN,
) -> Decision:
    """Search the decision of a blend.

    Parameters
    ----------
    oof
        The predictions of its members.
    weights
        For each fold the members' weights found without it, and under None those found with all.
    spec
        metric, space and bootstrap.
    seed
        Of the bootstrap.
    mean
        What the members are averaged by.

    Returns
    -------
    Decision
        With the ids and groups in `images`.
    """
    vectors = list(dict.fromkeys(weights.values()))
    levels = grid(spec["space"]).levels
    counted = dict(zip(vectors, count_blends(oof, vectors, levels, mean), strict=True))
    by_fold = {fold: counted[vector] for fold, vector in weights.items()}
    draws = spec.get("bootstrap", 1000)

    def fitted(space: Mapping[str, Any]) -> Decision:
        return search_counts(by_fold, oof.fold, space, spec["metric"], oof.groups, seed, draws)

    decision = base(fitted, spec["space"], oof.groups, seed, draws)
    images = {**decision.images, "id": oof.ids.tolist(), "group": oof.groups.tolist()}
    images["fold"] = oof.fold.tolist()
    return dataclasses.replace(decision, images=images)


def mended(
    decision: Decision,
    oof: OutOfFold,
    weights: Mapping[int | None, Weights],
    spec: Mapping[str, Any],
    seed: int,
    mosaic: PathLike | None = None,
    mean: Mean = PLAIN,
) -> Decision:
    """Try the steps of `spec` on top of a decision; the parameters are those of :func:`fit`."""
    if not spec.get("steps"):
        return decision
    around, draws = Surroundings(oof.data, oof.data, mosaic), spec.get("bootstrap", 1000)
    return climb(decision, oof, weights, spec["steps"], around, seed, draws, mean)


def count_blends(
    oof: OutOfFold,
    vectors: Sequence[Sequence[float]],
    levels: np.ndarray,
    mean: Mean = PLAIN,
) -> list[Counts]:
    """Count the pixels of several blends of the same members in one pass over the files.

    Parameters
    ----------
    oof
        The predictions.
    vectors
        Of each blend the members' weights.
    levels
        Which uint8 levels are needed.
    mean
        What the members are averaged by.

    Returns
    -------
    list of Counts
        One a blend, their rows in the order of ``oof.ids``.
    """
    counters = [Counter(levels) for _ in vectors]
    labels: list[list[np.ndarray | None]] = [[] for _ in vectors]
    rows = []
    for block, truths in oof.with_truth():
        rows.append(block.rows)
        for vector, counter, parts in zip(vectors, counters, labels, strict=True):
            # Image by image: arrays of one image stay in the cache, those of a block do not.
            for *probs, (truth, ignore) in zip(*block.probs, truths, strict=True):
                counter.add(at_size(mix(probs, vector, *mean), truth.shape[:2]), truth, ignore)
            parts.append(mix_labels(block.labels, vector, *mean))
    order = np.concatenate(rows)
    found = []
    for counter, parts in zip(counters, labels, strict=True):
        known = [part for part in parts if part is not None]
        label = np.concatenate(known) if len(known) == len(parts) else None
        found.append(counter.counts(label, order))
    return found


def read_weights(
    path: PathLike, members: Sequence[str], folds: Sequence[int] | None = None
) -> tuple[dict[int, Weights], Weights]:
    """Read ``weights.json``.

    Parameters
    ----------
    path
        The file.
    members
        Whose weights are wanted, in this order.
    folds
        Folds for which there must be weights found without them; None: it does not matter.

    Returns
    -------
    without : dict
        Fold → weights found without it.
    final : tuple of float
        The weights found with all folds.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if sorted(content["members"]) != sorted(members):
        raise InputError(
            f"{path}: holds the weights of {', '.join(content['members'])}, but the predictions "
            f"are of {', '.join(members)}. Make the blend again."
        )
    order = [content["members"].index(name) for name in members]
    without = {int(f): tuple(w[i] for i in order) for f, w in content["without"].items()}
    lost = sorted(set(folds or []) - set(without))
    if lost:
        raise InputError(f"{path}: has no weights without fold {', '.join(map(str, lost))}.")
    return without, tuple(content["all"][i] for i in order)
