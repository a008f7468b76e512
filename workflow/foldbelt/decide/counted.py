"""Count the blends once: pixels at every threshold, or components where small ones may go."""

from collections.abc import Sequence

import numpy as np

from foldbelt.files import PathLike
from foldbelt.search import tabulating
from foldbelt.search.blends import Blends, count_blends
from foldbelt.search.gates import LEVELS
from foldbelt.search.means import Vector
from foldbelt.search.space import Grid
from foldbelt.search.sums import Counted
from foldbelt.search.tables import Cuts
from foldbelt.search.tabulating import Work


def count(
    blends: Blends, grid: Grid, components: PathLike | None = None, workers: int = 1
) -> dict[int | None, Counted]:
    """Count every distinct blend of all images in one pass over the predictions.

    Parameters
    ----------
    blends
        What is counted.
    grid
        Whether components matter, and then the thresholds. Pixels are counted at all levels, for a
        grid may be widened.
    components
        The tables that :func:`foldbelt.decide.tabulate_components` wrote; without them they are
        made, where the grid needs any.
    workers
        Processes that make the tables.

    Returns
    -------
    dict
        For each fold the counts of the blend weighted without it; under None of the last one.
    """
    counts: Sequence[Counted]
    if not grid.by_component:
        counts = count_blends(blends.oof, blends.vectors, np.arange(LEVELS), blends.mean)
    elif components is None:
        counts = tabulating.in_memory(Work(blends, Cuts.of(grid)), workers)
    else:
        counts = tabulating.read(components, blends)
    by_vector: dict[Vector, Counted] = dict(zip(blends.vectors, counts, strict=True))
    return {fold: by_vector[vector] for fold, vector in blends.weights.items()}
