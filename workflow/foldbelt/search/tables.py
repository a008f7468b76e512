"""Tables of connected components: what a search needs to remove small ones without any pixel.

A row is a component of one image and class at one cut: its area, how much of it is truly on, its
largest and its mean probability. A cut is a pixel threshold, the same for all images, or one that
is divided by the image's label probability (the gate "product"). Removing components of fewer than
so many pixels and adding up the areas of the rest gives what :mod:`foldbelt.search.counting`
counts.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from foldbelt.files import InputError
from foldbelt.search.components import Components, nested
from foldbelt.search.gates import gate_values, level, product_level
from foldbelt.search.space import Grid

#: Columns of a table and what they are stored as.
COLUMNS = {
    "image": np.uint32,
    "class": np.uint8,
    "cut": np.uint16,
    "area": np.uint32,
    "inter": np.uint32,
    "peak": np.uint8,
    "mean": np.float32,
}


class Cuts(NamedTuple):
    """Where probabilities are cut: uint8 levels, rising, then thresholds of a product."""

    levels: tuple[int, ...]
    products: tuple[float, ...]

    @classmethod
    def of(cls, grid: Grid) -> "Cuts":
        """Give the cuts that a grid needs, and that at which nothing is on."""
        grid = grid.with_empty()
        product = "product" in grid.mode
        plain = grid.threshold[:0] if set(grid.mode) == {"product"} else grid.threshold
        levels = np.unique(level(plain)).tolist()
        return cls(tuple(levels), tuple(np.unique(grid.threshold).tolist() if product else ()))

    def at(self, p: float) -> list[int]:
        """Give the level of each cut for an image with that label probability."""
        divided = product_level(np.array(self.products), np.array(p))
        return [*self.levels, *divided.tolist()]

    def places(self, thresholds: np.ndarray, product: bool) -> np.ndarray:
        """Give the numbers of the cuts that thresholds stand for.

        Raises
        ------
        InputError
            If the table was made at other thresholds.
        """
        wanted = thresholds if product else level(thresholds)
        known = np.asarray(self.products if product else self.levels, np.float64)
        places = np.searchsorted(known, wanted)
        if not known.size or (known[np.minimum(places, len(known) - 1)] != wanted).any():
            raise InputError(
                "the table of components was made at other thresholds than the space holds; make "
                "it again."
            )
        return places + (len(self.levels) if product else 0)


@dataclass(frozen=True)
class Table:
    """The components of N images and K classes; of R rows what a search needs.

    Parameters
    ----------
    cuts
        Where the probabilities were cut.
    columns
        (R,) of each name in :data:`COLUMNS`; `peak` and `mean` may be left out. Rows are sorted by
        image.
    truth
        (N, K) pixels that are truly on. Ignored pixels count nowhere, as if they were off.
    gate
        (N, K) float64 what a gate is compared with: the label probability, or the largest pixel
        probability.
    gate_on
        "label" or "peak", which of the two it is.
    """

    cuts: Cuts
    columns: dict[str, np.ndarray]
    truth: np.ndarray
    gate: np.ndarray
    gate_on: str

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def at_all_levels(self) -> bool:
        """Whether any threshold can be looked up: components are known at the cuts alone."""
        return False

    def take(self, rows: np.ndarray) -> "Table":
        """Give the components of some images; see :class:`foldbelt.search.sums.Counted`."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        image = place[self.columns["image"]]
        columns = {name: values[image >= 0] for name, values in self.columns.items()}
        columns["image"] = image[image >= 0].astype(COLUMNS["image"])
        return dataclasses.replace(
            self, columns=columns, truth=self.truth[rows], gate=self.gate[rows]
        )

    def at(
        self, k: int, thresholds: np.ndarray, product: bool = False, least: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Count pixels of class k that are on; see :class:`foldbelt.search.sums.Counted`."""
        places = self.cuts.places(np.asarray(thresholds, np.float64), product)
        number = len(self.cuts.levels) + len(self.cuts.products)
        cell, area, inter = self._of_class[k]
        large = area >= least
        shape = len(self), number
        sums = [
            np.bincount(cell[large], part[large], shape[0] * number).astype(np.int64).reshape(shape)
            for part in (inter, area)
        ]
        return sums[0][:, places], sums[1][:, places]

    @cached_property
    def _of_class(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each class the rows' cells (image and cut in one number), areas and overlaps."""
        number = len(self.cuts.levels) + len(self.cuts.products)
        classes = []
        for k in range(self.truth.shape[1]):
            rows = np.flatnonzero(self.columns["class"] == k)
            image, cut, area, inter = (
                self.columns[name][rows].astype(np.int64)
                for name in ("image", "cut", "area", "inter")
            )
            classes.append((image * number + cut, area, inter))
        return classes


class Image(NamedTuple):
    """The rows of one image, but for its number, and its (K,) truth and largest probability."""

    columns: dict[str, np.ndarray]
    truth: np.ndarray
    peak: np.ndarray


def describe(
    prob: np.ndarray,
    truth: np.ndarray,
    ignore: np.ndarray | None,
    cuts: Cuts,
    label: np.ndarray | None = None,
) -> Image:
    """Find the components of one image.

    Parameters
    ----------
    prob
        (h, w[, K]) uint8.
    truth
        (h, w[, K]) bool or 0/1.
    ignore
        (h, w) bool, or None.
    cuts
        Where to cut.
    label
        (K,) or (1,) label probabilities; None: the largest pixel probability is what divides the
        thresholds of a product.

    Raises
    ------
    InputError
        If sizes do not agree or `prob` is not uint8.
    """
    prob, truth = (np.atleast_3d(np.asarray(part)) for part in (prob, truth))
    if prob.dtype != np.uint8:
        raise InputError(f"probabilities must be uint8 (value/255), not {prob.dtype}.")
    if prob.shape != truth.shape or (ignore is not None and ignore.shape != prob.shape[:2]):
        raise InputError(
            f"probabilities {prob.shape}, truth {truth.shape} and ignored pixels "
            f"{None if ignore is None else ignore.shape} must agree in size."
        )
    classes = prob.shape[2]
    parts: list[tuple[int, int, Components]] = []
    areas, peaks = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for k in range(classes):
        plane, true = np.ascontiguousarray(prob[..., k]), truth[..., k]
        if ignore is not None:
            plane, true = np.where(ignore, np.uint8(0), plane), np.where(ignore, 0, true)
        areas[k], peaks[k] = np.count_nonzero(true), plane.max(initial=0)
        p = peaks[k] / 255 if label is None else label[k if len(label) > 1 else 0]
        levels = cuts.at(float(p))
        wanted = sorted({value for value in levels if value <= peaks[k]})
        components = dict(zip(wanted, nested(plane, true, wanted), strict=True))
        parts += [(k, cut, components[v]) for cut, v in enumerate(levels) if v in components]
    return Image(_columns(parts), areas, peaks)


def _columns(parts: Sequence[tuple[int, int, Components]]) -> dict[str, np.ndarray]:
    sizes = [len(components.area) for *_, components in parts]
    none = [np.zeros(0)]
    columns: dict[str, np.ndarray] = {
        "class": np.repeat([k for k, *_ in parts], sizes),
        "cut": np.repeat([cut for _, cut, _ in parts], sizes),
    }
    for name in Components._fields:
        columns[name] = np.concatenate(
            [getattr(components, name) for *_, components in parts] or none
        )
    return {name: values.astype(COLUMNS[name]) for name, values in columns.items()}


def tabulate(
    pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None]],
    cuts: Cuts,
    label_prob: np.ndarray | None = None,
) -> Table:
    """Make the table of images that come one by one, of equal or different sizes.

    Parameters
    ----------
    pairs
        Of each image: probabilities (h, w[, K]) uint8, truth (h, w[, K]), ignored pixels (h, w)
        or None.
    cuts
        Where to cut.
    label_prob
        (N,), (N, 1) or (N, K) label probabilities for the gate, or None.

    Returns
    -------
    Table
    """
    labels = None if label_prob is None else np.asarray(label_prob, np.float64)
    images = []
    for row, (prob, truth, ignore) in enumerate(pairs):
        label = None if labels is None else np.atleast_1d(labels[row])
        images.append(describe(prob, truth, ignore, cuts, label))
    return joined(images, cuts, labels)


def joined(images: Sequence[Image], cuts: Cuts, label_prob: np.ndarray | None) -> Table:
    """Put the rows of images, in their order, into one table."""
    if not images:
        raise InputError("there is no image to search decision parameters on.")
    sizes = [len(image.columns["area"]) for image in images]
    columns = {
        name: np.concatenate([image.columns[name] for image in images])
        for name in images[0].columns
    }
    columns["image"] = np.repeat(np.arange(len(images), dtype=COLUMNS["image"]), sizes)
    truth = np.stack([image.truth for image in images])
    gate = gate_values(np.stack([image.peak for image in images]) / 255, label_prob)
    return Table(cuts, columns, truth, gate, "peak" if label_prob is None else "label")
