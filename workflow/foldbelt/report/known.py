"""What is known of images that have no masks: their boxes, and labels of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.report import style
from foldbelt.report.classes import spoken

UNKNOWN = -1
"""Number of boxes of an image of which nobody said what boxes it has."""
_COUNTS = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10))  # classes of how many boxes, and beyond


@dataclass(frozen=True)
class Known:
    """What is known of N images.

    Attributes
    ----------
    ids
        (N,) str.
    boxes, counts, box_names
        Their boxes, how many each has, `UNKNOWN` where nobody said, (N,) int64, and names of the
        classes; without boxes None, all unknown, none.
    labels, label_names
        (N, L) float64 from 0 to 1, NaN where nobody said; without labels (N, 0).
    """

    ids: list[str]
    boxes: Boxes | None
    counts: np.ndarray
    box_names: list[str]
    labels: np.ndarray
    label_names: list[str]

    def has(self) -> np.ndarray:
        """Tell which images have which labels, (N, L) bool."""
        return self.labels > 0.5  # NaN is not

    def holds(self) -> np.ndarray:
        """Tell which images hold boxes of which classes, (N, C) bool."""
        there = np.zeros((len(self.ids), len(self.box_names)), bool)
        if self.boxes is not None:
            there[self.boxes.of(), self.boxes.classes] = True
        return there

    def unlabelled(self) -> np.ndarray:
        """Tell of which images some label is unknown, (N,) bool."""
        unknown: np.ndarray = np.isnan(self.labels).any(axis=1)
        return unknown


def read(data: str, ids: Sequence[str]) -> Known:
    """Read what is known of some images, in this order.

    Parameters
    ----------
    data
        data/train.h5, or a file of pseudo-labels, whose classes and labels have no names.
    ids
        The images.
    """
    ids = [str(name) for name in ids]
    attrs = store.attrs(data)
    boxes, names, counts = None, [], np.full(len(ids), UNKNOWN, np.int64)
    if store.has(data, "boxes"):
        boxes = Boxes.from_bytes(list(store.read(data, "boxes", ids)))
        counts = store.read(data, "table/boxes", ids).astype(np.int64)
        most = int(boxes.classes.max(initial=-1)) + 1
        names = list(attrs.get("box_names") or range(1, most + 1))
    labels, label_names = np.zeros((len(ids), 0)), []
    if store.has(data, "labels"):
        labels = store.read(data, "labels", ids).astype(np.float64)
        label_names = list(attrs.get("label_names") or range(1, labels.shape[1] + 1))
    spoken_names = (spoken(list(map(str, given))) for given in (names, label_names))
    return Known(ids, boxes, counts, next(spoken_names), labels, next(spoken_names))


def count_class(counts: np.ndarray) -> np.ndarray:
    """Class of each number of boxes (N,): none, 1, 2, 3 to 5, 6 to 10, more; last, unknown."""
    counts = np.asarray(counts)
    found = np.searchsorted([last for _, last in _COUNTS], counts, side="left")
    return np.where(counts == UNKNOWN, len(_COUNTS) + 1, found)


def count_names() -> list[str]:
    """Name the classes of `count_class`.

    Examples
    --------
    >>> count_names()
    ['no box', '1 box', '2 boxes', '3–5 boxes', '6–10 boxes', 'over 10 boxes', 'unknown']
    """
    names = ["no box"]
    for first, last in _COUNTS[1:]:
        span = f"{first}" if first == last else f"{first}–{last}"
        names.append(f"{span} box" + ("" if last == 1 else "es"))
    return [*names, f"over {_COUNTS[-1][1]} boxes", "unknown"]


def boxes_in_words(counts: np.ndarray) -> str:
    """Say how many images (N,) have boxes, and how many: '10 % without boxes, the median …'."""
    given = counts[counts != UNKNOWN]
    if not len(given):
        return "no boxes are known"
    some = given[given > 0]
    none = style.percent(float((given == 0).mean())) if (given == 0).any() else "none"
    text = f"{none} without boxes"
    if len(some):
        those = "the median" + (" of the others" if len(some) < len(given) else "")
        text += f", {those} holds {np.median(some):g}, the fullest {some.max():,}"
    if len(given) < len(counts):
        text += f"; boxes of {style.percent(1 - len(given) / len(counts))} are unknown"
    return text


def labels_in_words(known: Known) -> str:
    """Say how many labels there are, and how often: '3 labels, from rain (5 %) to sun (60 %)'."""
    share = known.has().mean(axis=0)
    low, high = int(share.argmin()), int(share.argmax())
    named = [f"{known.label_names[k]} ({style.percent(float(share[k]))})" for k in (low, high)]
    text = f"the label {named[0]}" if len(share) == 1 else style.plural(len(share), "label")
    if len(share) > 1:
        text += f", from {named[0]} to {named[1]}"
    unknown = known.unlabelled()
    if unknown.any():
        text += f"; unknown of {style.percent(float(unknown.mean()))}"
    return text
