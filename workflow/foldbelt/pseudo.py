"""Pseudo-labels: test images that the models of one fold label with confidence.

An image is admitted by the share of its pixels whose probability is below `low` or above `high`
(first place of the TGS Salt Identification Challenge, 2018: p < .2 or p > .8, share .90); the rule
``everything`` admits all (second place). The rule ``halves`` admits one half of the images for
every other fold and the other half for the rest, and changes them about with every round: so there
are always models that were not trained on an image to label it again, and to predict it at the end.

Only predictions of models that never saw fold f make the labels for fold f, with equal weights and
a level from the config: blend weights and decisions know the truth of fold f, so they must not
enter. With ``source: all`` the caller gives the predictions of all folds' models, most of which
were trained on fold f: then the file says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.files import InputError, PathLike, seed_for
from foldbelt.predictions import mean_over_files, same_ids

RULES = ("confidence", "everything", "halves")
SOURCES = ("fold", "all")


def run(
    *,
    predictions: Sequence[PathLike],
    spec: Mapping[str, Any],
    fold: int,
    round: int,
    out: PathLike,
) -> None:
    """Choose the test images that become training images of one fold, and write their masks.

    Parameters
    ----------
    predictions
        ``test.h5`` of that fold, one a model, all of the same images; with ``source: all`` those of
        all folds.
    spec
        The config's ``pseudo``: rule, source, low, high, share, threshold.
    fold, round
        Of the predictions; the models of that fold are trained on the labels in the next round.
    out
        id, mask (at storage size), confidence float32; the attributes say which rule admitted how
        many of how many, and ``source`` where it is ``all``. No admitted image is legal.

    Raises
    ------
    InputError
        If the files differ in their images, or the rule or the source is unknown.
    """
    source = spec.get("source", "fold")
    if source not in SOURCES:
        raise InputError(f"pseudo.source is {source!r}; choose one of {', '.join(SOURCES)}.")
    if spec["rule"] not in RULES:
        raise InputError(f"pseudo.rule is {spec['rule']!r}; choose one of {', '.join(RULES)}.")
    ids = np.array(same_ids(predictions), dtype=object)
    sure = [share_confident(prob, spec["low"], spec["high"]) for prob in _means(predictions, ids)]
    confidence = np.concatenate(sure)
    if not len(ids):
        print("There are no test images, so the next round trains on the truth alone, too.")
    admitted = np.flatnonzero(_admits(spec, ids, confidence, fold, round))
    keys = (
        "rule",
        "threshold",
        *(("low", "high", "share") if spec["rule"] == "confidence" else ()),
    )
    attrs = {
        "rule": {key: spec[key] for key in keys},
        "tiles": len(ids),
        "admitted": len(admitted),
        **({} if source == "fold" else {"source": source}),
    }
    chosen = ids[admitted]
    shape = store.read(predictions[0], "prob", []).shape[1:]
    classes = shape[2] if len(shape) == 3 else 1
    with store.Writer(
        out, table=pd.DataFrame({"id": chosen}), attrs=attrs, classes=classes
    ) as file:
        tail = shape if classes > 1 else shape[:2]
        file.create("mask", tail, np.uint8)
        file.create("confidence", (), np.float32)
        file.put("confidence", 0, confidence[admitted].astype(np.float32))
        start = 0
        on = (np.arange(256) / 255 > spec["threshold"]).astype(np.uint8)
        for prob in _means(predictions, chosen):
            mask = on[prob]
            file.put("mask", start, mask.reshape(len(mask), *tail))
            start += len(mask)


def half_of(name: str) -> int:
    """Give the half, 0 or 1, to which a test image belongs: by its name alone, as by a coin.

    Examples
    --------
    >>> [half_of(name) for name in ("a", "b", "c", "d")]
    [1, 1, 1, 0]
    """
    return seed_for("half", name) % 2


def _admits(
    spec: Mapping[str, Any], ids: np.ndarray, confidence: np.ndarray, fold: int, round: int
) -> np.ndarray:
    """Tell (N,) which images the rule admits."""
    if spec["rule"] == "confidence":
        return confidence >= spec["share"]
    if spec["rule"] == "halves":
        trained = (fold + round + 1) % 2
        return np.array([half_of(name) == trained for name in ids], bool)
    return np.ones(len(ids), bool)


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


def _means(predictions: Sequence[PathLike], ids: np.ndarray) -> Iterator[np.ndarray]:
    """Give blocks of the equal-weight mean of the models, rounded to uint8 as a blend is."""
    for _, mean, _ in mean_over_files(predictions, ids.tolist()):
        yield np.rint(mean).astype(np.uint8)
