"""The decision of a round: from the members' out-of-fold predictions to a JSON file.

Read the predictions, count them once, search the grid, select steps, write. How the score stays
honest is told in :mod:`foldbelt.search.blends`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from foldbelt.bootstrap import Resampling
from foldbelt.decide.counted import count
from foldbelt.decide.decision import Decision, save
from foldbelt.decide.masks import Surroundings
from foldbelt.decide.selection import select_axes, select_steps
from foldbelt.decide.settings import DecisionSettings
from foldbelt.ensemble.weights import read_blends
from foldbelt.files import PathLike
from foldbelt.search import tabulating
from foldbelt.search.blends import Blends
from foldbelt.search.oof import OutOfFold
from foldbelt.search.space import Grid
from foldbelt.search.tables import Cuts
from foldbelt.search.tabulating import Work


def run(
    *,
    members: Mapping[str, Sequence[PathLike]],
    weights: PathLike,
    data: PathLike,
    folds: PathLike,
    settings: DecisionSettings,
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
    settings
        The config's ``decision``.
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
    blends = read_blends(weights, OutOfFold(members, data, folds))
    decision = search_grid(blends, settings, seed, components)
    save(try_steps(decision, blends, settings, seed, mosaic), out)


def search_alone(
    paths: Sequence[PathLike] | Mapping[str, Sequence[PathLike]],
    data: PathLike,
    folds: PathLike,
    settings: DecisionSettings,
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
        Its ``oof.h5`` files, one a fold; or those of several members by name, which count alike
        (the snapshots of a training).
    data, folds, settings, seed
        As for :func:`run`.
    only
        The folds that were predicted; None for all.
    mosaic
        As for :func:`run`.
    steps
        Whether to try the steps of `settings`, too.
    workers
        Processes that share the work on components.

    Returns
    -------
    Decision
    """
    members = paths if isinstance(paths, Mapping) else {"member": paths}
    blends = Blends.equal(OutOfFold(members, data, folds, only))
    decision = search_grid(blends, settings, seed, workers=workers)
    return try_steps(decision, blends, settings, seed, mosaic) if steps else decision


def tabulate_components(
    *,
    members: Mapping[str, Sequence[PathLike]],
    weights: PathLike,
    data: PathLike,
    folds: PathLike,
    grid: Grid,
    out: PathLike,
    workers: int = 2,
) -> None:
    """Write the tables of components that :func:`run` searches on.

    Parameters
    ----------
    members, weights, data, folds
        As for :func:`run`.
    grid
        The values to try; its thresholds and modes of the gate matter.
    out
        The HDF5 file; :mod:`foldbelt.search.tabulating` says what it holds.
    workers
        Processes that share the work.
    """
    blends = read_blends(weights, OutOfFold(members, data, folds))
    tabulating.run(Work(blends, Cuts.of(grid)), out, workers)


def search_grid(
    blends: Blends,
    settings: DecisionSettings,
    seed: int,
    components: PathLike | None = None,
    workers: int = 1,
) -> Decision:
    """Count the blends once, and search the grid on the counts.

    Parameters
    ----------
    blends
        Whose decision.
    settings, seed, components
        As for :func:`run`.
    workers
        As for :func:`search_alone`.

    Returns
    -------
    Decision
        With the ids, groups and folds in `images`; no steps were tried.
    """
    oof = blends.oof
    counts = count(blends, settings.grid, components, workers)
    resampling = Resampling(oof.groups, settings.draws, seed)
    grid, metric, forced = settings.grid, settings.metric, settings.forced
    decision = select_axes(counts, oof.fold, grid, metric, resampling, forced)
    images = {**decision.images, "id": oof.ids.tolist(), "group": oof.groups.tolist()}
    images["fold"] = oof.fold.tolist()
    return dataclasses.replace(decision, images=images)


def try_steps(
    decision: Decision,
    blends: Blends,
    settings: DecisionSettings,
    seed: int,
    mosaic: PathLike | None = None,
) -> Decision:
    """Try the steps of the settings on top of what :func:`search_grid` gave; the same arguments."""
    if not settings.steps:
        return decision
    data = blends.oof.data
    around = Surroundings(data, data, mosaic)
    resampling = Resampling(blends.oof.groups, settings.draws, seed)
    forced = settings.forced
    return select_steps(decision, blends, settings.steps, around, resampling, forced)
