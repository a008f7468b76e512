"""The blends of a round: one without each fold's truth, one with all; and their pixel counts.

The blend that scores fold f must not have been weighted with the truth of f, nor may parameters be
found on it. So there is one vector of weights for each fold, found without it, and all images are
blended with each. The file ``blend/…/oof.h5`` would not do: its rows outside f were weighted with
the truth of f.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foldbelt.search.counting import Counter, Counts
from foldbelt.search.gates import gate_values
from foldbelt.search.means import PLAIN, Mean, Vector, mix
from foldbelt.search.oof import OutOfFold
from foldbelt.store.geometry import at_size


@dataclass(frozen=True)
class Blends:
    """Out-of-fold predictions, and the ways in which they are blended.

    Parameters
    ----------
    oof
        The predictions of the members.
    weights
        For each fold the members' weights found without it, and under None those found with all.
    mean
        What the members are averaged by.
    """

    oof: OutOfFold
    weights: Mapping[int | None, Vector]
    mean: Mean = PLAIN

    @classmethod
    def equal(cls, oof: OutOfFold) -> "Blends":
        """Give every member the same weight, whichever fold is left out."""
        return cls(oof, dict.fromkeys([None, *np.unique(oof.fold).tolist()], oof.equal()))

    @property
    def vectors(self) -> list[Vector]:
        """The weights that differ, each once."""
        return list(dict.fromkeys(self.weights.values()))


def count_blends(
    oof: OutOfFold,
    vectors: Sequence[Vector],
    levels: np.ndarray,
    mean: Mean = PLAIN,
) -> list[Counts]:
    """Count the pixels of several blends of the same members in one pass over the files.

    Parameters
    ----------
    oof
        The predictions.
    vectors
        Of each blend the members' weights. Pixels are counted once for those that weigh the masks
        alike.
    levels
        Which uint8 levels are needed.
    mean
        What the members are averaged by.

    Returns
    -------
    list of Counts
        One a blend, their rows in the order of ``oof.ids``.
    """
    counters = {masks: Counter(levels) for masks, _ in vectors}
    labels: list[list[np.ndarray | None]] = [[] for _ in vectors]
    rows = []
    for block, truths in oof.with_truth():
        rows.append(block.rows)
        for masks, counter in counters.items():
            for probs, (truth, ignore) in zip(block.images(), truths, strict=True):
                counter.add(at_size(mix(probs, masks, *mean), truth.shape[:2]), truth, ignore)
        for vector, parts in zip(vectors, labels, strict=True):
            parts.append(oof.gate_labels(block, vector.labels, mean))
    order = np.concatenate(rows)
    by_masks: dict[tuple[float, ...], Counts] = {}
    counts_of_vectors = []
    for vector, parts in zip(vectors, labels, strict=True):
        known = [part for part in parts if part is not None]
        label = np.concatenate(known)[np.argsort(order)] if len(known) == len(parts) else None
        if vector.masks not in by_masks:
            by_masks[vector.masks] = counters.pop(vector.masks).counts(None, order)
        counts = by_masks[vector.masks]
        if label is not None:
            gate = gate_values(counts.gate, label)
            counts = dataclasses.replace(counts, gate=gate, gate_on="label")
        counts_of_vectors.append(counts)
    return counts_of_vectors
