"""Per-image columns, as they are stored: numbers, truth values, or UTF-8 of a fixed length."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbelt.files import InputError, PathLike

if TYPE_CHECKING:
    import pandas as pd


def of_table(table: "Mapping[str, Any] | pd.DataFrame") -> dict[str, Any]:
    """Give a table's columns by name."""
    columns: Any = table
    return {str(name): columns[name] for name in columns}


def of_rows(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Give the columns of rows that may lack some of them; ``id`` is always there.

    Examples
    --------
    >>> of_rows([{"id": "a", "x": 1}, {"id": "b", "y": 2}])
    {'id': ['a', 'b'], 'x': [1, nan], 'y': [nan, 2]}
    """
    rows = list(rows)
    names = dict.fromkeys(["id", *(name for row in rows for name in row)])
    return {name: [row.get(name, np.nan) for row in rows] for name in names}


def ids_of(table: Mapping[str, Any], path: PathLike) -> list[str]:
    """Give a table's ids.

    Raises
    ------
    ValueError
        If it has none.
    InputError
        If some occur more than once; all are listed.
    """
    if "id" not in table:
        raise ValueError(f"{path}: its table has no column 'id', only {list(table)}.")
    ids = [str(name) for name in table["id"]]
    twice = sorted(name for name, times in Counter(ids).items() if times > 1)
    if twice:
        raise InputError(f"{path}: {len(twice)} ids occur more than once: {', '.join(twice)}.")
    return ids


def stored(values: Any) -> np.ndarray:
    """Give a column the plain NumPy dtype in which it is stored.

    Parameters
    ----------
    values : (N,)
        An array, a list of plain values, or a pandas Series. None and NaN are missing.

    Returns
    -------
    (N,) array
        bool, where all are; numbers, NaN where they are missing; else byte strings, empty where
        they are missing.

    Examples
    --------
    >>> stored([1, 2]), stored([1, None]), stored(["é", None])
    (array([1, 2]), array([ 1., nan]), array([b'\\xc3\\xa9', b''], dtype='|S2'))
    """
    if hasattr(values, "infer_objects"):
        return _of_series(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return values
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    known = [value for value in items if not _is_missing(value)]
    whole = len(known) == len(items)
    if known and whole and _are(known, bool, np.bool_):
        return np.array(items, bool)
    if _are(known, int, float, np.integer, np.floating) and not _any(known, bool):
        if known and whole and _are(known, np.generic):
            return np.array(items)
        if known and whole and _are(known, int, np.integer):
            return np.array(items, np.int64)
        if known or any(value is not None for value in items):
            return np.array([np.nan if value is None else value for value in items], np.float64)
    return _texts("" if _is_missing(value) else str(value) for value in items)


def _of_series(series: "pd.Series") -> np.ndarray:
    """Do so for a column of a DataFrame, which has a dtype of pandas' own."""
    import pandas as pd

    values = series.infer_objects()
    if pd.api.types.is_numeric_dtype(values):  # bool among them
        plain: Any = getattr(values.dtype, "numpy_dtype", values.dtype)
        if values.hasnans and plain.kind != "f":
            return values.to_numpy(dtype=float, na_value=np.nan)
        return values.to_numpy(dtype=plain)
    known = values.notna()
    return _texts(str(value) if there else "" for value, there in zip(values, known, strict=True))


def _texts(texts: Iterable[str]) -> np.ndarray:
    encoded = [text.encode() for text in texts]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _are(values: Iterable[Any], *kinds: type) -> bool:
    return all(isinstance(value, kinds) for value in values)


def _any(values: Iterable[Any], *kinds: type) -> bool:
    return any(isinstance(value, kinds) for value in values)
