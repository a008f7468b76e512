"""The decision of a round: from the members' out-of-fold predictions to a JSON file.

The blend that scores fold f must not have been weighted with the truth of f, nor may its parameters
be fitted on it. So the blended predictions of all images are counted once for each left-out fold,
with the weights found without it. The file ``blend/…/oof.h5`` would not do: its rows outside f were
weighted with the truth of f.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt.decide.decision import Decision
from foldbelt.decide.grid import search_counts
from foldbelt.decide.masks import Surroundings
from foldbelt.decide.selection import base, climb
from foldbelt.ensemble.weights import read_weights
from foldbelt.files import PathLike, write_json
from foldbelt.search import tabulating
from foldbelt.search.blends import count_blends
from foldbelt.search.means import PLAIN, Mean, Vector, read_mean
from foldbelt.search.oof import OutOfFold
from foldbelt.search.space import grid
from foldbelt.search.sums import Counted
from foldbelt.search.tables import Cuts
from foldbelt.search.tabulating import Work


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
    components: PathLike | None = None,
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
    components
        The tables of :func:`tabulate_components`; without them they are made, where the space
        needs any.

    Raises
    ------
    InputError
        If the predictions do not hold every image exactly once, or the weights are others'.
    """
    oof = OutOfFold(members, data, folds)
    every, mean = _blends(weights, oof), read_mean(weights)
    decision = fit(oof, every, spec, seed, mean, components)
    write_json(out, mended(decision, oof, every, spec, seed, mosaic, mean).to_dict())


def tabulate_components(
    *,
    members: Mapping[str, Sequence[PathLike]],
    weights: PathLike,
    data: PathLike,
    folds: PathLike,
    space: Mapping[str, Any],
    out: PathLike,
    workers: int = 2,
) -> None:
    """Write the tables of components that :func:`run` searches on.

    Parameters
    ----------
    members, weights, data, folds
        As for :func:`run`.
    space
        The search space; its thresholds and its gate_mode matter.
    out
        The HDF5 file; :mod:`foldbelt.search.tabulating` says what it holds.
    workers
        Processes that share the work.
    """
    oof = OutOfFold(members, data, folds)
    vectors = list(dict.fromkeys(_blends(weights, oof).values()))
    cuts = Cuts.of(grid(space))
    tabulating.run(Work(oof, vectors, cuts, read_mean(weights)), out, workers)


def member(
    paths: Sequence[PathLike] | Mapping[str, Sequence[PathLike]],
    data: PathLike,
    folds: PathLike,
    spec: Mapping[str, Any],
    seed: int,
    only: Sequence[int] | None = None,
    mosaic: PathLike | None = None,
    steps: bool = False,
    workers: int = 1,
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
    workers
        Processes that share the work on components.

    Returns
    -------
    Decision
    """
    members = paths if isinstance(paths, Mapping) else {"member": paths}
    oof = OutOfFold(members, data, folds, only)
    folds_and_none = [None, *np.unique(oof.fold).tolist()]
    weights: dict[int | None, Vector] = dict.fromkeys(folds_and_none, oof.equal())
    decision = fit(oof, weights, spec, seed, workers=workers)
    return mended(decision, oof, weights, spec, seed, mosaic) if steps else decision


def fit(
    oof: OutOfFold,
    weights: Mapping[int | None, Vector],
    spec: Mapping[str, Any],
    seed: int,
    mean: Mean = PLAIN,
    components: PathLike | None = None,
    workers: int = 1,
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
    components
        As for :func:`run`.
    workers
        Processes that make the tables, where there are none and some are needed.

    Returns
    -------
    Decision
        With the ids and groups in `images`.
    """
    vectors = list(dict.fromkeys(weights.values()))
    steps = grid(spec["space"])
    found: Sequence[Counted]
    if not steps.by_component:
        found = count_blends(oof, vectors, steps.levels, mean)
    elif components is None:
        found = tabulating.in_memory(Work(oof, vectors, Cuts.of(steps), mean), workers)
    else:
        found = tabulating.read(components, oof, vectors, mean)
    counted: dict[Vector, Counted] = dict(zip(vectors, found, strict=True))
    by_fold = {fold: counted[vector] for fold, vector in weights.items()}
    draws = spec.get("bootstrap", 1000)

    def fitted(space: Mapping[str, Any], shared: bool = False) -> Decision:
        rest = (spec["metric"], oof.groups, seed, draws, shared)
        return search_counts(by_fold, oof.fold, space, *rest)

    decision = base(fitted, spec["space"], oof.groups, seed, draws)
    images = {**decision.images, "id": oof.ids.tolist(), "group": oof.groups.tolist()}
    images["fold"] = oof.fold.tolist()
    return dataclasses.replace(decision, images=images)


def mended(
    decision: Decision,
    oof: OutOfFold,
    weights: Mapping[int | None, Vector],
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


def _blends(path: PathLike, oof: OutOfFold) -> dict[int | None, Vector]:
    """Give for each fold the weights found without it, and under None those found with all."""
    without, final = read_weights(path, oof.members, np.unique(oof.fold).tolist())
    every: dict[int | None, Vector] = dict(without.items())
    return every | {None: final}
