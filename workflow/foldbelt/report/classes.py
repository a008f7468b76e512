"""Classes of masks in figures: their names, their looks, and which images hold which."""

from collections.abc import Sequence

import numpy as np

from foldbelt import store
from foldbelt.report import style


def mask_names(data: str, count: int) -> list[str]:
    """Names of the K mask channels, from the file's attributes where they are known."""
    names = store.attrs(data).get("class_names")
    if names is None or len(names) != count:
        names = range(1, count + 1)
    return spoken(list(map(str, names)))


def spoken(names: Sequence[str]) -> list[str]:
    """Give names that can stand alone: a mere number becomes 'class 3'.

    Examples
    --------
    >>> spoken(["1", "pit"])
    ['class 1', 'pit']
    """
    return [f"class {name}" if name.isdigit() else name for name in names]


def look(channel: int) -> tuple[str, object]:
    """Colour and line style of the outlines of a class, alike for no two of the first 36."""
    turn, colour = divmod(channel, len(style.CLASS_COLOURS))
    return style.CLASS_COLOURS[colour], style.LINES[(colour + turn) % len(style.LINES)]


def count(data: str) -> int:
    """K, the number of classes in a file with masks."""
    shape = store.shape(data, "mask")
    return shape[3] if len(shape) == 4 else 1


def presence(data: str, ids: Sequence[str] | None = None) -> np.ndarray:
    """Tell which images hold which classes, (N, K) bool.

    Parameters
    ----------
    data
        A file with masks: data/train.h5, or pseudo-labels.
    ids
        Which images, in this order; by default all.
    """
    classes = count(data)
    names = store.attrs(data).get("class_names") or []
    columns = [f"table/area_{name}" for name in names]
    if len(columns) == classes and all(store.has(data, column) for column in columns):
        return np.stack([store.read(data, column, ids) > 0 for column in columns], axis=1)
    rows = store.length(data) if ids is None else len(ids)
    present = np.zeros((rows, classes), bool)
    for part, masks in store.blocks(data, "mask", ids):
        planes = masks if masks.ndim == 4 else masks[..., None]
        present[part] = planes.any(axis=(1, 2))
    return present


def kinds(there: np.ndarray) -> np.ndarray:
    """Sort images into kinds, (N,): 0 for nothing, else 1 + the rarest class that they hold.

    Examples
    --------
    >>> kinds(np.array([[1, 1], [1, 0], [0, 0]], bool)).tolist()
    [2, 1, 0]
    """
    order = np.argsort(there.sum(axis=0), kind="stable")
    first = order[there[:, order].argmax(axis=1)]
    return np.where(there.any(axis=1), first + 1, 0)
