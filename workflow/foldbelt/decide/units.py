"""Units of images that share an answer, as the radiographs of one study do.

What is predicted of a unit's images is joined, and its truth is that of any of its images where it
is known. Scores count each unit once, by the first of its images.
"""

from collections.abc import Sequence

import numpy as np

from foldbelt import store
from foldbelt.files import InputError, PathLike, Problem, raise_all

JOINS = ("mean", "max")
"""What the predictions of a unit's images can become."""

_ALONE = ("", "-1", "nan")


def read(path: PathLike, level: str, ids: Sequence[str]) -> np.ndarray:
    """Read of which unit images are.

    Parameters
    ----------
    path
        ``train.h5`` or ``test.h5``.
    level
        The column of its table that names units.
    ids
        The images.

    Returns
    -------
    ndarray
        (N,) str.

    Raises
    ------
    InputError
        If the data have no such column.
    """
    name = f"table/{level}"
    if not len(ids):  # a part without images has no columns
        return np.array([], np.str_)
    if not store.has(path, name):
        raise InputError(
            f"{path}: has no column {level!r}, which says what images share an answer. Ingest anew."
        )
    return store.read(path, name, list(ids)).astype(str)


def number(names: np.ndarray) -> np.ndarray:
    """Number units from 0, (N,) int64; an image that names none is a unit of its own.

    Examples
    --------
    >>> number(np.array(["a", "", "b", "a", ""])).tolist()
    [0, 1, 2, 0, 3]
    """
    seen: dict[str | int, int] = {}
    units = (place if name in _ALONE else name for place, name in enumerate(names.tolist()))
    return np.array([seen.setdefault(unit, len(seen)) for unit in units], np.int64)


def check_folds(names: np.ndarray, folds: np.ndarray, level: str) -> None:
    """Raise InputError, naming them, if images of a unit lie in several folds.

    Parameters
    ----------
    names
        (N,) the unit of each image.
    folds
        (N,) its fold.
    level
        What units are called.
    """
    numbers = number(names)
    lowest = np.full(len(numbers), np.iinfo(np.int64).max)
    np.minimum.at(lowest, numbers, folds)
    torn = np.unique(names[np.asarray(folds) != lowest[numbers]])
    problems = [Problem(f"{level} {name}", "has images in several folds") for name in torn]
    cure = f"Keep its images together: name a group that does in folds.*.group ({level}, say)."
    raise_all(problems, "units of a decision", cure)


def spread(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Give every image what is known of any image of its unit, (N, L); NaN where nothing is.

    Of several the first counts.

    Examples
    --------
    >>> spread(np.array([[np.nan], [1.0], [np.nan]]), np.array([0, 0, 1])).ravel().tolist()
    [1.0, 1.0, nan]
    """
    whole = np.full((int(units.max(initial=-1)) + 1, values.shape[1]), np.nan)
    for k in range(values.shape[1]):
        rows = np.flatnonzero(~np.isnan(values[:, k]))
        found, first = np.unique(units[rows], return_index=True)
        whole[found, k] = values[rows[first], k]
    return whole[units]


def join(values: np.ndarray, units: np.ndarray, how: str) -> np.ndarray:
    """Join what is predicted of a unit's images; each gets what comes of it.

    Parameters
    ----------
    values
        (N, L), NaN where nothing was predicted, which does not count.
    units
        (N,) int.
    how
        One of `JOINS`.

    Returns
    -------
    ndarray
        (N, L) float32.

    Examples
    --------
    >>> values = np.array([[0.25], [0.75], [0.5]])
    >>> join(values, np.array([0, 0, 1]), "mean").ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    given = np.asarray(values, np.float64)
    number_of_units = int(units.max(initial=-1)) + 1
    whole = np.full((number_of_units, given.shape[1]), np.nan)
    if how == "max":
        np.fmax.at(whole, units, given)
        return whole[units].astype(np.float32)
    for k, column in enumerate(given.T):
        known = ~np.isnan(column)
        total = np.bincount(units[known], column[known], number_of_units)
        count = np.bincount(units[known], minlength=number_of_units)
        np.divide(total, count, out=whole[:, k], where=count > 0)
    return whole[units].astype(np.float32)


def once(units: np.ndarray) -> np.ndarray:
    """Give the place of the first image of each unit, rising.

    Examples
    --------
    >>> once(np.array([4, 4, 2, 4])).tolist()
    [0, 2]
    """
    return np.sort(np.unique(units, return_index=True)[1])


def first_alone(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Give what is known of a unit to its first image alone, (N, L); NaN at the others.

    So a unit counts once where images are counted.

    Examples
    --------
    >>> first_alone(np.array([[np.nan], [1.0], [0.0]]), np.array([0, 0, 1])).ravel().tolist()
    [1.0, nan, 0.0]
    """
    made = np.full(values.shape, np.nan)
    first = once(units)
    made[first] = spread(values, units)[first]
    return made
