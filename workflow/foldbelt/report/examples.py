"""The contact sheet of training images, with their masks outlined, or else their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from foldbelt import store
from foldbelt.report import box_drawing, known, style
from foldbelt.report import classes as classes_
from foldbelt.report.coverage import BOUNDS, class_name, coverage_class
from foldbelt.report.known import Known

ROWS = 6
LABEL_INCHES, WIDEST_LABEL = 0.95, 2.0
_MOST_KINDS = 16  # rows of images without masks
_ROWS_OF_COVERAGE = (
    "Rows: share of the image that the mask covers; images drawn at random within a row."
)
_ROWS_OF_CLASSES = (
    "Rows: the rarest class that an image holds, drawn at random within a row; in brackets the "
    "share of all images that hold the class, be it their rarest or not."
)
_ROWS_OF_COUNTS = "Rows: how many boxes an image has; images drawn at random within a row."
_ROWS_OF_ONE_LABEL = "Rows: the label of an image; images drawn at random within a row."
_ROWS_OF_LABELS = (
    "Rows: the rarest label of an image, drawn at random within a row; in brackets the share of "
    "all images that have the label, be it their rarest or not."
)


class Marks(Protocol):
    """What is drawn over images."""

    def size(self, at: int) -> Sequence[int]:
        """Give height and width of an image, in whose pixels its marks are."""

    def draw(self, axes: Axes, at: int) -> None:
        """Draw the marks of an image."""

    def handles(self) -> list[Any]:
        """Give the entries of the legend."""


@dataclass(frozen=True)
class Sheet:
    """The rows of a contact sheet.

    Attributes
    ----------
    kinds
        (N,): which kind of row each image belongs to.
    names, shares
        Of the kinds, with what share of all images is of it.
    most
        Number of rows, where every kind has enough images.
    title
        Of the figure.
    """

    kinds: np.ndarray
    names: list[str]
    shares: list[float]
    most: int
    title: str


def draw(data: str, out: str, seed: int = 0) -> None:
    """Draw a contact sheet of training images, a row (or more) for each class of coverage.

    Where there are several classes of masks, a row is of the images that hold one of them; an image
    that holds several is shown with the rarest. Without masks, rows are of labels in the same way,
    or else of boxes: by their classes, or by how many there are.

    Parameters
    ----------
    data
        The training data, data/train.h5.
    out
        A PNG.
    seed
        Which images of each class are shown.
    """
    table = store.table(data).sort_values("id", kind="stable", ignore_index=True)
    if not len(table):
        style.message(out, "No training images")
        return
    sizes = store.original_sizes(data)
    ids = [str(name) for name in table["id"]]
    masked = store.has(data, "mask")
    sheet = _of_masks(data, table, sizes) if masked else _without_masks(data, ids, sizes)
    aspect = float(np.median(sizes[:, 0] / sizes[:, 1]))
    across = 8 if aspect > 0.6 else 4
    rows = _choose(sheet.kinds, across, seed, sheet.most)
    across = max(4, max(map(len, rows)))
    wanted = [ids[number] for row in rows for number in row]
    images = store.read(data, "image", wanted)
    marks: Marks = _Masks(data, wanted) if masked else _Boxes(data, wanted)
    cell = 10.4 / across if aspect <= 0.6 else 1.3
    names = [style.fit(name, WIDEST_LABEL - 0.1) for name in sheet.names]
    label = max(LABEL_INCHES, *(0.1 + style.inches(name) for name in names))
    width, height = label + across * cell, len(rows) * (cell * min(aspect, 1.4) + 0.05) + 0.4
    low = cell * aspect < 0.7  # no room for three lines beside it
    with style.figure(out, sheet.title, width, height, **style.TIGHT) as made:
        grid = made.subplots(
            len(rows), across + 1, squeeze=False, width_ratios=[label, *[cell] * across]
        )
        for axes in grid.flat:
            style.bare(axes)
        at, before = 0, -1
        for line, row in zip(grid, rows, strict=True):
            for axes in line[1 : 1 + len(row)]:
                style.tile(axes, images[at], marks.size(at))
                marks.draw(axes, at)
                at += 1
            number = int(sheet.kinds[row[0]])
            if number != before:
                share = style.percent(sheet.shares[number])
                text = f"{names[number]}\n({share}" + (")" if low else "\nof images)")
                line[0].text(
                    1,
                    1,
                    text,
                    transform=line[0].transAxes,
                    ha="right",
                    va="top",
                    size=9 if low else None,
                )
            before = number
        if handles := marks.handles():
            style.legend(made, handles, 6)


def _of_masks(data: str, table: pd.DataFrame, sizes: np.ndarray) -> Sheet:
    """Lay out images by their masks."""
    count = classes_.count(data)
    title = _title(table, sizes, count)
    if count == 1:
        classes = coverage_class(table["coverage"].to_numpy(np.float64))
        names = [class_name(number) for number in range(len(BOUNDS))]
        shares = [float((classes == number).mean()) for number in range(len(BOUNDS))]
        return Sheet(classes, names, shares, ROWS, title)
    there = classes_.presence(data, table["id"].tolist())
    classes = classes_.kinds(there)
    shares = [float((classes == 0).mean()), *there.mean(axis=0).tolist()]
    names = ["nothing", *classes_.mask_names(data, count)]
    return Sheet(classes, names, shares, (count + 1) * (2 if count <= 6 else 1), title)


def _without_masks(data: str, ids: list[str], sizes: np.ndarray) -> Sheet:
    """Lay out images by their labels, or else by their boxes."""
    given = known.read(data, ids)
    words = [known.boxes_in_words(given.counts)] if given.boxes is not None else []
    words += [known.labels_in_words(given)] if given.label_names else []
    title = f"{style.plural(len(ids), 'training image')}: {'; '.join(words)}\n{_sizes(sizes)}. "
    if given.label_names:
        one = (given.has().sum(axis=1) <= 1).all()
        rows = _ROWS_OF_ONE_LABEL if one else _ROWS_OF_LABELS
        return _by_kind(given.has(), given.unlabelled(), given.label_names, title, rows)
    unknown = given.counts == known.UNKNOWN
    if len(given.box_names) > 1:
        return _by_kind(given.holds(), unknown, given.box_names, title, _ROWS_OF_CLASSES)
    classes = known.count_class(given.counts)
    names = known.count_names()
    shares = [float((classes == number).mean()) for number in range(len(names))]
    return Sheet(classes, names, shares, ROWS, title + _ROWS_OF_COUNTS)


def _by_kind(
    there: np.ndarray, unknown: np.ndarray, kinds: list[str], title: str, rows: str
) -> Sheet:
    """Lay out images by the rarest of what is there, (N, K) bool; what is not known is last."""
    kept = np.sort(np.argsort(-there.sum(axis=0), kind="stable")[:_MOST_KINDS])
    if len(kept) < len(kinds):
        rows += f" Shown are the {len(kept)} most common of {len(kinds)}."
    shown = there[:, kept]
    classes = np.where(unknown & ~shown.any(axis=1), len(kept) + 1, classes_.kinds(shown))
    nothing, lost = (float((classes == number).mean()) for number in (0, len(kept) + 1))
    names = ["nothing" if len(kept) == len(kinds) else "none of these"]
    names += [*(kinds[k] for k in kept), "unknown"]
    shares = [nothing, *shown.mean(axis=0).tolist(), lost]
    most = (len(kept) + 1) * (2 if len(kept) <= 6 else 1)
    return Sheet(classes, names, shares, most, title + rows)


class _Masks:
    """Outlines of masks, and ignored pixels hatched."""

    def __init__(self, data: str, ids: list[str]) -> None:
        self.count = classes_.count(data)
        self.names = classes_.mask_names(data, self.count)
        self.truths = list(store.truth(data, ids))

    def size(self, at: int) -> Sequence[int]:
        return self.truths[at][0].shape[:2]

    def draw(self, axes: Axes, at: int) -> None:
        truth, ignored = self.truths[at]
        for channel in range(self.count):
            style.outline(axes, truth[..., channel], *classes_.look(channel))
        style.hatch(axes, ignored)

    def handles(self) -> list[Any]:
        names = ["outline of the mask"] if self.count == 1 else self.names
        looks = map(classes_.look, range(self.count))
        handles: list[Any] = [
            style.key(colour, name, line) for name, (colour, line) in zip(names, looks, strict=True)
        ]
        if any(ignored is not None for _, ignored in self.truths):
            handles.append(style.ignored_patch())
        return handles


class _Boxes:
    """Boxes, in the colours of their classes; nothing where there are labels alone."""

    def __init__(self, data: str, ids: list[str]) -> None:
        self.known: Known = known.read(data, ids)
        self.sizes = store.original_sizes(data, ids)

    def size(self, at: int) -> Sequence[int]:
        height, width = self.sizes[at].tolist()
        return height, width

    def draw(self, axes: Axes, at: int) -> None:
        if self.known.boxes is None:
            return
        for row in self.known.boxes.image(at):
            box_drawing.outline(axes, row, *classes_.look(int(row[0])), 1.4)

    def handles(self) -> list[Any]:
        names = self.known.box_names
        shown = ["box"] if len(names) == 1 else names
        return [style.key(classes_.look(k)[0], name, classes_.look(k)[1])
                for k, name in enumerate(shown)]  # fmt: skip


def _choose(classes: np.ndarray, across: int, seed: int, most: int = ROWS) -> list[np.ndarray]:
    """Pick rows of the contact sheet: positions of up to `across` images each, classes in order."""
    present = np.unique(classes)
    each = max(1, most // max(1, len(present)))
    random = np.random.default_rng(seed)
    rows = []
    for number in present:
        members = np.flatnonzero(classes == number)
        picked = random.permutation(members)[: each * across]
        rows += [picked[at : at + across] for at in range(0, len(picked), across)]
    return rows


def _title(table: pd.DataFrame, sizes: np.ndarray, count: int) -> str:
    coverage = table["coverage"].to_numpy(np.float64)
    filled = coverage[coverage > 0]
    empty = style.percent(float((coverage == 0).mean())) if (coverage == 0).any() else "none"
    covered = "there is nothing to find"
    if len(filled):
        those = "the median" + (" of the others" if len(filled) < len(table) else "")
        covered = f"{those} is covered by {style.percent(float(np.median(filled)))}"
    return (
        f"{style.plural(len(table), 'training image')}: {empty} empty, {covered}\n"
        f"{_sizes(sizes)}. {_ROWS_OF_COVERAGE if count == 1 else _ROWS_OF_CLASSES}"
    )


def _sizes(sizes: np.ndarray) -> str:
    """Say how large images are, (N, 2)."""
    low, high = sizes.min(axis=0), sizes.max(axis=0)
    size = f"{low[0]}×{low[1]} pixels"
    if (low != high).any():
        size = f"From {size} to {high[0]}×{high[1]}"
    return f"{size} (height × width)"
