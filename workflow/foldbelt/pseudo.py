"""Pseudo-labels: test images that the models of one fold label with confidence.

An image is admitted by the share of its pixels whose probability is below `low` or above `high`
(first place of the TGS Salt Identification Challenge, 2018: p < .2 or p > .8, share .90); the rule
``everything`` admits all (second place). Only predictions of models that never saw fold f make the
labels for fold f, with equal weights and a level from the config: blend weights and decisions know
the truth of fold f, so they must not enter.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.files import InputError, PathLike
from foldbelt.predictions import mean_over_files, same_ids

RULES = ("confidence", "everything")


def run(*, predictions: Sequence[PathLike], spec: Mapping[str, Any], out: PathLike) -> None:
    """Choose the test images that become training images of one fold, and write their masks.

    Parameters
    ----------
    predictions
        ``test.h5`` of that fold, one a model, all of the same images.
    spec
        The config's ``pseudo``: rule, low, high, share, threshold.
    out
        id, mask (at storage size), confidence float32; the attributes say which rule admitted how
        many of how many. No admitted image is legal.

    Raises
    ------
    InputError
        If the files differ in their images or the rule is unknown.
    """
    if spec["rule"] not in RULES:
        raise InputError(f"pseudo.rule is {spec['rule']!r}; choose one of {', '.join(RULES)}.")
    ids = np.array(same_ids(predictions), dtype=object)
    sure = [share_confident(prob, spec["low"], spec["high"]) for prob in _means(predictions, ids)]
    confidence = np.concatenate(sure)
    if not len(ids):
        print("There are no test images, so the next round trains on the truth alone, too.")
    admitted = np.flatnonzero((confidence >= spec["share"]) | (spec["rule"] == "everything"))
    keys = ("rule", "threshold", *(("low", "high", "share") if spec["rule"] == RULES[0] else ()))
    attrs = {
        "rule": {key: spec[key] for key in keys},
        "tiles": len(ids),
        "admitted": len(admitted),
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
