"""Counts of the blends of some members: one pass over their out-of-fold predictions."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from foldbelt.search.counting import Counter, Counts
from foldbelt.search.gates import gate_values
from foldbelt.search.means import PLAIN, Mean, Vector, mix
from foldbelt.search.oof import OutOfFold, at_size


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
    found: dict[tuple[float, ...], Counts] = {}
    every = []
    for vector, parts in zip(vectors, labels, strict=True):
        known = [part for part in parts if part is not None]
        label = np.concatenate(known)[np.argsort(order)] if len(known) == len(parts) else None
        if vector.masks not in found:
            found[vector.masks] = counters.pop(vector.masks).counts(None, order)
        counts = found[vector.masks]
        if label is not None:
            gate = gate_values(counts.gate, label)
            counts = dataclasses.replace(counts, gate=gate, gate_on="label")
        every.append(counts)
    return every
