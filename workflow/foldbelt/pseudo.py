"""Pseudo-labels: test images that the models of one fold label with confidence.

An image is admitted by the share of its pixels whose probability is below `low` or above `high`
(first place of the TGS Salt Identification Challenge, 2018: p < .2 or p > .8, share .90); the rule
``everything`` admits all (second place). The rule ``labels`` admits an image of which every class
is surely there or surely not by its label probability, if the mask says the same (first place of
Severstal Steel Defect Detection, 2019: above .95 or below .05). The rule ``halves`` admits one half
of the images for every other fold and the other half for the rest, and changes them about with
every round: so there are always models that were not trained on an image to label it again, and to
predict it at the end. Of many that are admitted, `max_images` takes the first: the most confident,
or those that look most like test images (adversarial validation).

Masks are averaged over the models that predict masks, label probabilities over those that predict
labels. Only predictions of models that never saw fold f make the labels for fold f, with equal
weights and levels from the config: blend weights and decisions know the truth of fold f, so they
must not enter. With ``source: all`` the caller gives the predictions of all folds' models, most of
which were trained on fold f: then the file says so.
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
    spec: Mapping[str, Any],
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
    spec
        The config's ``pseudo``: rule, source, low, high, share, threshold, label_low, label_high,
        most, order.
    fold, round
        Of the predictions; the models of that fold are trained on the labels in the next round.
    out
        id, mask (at storage size), confidence float32; the attributes say which rule admitted how
        many of how many, and ``source`` where it is ``all``. No admitted image is legal.
    likeness
        The csv with id, part and test_likeness, for the order ``test_likeness``.

    Raises
    ------
    InputError
        If the files differ in their images, none holds masks, the rule asks for label probabilities
        that none has, images have no likeness, or rule, source or order are unknown.
    """
    _check(spec, likeness)
    source = spec.get("source", "fold")
    ids = np.array(same_ids(predictions), dtype=object)
    seen = _look(predictions, ids, spec)
    if not len(ids):
        print("There are no test images, so the next round trains on the truth alone, too.")
    admitted = np.flatnonzero(_admits(spec, ids, seen, fold, round))
    if spec.get("max_images") is not None:
        admitted = _first(admitted, spec, ids, seen, likeness)
    print(f"{len(admitted)} of {len(ids)} test images admitted by the rule {spec['rule']}")
    if len(ids) and not len(admitted):
        print("The next round trains on the truth alone; see pseudo in config/README.md.")
    attrs = {
        "rule": {key: spec[key] for key in _keys(spec)},
        "tiles": len(ids),
        "admitted": len(admitted),
        **({} if source == "fold" else {"source": source}),
    }
    chosen = ids[admitted]
    classes = seen.shape[2] if len(seen.shape) == 3 else 1
    with store.Writer(
        out, table=pd.DataFrame({"id": chosen}), attrs=attrs, classes=classes
    ) as file:
        tail = seen.shape if classes > 1 else seen.shape[:2]
        file.create("mask", tail, np.uint8)
        file.create("confidence", (), np.float32)
        file.put("confidence", 0, seen.confidence[admitted].astype(np.float32))
        start = 0
        on = _on(spec)
        for prob, _ in _means(predictions, chosen):
            mask = on[prob].astype(np.uint8)
            file.put("mask", start, mask.reshape(len(mask), *tail))
            start += len(mask)


def _check(spec: Mapping[str, Any], likeness: PathLike | None) -> None:
    """Raise InputError unless the settings make sense."""
    asked = {
        "source": (spec.get("source", "fold"), SOURCES),
        "rule": (spec["rule"], RULES),
        "order": (spec.get("order", "confidence"), ORDERS),
    }
    for key, (value, known) in asked.items():
        if value not in known:
            raise InputError(f"pseudo.{key} is {value!r}; choose one of {', '.join(known)}.")
    ordered = spec.get("max_images") is not None and spec.get("order") == "test_likeness"
    if ordered and likeness is None:
        raise InputError(
            "pseudo.order is test_likeness, and nothing says how much images look like the test "
            "images; give the table of the adversarial stage."
        )


def _keys(spec: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings that decide which images are admitted, and their masks."""
    yield from ("rule", "threshold")
    yield from {
        "confidence": ("low", "high", "min_confident_share"),
        "labels": ("label_low", "label_high"),
    }.get(spec["rule"], ())
    if spec.get("max_images") is not None:
        yield from ("max_images", "order")


@dataclass
class _Seen:
    """What a first look at the predictions tells of N images.

    Attributes
    ----------
    shape
        (h, w) or (h, w, K) of a mask.
    confidence
        (N,) float64 share of confident pixels.
    labels
        (N, K) float32 label probabilities, if the rule asks for them.
    found
        (N, K) bool, which classes the masks hold, likewise.
    """

    shape: tuple[int, ...]
    confidence: np.ndarray
    labels: np.ndarray | None = None
    found: np.ndarray | None = None


def _look(predictions: Sequence[PathLike], ids: np.ndarray, spec: Mapping[str, Any]) -> _Seen:
    """Read all predictions once, keeping a few numbers of each image."""
    shape: tuple[int, ...] = ()
    sure, labels, found = [], [], []
    on = _on(spec)
    for prob, label in _means(predictions, ids):
        shape = prob.shape[1:]
        sure.append(share_confident(prob, spec["low"], spec["high"]))
        if spec["rule"] == "labels":
            planes = prob if prob.ndim == 4 else prob[..., None]
            there = on[planes].any(axis=(1, 2))
            labels.append(_of_classes(label, there))
            found.append(there)
    if spec["rule"] != "labels":
        return _Seen(shape, np.concatenate(sure))
    return _Seen(shape, np.concatenate(sure), np.concatenate(labels), np.concatenate(found))


def _of_classes(label: np.ndarray | None, there: np.ndarray) -> np.ndarray:
    """Give label probabilities after making sure that there is one for each class."""
    if label is None or label.shape[1] != there.shape[1]:
        has = "no" if label is None else str(label.shape[1])
        raise InputError(
            f"pseudo.rule is labels, which needs a label probability for each of the "
            f"{there.shape[1]} classes, and the models predict {has} image labels. Add a "
            "label_head or a classifier whose labels are the classes, or choose another rule."
        )
    return label


def half_of(name: str) -> int:
    """Give the half, 0 or 1, to which a test image belongs: by its name alone, as by a coin.

    Examples
    --------
    >>> [half_of(name) for name in ("a", "b", "c", "d")]
    [1, 1, 1, 0]
    """
    return seed_for("half", name) % 2


def _admits(
    spec: Mapping[str, Any], ids: np.ndarray, seen: _Seen, fold: int, round: int
) -> np.ndarray:
    """Tell (N,) which images the rule admits."""
    if spec["rule"] == "confidence":
        return seen.confidence >= spec["min_confident_share"]
    if spec["rule"] == "halves":
        trained = (fold + round + 1) % 2
        return np.array([half_of(name) == trained for name in ids], bool)
    if seen.labels is not None and seen.found is not None:
        yes, no = seen.labels > spec["label_high"], seen.labels < spec["label_low"]
        return np.where(seen.found, yes, no).all(axis=1)
    return np.ones(len(ids), bool)


def _first(
    admitted: np.ndarray,
    spec: Mapping[str, Any],
    ids: np.ndarray,
    seen: _Seen,
    likeness: PathLike | None,
) -> np.ndarray:
    """Give the rows of those that come first, rising; of equals those whose names come first."""
    if spec.get("order") == "test_likeness" and likeness is not None:
        value = _likeness(likeness, ids)
    elif seen.labels is not None:  # how sure the rule is of its least sure class
        value = np.abs(seen.labels.astype(np.float64) - 0.5).min(axis=1)
    else:
        value = seen.confidence
    order = np.lexsort((ids[admitted].astype(str), -value[admitted]))
    return np.sort(admitted[order[: spec["max_images"]]])


def _likeness(path: PathLike, ids: np.ndarray) -> np.ndarray:
    """Read how much test images look like test images, (N,) float64."""
    table = pd.read_csv(path, dtype={"id": str, "part": str}, keep_default_na=False)
    known = table[table["part"] == "test"].set_index("id")["test_likeness"].astype(np.float64)
    lost = [
        Problem(str(path), f"{name} has no test_likeness") for name in set(ids) - set(known.index)
    ]
    raise_all(sorted(lost), "test-likeness", "Make the adversarial validation again.")
    return known.loc[list(ids)].to_numpy()


def _on(spec: Mapping[str, Any]) -> np.ndarray:
    """Tell (256,) at which levels a pixel belongs to a mask."""
    return np.arange(256) / 255 > spec["threshold"]


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
