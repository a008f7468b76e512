"""What models add to each other: the blend over its best member, and that over the others, paired.

Only models that predict the same are compared, on the images that both predicted, each decided
alone, leave-one-fold-out. Where two differ in one thing (a loss, say), its worth can be read here.
"""

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.bootstrap import ranked_paired
from foldbelt.decide import alone
from foldbelt.files import PathLike
from foldbelt.metrics.labels import DECIDED, FALLING
from foldbelt.search.oof import read_folds

BLEND = "blend"


@dataclass(frozen=True)
class Gain:
    """What one adds to another.

    Attributes
    ----------
    output
        ``labels`` or ``boxes``.
    of, over
        Names of the two.
    score
        Of the first, on the images that both predicted.
    adds
        The score less that of the second; positive where the first is better.
    interval
        Of `adds`; None with too few groups.
    """

    output: str
    of: str
    over: str
    score: float
    adds: float
    interval: Sequence[float] | None


def of_members(
    output: str,
    members: Mapping[str, Sequence[PathLike]],
    blend: PathLike,
    data: PathLike,
    folds: PathLike,
    settings: Mapping[str, Any],
    draws: int = 1000,
    seed: int = 0,
) -> list[Gain]:
    """Compare the members of an output.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    members
        Name → ``oof.h5`` of its folds.
    blend
        ``blend/{output}/round{r}/oof.h5``.
    data, folds
        ``train.h5``, and the csv with id, fold and group.
    settings
        The config's section of the output's name.
    draws, seed
        Of the bootstrap.

    Returns
    -------
    list of Gain
        None where a single member predicts a thing, or labels are scored by a metric of thresholds.
    """
    metric = settings.get("metric", "mean_average_precision")
    if metric in DECIDED or len(members) < 2:
        return []
    sign = -1 if metric in FALLING else 1
    table = read_folds(folds, data)
    ids, groups = table["id"].tolist(), table["group"].to_numpy()
    gains = []
    with tempfile.TemporaryDirectory() as folder:
        made: dict[str, Path] = {}
        scores: dict[str, float] = {}
        for number, (name, paths) in enumerate(members.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            given = (output, {name: paths}, data, folds, settings, place)
            decided, made[name] = alone.left_out(*given)
            scores[name] = sign * decided["score"]
        for like in _alike(output, made):
            best = max(like, key=lambda name: scores[name])
            pairs = [(BLEND, best), *((best, name) for name in like if name != best)]
            for of, over in pairs:
                files = [blend if name == BLEND else made[name] for name in (of, over)]
                first, second, rows = _both(output, data, files, ids, metric)
                adds, interval = ranked_paired(first, second, groups[rows], draws, seed)
                if sign < 0:
                    adds, interval = -adds, interval and [-interval[1], -interval[0]]
                score = first(np.ones(len(rows)))
                gains.append(Gain(output, of, over, score, adds, interval))
    return gains


def _alike(output: str, made: Mapping[str, Path]) -> list[list[str]]:
    """Give the members that predict the same, where there are several."""

    def predicted(name: str) -> tuple[bool, ...]:
        if output == "boxes":
            return ()
        return tuple(np.isfinite(store.read(made[name], "labels")).any(axis=0).tolist())

    names = sorted(made, key=predicted)
    sets = [list(like) for _, like in itertools.groupby(names, key=predicted)]
    return [sorted(like, key=list(made).index) for like in sets if len(like) > 1]


def _both(
    output: str, data: PathLike, files: Sequence[PathLike], ids: Sequence[str], metric: str
) -> tuple[Callable[[np.ndarray], float], Callable[[np.ndarray], float], np.ndarray]:
    """Give the scores of two files on the images that count in both, and which these are."""
    ranked = [
        alone.ranked(output, data, path, ids, metric, like=other)
        for path, other in zip(files, reversed(files), strict=True)
    ]
    common = np.intersect1d(ranked[0][1], ranked[1][1])

    def on_both(place: int) -> Callable[[np.ndarray], float]:
        statistic, rows = ranked[place]

        def score(count: np.ndarray) -> float:
            whole = np.zeros(len(ids))
            whole[common] = count
            return statistic(whole[rows])

        return score

    return on_both(0), on_both(1), common
