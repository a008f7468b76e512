"""Write a store: whole or not at all, and the same bytes for the same content."""

import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbelt.files import InputError, PathLike, atomic
from foldbelt.store.layout import (
    BLOCK,
    BYTES,
    FLAT,
    SCHEMA_VERSION,
    is_bytes,
    pack,
    packed_bytes,
    stored_name,
)
from foldbelt.store.memory import Group, Memory, Rows
from foldbelt.store.stored_columns import ids_of, of_table, stored

if TYPE_CHECKING:
    import pandas as pd

    Table = Mapping[str, Any] | pd.DataFrame

_MASKS = ("mask", "ignore")
_SMALL = 1024  # bytes: rows below this are not compressed, and share chunks


class Writer:
    """Write a file row block by row block; it appears under its name only when it is whole.

    Use as a context manager. An exception inside leaves what was there before.

    Parameters
    ----------
    path
        The file to write, or a place in memory.
    table : mapping of columns or DataFrame, optional
        Per-image columns, among them ``id``. Their length is the number of rows. It may be given
        later, with `set_table`; until then datasets grow with what is put.
    attrs : mapping, optional
        Anything JSON can hold, NumPy numbers and arrays included.
    classes
        Number of mask classes; with more than one, the dataset ``mask`` is (N, H, W, classes) and
        stored bit-packed.
    """

    def __init__(
        self,
        path: PathLike,
        table: "Table | None" = None,
        attrs: Mapping[str, Any] | None = None,
        classes: int = 1,
    ) -> None:
        self.path = path if isinstance(path, Memory) else Path(path)
        self.classes = int(classes)
        self._table = None if table is None else of_table(table)
        self._attrs = {"schema_version": SCHEMA_VERSION, **(attrs or {})}
        self._written: dict[str, np.ndarray] = {}
        self._declared = 0.0

    def __enter__(self) -> "Writer":
        with contextlib.ExitStack() as stack:
            self._file = self._opened(stack)
            self._stack = stack.pop_all()
        return self

    def _opened(self, stack: contextlib.ExitStack) -> Group:
        """Open what is written to; of a file on disk, groups and rows are h5py's."""
        self._compression: dict[str, Any] = {}
        if isinstance(self.path, Memory):
            return stack.enter_context(self.path.written())
        from foldbelt.store import hdf5  # not where a bundle predicts

        self._compression = hdf5.COMPRESSION
        self._temporary = stack.enter_context(atomic(self.path))
        file: Group = stack.enter_context(hdf5.to_write(self._temporary))
        return file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:  # closes the file, then renames it; removes it if _finish raises
            self._finish()

    def set_table(self, table: "Table") -> None:
        """Give the table (with ``id``) after the rows, for columns computed while streaming."""
        self._table = of_table(table)

    def set_attrs(self, attrs: Mapping[str, Any]) -> None:
        """Add attributes to those given first."""
        self._attrs.update(attrs)

    def create(
        self, name: str, shape_tail: Sequence[int], dtype: Any, length: int | None = None
    ) -> None:
        """Lay out a dataset of rows.

        Parameters
        ----------
        name
            Of the dataset.
        shape_tail
            Shape of one row: (H, W) for a grey image, () for a number.
        dtype
            Of the rows as given to `put`; `BYTES` for byte strings.
        length
            Number of rows; by default that of the table, and without a table it grows.

        Raises
        ------
        InputError
            If the disk has no room for the rows: uncompressed, or an eighth of that of masks.
        """
        if length is None and self._table is not None:
            length = _length(self._table)
        tail, dtype = tuple(int(side) for side in shape_tail), np.dtype(dtype)
        if dtype.kind == "b" and name in ("mask", "ignore"):
            dtype = np.dtype(np.uint8)
        packed = name == "mask" and self.classes > 1
        if packed:
            self._check_classes(tail)
            tail = (*tail[:-1], packed_bytes(self.classes))
        row = dtype.itemsize * int(np.prod(tail))
        # Without a chunk shape HDF5 guesses one that is slow for random rows.
        big = row >= _SMALL
        options: dict[str, Any] = {"chunks": (1 if big else max(1, 65536 // max(row, 1)), *tail)}
        if big:
            options |= {**self._compression, "shuffle": dtype.itemsize > 1}
        self._reserve((length or 0) * row * (FLAT if name in _MASKS else 1))
        self._file.create_dataset(
            name, (length or 0, *tail), dtype, maxshape=(None, *tail), track_times=False, **options
        )
        if packed or name == "original":
            self._file[name].attrs["classes"] = self.classes
        self._written[name] = np.zeros(length or 0, dtype=bool)

    def put(self, name: str, start: int, array: Any) -> None:
        """Write rows from `start` on.

        Put blocks in the order of the rows: their place in the file, hence its bytes, follow it.

        Parameters
        ----------
        name
            Of a dataset laid out with `create`.
        start
            Row of the first one.
        array : (n, ...)
            The rows; for `BYTES` a sequence of 1-D uint8 arrays.

        Raises
        ------
        InputError
            If the disk is too full for a growing dataset.
        ValueError
            If shape or dtype do not fit, or a mask holds values other than 0 and 1.
        """
        data = self._file[name]
        rows = self._prepare(name, data, array)
        stop = start + len(rows)
        missing = stop - len(data)
        if missing > 0:
            if self._table is not None:
                raise ValueError(
                    f"{self.path}: rows {start}–{stop - 1} of '{name}' do not fit into {len(data)}."
                )
            row = data.dtype.itemsize * int(np.prod(data.shape[1:]))
            self._reserve(missing * row * (FLAT if name in _MASKS else 1))
            data.resize(stop, axis=0)
            self._written[name] = np.pad(self._written[name], (0, missing))
        if len(rows):
            if rows.dtype == object:  # h5py takes byte strings of one length for a table of bytes
                for place, row in enumerate(rows, start):
                    data[place] = row
            else:
                data[start:stop] = rows
            self._written[name][start:stop] = True

    def _prepare(self, name: str, data: Rows, array: Any) -> np.ndarray:
        """Check a block and give it the shape and dtype in which it is stored."""
        if is_bytes(data.dtype):
            rows = np.empty(len(array), dtype=object)
            rows[:] = [np.asarray(row, dtype=np.uint8).ravel() for row in array]
            self._reserve(sum(row.nbytes for row in rows))
            return rows
        rows = np.asarray(array)
        if name == "mask":
            if rows.dtype != bool and rows.size and (rows.max() > 1 or rows.min() < 0):
                raise ValueError(f"{self.path}: a mask holds values other than 0 and 1.")
            if self.classes > 1:
                self._check_classes(rows.shape[1:])
                rows = pack(rows)
        if rows.dtype == bool and data.dtype == np.uint8:
            rows = rows.astype(np.uint8)
        if rows.shape[1:] != data.shape[1:]:
            raise ValueError(
                f"{self.path}: rows of '{name}' have shape {rows.shape[1:]}, not {data.shape[1:]}."
            )
        if not np.can_cast(rows.dtype, data.dtype, "same_kind"):
            raise ValueError(
                f"{self.path}: '{name}' is stored as {data.dtype}; {rows.dtype} would lose values."
            )
        return rows

    def _check_classes(self, tail: Sequence[int]) -> None:
        if len(tail) != 3 or tail[-1] != self.classes:
            raise ValueError(
                f"{self.path}: a mask of {self.classes} classes has rows of shape {tuple(tail)}; "
                f"expected (height, width, {self.classes})."
            )

    def _reserve(self, size: float) -> None:
        """Refuse early rather than fill the disk; `size` bytes more are about to come."""
        if isinstance(self.path, Memory):
            return
        self._declared += size
        need = self._declared - self._temporary.stat().st_size
        free = shutil.disk_usage(self.path.parent).free
        if need > free:
            raise InputError(
                f"{self.path}: writing it may need {need / 2**20:.1f} MiB more, but the disk has "
                f"{free / 2**20:.1f} MiB free. Make room, or put the results on another disk."
            )

    def _finish(self) -> None:
        lengths = {name: len(rows) for name, rows in self._written.items()}
        if self._table is not None:
            lengths["table"] = _length(self._table)
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{self.path}: datasets differ in their number of rows: {lengths}.")
        holes = {name: int((~rows).sum()) for name, rows in self._written.items() if not all(rows)}
        if holes:
            raise ValueError(f"{self.path}: rows that were never written: {holes}.")
        if self._table is not None:
            _put_table(self._file, self._table, self.path)
        for name, value in sorted(self._attrs.items()):
            text = json.dumps(value, sort_keys=True, allow_nan=False, default=_plain)
            self._file.attrs[name] = text


def write(
    path: PathLike,
    arrays: Mapping[str, Any],
    table: "Table | None" = None,
    attrs: Mapping[str, Any] | None = None,
    classes: int = 1,
) -> None:
    """Write a file in one go; the same content gives the same bytes.

    Parameters
    ----------
    path
        The file, replaced whole or not at all.
    arrays : mapping of (N, ...) arrays
        A list, or an array of dtype object, becomes a dataset of byte strings (`BYTES`). `id` may
        be among them where there is no table.
    table, attrs, classes
        As for `Writer`.

    Raises
    ------
    InputError
        If ids repeat or the disk is too full.
    ValueError
        If lengths, shapes or values do not fit.
    """
    if "id" in arrays:
        if table is not None:
            raise ValueError(f"{path}: ids are given twice, among the arrays and with a table.")
        arrays = dict(arrays)
        table = {"id": arrays.pop("id")}
    with Writer(path, table, attrs, classes) as out:
        for name, array in sorted(arrays.items()):
            if isinstance(array, list) or array.dtype == object:
                out.create(name, (), BYTES, len(array))
            else:
                out.create(name, array.shape[1:], array.dtype, len(array))
            for start in range(0, len(array), BLOCK):
                out.put(name, start, array[start : start + BLOCK])


def _length(table: Mapping[str, Any]) -> int:
    """Number of rows of a table."""
    return len(next(iter(table.values()), ()))


def _put_table(file: Group, table: Mapping[str, Any], path: PathLike) -> None:
    file.create_dataset("id", data=stored(ids_of(table, path)), track_times=False)
    group = file.create_group("table")
    names = [name for name in table if name != "id"]
    group.attrs["columns"] = json.dumps(names)
    for name in sorted(names):
        file.create_dataset(
            stored_name(f"table/{name}"), data=stored(table[name]), track_times=False
        )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"an attribute of type {type(value).__name__} cannot be stored as JSON.")
