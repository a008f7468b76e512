"""What one model scores alone in labels or boxes, image by image: a variant of an ablation.

Both are scored by how a whole set is ranked, which is no mean over images. The mean of what images
contribute (:func:`foldbelt.bootstrap.contributions`) is it all the same, so that variants are
compared as those of masks are.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.bootstrap import Statistic, contributions
from foldbelt.boxes import Boxes
from foldbelt.decide import output_files
from foldbelt.decide import units as unit
from foldbelt.decide.decision import Decision
from foldbelt.files import PathLike
from foldbelt.metrics import labels as metrics
from foldbelt.metrics.ranked import Ranking
from foldbelt.search.oof import read_folds


def score(
    output: str,
    *,
    members: Mapping[str, Sequence[PathLike]],
    data: PathLike,
    folds: PathLike,
    settings: Mapping[str, Any],
    draws: int,
    seed: int,
) -> Decision:
    """Decide on the labels or boxes of one model, and score them leave-one-fold-out.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    members
        Name → ``oof.h5`` of its folds: the snapshots of a training, which count alike.
    data, folds
        ``train.h5``, and the csv with id, fold and group.
    settings
        The config's section of the output's name; labels by a metric that needs no thresholds.
    draws, seed
        Of the interval.

    Returns
    -------
    Decision
        `images` holds score, id, group and fold of every image that counts: what it contributes to
        the score, less where a metric falls (then the score is negative).
    """
    with tempfile.TemporaryDirectory() as folder:
        decided, blend = left_out(output, members, data, folds, settings, Path(folder), draws, seed)
        table = read_folds(folds, data)
        ids = table["id"].tolist()
        statistic, rows = ranked(output, data, blend, ids, decided["metric"])
        part = table.iloc[rows]
        each = contributions(statistic, part["group"].tolist())
    sign = -1 if decided["metric"] in metrics.FALLING else 1
    images = {
        "score": (sign * each).tolist(),
        **{name: part[name].tolist() for name in ("id", "group", "fold")},
    }
    return Decision(
        params=decided["params"],
        metric=decided["metric"],
        score=sign * decided["score"],
        optimistic=sign * decided["optimistic"],
        per_fold=decided["per_fold"],
        images=images,
    )


def left_out(
    output: str,
    members: Mapping[str, Sequence[PathLike]],
    data: PathLike,
    folds: PathLike,
    settings: Mapping[str, Any],
    folder: Path,
    draws: int = 1,
    seed: int = 0,
) -> tuple[dict[str, Any], Path]:
    """Decide on the labels or boxes of one model; give the decision and what it makes, a file.

    Parameters
    ----------
    output, members, data, folds, settings, draws, seed
        As for `score`.
    folder
        Where the file may lie.
    """
    decision, blend = folder / "decision.json", folder / "blend.h5"
    output_files.run(
        output,
        members=members,
        data=data,
        folds=folds,
        settings={**settings, "weights": "equal"},
        draws=draws,
        seed=seed,
        decision=decision,
        blend=blend,
    )
    return json.loads(decision.read_text(encoding="utf-8")), blend


def ranked(
    output: str,
    data: PathLike,
    blend: PathLike,
    ids: Sequence[str],
    metric: str,
    like: PathLike | None = None,
) -> tuple[Statistic, np.ndarray]:
    """Give the score of what a file holds of images, as a function of how often each counts.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    data, blend
        ``train.h5``, and the file.
    ids
        The images.
    metric
        Of labels; one that needs no thresholds.
    like
        A file of labels: what it does not predict does not count either.

    Returns
    -------
    statistic, rows
        The score of the images that count, and where these are among `ids`.
    """
    of_all, rows = (
        _of_boxes(data, blend, ids)
        if output == "boxes"
        else _of_labels(data, [blend, *([] if like is None else [like])], ids, metric)
    )

    def statistic(count: np.ndarray) -> float:
        whole = np.zeros(len(ids))
        whole[rows] = count
        return of_all(whole)

    return statistic, rows


def _of_boxes(data: PathLike, blend: PathLike, ids: Sequence[str]) -> tuple[Statistic, np.ndarray]:
    """Give the score of the boxes of images, and which images count."""
    truth = Boxes.from_bytes(store.read(data, "boxes", ids))
    made = Boxes.from_bytes(store.read(blend, "boxes", ids))
    counts = store.read(data, "table/boxes", ids) >= 0
    if store.has(blend, "table/predicted"):
        counts &= store.read(blend, "table/predicted", ids) > 0
    ranking = Ranking.match(truth, made, len(store.attrs(data)["box_names"]), counts)
    return ranking.score, np.flatnonzero(counts)


def _of_labels(
    data: PathLike, files: Sequence[PathLike], ids: Sequence[str], metric: str
) -> tuple[Statistic, np.ndarray]:
    """Give the score of the first file's labels, and which images count: one of each unit."""
    content = store.attrs(data)
    names = list(content["label_names"])
    given = [store.read(path, "labels", ids).astype(np.float64) for path in files]
    prob, unknown = given[0], np.isnan(given).any(axis=0)
    truth = store.read(data, "labels", ids).astype(np.float64)
    for level, labels in content.get("label_levels", {}).items():
        columns = [names.index(label) for label in labels]
        units = unit.number(unit.read(data, level, ids))
        truth[:, columns] = unit.first_alone(truth[:, columns], units)
    truth[unknown] = np.nan
    exclusive = content.get("exclusive_labels", False)
    groups = [names] if exclusive else content.get("label_groups", [])
    rest = [name for name in names if not any(name in group for group in groups)]
    blocks = [([names.index(n) for n in group], True) for group in groups]
    blocks += [([names.index(n) for n in rest], False)] if rest else []

    def answered(columns: list[int], exclusive: bool, count: np.ndarray) -> np.ndarray:
        given = (metric, truth[:, columns], prob[:, columns], exclusive, count)
        if exclusive and metric == "log_loss":  # these labels are one answer
            return np.array([metrics.score(*given)])
        return metrics.by_label(*given)

    def statistic(count: np.ndarray) -> float:
        values = np.concatenate([answered(*block, count) for block in blocks])
        there = values[~np.isnan(values)]
        return float(there.mean()) if len(there) else float("nan")

    return statistic, np.flatnonzero(~np.isnan(truth).all(axis=1))
