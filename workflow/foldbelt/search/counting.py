"""Pixel counts at every threshold of a grid, from one pass over the probabilities.

Probabilities are uint8, so a histogram of 256 levels per image and class, summed from above, holds
the predicted area at every threshold there is; three of them (all pixels, those with a known
truth, those that are truly on) hold all that a metric of masks needs.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from foldbelt.files import InputError
from foldbelt.search.gates import LEVELS, gate_values, level, product_level


@dataclass(frozen=True)
class Counts:
    """What a metric needs to know of N images and K classes, at L levels.

    A pixel is on at a level where its uint8 probability is at least that level.

    Parameters
    ----------
    levels
        (L,) int, rising, 0 … 256.
    pred
        (N, K, L) pixels on. Ignored pixels count nowhere, the smallest area and the gate included.
    inter
        (N, K, L) pixels on that are truly on.
    truth
        (N, K) pixels that are truly on.
    gate
        (N, K) float64 that a gate is compared with: the label probability, or the largest pixel
        probability.
    gate_on
        "label" or "peak", which of the two it is.
    """

    levels: np.ndarray
    pred: np.ndarray
    inter: np.ndarray
    truth: np.ndarray
    gate: np.ndarray
    gate_on: str

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def classes(self) -> int:
        """K."""
        return self.truth.shape[1]

    @property
    def at_all_levels(self) -> bool:
        """Whether any threshold can be looked up."""
        return len(self.levels) == LEVELS

    def take(self, rows: np.ndarray) -> "Counts":
        """Give the counts of some images; see :class:`foldbelt.search.sums.Counted`."""
        names = ("pred", "inter", "truth", "gate")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})

    def at(
        self, k: int, thresholds: np.ndarray, product: bool = False, least: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Count pixels of class k at some thresholds; see :class:`foldbelt.search.sums.Counted`.

        Raises
        ------
        InputError
            If the counts were taken at other thresholds, or components would have to go.
        """
        if least > 1:
            raise InputError("counts of pixels know no components; search on a table of them.")
        if product:
            if len(self.levels) < LEVELS:
                raise InputError("a product needs counts at all levels.")
            places = product_level(thresholds, self.gate[:, k, None])
            inter, area = (
                np.take_along_axis(part[:, k], places, 1) for part in (self.inter, self.pred)
            )
            return inter, area
        wanted = level(thresholds)
        columns = np.minimum(np.searchsorted(self.levels, wanted), len(self.levels) - 1)
        nothing = wanted == LEVELS - 1  # no probability is so high, so nobody need have counted
        if (~nothing & (self.levels[columns] != wanted)).any():
            raise InputError("the counts were taken at other thresholds than the space holds.")
        inter, area = self.inter[:, k, columns], self.pred[:, k, columns]
        return np.where(nothing, 0, inter), np.where(nothing, 0, area)


def count_image(
    prob: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None
) -> np.ndarray:
    """Count the pixels of one image that are on at each of the 257 levels.

    Parameters
    ----------
    prob
        (h, w, K) uint8.
    truth
        (h, w, K) bool or 0/1.
    ignore
        (h, w) bool, or None.

    Returns
    -------
    ndarray
        (2, K, 257) int64: of the pixels with a known truth, of those truly on.
    """
    classes = prob.shape[2]
    code: np.ndarray = prob.astype(np.uint16 if classes * 768 < 2**16 else np.uint32)
    code += np.asarray(truth).astype(code.dtype) << 8  # 0: off, 1: on, 2: unknown
    if ignore is not None:
        code[ignore] = prob[ignore] + code.dtype.type(512)
    if classes > 1:
        code += np.arange(classes, dtype=code.dtype) * code.dtype.type(768)
    off, on, _ = (
        np.bincount(code.reshape(-1), minlength=classes * 768)
        .reshape(classes, 3, 256)
        .transpose(1, 0, 2)
    )
    tails = np.zeros((2, classes, LEVELS), np.int64)
    tails[..., :256] = np.stack([off + on, on])[..., ::-1].cumsum(-1)[..., ::-1]
    return tails


class Counter:
    """Gathers counts image by image, keeping only the levels of a grid.

    Parameters
    ----------
    levels
        Which levels to keep; by default all 257.
    """

    def __init__(self, levels: Sequence[int] | np.ndarray | None = None) -> None:
        self.levels = np.arange(LEVELS) if levels is None else np.unique(levels)
        self._tails: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []
        self._peak: list[np.ndarray] = []

    def add(self, prob: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> None:
        """Count one image: prob (h, w[, K]) uint8, truth (h, w[, K]), ignore (h, w) or None."""
        prob, truth = _planes(prob), _planes(truth)
        if prob.dtype != np.uint8:
            raise InputError(f"probabilities must be uint8 (value/255), not {prob.dtype}.")
        if prob.shape != truth.shape or (ignore is not None and ignore.shape != prob.shape[:2]):
            raise InputError(
                f"image {len(self._tails)}: probabilities {prob.shape}, truth {truth.shape} and "
                f"ignored pixels {None if ignore is None else ignore.shape} must agree in size."
            )
        if not ((truth == 0) | (truth == 1)).all():
            raise InputError(
                f"image {len(self._tails)}: its truth holds values other than 0 and 1."
            )
        tails = count_image(prob, truth, None if ignore is None else np.asarray(ignore, bool))
        self._tails.append(tails[..., self.levels].astype(np.uint32))
        self._truth.append(tails[1, :, 0].copy())  # a view would keep all levels in memory
        self._peak.append((tails[0] > 0).sum(axis=-1) - 1)

    def counts(
        self, label_prob: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> Counts:
        """Give what was counted.

        Parameters
        ----------
        label_prob
            (N, K) or, for all classes alike, (N, 1): what the gate looks at, in the order in which
            the images were added; None: the largest pixel probability.
        rows
            The place of each image among the results; None: in the order in which they were added.

        Returns
        -------
        Counts
        """
        if not self._tails:
            raise InputError("there is no image to search decision parameters on.")
        order = slice(None) if rows is None else np.argsort(rows, kind="stable")
        truth = np.stack(self._truth)[order]
        pred, inter = np.stack(self._tails, axis=1)[:, order]
        peak = np.stack(self._peak)[order] / 255
        gate = gate_values(peak, None if label_prob is None else np.asarray(label_prob)[order])
        on = "peak" if label_prob is None else "label"
        return Counts(self.levels, pred, inter, truth, gate, on)


def counts(
    pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None]],
    levels: Sequence[int] | np.ndarray | None = None,
    label_prob: np.ndarray | None = None,
) -> Counts:
    """Count the pixels of images that come one by one, of equal or different sizes.

    Parameters
    ----------
    pairs
        Of each image: probabilities (h, w[, K]) uint8, truth (h, w[, K]), ignored pixels (h, w)
        or None.
    levels
        Which of the 257 levels to keep (see :func:`level`); None: all.
    label_prob
        (N, K) or (N, 1) label probabilities for the gate, or None.

    Returns
    -------
    Counts
    """
    counter = Counter(levels)
    for prob, truth, ignore in pairs:
        counter.add(prob, truth, ignore)
    return counter.counts(label_prob)


def _planes(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    return array if array.ndim == 3 else array[..., None]
