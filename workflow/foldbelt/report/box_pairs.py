"""Which predicted box is which true one, of another class if of none of its own."""

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.boxes.overlaps import overlaps
from foldbelt.metrics.ranked import IOU


def partners(truth: Boxes, pred: Boxes) -> np.ndarray:
    """Tell which true box each predicted one claims.

    First as average precision counts (see `foldbelt.metrics.ranked`), among boxes of one class.
    Then predicted boxes that claimed nothing claim, again by falling score, what is left of other
    classes: so a confusion of classes is seen.

    Parameters
    ----------
    truth, pred
        Boxes of the same N images.

    Returns
    -------
    ndarray
        (M,) int64, a row of `truth`; -1 for none.
    """
    claimed = np.full(len(pred.scores), -1, np.int64)
    for n in range(len(pred)):
        rows = slice(pred.start[n], pred.start[n + 1])
        true = slice(truth.start[n], truth.start[n + 1])
        if rows.start == rows.stop or true.start == true.stop:
            continue
        iou = _every(pred.xyxy[rows].astype(np.float64), truth.xyxy[true].astype(np.float64))
        same = pred.classes[rows, None] == truth.classes[None, true]
        order = np.argsort(-pred.scores[rows], kind="stable")
        part = _claim(np.where(same, iou, 0), order)
        taken, idle = part[part >= 0], order[part[order] < 0]
        iou[:, taken] = 0
        part = np.where(part >= 0, part, _claim_left(iou, idle))
        claimed[rows] = np.where(part >= 0, part + true.start, -1)
    return claimed


def _every(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Give the IoU (m, t) of every one of boxes (m, 4) with every one of boxes (t, 4)."""
    pairs = overlaps(np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1)))
    return pairs.reshape(len(a), len(b))


def _claim(iou: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Let boxes claim their best partner, (m,); only the first claim of each counts."""
    best = iou.argmax(axis=1)
    willing = order[iou[order, best[order]] > IOU]
    _, first = np.unique(best[willing], return_index=True)
    claimed = np.full(len(iou), -1, np.int64)
    claimed[willing[first]] = best[willing[first]]
    return claimed


def _claim_left(iou: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Let boxes claim, one after the other, the best partner that is left, (m,)."""
    claimed = np.full(len(iou), -1, np.int64)
    iou = iou.copy()
    for row in order:
        best = int(iou[row].argmax())
        if iou[row, best] > IOU:
            claimed[row] = best
            iou[:, best] = 0
    return claimed
