"""Average precision of boxes that are matched once and then scored as often as one likes.

Which box is right does not depend on what else is scored with it, for boxes meet only the true
boxes of their own image. So a draw of the bootstrap, a fold, or all images but a fold are weights
of images: nothing is matched again, and a score costs a few passes over the boxes. The definition
is that of :func:`foldbelt.metrics.mean_average_precision`; both give the same number to the bit.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.boxes.overlaps import overlaps
from foldbelt.files import InputError

IOU = 0.5
"""A box is right where it overlaps a true one by more."""


@dataclass(frozen=True)
class Ranking:
    """Boxes matched to the truth, ranked: class by class, by falling score, ties in row order.

    Attributes
    ----------
    right
        (M,) bool, of each predicted box in the order of its rows: does it claim a true one?
    image
        (M,) int64, the image of each box, in ranked order.
    place
        K + 1 numbers: the boxes of class k are ``place[k]:place[k + 1]`` in ranked order.
    hits
        Of each class the places within it of the boxes that are right, rising.
    true
        Of each class the images of its true boxes, (n,) int64.
    images
        N, the number of images.
    """

    right: np.ndarray
    image: np.ndarray
    place: np.ndarray
    hits: tuple[np.ndarray, ...]
    true: tuple[np.ndarray, ...]
    images: int

    @classmethod
    def match(
        cls, truth: Boxes, pred: Boxes, classes: int, known: np.ndarray | None = None
    ) -> "Ranking":
        """Match the boxes of N images.

        Parameters
        ----------
        truth, pred
            Boxes of the same images.
        classes
            K, how many classes there are.
        known
            (N,) bool, the images of which the true boxes are known; None: all. The others count
            nowhere, not even their predicted boxes.

        Raises
        ------
        InputError
            If the images differ in number, a number is not finite, a box is inside out, or a class
            is not among the K.
        """
        if len(truth) != len(pred):
            raise InputError(f"truth has {len(truth)} images and pred has {len(pred)}.")
        for boxes, name in ((truth, "truth"), (pred, "pred")):
            _check(boxes, name, classes)
        right = _claims(truth, pred, classes)
        image, true_image = pred.of(), truth.of()
        used, counted = np.ones(len(image), bool), np.ones(len(true_image), bool)
        if known is not None:
            used, counted = np.asarray(known)[image], np.asarray(known)[true_image]
            right &= used
        order = np.lexsort((-pred.scores.astype(np.float64), pred.classes))
        order = order[used[order]]
        place = np.searchsorted(pred.classes[order], np.arange(classes + 1))
        hits = [np.flatnonzero(right[order[a:b]]) for a, b in pairwise(place)]
        true = [true_image[counted & (truth.classes == k)] for k in range(classes)]
        return cls(right, image[order], place, tuple(hits), tuple(true), len(truth))

    def classes(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Give the average precision of every class, (K,) float64; NaN where it has no true box.

        Parameters
        ----------
        weights
            (N,) how often each image counts, whole numbers, or what else is not negative; None:
            once. An image that counts twice is as good as two: of its boxes each is followed by its
            own copy, which claims the copy of the true box.
        """
        count = np.ones(self.images) if weights is None else np.asarray(weights, np.float64)
        scores = np.full(len(self.true), np.nan)
        for k, (hits, true) in enumerate(zip(self.hits, self.true, strict=True)):
            number = count[true].sum()
            if number > 0:
                each = count[self.image[self.place[k] : self.place[k + 1]]]
                scores[k] = _area(each, hits) / number
        return scores

    def score(self, weights: np.ndarray | None = None) -> float:
        """Give the mean over the classes that have true boxes; NaN if there are none.

        Parameters
        ----------
        weights
            As for :meth:`classes`.
        """
        scores = self.classes(weights)
        scores = scores[~np.isnan(scores)]
        return math.fsum(scores) / len(scores) if len(scores) else float("nan")


def _check(boxes: Boxes, name: str, classes: int) -> None:
    numbers = boxes.xyxy
    bad = ~(np.isfinite(numbers).all(axis=1) & np.isfinite(boxes.scores))
    bad |= (numbers[:, 2] < numbers[:, 0]) | (numbers[:, 3] < numbers[:, 1])
    bad |= (boxes.classes < 0) | (boxes.classes >= classes)
    if bad.any():
        images = ", ".join(map(str, np.unique(boxes.of()[bad])[:20]))
        raise InputError(
            f"{name} has {bad.sum()} boxes with numbers that are not finite, with x2 < x1 or "
            f"y2 < y1, or of a class that is not 0 … {classes - 1} (images {images}); correct or "
            "drop them."
        )


def _claims(truth: Boxes, pred: Boxes, classes: int) -> np.ndarray:
    """Tell which predicted boxes claim a true one, (M,) bool, in the order of the rows.

    Each looks at the true box of its image and class that it overlaps most, the first of equals,
    and the highest score claims it.
    """
    right = np.zeros(len(pred.classes), bool)
    pair, target = _pairs(truth.of() * classes + truth.classes, pred.of() * classes + pred.classes)
    if not len(pair):
        return right
    a, b = pred.xyxy[pair].astype(np.float64), truth.xyxy[target].astype(np.float64)
    iou = overlaps(a, b)
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    most = np.maximum.reduceat(iou, first)
    # Of the pairs of one box: the first that overlaps as much as the best does.
    best = np.flatnonzero(iou == np.repeat(most, np.diff(np.append(first, len(pair)))))
    best = best[np.diff(pair[best], prepend=-1) != 0]
    best = best[iou[best] > IOU]
    best = best[np.argsort(-pred.scores[pair[best]].astype(np.float64), kind="stable")]
    _, claimants = np.unique(target[best], return_index=True)
    right[pair[best[claimants]]] = True
    return right


def _pairs(true_key: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair every box with the true ones of its key, both by rows; boxes rise, then true ones."""
    order = np.argsort(true_key, kind="stable")
    ranked = true_key[order]
    low = np.searchsorted(ranked, key)
    count = np.searchsorted(ranked, key, "right") - low
    pair = np.repeat(np.arange(len(key)), count)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    return pair, order[np.repeat(low, count) + within]


def _area(each: np.ndarray, hits: np.ndarray) -> float:
    """Add up the precision envelope over the hits.

    Precision falls from one hit to the next and jumps up there, so the envelope is a running
    maximum over later hits; the copies of a hit, too, only raise it, and the last is the highest.

    Parameters
    ----------
    each
        (m,) how often each box of a class counts, by falling score.
    hits
        (h,) the places of those that are right.
    """
    weight = each[hits]
    number = np.cumsum(each)[hits]
    precision = np.divide(np.cumsum(weight), number, out=np.zeros_like(weight), where=number > 0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * weight).sum())
