"""Which predicted box is which true one: the pairs behind the figures of boxes."""

import numpy as np

from foldbelt.boxes import Boxes

OVERLAP = 0.5  # an IoU above it makes a pair, as in PASCAL VOC


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Give the IoU of boxes (m, 4) and (t, 4), (m, t) float64; 0 of boxes without area."""
    one, other = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    inter = np.clip(sides, 0, None).prod(axis=2)
    areas = ((box[..., 2:] - box[..., :2]).prod(axis=2) for box in (one, other))
    union = sum(areas) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def partners(truth: Boxes, pred: Boxes, across: bool = False) -> np.ndarray:
    """Tell which true box each predicted one claims.

    By falling score (ties in row order) each predicted box is compared with the true box of its
    image and class that it overlaps most (the first of equals), and claims it if the IoU exceeds
    `OVERLAP` and nobody claimed it before. This is the rule of PASCAL VOC (Everingham et al., The
    PASCAL Visual Object Classes Challenge, IJCV 2010, 4.2), by which average precision counts.

    Parameters
    ----------
    truth, pred
        Boxes of the same N images.
    across
        Whether predicted boxes that claimed nothing then claim, again by falling score, what is
        left of other classes: so a confusion of classes is seen.

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
        iou = overlaps(pred.xyxy[rows], truth.xyxy[true])
        same = pred.classes[rows, None] == truth.classes[None, true]
        order = np.argsort(-pred.scores[rows], kind="stable")
        part = _claim(np.where(same, iou, 0), order)
        if across:
            taken, idle = part[part >= 0], order[part[order] < 0]
            iou[:, taken] = 0
            part = np.where(part >= 0, part, _claim_left(iou, idle))
        claimed[rows] = np.where(part >= 0, part + true.start, -1)
    return claimed


def _claim(iou: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Let boxes claim their best partner, (m,); only the first claim of each counts."""
    best = iou.argmax(axis=1)
    willing = order[iou[order, best[order]] > OVERLAP]
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
        if iou[row, best] > OVERLAP:
            claimed[row] = best
            iou[:, best] = 0
    return claimed
