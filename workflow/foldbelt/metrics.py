"""Scores of masks and boxes, as the competitions define them.

Two forms of each mask metric share one definition: on masks, and "from counts" (pixels in the
intersection, in the prediction, in the truth), which is what a search over thresholds has at hand.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from foldbelt.files import InputError

#: (intersection, predicted area, true area) -> score of each pair, all integer arrays of one shape.
CountsMetric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

BOX = ["x1", "y1", "x2", "y2"]


def salt_score(truth: np.ndarray, pred: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Mean precision over the IoU thresholds .50, .55 … .95 (TGS Salt Identification, 2018).

    A threshold t is passed where IoU > t, strictly. An empty truth with an empty prediction scores
    1; where exactly one of them is empty the score is 0.

    Parameters
    ----------
    truth, pred
        Masks, bool or 0/1, (N, H, W) or (N, H, W, K), of any memory layout.
    ignore
        Pixels that count nowhere, bool or 0/1, (N, H, W).

    Returns
    -------
    ndarray
        (N,) float64; with K classes the mean over the classes of an image.

    Raises
    ------
    InputError
        If the shapes differ or an array is not a mask.
    """
    return score_images("salt_score", truth, pred, ignore)


def mean_dice(
    truth: np.ndarray,
    pred: np.ndarray,
    per_image: bool = False,
    ignore: np.ndarray | None = None,
) -> float | np.ndarray:
    """Mean Dice coefficient over all image-class pairs (Severstal, 2019); empty/empty = 1.

    Parameters
    ----------
    truth, pred
        Masks, bool or 0/1, (N, H, W) or (N, H, W, K), of any memory layout.
    per_image
        Whether to give the mean over the classes of each image instead of one number.
    ignore
        Pixels that count nowhere, bool or 0/1, (N, H, W).

    Returns
    -------
    float or ndarray
        The mean over the N·K pairs, or (N,) float64.

    Raises
    ------
    InputError
        If the shapes differ, an array is not a mask, or one number is asked of no images.
    """
    scores = score_images("mean_dice", truth, pred, ignore)
    if per_image:
        return scores
    if not len(scores):
        raise InputError("mean_dice: there is no image to score.")
    return float(scores.mean())


def mean_average_precision(truth: pd.DataFrame, pred: pd.DataFrame) -> float:
    """Mean over classes of the average precision of boxes at IoU > .5, as VOC 2010 defines it.

    Every predicted box, by falling score (ties in row order), is compared with the true box of its
    image and class that it overlaps most (the first of equals); it is right if the IoU exceeds .5
    and that box was not claimed before. AP is the area under the precision envelope over every
    recall step. Areas are (x2 - x1)·(y2 - y1), without the devkit's + 1.

    Parameters
    ----------
    truth
        One row a box: image, class, x1, y1, x2, y2.
    pred
        The same and score. Classes that are absent from `truth` do not count.

    Returns
    -------
    float
        The mean over the classes present in `truth`.

    Raises
    ------
    InputError
        If a column is missing, a number is not finite, a box is inside out, or `truth` is empty.
    """
    _check_boxes(truth, "truth", [])
    _check_boxes(pred, "pred", ["score"])
    if truth.empty:
        raise InputError("mean_average_precision: truth has no box, so there is no class to score.")
    order = np.argsort(-pred["score"].to_numpy(np.float64), kind="stable")
    ranked = pred.iloc[order].reset_index(drop=True)
    right = _right(truth.reset_index(drop=True), ranked)
    classes = truth["class"].value_counts(sort=False)
    classes = classes[classes > 0]  # a categorical column counts those that are absent, too
    scores = [
        _average_precision(right[(ranked["class"] == name).to_numpy()], int(number))
        for name, number in classes.items()
    ]
    return float(np.mean(scores))


def score_images(
    name: str, truth: np.ndarray, pred: np.ndarray, ignore: np.ndarray | None = None
) -> np.ndarray:
    """Score images by the mask metric of that name.

    Parameters
    ----------
    name
        A metric that :func:`from_counts` knows.
    truth, pred, ignore
        As for :func:`salt_score`.

    Returns
    -------
    ndarray
        (N,) float64, the mean over the classes of each image.
    """
    return score_pairs(name, truth, pred, ignore).mean(axis=1)


def score_pairs(
    name: str, truth: np.ndarray, pred: np.ndarray, ignore: np.ndarray | None = None
) -> np.ndarray:
    """Score every class of every image, (N, K) float64; see :func:`score_images`."""
    score = from_counts(name)
    truth, pred = _mask(truth, "truth"), _mask(pred, "pred")
    if truth.shape != pred.shape:
        raise InputError(
            f"{name}: truth is {truth.shape} and pred is {pred.shape}; they must agree."
        )
    if ignore is not None:
        valid = ~np.asarray(ignore).astype(bool)
        if valid.shape != truth.shape[:3]:
            raise InputError(f"{name}: ignore is {valid.shape}, the masks are {truth.shape[:3]}.")
        truth, pred = truth & valid[..., None], pred & valid[..., None]
    pixels = (1, 2)
    return score(
        np.count_nonzero(truth & pred, axis=pixels),
        np.count_nonzero(pred, axis=pixels),
        np.count_nonzero(truth, axis=pixels),
    )


def from_counts(name: str) -> CountsMetric:
    """Look up the form of a mask metric that needs only pixel counts.

    Parameters
    ----------
    name
        Name of a function in this module.

    Returns
    -------
    callable
        (intersection, predicted area, true area), integers of one shape -> float64 score of each
        pair of masks, of that shape.

    Raises
    ------
    InputError
        If the metric has no such form.
    """
    if name not in _FROM_COUNTS:
        raise InputError(
            f"metric {name!r} cannot be computed from pixel counts; choose one of "
            f"{', '.join(sorted(_FROM_COUNTS))}."
        )
    return _FROM_COUNTS[name]


def _salt(inter: np.ndarray, pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    inter, pred, truth = _integers(inter, pred, truth)
    union = pred + truth - inter
    # How many k of 10 … 19 satisfy inter/union > k/20: whole numbers, so that no IoU that lies
    # exactly on a threshold is pushed over it by rounding.
    passed = -(-20 * inter // np.maximum(union, 1)) - 10
    return np.where(union == 0, 10, np.clip(passed, 0, 10)) / 10


def _dice(inter: np.ndarray, pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    inter, pred, truth = _integers(inter, pred, truth)
    total = pred + truth
    return np.where(total == 0, 1.0, 2 * inter / np.maximum(total, 1))


_FROM_COUNTS: dict[str, CountsMetric] = {"salt_score": _salt, "mean_dice": _dice}


def _integers(*arrays: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(array).astype(np.int64) for array in arrays]


def _mask(array: np.ndarray, name: str) -> np.ndarray:
    """Give a mask as bool (N, H, W, K), or say why it is none."""
    array = np.asarray(array)
    if array.ndim not in (3, 4):
        raise InputError(f"{name} has shape {array.shape}; give (N, H, W) or (N, H, W, K).")
    if array.dtype.kind not in "bui" or (array.size and (array.max() > 1 or array.min() < 0)):
        raise InputError(f"{name} ({array.dtype}) is not a mask; give bool, or integers 0 and 1.")
    array = array.astype(bool)
    return array if array.ndim == 4 else array[..., None]


def _check_boxes(table: pd.DataFrame, name: str, more: list[str]) -> None:
    missing = [column for column in ["image", "class", *BOX, *more] if column not in table]
    if missing:
        raise InputError(f"{name} lacks the columns {', '.join(missing)}.")
    numbers = table[BOX + more].to_numpy(np.float64)
    bad = ~np.isfinite(numbers).all(axis=1)
    bad |= (numbers[:, 2] < numbers[:, 0]) | (numbers[:, 3] < numbers[:, 1])
    if bad.any():
        rows = ", ".join(map(str, table.index[bad][:20]))
        raise InputError(
            f"{name} has {bad.sum()} boxes with numbers that are not finite or with x2 < x1 or "
            f"y2 < y1 (rows {rows}); correct or drop them."
        )


def _right(truth: pd.DataFrame, ranked: pd.DataFrame) -> np.ndarray:
    """Tell which of the boxes, in falling score, claim a true one; (len(ranked),) bool."""
    right = np.zeros(len(ranked), bool)
    keys = ["image", "class"]
    pairs = ranked[keys + BOX].reset_index(names="box")
    pairs = pairs.merge(truth[keys + BOX].reset_index(names="true"), on=keys, suffixes=("", "_t"))
    if pairs.empty:
        return right
    a, b = (pairs[[c + s for c in BOX]].to_numpy(np.float64) for s in ("", "_t"))
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inter = np.clip(sides, 0, None).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - inter
    pairs["iou"] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    # The best partner of each prediction, the first of equals; then the first claimant of each.
    pairs = pairs.sort_values(["box", "iou", "true"], ascending=[True, False, True])
    best = pairs.drop_duplicates("box")
    claims = best[best["iou"] > 0.5].drop_duplicates("true")
    right[claims["box"].to_numpy()] = True
    return right


def _average_precision(right: np.ndarray, number: int) -> float:
    """Area under the precision envelope; `right` by falling score, `number` of true boxes."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / number)
