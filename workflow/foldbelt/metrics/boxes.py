"""Scores of boxes: the definition, on tables. `ranked` has the fast form."""

import math
from typing import TYPE_CHECKING

import numpy as np

from foldbelt.files import InputError

if TYPE_CHECKING:
    import pandas as pd

BOX = ["x1", "y1", "x2", "y2"]


def mean_average_precision(truth: "pd.DataFrame", pred: "pd.DataFrame") -> float:
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
    return math.fsum(scores) / len(scores)  # whatever the order of the classes


def _check_boxes(table: "pd.DataFrame", name: str, more: list[str]) -> None:
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


def _right(truth: "pd.DataFrame", ranked: "pd.DataFrame") -> np.ndarray:
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
