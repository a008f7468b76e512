"""Labels of their own as pseudo-labels: the equal-weight mean of the models, soft or decided."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.files import PathLike


def confidence(
    predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]
) -> np.ndarray:
    """Give the share of the labels of each image that are confident, (N,) float64."""
    prob = _mean(predictions, ids)
    share: np.ndarray = ((prob < settings["low"]) | (prob > settings["high"])).mean(axis=1)
    return share


def columns(
    predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Give what the table of images says of them; nothing."""
    return {}


def create(file: store.Writer, predictions: Sequence[PathLike]) -> None:
    """Lay out the labels."""
    path = next(path for path in predictions if store.has(path, "labels"))
    file.create("labels", store.shape(path, "labels")[1:], np.float32)


def put(
    file: store.Writer,
    predictions: Sequence[PathLike],
    ids: np.ndarray,
    settings: Mapping[str, Any],
) -> None:
    """Write the labels of some images: probabilities, or decided ones.

    Decided, an image has all above one half; or, where labels exclude each other, the likeliest.
    """
    labels = _mean(predictions, ids)
    if not settings["soft"]:
        path = next(path for path in predictions if store.has(path, "labels"))
        decided = labels > 0.5
        if store.attrs(path).get("exclusive_labels", False):
            decided = np.arange(labels.shape[1]) == labels.argmax(axis=1)[:, None]
        labels = decided.astype(np.float32)
    file.put("labels", 0, labels)


def _mean(predictions: Sequence[PathLike], ids: np.ndarray) -> np.ndarray:
    """Give the mean over the files that hold labels, (N, L) float32."""
    paths = [path for path in predictions if store.has(path, "labels")]
    parts = [store.read(path, "labels", ids.tolist()).astype(np.float64) for path in paths]
    mean: np.ndarray = np.mean(parts, axis=0)
    return mean.astype(np.float32)
