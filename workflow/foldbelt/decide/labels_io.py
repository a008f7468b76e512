"""Labels from prediction files to a decision, and the probabilities that it makes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.bootstrap import Resampling
from foldbelt.decide import labels
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
    """Decide how labels are blended; see :func:`foldbelt.decide.labels.search`."""
    content = store.attrs(data)
    space = {key: value for key, value in settings.items() if key != "metric"}
    return labels.search(
        given,
        known,
        store.read(data, "labels", ids).astype(np.float64),
        content["label_names"],
        content.get("exclusive_labels", False),
        folds,
        space,
        settings["metric"],
        resampling,
    )


def apply(
    members: Mapping[str, Sequence[PathLike]],
    folds: Mapping[str, Sequence[int]],
    ids: Sequence[str],
    decision: Mapping[str, Any],
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
    """
    given = {
        name: np.stack([store.read(path, "labels", ids) for path in paths]).mean(
            axis=0, dtype=float
        )
        for name, paths in members.items()
    }
    return labels.apply(given, decision)


def write(
    path: PathLike,
    ids: Sequence[str],
    made: np.ndarray,
    names: Sequence[str],
    predicted: np.ndarray | None = None,
) -> None:
    """Write the probabilities (N, L) of images; those that no model predicted are NaN."""
    table = pd.DataFrame({"id": list(ids)})
    store.write(path, {"labels": made.astype(np.float32)}, table, {"label_names": list(names)})


def names_of(path: PathLike) -> list[str]:
    """Names of the labels, from a file of predictions or of data."""
    return list(store.attrs(path)["label_names"])
