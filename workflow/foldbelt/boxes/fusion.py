"""Boxes of several members made one set: non-maximum suppression, and weighted boxes fusion.

Weighted boxes fusion: Solovyev, Wang, Gabruseva: Weighted boxes fusion: ensembling boxes from
different object detection models, Image and Vision Computing 107, 2021. Both go through the boxes
of an image and class by falling score, so that one comes after the other; but images and classes do
not meet, and the first boxes of all of them are treated at once, then the second ones, and so on.

Boxes of equal scores keep the order of the members, and of a member's rows, so that the same input
gives the same output everywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.boxes.overlaps import overlaps
from foldbelt.files import InputError

FUSIONS = ("nms", "wbf")
"""The ways to fuse, as a decision names them."""

KINDS = ("avg", "max")
"""What weighted boxes fusion makes of the scores of a cluster."""


def fuse(
    members: Sequence[Boxes],
    weights: Sequence[float],
    fusion: str,
    iou: float,
    least: float = 0.0,
    known: np.ndarray | None = None,
) -> Boxes:
    """Fuse the members' boxes by the method of that name.

    Parameters
    ----------
    members, weights, iou, least, known
        As for :func:`weighted_boxes_fusion`. With "nms" the scores are multiplied by the weights,
        the largest of an image being 1.
    fusion
        One of `FUSIONS`.

    Returns
    -------
    Boxes
        Of an image by falling score, ties in the order of classes ("wbf") or rows ("nms").

    Raises
    ------
    InputError
        If the fusion is unknown, or as :func:`weighted_boxes_fusion`.
    """
    if fusion not in FUSIONS:
        raise InputError(f"fusion {fusion!r} is unknown; choose one of {', '.join(FUSIONS)}.")
    if fusion == "wbf":
        return weighted_boxes_fusion(members, weights, iou, least, known=known)
    rows = _Rows.of(members, weights, least, known)
    score = rows.score / rows.largest[rows.image]
    order = np.lexsort((np.arange(len(score)), rows.image))
    made = _boxes(
        rows.image[order], rows.classes[order], rows.xyxy[order], score[order], rows.count
    )
    return nms(made, iou)


def nms(images: Boxes, iou: float) -> Boxes:
    """Drop boxes that overlap a better one of their image and class; Boxes, by falling score.

    Parameters
    ----------
    images
        Boxes of N images, in any order.
    iou
        A box is dropped where its IoU with one that was kept is above.
    """
    image, xyxy = images.of(), images.xyxy.astype(np.float64)
    order, start, size = _queues(image, images.classes, images.scores)
    kept, count = np.zeros((len(order), 4)), np.zeros(len(start), np.int64)
    stays = np.zeros(len(order), bool)
    for queues, rows in _rounds(start, size):
        new = order[rows]
        _, best = _closest(kept, start[queues], count[queues], xyxy[new])
        free = best <= iou
        queues, new = queues[free], new[free]
        kept[start[queues] + count[queues]] = xyxy[new]
        count[queues] += 1
        stays[new] = True
    rows = np.flatnonzero(stays)
    rows = rows[np.lexsort((-images.scores[rows].astype(np.float64), image[rows]))]
    return _boxes(image[rows], images.classes[rows], xyxy[rows], images.scores[rows], len(images))


def weighted_boxes_fusion(
    members: Sequence[Boxes],
    weights: Sequence[float],
    iou: float,
    least: float = 0.0,
    kind: str = "avg",
    known: np.ndarray | None = None,
) -> Boxes:
    """Average the boxes that overlap, weighted by score and member.

    A box joins the cluster of its image and class that it overlaps most (the first of equals), if
    their IoU is above `iou`, and moves it; else it founds one. The score of a cluster is the mean
    of its weighted scores, times the share of the members that found it.

    Parameters
    ----------
    members
        Of each member boxes of the same N images, scores in [0, 1].
    weights
        One a member, none negative; one that weighs 0 is left out.
    iou
        Overlap from which boxes are the same.
    least
        Boxes with lower scores are left out.
    kind
        "avg" as above; "max": the largest weighted score, in units of the largest weight.
    known
        (members, N) bool, which images a member predicted; None: all. Where one did not, the score
        of a cluster is that of the others, as if there were no more members; if all of those weigh
        0, they weigh the same.

    Returns
    -------
    Boxes
        Of an image by falling score, ties in the order of classes, then of clusters. Scores end at
        1, which unequal weights may exceed where a member has several boxes in a cluster.

    Raises
    ------
    InputError
        If shapes or weights do not fit.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    rows = _Rows.of(members, weights, least, known)
    order, start, size = _queues(rows.image, rows.classes, rows.score)
    where, score = rows.xyxy[order], rows.score[order]
    # Clusters of a queue lie where its boxes do: there are never more of them.
    box, total = np.zeros_like(where), np.zeros_like(where)
    mass, most, number = np.zeros((3, len(order)))
    count = np.zeros(len(start), np.int64)
    for queues, new in _rounds(start, size):
        found, best = _closest(box, start[queues], count[queues], where[new])
        joins = best > iou
        at, more = found[joins], new[joins]
        total[at] += score[more, None] * where[more]
        mass[at] += score[more]
        number[at] += 1
        heavy = at[mass[at] > 0]  # boxes without any score do not move a cluster
        box[heavy] = total[heavy] / mass[heavy, None]
        queues, new = queues[~joins], new[~joins]
        at = start[queues] + count[queues]
        box[at], total[at] = where[new], score[new, None] * where[new]
        mass[at], most[at], number[at] = score[new], score[new], 1
        count[queues] += 1
    made = np.flatnonzero(number)
    image, classes = rows.image[order][made], rows.classes[order][made]
    if kind == "max":
        made_score = most[made] / rows.largest[image]
    else:
        votes = np.minimum(rows.members[image], number[made])
        made_score = mass[made] / number[made] * votes / rows.weight[image]
    made_score = np.minimum(made_score, 1)
    by = np.lexsort((-made_score, image))
    return _boxes(image[by], classes[by], box[made][by], made_score[by], rows.count)


@dataclass(frozen=True)
class _Rows:
    """The boxes of all members, one member after the other; scores are weighted.

    `members` (N,) counts the members of each image, `weight` (N,) adds up their weights, of which
    `largest` (N,) is the largest, and `count` is N.
    """

    image: np.ndarray
    classes: np.ndarray
    xyxy: np.ndarray
    score: np.ndarray
    members: np.ndarray
    weight: np.ndarray
    largest: np.ndarray
    count: int

    @classmethod
    def of(
        cls,
        members: Sequence[Boxes],
        weights: Sequence[float],
        least: float,
        known: np.ndarray | None,
    ) -> "_Rows":
        counts = {len(boxes) for boxes in members}
        if len(counts) != 1 or len(weights) != len(members):
            raise InputError(
                f"there are {len(members)} members with boxes of {sorted(counts)} images, and "
                f"{len(weights)} weights; give every member boxes of the same images and a weight."
            )
        share = np.asarray(weights, np.float64)
        if not (np.isfinite(share).all() and (share >= 0).all() and share.any()):
            raise InputError(f"weights {list(weights)} must be 0 or more, and one above 0.")
        images = counts.pop()
        there = np.ones((len(members), images), bool) if known is None else np.asarray(known, bool)
        if there.shape != (len(members), images):
            raise InputError(f"known is {there.shape}, not ({len(members)}, {images}).")
        each = there * share[:, None]
        lost = there.any(axis=0) & ~each.any(axis=0)
        each[:, lost] = there[:, lost]
        parts = []
        for boxes, weight in zip(members, each, strict=True):
            image = boxes.of()
            rows = (weight[image] > 0) & (boxes.scores >= least)
            image = image[rows]
            score = boxes.scores[rows].astype(np.float64) * weight[image]
            parts.append((image, boxes.classes[rows], boxes.xyxy[rows].astype(np.float64), score))
        image, classes, xyxy, score = (np.concatenate(part) for part in zip(*parts, strict=True))
        total, largest = each.sum(axis=0), each.max(axis=0)
        return cls(image, classes, xyxy, score, (each > 0).sum(axis=0), total, largest, images)


def _queues(
    image: np.ndarray, classes: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Line up the boxes of each image and class by falling score, ties in row order.

    Returns
    -------
    order, start, size
        Rows, queue by queue; where in `order` each queue begins, and its length.
    """
    order = np.lexsort((-score.astype(np.float64), classes, image))
    new = np.diff(image[order], prepend=-1) != 0
    new |= np.diff(classes[order], prepend=-1) != 0
    start = np.flatnonzero(new)
    return order, start, np.diff(np.append(start, len(order)))


def _rounds(start: np.ndarray, size: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the queues that have a first box, and the places of these boxes; a second one; …"""
    queues = np.argsort(-size, kind="stable")
    for turn in range(int(size.max(initial=0))):
        queues = queues[: np.searchsorted(-size[queues], -turn)]
        yield queues, start[queues] + turn


def _closest(
    boxes: np.ndarray, start: np.ndarray, count: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give of each new box the place of the box that it overlaps most, and their IoU.

    Parameters
    ----------
    boxes
        (M, 4); those to which new box i is compared are ``start[i]:start[i] + count[i]``.
    start, count
        (n,).
    new
        (n, 4).

    Returns
    -------
    place, iou
        (n,); 0 and -1 where there is none. The first of equals.
    """
    best, place = np.full(len(new), -1.0), np.zeros(len(new), np.int64)
    some = np.flatnonzero(count)
    if not len(some):
        return place, best
    best[some], place[some] = 0, start[some]  # of those that meet none the first is as good
    count, first = count[some], np.cumsum(count[some]) - count[some]
    at = np.arange(first[-1] + count[-1]) + np.repeat(start[some] - first, count)
    mine = np.repeat(some, count)
    for low, high in ((0, 2), (1, 3)):  # few boxes meet; only of these the IoU is computed
        meet = (boxes[at, low] < new[mine, high]) & (boxes[at, high] > new[mine, low])
        at, mine = at[meet], mine[meet]
    if not len(at):
        return place, best
    iou = overlaps(boxes[at], new[mine])
    first = np.flatnonzero(np.diff(mine, prepend=-1))
    most = np.maximum.reduceat(iou, first)
    equal = np.where(iou == np.repeat(most, np.diff(np.append(first, len(at)))), at, len(boxes))
    best[mine[first]], place[mine[first]] = most, np.minimum.reduceat(equal, first)
    return place, best


def _boxes(
    image: np.ndarray, classes: np.ndarray, xyxy: np.ndarray, score: np.ndarray, images: int
) -> Boxes:
    """Make Boxes of rows that are sorted by image."""
    start = np.searchsorted(image, np.arange(images + 1))
    return Boxes(start, xyxy.astype(np.float32), classes, score.astype(np.float32))
