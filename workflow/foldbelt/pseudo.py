"""Pseudo-labels: test images that the models of one fold label with confidence.

An image is admitted by the share of its pixels whose probability is below `low` or above `high`
(first place of the TGS Salt Identification Challenge, 2018: p < .2 or p > .8, share .90); the rule
``everything`` admits all (second place). The rule ``labels`` admits an image of which every class
is surely present or surely absent by its label probability, if the mask agrees (first place of
Severstal Steel Defect Detection, 2019: above .95 or below .05). The rule ``halves`` admits one half
of the images for the even folds and the other half for the odd ones, and swaps the halves with
every round. So there are always models that were not trained on an image, which label it again and
predict it at the end. If more are admitted than `max_images`, the first are taken: the most
confident, or those that look most like test images (adversarial validation).

Masks are averaged over the models that predict masks, label probabilities over those that predict
labels. Only predictions of models that never saw fold f make the labels for fold f, with equal
weights and levels from the config: blend weights and decisions depend on the truth of fold f, so
they are not used. With ``source: all`` the caller gives the predictions of all folds' models, most
of which were trained on fold f; the file's attributes record that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.files import InputError, PathLike, Problem, raise_all, seed_for
from foldbelt.store.predictions import mean_over_files, same_ids

RULES = ("confidence", "everything", "halves", "labels")
SOURCES = ("fold", "all")
ORDERS = ("confidence", "test_likeness")


def run(
    *,
    predictions: Sequence[PathLike],
    settings: Mapping[str, Any],
    fold: int,
    round: int,
    out: PathLike,
    likeness: PathLike | None = None,
) -> None:
    """Choose the test images that become training images of one fold, and write their masks.

    Parameters
    ----------
    predictions
        ``test.h5`` of that fold, one a model, all of the same images; with ``source: all`` those of
        all folds.
    settings
        Of the config's ``pseudo``, with its defaults: rule, source, low, high, threshold and
        max_images; what the rule asks for (min_confident_share; label_low, label_high); with
        max_images, order.
    fold, round
        Of the predictions; the models of that fold are trained on the labels in the next round.
    out
        id, mask (at storage size), confidence float32; the attributes say which rule admitted how
        many of how many, and the ``source``. No image need be admitted.
    likeness
        The csv with id, part and test_likeness, for the order ``test_likeness``.

    Raises
    ------
    InputError
        If the files differ in their images, none holds masks, the rule asks for label probabilities
        that none has, images have no likeness, or rule, source or order are unknown.
    """
    _check(settings, likeness)
    ids = np.array(same_ids(predictions), dtype=object)
    summary = _summarise(predictions, ids, settings)
    if not len(ids):
        print("There are no test images, so the next round, too, trains on the truth only.")
    admitted = np.flatnonzero(_admits(settings, ids, summary, fold, round))
    if settings["max_images"] is not None:
        admitted = _first(admitted, settings, ids, summary, likeness)
    print(f"{len(admitted)} of {len(ids)} test images admitted by the rule {settings['rule']}")
    if len(ids) and not len(admitted):
        print("The next round trains on the truth only; see pseudo in config/README.md.")
    attrs = {
        "rule": {key: settings[key] for key in _keys(settings)},
        "tiles": len(ids),
        "admitted": len(admitted),
        "source": settings["source"],
    }
    chosen = ids[admitted]
    classes = summary.shape[2] if len(summary.shape) == 3 else 1
    with store.Writer(
        out, table=pd.DataFrame({"id": chosen}), attrs=attrs, classes=classes
    ) as file:
        tail = summary.shape if classes > 1 else summary.shape[:2]
        file.create("mask", tail, np.uint8)
        file.create("confidence", (), np.float32)
        file.put("confidence", 0, summary.confidence[admitted].astype(np.float32))
        start = 0
        on = _on(settings)
        for prob, _ in _means(predictions, chosen):
            mask = on[prob].astype(np.uint8)
            file.put("mask", start, mask.reshape(len(mask), *tail))
            start += len(mask)


def _check(settings: Mapping[str, Any], likeness: PathLike | None) -> None:
    """Raise InputError unless the settings make sense."""
    asked = {
        "source": (settings["source"], SOURCES),
        "rule": (settings["rule"], RULES),
    }
    if settings["max_images"] is not None:
        asked["order"] = (settings["order"], ORDERS)
    for key, (value, known) in asked.items():
        if value not in known:
            raise InputError(f"pseudo.{key} is {value!r}; choose one of {', '.join(known)}.")
    ordered = settings["max_images"] is not None and settings["order"] == "test_likeness"
    if ordered and likeness is None:
        raise InputError(
            "pseudo.order is test_likeness, but there is no table of it; give the csv of the "
            "adversarial stage."
        )


def _keys(settings: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings that decide which images are admitted, and their masks."""
    yield from ("rule", "threshold")
    yield from {
        "confidence": ("low", "high", "min_confident_share"),
        "labels": ("label_low", "label_high"),
    }.get(settings["rule"], ())
    if settings["max_images"] is not None:
        yield from ("max_images", "order")


@dataclass
class _Summary:
    """What the first pass over the predictions gives for N images.

    Attributes
    ----------
    shape
        (h, w) or (h, w, K) of a mask.
    confidence
        (N,) float64 share of confident pixels.
    labels
        (N, K) float32 label probabilities, if the rule asks for them.
    in_masks
        (N, K) bool, which classes the masks show, if the rule asks for it.
    """

    shape: tuple[int, ...]
    confidence: np.ndarray
    labels: np.ndarray | None = None
    in_masks: np.ndarray | None = None


def _summarise(
    predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]
) -> _Summary:
    """Read all predictions once, keeping a few numbers of each image."""
    shape: tuple[int, ...] = ()
    confidence, labels, in_masks = [], [], []
    on = _on(settings)
    for prob, label in _means(predictions, ids):
        shape = prob.shape[1:]
        confidence.append(share_confident(prob, settings["low"], settings["high"]))
        if settings["rule"] == "labels":
            planes = prob if prob.ndim == 4 else prob[..., None]
            shown = on[planes].any(axis=(1, 2))
            labels.append(_of_classes(label, shown.shape[1]))
            in_masks.append(shown)
    if settings["rule"] != "labels":
        return _Summary(shape, np.concatenate(confidence))
    labels_of, masks_of = np.concatenate(labels), np.concatenate(in_masks)
    return _Summary(shape, np.concatenate(confidence), labels_of, masks_of)


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


def half_of(name: str) -> int:
    """Give the half, 0 or 1, of a test image: random, but a function of its name alone.

    Examples
    --------
    >>> [half_of(name) for name in ("a", "b", "c", "d")]
    [1, 1, 1, 0]
    """
    return seed_for("half", name) % 2


def _admits(
    settings: Mapping[str, Any], ids: np.ndarray, summary: _Summary, fold: int, round: int
) -> np.ndarray:
    """Tell (N,) which images the rule admits."""
    if settings["rule"] == "confidence":
        return summary.confidence >= settings["min_confident_share"]
    if settings["rule"] == "halves":
        trained = (fold + round + 1) % 2
        return np.array([half_of(name) == trained for name in ids], bool)
    if summary.labels is not None and summary.in_masks is not None:
        yes, no = summary.labels > settings["label_high"], summary.labels < settings["label_low"]
        return np.where(summary.in_masks, yes, no).all(axis=1)
    return np.ones(len(ids), bool)


def _first(
    admitted: np.ndarray,
    settings: Mapping[str, Any],
    ids: np.ndarray,
    summary: _Summary,
    likeness: PathLike | None,
) -> np.ndarray:
    """Give the rows of the first `max_images`, ascending; names decide between equal values."""
    if settings["order"] == "test_likeness" and likeness is not None:
        value = _likeness(likeness, ids)
    elif summary.labels is not None:  # by the class whose probability is nearest to .5
        value = np.abs(summary.labels.astype(np.float64) - 0.5).min(axis=1)
    else:
        value = summary.confidence
    order = np.lexsort((ids[admitted].astype(str), -value[admitted]))
    return np.sort(admitted[order[: settings["max_images"]]])


def _likeness(path: PathLike, ids: np.ndarray) -> np.ndarray:
    """Read how much test images look like test images, (N,) float64."""
    table = pd.read_csv(path, dtype={"id": str, "part": str}, keep_default_na=False)
    known = table[table["part"] == "test"].set_index("id")["test_likeness"].astype(np.float64)
    missing = [
        Problem(str(path), f"{name} has no test_likeness") for name in set(ids) - set(known.index)
    ]
    raise_all(sorted(missing), "test-likeness", "Make the adversarial validation again.")
    return known.loc[list(ids)].to_numpy()


def _on(settings: Mapping[str, Any]) -> np.ndarray:
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
        if mean is None:
            raise InputError(
                "pseudo-labels need masks, and none of the models predicts any; add one that does."
            )
        yield np.rint(mean).astype(np.uint8), label
