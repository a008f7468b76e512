"""Which samples an epoch sees, in which order: a pure function of the seed and the epoch."""

import numpy as np

from foldbelt.files import seed_for

Parts = tuple[str | int | float | None, ...]


def epoch_rows(true: int, pseudo: int, ratio: float, epoch: int, parts: Parts) -> np.ndarray:
    """Draw and shuffle the rows of one epoch.

    Every true sample comes once. Of the pseudo-labelled ones, at most `ratio` times the number of
    true ones are drawn afresh for each epoch, without repetition.

    Parameters
    ----------
    true
        Number of samples with a true mask: rows 0 … true - 1.
    pseudo
        Number of pseudo-labelled samples: the rows after them.
    ratio
        Pseudo-labelled samples an epoch, per true one.
    epoch
        From 0.
    parts
        What the seed is derived from, besides the epoch.

    Returns
    -------
    (M,) int64 array
        Rows in the order of training.
    """
    drawn = min(pseudo, round(ratio * true))
    random = np.random.default_rng(seed_for(*parts, "order", epoch))
    extra = true + random.permutation(pseudo)[:drawn]
    return random.permutation(np.concatenate([np.arange(true), extra]).astype(np.int64))


def batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut rows into as few batches of at most `size` as possible, all but equally long.

    A remainder of one or two samples would make poor batch statistics, and none at all for a
    batch norm at the bottom of a network; spread out, there is no remainder.

    Parameters
    ----------
    rows
        (M,) array.
    size
        The largest batch.

    Returns
    -------
    list of arrays
        Lengths differ by at most one.
    """
    if len(rows) == 0:
        return []
    return np.array_split(rows, -(-len(rows) // size))
