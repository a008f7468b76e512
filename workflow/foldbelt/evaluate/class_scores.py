"""What the score of each class is, where there are several: their mean hides the rare ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foldbelt import metrics, store
from foldbelt.bootstrap import Resampling
from foldbelt.decide import Decision
from foldbelt.files import InputError, PathLike


def names_of(data: PathLike, number: int) -> list[str]:
    """Give the names of the classes in the data; without any, their numbers."""
    names = store.attrs(data).get("class_names") or list(map(str, range(number)))
    if len(names) != number:
        raise InputError(
            f"{data}: names {len(names)} classes, and the predictions hold {number}. Ingest again."
        )
    return list(names)


def true_areas(data: PathLike, ids: Sequence[str]) -> np.ndarray:
    """Count the pixels that are truly on, less ignored ones; (N, K) int."""
    on = []
    for mask, ignore in store.truth(data, list(ids)):
        known = mask if ignore is None else mask * ~ignore[..., None]
        on.append(np.count_nonzero(known, axis=(0, 1)))
    return np.array(on)


def all_empty(areas: np.ndarray, metric: str) -> np.ndarray:
    """Score empty masks on truths with these areas; (N, K) both."""
    nothing = np.zeros_like(areas)
    return metrics.from_counts(metric)(nothing, nothing, areas)


def by_class(
    decision: Decision,
    names: Sequence[str],
    areas: np.ndarray,
    hidden: np.ndarray | None,
    resampling: Resampling,
) -> dict[str, dict[str, Any]]:
    """Score each class.

    Parameters
    ----------
    decision
        With `images` of several classes.
    names
        Of the classes.
    areas
        (N, K) pixels that are truly on, in the order of the decision's images.
    hidden
        (n, K) scores of the test images, or None where their truth is not known.
    resampling
        Of the interval.

    Returns
    -------
    dict
        Name → score (leave-one-fold-out), interval, baseline (all masks empty), positives (images
        whose mask is not empty), on_positives (the mean score of these alone), hidden (null where
        unknown) and parameters.
    """
    scores = np.array(decision.images["classes"])
    empty = all_empty(areas, decision.metric)
    by_name = {}
    for k, name in enumerate(names):
        there = areas[:, k] > 0
        by_name[name] = {
            "score": float(scores[:, k].mean()),
            "interval": resampling.seeded("class", name).interval(scores[:, k]),
            "baseline": float(empty[:, k].mean()),
            "positives": int(there.sum()),
            "on_positives": float(scores[there, k].mean()) if there.any() else None,
            "hidden": None if hidden is None else float(hidden[:, k].mean()),
            "parameters": {key: values[k] for key, values in decision.params.items()},
        }
    return by_name
