"""Read a store by id, in few and large reads."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbelt.files import InputError, PathLike
from foldbelt.store.layout import BLOCK, BLOCK_BYTES, SCHEMA_VERSION, stored_name, unpack
from foldbelt.store.memory import Group, Memory, Rows
from foldbelt.store.original import decode_original

if TYPE_CHECKING:
    import pandas as pd

# Of files on disk, groups and rows are h5py's.
_GAP = 8  # rows: reading this many for nothing costs about as much as one more call to HDF5
_SIZED = ("image", "mask", "prob", "x")


def read(path: PathLike, name: str, ids: Sequence[str] | None = None) -> np.ndarray:
    """Read rows of a dataset.

    Parameters
    ----------
    path, name
        File and dataset; ``table/<column>`` reads one column.
    ids : sequence of str, optional
        Which rows, in this order, repeats allowed; by default all.

    Returns
    -------
    (n, ...) array
        Masks of several classes unpacked to (n, H, W, K) uint8; strings as str objects.

    Raises
    ------
    InputError
        If the dataset does not exist or ids are unknown (all are listed).
    """
    with _open(path) as file:
        data = _dataset(file, name, path)
        return _rows(data, None if ids is None else _positions(file, ids, path))


def blocks(
    path: PathLike, name: str, ids: Sequence[str] | None = None, size: int | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Read rows block by block, in bounded memory.

    Parameters
    ----------
    path, name, ids
        As for `read`.
    size
        Rows in a block; None: up to 256, as many as fit into 32 MiB.

    Yields
    ------
    slice
        Where the block lies among the rows asked for.
    (n, ...) array
        As `read` gives it, n ≤ `size`.
    """
    with _open(path) as file:
        data = _dataset(file, name, path)
        rows = np.arange(len(data)) if ids is None else _positions(file, ids, path)
        size = size or _block_size(data)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield slice(start, start + len(part)), _rows(data, part)


def has(path: PathLike, name: str) -> bool:
    """Tell whether the file holds the dataset (``table/<column>`` for a column)."""
    with _open(path) as file:
        return stored_name(name) in file


def length(path: PathLike) -> int:
    """Number of rows."""
    with _open(path) as file:
        for name in ("id", *sorted(file)):
            if _has_rows(file.get(name)):
                return len(file[name])
        return 0


def shape(path: PathLike, name: str) -> tuple[int, ...]:
    """Shape of a dataset as `read` gives it, without reading it."""
    with _open(path) as file:
        data = _dataset(file, name, path)
        if _is_packed(data):
            return (*data.shape[:-1], int(data.attrs["classes"]))
        return tuple(data.shape)


def attrs(path: PathLike) -> dict[str, Any]:
    """Attributes of the file, as they were given, and ``schema_version``."""
    with _open(path) as file:
        return {name: json.loads(value) for name, value in sorted(file.attrs.items())}


def labels_are_classes(path: PathLike) -> bool:
    """Tell whether image labels say which classes of the masks there are.

    Labels of other names come from a table: a view, a diagnosis. What they say does not follow from
    a mask, nor a mask from them. Where nobody named them they are taken for classes.
    """
    content = attrs(path)
    names = [content.get("label_names"), content.get("class_names")]
    return None in names or names[0] == names[1]


def positions(path: PathLike, ids: Sequence[str]) -> np.ndarray:
    """Rows at which ids lie, int64 (n,); unknown ids raise InputError, all listed."""
    with _open(path) as file:
        return _positions(file, ids, path)


def columns(path: PathLike, ids: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Per-image columns by name.

    Parameters
    ----------
    path, ids
        As for `read`.

    Returns
    -------
    dict
        ``id`` (str) first, then the columns in the order in which they were written; arrays (N,).
    """
    with _open(path) as file:
        rows = None if ids is None else _positions(file, ids, path)
        found = {"id": _rows(_dataset(file, "id", path), rows)}
        names = json.loads(file["table"].attrs["columns"]) if "table" in file else []
        for name in names:
            found[name] = _rows(file[stored_name(f"table/{name}")], rows)
    return found


def table(path: PathLike, ids: Sequence[str] | None = None) -> "pd.DataFrame":
    """Per-image `columns` as a DataFrame."""
    import pandas as pd

    return pd.DataFrame(columns(path, ids))


def stored_size(path: PathLike) -> tuple[int, int]:
    """Height and width of the stored images (masks, probabilities or channels)."""
    with _open(path) as file:
        for name in _SIZED:
            if name in file:
                height, width = file[name].shape[1:3]
                return int(height), int(width)
    raise InputError(f"{path}: holds none of {', '.join(_SIZED)}, so it has no image size.")


def original_sizes(path: PathLike, ids: Sequence[str] | None = None) -> np.ndarray:
    """Heights and widths before any resizing to the storage size, int64 (N, 2)."""
    if has(path, "table/height") and has(path, "table/width"):
        sides = [read(path, f"table/{side}", ids) for side in ("height", "width")]
        return np.stack(sides, axis=1).astype(np.int64)
    count = length(path) if ids is None else len(positions(path, ids))
    return np.tile(np.array(stored_size(path), dtype=np.int64), (count, 1))


def truth(
    path: PathLike, ids: Sequence[str] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """True masks at the images' original size, one by one, in bounded memory.

    Parameters
    ----------
    path, ids
        As for `read`.

    Yields
    ------
    (h, w, K) uint8
        The mask.
    (h, w) bool or None
        Ignored pixels; None where there are none.
    """
    if has(path, "original"):
        with _open(path) as file:
            classes = int(file["original"].attrs["classes"])
        for _, block in blocks(path, "original", ids):
            yield from (decode_original(row, classes) for row in block)
        return
    with _open(path) as file:
        size = _block_size(_dataset(file, "mask", path))
    ignored = blocks(path, "ignore", ids, size) if has(path, "ignore") else None
    for _, masks in blocks(path, "mask", ids, size):
        ignores = next(ignored)[1].astype(bool) if ignored else [None] * len(masks)
        for mask, ignore in zip(masks, ignores, strict=True):
            some = ignore if ignore is not None and ignore.any() else None
            yield (mask if mask.ndim == 3 else mask[..., None]), some


def _block_size(data: Rows) -> int:
    """Rows of a block that takes a bounded number of bytes once it is unpacked."""
    row = int(np.prod(data.shape[1:])) * max(1, int(data.attrs.get("classes", 1)))
    return int(np.clip(BLOCK_BYTES // max(row * data.dtype.itemsize, 1), 1, BLOCK))


_AGAIN = (
    "If foldbelt made it, delete it and run again; predictions made elsewhere have to be written "
    "by `foldbelt.store.write`."
)


def _open(path: PathLike) -> Group:
    if isinstance(path, Memory):
        return path.opened()
    from foldbelt.store import hdf5  # not where a bundle predicts

    try:
        file = hdf5.to_read(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(
            f"{path}: is not a whole HDF5 file ({str(error).splitlines()[0]}). {_AGAIN}"
        ) from error
    version = json.loads(file.attrs.get("schema_version", "null"))
    if version != SCHEMA_VERSION:
        file.close()
        raise InputError(
            f"{path}: its schema_version is {version}, expected {SCHEMA_VERSION}. {_AGAIN}"
        )
    opened: Group = file
    return opened


def _has_rows(value: Any) -> bool:
    """Tell whether something in a file is a dataset, and not a group."""
    return hasattr(value, "dtype")


def _dataset(file: Group, name: str, path: PathLike) -> Rows:
    data: Rows | Any = file.get(stored_name(name))
    if not _has_rows(data):
        names = [key for key in sorted(file) if key != "table"]
        names += [f"table/{key}" for key in sorted(file.get("table", ()))]
        raise InputError(f"{path}: has no dataset '{name}'; it holds {', '.join(names) or 'none'}.")
    return data


def _positions(file: Group, ids: Sequence[str], path: PathLike) -> np.ndarray:
    if isinstance(ids, str):
        raise ValueError(f"ids must be a sequence of ids, not the text {ids!r}.")
    wanted = [str(name) for name in ids]
    ids_there = _rows(_dataset(file, "id", path), None).tolist()
    index = {name: row for row, name in enumerate(ids_there)}
    if len(index) < len(ids_there):
        raise InputError(f"{path}: ids occur more than once.")
    unknown = sorted(set(wanted) - index.keys())
    if unknown:
        raise InputError(f"{path}: does not hold {len(unknown)} of the ids: {', '.join(unknown)}.")
    return np.array([index[name] for name in wanted], np.int64)


def _rows(data: Rows, rows: np.ndarray | None) -> np.ndarray:
    """Read rows in any order, as few and as large reads as pay."""
    if rows is None:
        out = data[()]
    else:
        out = np.empty((len(rows), *data.shape[1:]), dtype=data.dtype)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        # a read ends where the next row is far, and before the scratch space grows large
        cuts = np.flatnonzero(np.diff(ascending) > _GAP) + 1
        for part in np.split(np.arange(len(rows)), cuts) if len(rows) else ():
            for start in range(0, len(part), BLOCK):
                some = part[start : start + BLOCK]
                first, last = ascending[some[0]], ascending[some[-1]]
                out[order[some]] = data[first : last + 1][ascending[some] - first]
    if _is_packed(data):
        return unpack(out, int(data.attrs["classes"]))
    return np.char.decode(out, "utf-8").astype(object) if out.dtype.kind == "S" else out


def _is_packed(data: Rows) -> bool:
    return data.name == "/mask" and "classes" in data.attrs
