"""How well label probabilities tell which labels an image has: log loss, and the area under ROC.

The log loss is what label weights are fitted by: it knows no threshold, which is left to the gate
of the decision, and it punishes a wrong certainty, which a gate cannot mend.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.files import PathLike
from foldbelt.metrics.labels import area
from foldbelt.search.labels import log_loss, true_labels


def auc(truth: np.ndarray, prob: np.ndarray) -> float | None:
    """Give the chance that an image with a label is given a higher probability than one without.

    Parameters
    ----------
    truth
        (N,) 0/1.
    prob
        (N,); ties count half.

    Returns
    -------
    float or None
        None if all images have the label, or none has.

    Examples
    --------
    >>> auc(np.array([0, 1, 1, 0]), np.array([0.1, 0.4, 0.8, 0.4]))
    0.875
    """
    made = area(np.asarray(truth), np.asarray(prob, np.float64))
    return None if np.isnan(made) else made


def describe(truth: np.ndarray, prob: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Score label probabilities.

    Parameters
    ----------
    truth, prob
        (N, L).
    names
        Of the L labels.

    Returns
    -------
    dict
        auc {name: value, or None where it has none}, and log_loss, the mean over images and labels.
    """
    areas = {name: auc(truth[:, k], prob[:, k]) for k, name in enumerate(names)}
    return {"auc": areas, "log_loss": float(log_loss(truth, prob).mean())}


def of_members(
    members: Mapping[str, Sequence[PathLike]], data: PathLike, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Score the out-of-fold label probabilities of every member that has them.

    Parameters
    ----------
    members
        Name → its ``oof.h5`` files, one a fold, or one of all images.
    data
        ``train.h5``.
    ids
        The images that count.

    Returns
    -------
    dict
        Name → what `describe` gives; nothing where the data has no labels.
    """
    described = {}
    for name, paths in members.items():
        if not all(store.has(path, "label_prob") for path in paths):
            continue
        order = np.concatenate([store.read(path, "id").astype(str) for path in paths])
        prob = np.concatenate([store.read(path, "label_prob") for path in paths])
        prob = prob[pd.Index(order).get_indexer(pd.Index(list(ids)))]
        truth = true_labels(data, ids, prob.shape[1])
        if truth is not None:
            described[name] = describe(truth, prob, _names(data, prob.shape[1]))
    return described


def _names(data: PathLike, number: int) -> list[str]:
    """Names of the labels; numbers, where the data does not say."""
    return list(store.attrs(data).get("label_names", map(str, range(number))))
