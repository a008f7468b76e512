"""Labels of their own as pseudo-labels: the equal-weight mean of the models, soft or decided."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import label_groups, store
from foldbelt.files import PathLike


def confidence(
    predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]
) -> np.ndarray:
    """Give the share of the labels of each image that are confident, (N,) float64.

    Labels that no model predicts are none of them.
    """
    prob = _mean(predictions, ids)
    sure = (prob < settings["low"]) | (prob > settings["high"])
    share: np.ndarray = sure[:, ~np.isnan(prob).all(axis=0)].mean(axis=1)
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

    Decided, an image has all above one half; or, of labels that exclude each other, the likeliest.
    What no model predicts is not known.
    """
    labels = _mean(predictions, ids)
    if not settings["soft"]:
        path = next(path for path in predictions if store.has(path, "labels"))
        labels = _decided(labels, store.attrs(path))
    file.put("labels", 0, labels)


def _decided(labels: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Decide labels (N, L), those that exclude each other (`foldbelt.label_groups`) together."""
    decided = np.where(np.isnan(labels), np.nan, labels > 0.5).astype(np.float32)
    names = attrs.get("label_names", list(map(str, range(labels.shape[1]))))
    for group in label_groups.groups_of({**attrs, "label_names": names}):
        places = [p for p in map(names.index, group) if not np.isnan(labels[:, p]).all()]
        if places:
            likeliest = labels[:, places].argmax(axis=1)
            decided[:, places] = np.arange(len(places)) == likeliest[:, None]
    return decided


def _mean(predictions: Sequence[PathLike], ids: np.ndarray) -> np.ndarray:
    """Give the mean over the files that hold labels, (N, L) float32; NaN where none predicts."""
    paths = [path for path in predictions if store.has(path, "labels")]
    parts = [store.read(path, "labels", ids.tolist()).astype(np.float64) for path in paths]
    known = [~np.isnan(part) for part in parts]
    if all(map(np.all, known)):
        whole: np.ndarray = np.mean(parts, axis=0)
        return whole.astype(np.float32)
    number = np.sum(known, axis=0)
    total = np.sum([np.nan_to_num(part) for part in parts], axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan).astype(np.float32)
