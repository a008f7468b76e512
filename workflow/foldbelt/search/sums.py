"""Sums of scores over folds at every point of a grid, which is all that a search compares.

Where masks are told by their components, only the images with anything on at the lowest threshold
are looked at; all others score what empty masks do, wherever on the grid. (Where they are told by
counts of pixels all images are, and so the sums keep the last bit that they have always had.)
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from foldbelt import metrics
from foldbelt.search.gates import keeps
from foldbelt.search.space import Grid


class Counted(Protocol):
    """What a search needs of N images and K classes: counts of pixels, or a table of components.

    Attributes
    ----------
    truth : ndarray
        (N, K) pixels that are truly on.
    gate : ndarray
        (N, K) what a gate is compared with.
    gate_on : str
        "label" or "peak", which of the two it is.
    at_all_levels : bool
        Whether any threshold can be looked up.
    """

    @property
    def truth(self) -> np.ndarray: ...
    @property
    def gate(self) -> np.ndarray: ...
    @property
    def gate_on(self) -> str: ...
    @property
    def at_all_levels(self) -> bool: ...

    def take(self, rows: np.ndarray) -> "Counted":
        """Give what is known of some images, by their rising places."""

    def at(
        self, k: int, thresholds: np.ndarray, product: bool, least: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Count pixels of class k that are on at relevant thresholds.

        Parameters
        ----------
        k
            The class.
        thresholds
            (T,) fractions.
        product
            Whether the probabilities are multiplied by what the gate looks at.
        least
            Components of fewer pixels are off.

        Returns
        -------
        inter, area
            (N, T) those that are truly on, and all.
        """


class Sums:
    """Sums of scores over each fold at each point of the grid.

    Parameters
    ----------
    counts
        Of N images.
    grid
        The grid.
    score
        From :func:`foldbelt.metrics.from_counts`.
    fold_index
        (N,) fold of each image, 0 … number - 1, each occurring.
    number
        How many folds there are.
    shared
        Whether the expected score of a mask is taken over all classes.
    """

    def __init__(
        self,
        counts: Counted,
        grid: Grid,
        score: metrics.CountsMetric,
        fold_index: np.ndarray,
        number: int,
        shared: bool = False,
    ) -> None:
        self.grid, self.score, self.shared = grid, score, shared
        self.sizes = np.bincount(fold_index, minlength=number)
        self.plain = fold_sums(counts, grid, score, fold_index, number)
        self.expected = (
            Expected(counts, grid, score, fold_index, number, shared)
            if "expected" in grid.mode
            else None
        )

    def sums(self, left_out: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Sum the scores; the expected gates are found on all folds but one.

        Returns
        -------
        sums : ndarray
            (number, K, T, M, C, G).
        gates : ndarray or None
            (K, T, M, C) of the mode "expected", where it is tried.
        """
        if self.expected is None:
            return self.plain, None
        place = self.grid.mode.index("expected")
        gates = self.expected.gates(left_out)
        self.plain[..., place] = self.expected.sums(gates)
        return self.plain, gates

    def means(self, left_out: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the mean scores (K, T, M, C, G) of all images outside a fold, and the gates."""
        sums, gates = self.sums(left_out)
        if left_out is None:
            return sums.sum(axis=0) / self.sizes.sum(), gates
        inside = np.delete(sums, left_out, axis=0).sum(axis=0)
        return inside / (self.sizes.sum() - self.sizes[left_out]), gates

    def lines(self, chosen: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """Give of each class the sums (number, T) along the thresholds, through a point."""
        sums, _ = self.sums(None)
        return [sums[:, k, :, m, c, g] for k, (_, m, c, g) in enumerate(chosen)]


def fold_sums(
    counts: Counted,
    grid: Grid,
    score: metrics.CountsMetric,
    fold_index: np.ndarray,
    number: int,
) -> np.ndarray:
    """Sum the scores of the images of each fold at each point of the grid.

    Parameters
    ----------
    counts, grid, score, fold_index, number
        As for :class:`Sums`.

    Returns
    -------
    ndarray
        (number, K, T, M, C, G) float64; at a gate "expected" zeros, see :class:`Expected`.
    """
    order = np.argsort(fold_index, kind="stable")
    starts = np.searchsorted(fold_index[order], np.arange(number))
    classes = counts.truth.shape[1]
    sums = np.zeros((number, classes, *grid.shape))
    for k in range(classes):
        truth, gate = (part[order, k, None] for part in (counts.truth, counts.gate))
        empty = score(np.zeros_like(truth), np.zeros_like(truth), truth)
        for c, least in enumerate(grid.min_component):
            scored: dict[bool, tuple[_Relevant, np.ndarray, np.ndarray]] = {}
            for g, mode in enumerate(grid.mode):
                product = mode == "product"
                if mode == "expected":
                    continue
                if product not in scored:
                    inter, area = counts.at(k, grid.threshold, product, float(least))
                    relevant = _Relevant.of(area[order], starts, grid.by_component)
                    inter, area = inter[order][relevant.rows], area[order][relevant.rows]
                    scored[product] = relevant, area, score(inter, area, truth[relevant.rows])
                relevant, area, full = scored[product]
                others = relevant.sums_of_others(empty)
                for m in range(len(grid.min_area)):
                    kept = keeps(area, gate[relevant.rows], grid.min_area[m], grid.gate[g], mode)
                    each = np.where(kept, full, empty[relevant.rows])
                    sums[:, k, :, m, c, g] = relevant.sums(each) + others
    return sums


class _Relevant(NamedTuple):
    """Images on which it matters what is done: most have nothing on at any threshold."""

    rows: np.ndarray | slice
    starts: np.ndarray
    folds: np.ndarray | None

    @classmethod
    def of(cls, area: np.ndarray, starts: np.ndarray, choose: bool) -> "_Relevant":
        """Choose among images that are sorted by fold, whose folds begin at `starts`."""
        if not choose:
            return cls(slice(None), starts, None)
        on = np.asarray(area.any(axis=1))
        on[starts] = True  # so that no fold is without
        rows = np.flatnonzero(on)
        folds = np.repeat(np.arange(len(starts)), np.diff([*starts, len(area)]))
        folds[rows] = -1
        return cls(rows, np.searchsorted(rows, starts), folds)

    def sums(self, scores: np.ndarray) -> np.ndarray:
        """Sum scores (n, T) of the images chosen over each fold."""
        return np.add.reduceat(scores, self.starts, axis=0)

    def sums_of_others(self, empty: np.ndarray) -> np.ndarray | float:
        """Sum the scores (N, 1) that empty masks have over the others of each fold."""
        if self.folds is None:
            return 0.0
        others = self.folds >= 0
        sums = np.bincount(self.folds[others], empty[others, 0], len(self.starts))
        return sums[:, None]


class Expected:
    """The gates 1/(1 + d), and the sums of scores with them; parameters as for :class:`Sums`.

    d is the mean score of the masks that are not empty, neither themselves nor in truth; where
    there is none it is 0 and the gate 1, which no mask passes.
    """

    def __init__(
        self,
        counts: Counted,
        grid: Grid,
        score: metrics.CountsMetric,
        fold_index: np.ndarray,
        number: int,
        shared: bool,
    ) -> None:
        order = np.argsort(fold_index, kind="stable")
        starts = np.searchsorted(fold_index[order], np.arange(number))
        self.min_area = grid.min_area
        self.shape = (counts.truth.shape[1], *grid.shape[:3])
        self.p = counts.gate[order]
        truth = counts.truth[order]
        self.empty = score(np.zeros_like(truth), np.zeros_like(truth), truth)
        self.masks: dict[tuple[int, ...], tuple[_Relevant, np.ndarray, np.ndarray]] = {}
        self.right = np.zeros((number, *self.shape))  # sums of the scores that d is the mean of
        self.number = np.zeros((number, *self.shape))  # and how many they are
        for k, c in np.ndindex(self.shape[0], self.shape[3]):
            inter, area = counts.at(k, grid.threshold, False, float(grid.min_component[c]))
            relevant = _Relevant.of(area[order], starts, grid.by_component)
            area, true = area[order][relevant.rows], truth[relevant.rows, k, None]
            full = score(inter[order][relevant.rows], area, true)
            self.masks[k, c] = relevant, area, full
            for m, least in enumerate(grid.min_area):
                real = (area >= least) & (area > 0) & (true > 0)
                place = np.s_[:, k, :, m, c]
                self.right[place] = relevant.sums(np.where(real, full, 0))
                self.number[place] = relevant.sums(real.astype(np.float64))
        if shared:
            for part in (self.right, self.number):
                part[:] = part.sum(axis=1, keepdims=True)

    def gates(self, left_out: int | None) -> np.ndarray:
        """Find the gates (K, T, M, C) on all folds but one."""
        right, number = (
            (part if left_out is None else np.delete(part, left_out, axis=0)).sum(axis=0)
            for part in (self.right, self.number)
        )
        gates: np.ndarray = 1 / (1 + right / np.maximum(number, 1))
        return gates

    def sums(self, gates: np.ndarray) -> np.ndarray:
        """Sum the scores (number, K, T, M, C) of each fold with these gates."""
        sums = np.empty_like(self.right)
        for (k, c), (relevant, area, full) in self.masks.items():
            p, empty = self.p[relevant.rows, k, None], self.empty[:, k, None]
            others = relevant.sums_of_others(empty)
            for m, least in enumerate(self.min_area):
                kept = (area >= least) & (p > gates[k, :, m, c])
                each = np.where(kept, full, empty[relevant.rows])
                sums[:, k, :, m, c] = relevant.sums(each) + others
        return sums
