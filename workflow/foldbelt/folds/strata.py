"""What images are alike in, so that folds can be: joint strata of several columns, in words."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

_BINS = 5
_MANY = 10  # a numeric column with more values than this is put in bins


def of(rows: pd.DataFrame, stratify: Sequence[str], count: int) -> list[str]:
    """Give each row its joint stratum in words.

    Parameters
    ----------
    rows
        One row an image.
    stratify
        Columns, the most important first. A numeric column of more than ten values is put in five
        bins of equal share, with zero in a bin of its own; any other counts as it is.
    count
        Number of folds: where fewer images share a stratum, its last columns are left out until it
        has enough.

    Returns
    -------
    list of str
        One a row; equal words, equal stratum.

    Examples
    --------
    >>> of(pd.DataFrame({"side": ["a", "a", "b"], "pits": [0, 0, 2]}), ["side", "pits"], 2)
    ['side a, pits 0', 'side a, pits 0', 'other']
    """
    parts = [_labels(rows[column]) for column in stratify]
    labels = list(zip(*parts, strict=True)) if parts else [()] * len(rows)
    for depth in range(len(parts), 0, -1):
        sizes = Counter(labels)
        rare = {label for label, size in sizes.items() if len(label) == depth and size < count}
        labels = [label[:-1] if label in rare else label for label in labels]
    return [", ".join(label) or ("other" if stratify else "all") for label in labels]


def _labels(values: pd.Series) -> list[str]:
    """Name the bin, or the value, of each row of a column."""
    name, given = str(values.name), values.dropna()
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    bins: list[str] = []
    edges = np.zeros(0)
    if numeric and given.nunique() > _MANY:
        edges = np.unique(np.quantile(given[given != 0], np.linspace(0, 1, _BINS + 1)))
        digits = next(n for n in range(3, 18) if len({f"{e:.{n}g}" for e in edges}) == len(edges))
        bins = [f"{low:.{digits}g} to {high:.{digits}g}" for low, high in pairwise(edges)]

    def label(value: Any, missing: bool) -> str:
        if missing:
            return "missing"
        if bins and value != 0:  # the first bin holds its lower edge, every one its upper
            return bins[max(int(np.searchsorted(edges, value)) - 1, 0)]
        return f"{value:g}" if _is_number(value) else str(value)

    rows = zip(values.tolist(), values.isna(), strict=True)
    return [f"{name} {label(value, bool(missing))}" for value, missing in rows]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
