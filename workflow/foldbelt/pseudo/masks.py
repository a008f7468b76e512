"""Masks as pseudo-labels: the equal-weight mean of the models, cut at a level."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.files import InputError, PathLike
from foldbelt.store.predictions import mean_over_files

Settings = Mapping[str, Any]


def classes(predictions: Sequence[PathLike]) -> int:
    """Count the classes of the masks."""
    shape = next(store.shape(path, "prob") for path in predictions if store.has(path, "prob"))
    return shape[3] if len(shape) == 4 else 1


def confidence(predictions: Sequence[PathLike], ids: np.ndarray, settings: Settings) -> np.ndarray:
    """Give the share of confident pixels of each image, (N,) float64."""
    shares = [
        share_confident(prob, settings["low"], settings["high"])
        for prob, _ in _means(predictions, ids)
    ]
    return np.concatenate(shares)


def columns(
    predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Give what the table of images says of them; nothing."""
    return {}


def create(file: store.Writer, predictions: Sequence[PathLike]) -> None:
    """Lay out the masks, at storage size."""
    file.create("mask", _tail(predictions), np.uint8)


def put(
    file: store.Writer, predictions: Sequence[PathLike], ids: np.ndarray, settings: Settings
) -> None:
    """Write the masks of some images."""
    tail, on, start = _tail(predictions), _on(settings), 0
    for prob, _ in _means(predictions, ids):
        mask = on[prob].astype(np.uint8)
        file.put("mask", start, mask.reshape(len(mask), *tail))
        start += len(mask)


def _tail(predictions: Sequence[PathLike]) -> tuple[int, ...]:
    """Shape of a mask: (h, w), or (h, w, K) of several classes."""
    shape = next(store.shape(path, "prob") for path in predictions if store.has(path, "prob"))
    return shape[1:] if len(shape) == 4 and shape[3] > 1 else shape[1:3]


@dataclass(frozen=True)
class Shown:
    """What N images show, as the rule ``labels`` asks.

    Attributes
    ----------
    labels
        (N, K) float32 label probabilities.
    in_masks
        (N, K) bool, which classes the masks show.
    """

    labels: np.ndarray
    in_masks: np.ndarray


def shown(predictions: Sequence[PathLike], ids: np.ndarray, settings: Settings) -> Shown:
    """Say what labels and masks of images show.

    Raises
    ------
    InputError
        If there is no label probability for every class.
    """
    on, labels, in_masks = _on(settings), [], []
    for prob, label in _means(predictions, ids):
        planes = prob if prob.ndim == 4 else prob[..., None]
        in_masks.append(on[planes].any(axis=(1, 2)))
        labels.append(_of_classes(label, planes.shape[3]))
    return Shown(np.concatenate(labels), np.concatenate(in_masks))


def _of_classes(label: np.ndarray | None, classes: int) -> np.ndarray:
    """Give label probabilities, after checking that there is one for each class."""
    if label is None or label.shape[1] != classes:
        has = "no" if label is None else str(label.shape[1])
        raise InputError(
            f"pseudo.rule is labels, which needs a label probability for each of the "
            f"{classes} classes, and the models predict {has} image labels. Add a "
            "label_head or a classifier whose labels are the classes, or choose another rule."
        )
    return label


def _on(settings: Settings) -> np.ndarray:
    """Give (256,) bool: at which levels of uint8 a pixel belongs to a mask."""
    return np.arange(256) / 255 > settings["threshold"]


def share_confident(prob: np.ndarray, low: float, high: float) -> np.ndarray:
    """Give the share of confident pixels of each image.

    Parameters
    ----------
    prob
        (N, H, W[, K]) uint8.
    low, high
        A pixel is confident where prob/255 < low or prob/255 > high, in float64.

    Returns
    -------
    ndarray
        (N,) float64; with several classes that of the least confident class.

    Examples
    --------
    >>> share_confident(np.array([[[0, 51, 204, 255]]], np.uint8), 0.2, 0.8)
    array([0.5])
    """
    fraction = np.arange(256) / 255
    confident = ((fraction < low) | (fraction > high))[prob]
    share = confident.mean(axis=(1, 2))
    return share if share.ndim == 1 else share.min(axis=1)


def _means(
    predictions: Sequence[PathLike], ids: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Give blocks of the equal-weight mean of the models, masks rounded to uint8 as a blend is."""
    for _, mean, label in mean_over_files(predictions, ids.tolist()):
        assert mean is not None  # a file holds masks
        yield np.rint(mean).astype(np.uint8), label
