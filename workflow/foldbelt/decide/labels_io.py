"""Labels from prediction files to a decision, and the probabilities that it makes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.bootstrap import Resampling
from foldbelt.decide import label_blocks, labels
from foldbelt.decide import units as unit
from foldbelt.files import PathLike


def gather(files: Sequence[tuple[PathLike, np.ndarray]], number: int) -> np.ndarray:
    """Read the probabilities (N, L) of a member: of every file where its images lie among N."""
    read = [(store.read(path, "labels").astype(np.float64), places) for path, places in files]
    given = np.full((number, read[0][0].shape[1]), np.nan)
    for prob, places in read:
        given[places] = prob
    return given


def search(
    data: PathLike,
    ids: Sequence[str],
    given: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    folds: np.ndarray,
    settings: Mapping[str, Any],
    resampling: Resampling,
) -> tuple[dict[str, Any], np.ndarray]:
    """Decide how labels are blended.

    Where all labels are of one kind, and all members predict all of them, they are searched
    together (:func:`foldbelt.decide.labels.search`), else block by block
    (:func:`foldbelt.decide.label_blocks.search`).
    """
    content = store.attrs(data)
    names, metric = content["label_names"], settings["metric"]
    levels = content.get("label_levels", {})
    space = {key: value for key, value in settings.items() if key not in _NOT_SEARCHED}
    truth = store.read(data, "labels", ids).astype(np.float64)
    exclusive = content.get("exclusive_labels", False)
    groups = [names] if exclusive else content.get("label_groups", [])
    blocks = label_blocks.blocks_of(given, names, groups, levels)
    if len(blocks) == 1 and len(blocks[0].labels) == len(names) and not levels:
        return labels.search(
            given, known, truth, names, blocks[0].exclusive, folds, space, metric, resampling
        )
    units = {level: unit.read(data, level, ids) for level in levels}
    return label_blocks.search(
        given, known, truth, names, blocks, units, folds, space, metric, resampling
    )


_NOT_SEARCHED = ("metric", "external")


def apply(
    members: Mapping[str, Sequence[PathLike]],
    folds: Mapping[str, Sequence[int]],
    ids: Sequence[str],
    decision: Mapping[str, Any],
    data: PathLike,
    extra: Mapping[str, tuple[PathLike, float]],
) -> np.ndarray:
    """Blend the labels of test images: of each member the mean over its folds, as was decided.

    Parameters
    ----------
    members, folds
        Name → its files, and the folds that they are of.
    ids
        The images.
    decision
        As `search` gave it.
    data
        ``test.h5``, for the units of images.
    extra
        Members that the decision does not know: name → its file, and its share.
    """
    given = {
        name: np.stack([store.read(path, "labels", ids) for path in paths]).mean(
            axis=0, dtype=float
        )
        for name, paths in members.items()
    }
    levels = {block["level"] for block in decision.get("blocks", [])} - {None}
    units = {level: unit.read(data, level, ids) for level in sorted(levels)}
    more = {name: (store.read(path, "labels", ids), share) for name, (path, share) in extra.items()}
    names = names_of(next(path for paths in members.values() for path in paths))
    _tell_unused(more, decision, names)
    return label_blocks.apply(given, decision, names, units, more)


def _tell_unused(
    extra: Mapping[str, tuple[np.ndarray, float]], decision: Mapping[str, Any], names: Sequence[str]
) -> None:
    """Print which labels members predict that the decision does not know, and no other does."""
    blocks = decision.get("blocks")
    decided = set(names) if blocks is None else {n for block in blocks for n in block["labels"]}
    for member, (prob, _) in extra.items():
        said = [names[k] for k in np.flatnonzero(~np.isnan(prob).all(axis=0)).tolist()]
        idle = [name for name in said if name not in decided]
        if idle:
            print(f"{member}: what it says of {', '.join(idle)} is left out: no model predicts it")


def write(
    path: PathLike,
    ids: Sequence[str],
    made: np.ndarray,
    names: Sequence[str],
    predicted: np.ndarray | None = None,
) -> None:
    """Write the probabilities (N, L) of images; those that no model predicted are NaN."""
    table = {"id": list(ids)}
    store.write(path, {"labels": made.astype(np.float32)}, table, {"label_names": list(names)})


def names_of(path: PathLike) -> list[str]:
    """Names of the labels, from a file of predictions or of data."""
    return list(store.attrs(path)["label_names"])
