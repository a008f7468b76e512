"""Rows of datasets: held in memory, masks as bits, or read from the file as they are needed."""

import math
import os
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from foldbelt import store

PLANES_BYTES = 2**25
"""Of masks that are unpacked at a time while they are loaded."""


class Column:
    """Rows of one dataset: in memory, or read from the file as they are needed.

    Parameters
    ----------
    path, name
        File and dataset.
    ids
        Which rows, in this order.
    memory
        Read all of them now: for datasets of uint8.
    """

    def __init__(self, path: str, name: str, ids: Sequence[str], memory: bool) -> None:
        self.path, self.name = path, name
        self.array = _whole(path, name, ids) if memory else None
        self.rows = None if memory else store.positions(path, ids)
        self._file: h5py.File | None = None
        self._process = 0

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Give some rows, (n, …), in the order asked for."""
        if self.array is not None:
            return self.array[rows]
        if self._file is None or self._process != os.getpid():  # handles do not survive a fork
            self._file, self._process = h5py.File(self.path, "r", locking=False), os.getpid()
        data = self._file[self.name]
        assert self.rows is not None
        out = np.stack([data[row] for row in self.rows[rows]])
        classes = data.attrs.get("classes", 1) if self.name == "mask" else 1
        return _unpacked(out, int(classes)) if classes > 1 else out

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": 0}


def _whole(path: str, name: str, ids: Sequence[str]) -> np.ndarray:
    """Read all rows block by block, so that hardly more is taken than what is kept."""
    array = np.empty((len(ids), *store.shape(path, name)[1:]), np.uint8)
    for rows, block in store.blocks(path, name, ids):
        array[rows] = block
    return array


def _unpacked(packed: np.ndarray, classes: int) -> np.ndarray:
    """Unpack bits (…,⌈K/8⌉) to (…,K) of 0/1; up to 8 in a third of `np.unpackbits`'s time."""
    if classes > 8:
        return np.unpackbits(packed, axis=-1, count=classes)
    table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, count=classes)
    return np.take(table, packed[..., 0], axis=0)


class Bits:
    """Arrays of 0 and 1 in memory, eight values a byte.

    The bits of a row lie one after the other, whatever its shape, so that unpacking gives the row
    as it is used: 0.07 ms for 256×1600×4, where it was 0.4 from bytes that hold one pixel each.
    Processes that are forked share the bytes.

    Parameters
    ----------
    count
        Number of rows.
    shape
        Of a row.

    Examples
    --------
    >>> bits = Bits(2, (2, 3))
    >>> bits.put(0, np.array([[[0, 1, 1], [0, 0, 1]], [[1, 0, 0], [0, 0, 0]]], np.uint8))
    >>> bits.packed.shape, bits.take(np.array([1, 0]))[1].tolist()
    ((2, 1), [[0, 1, 1], [0, 0, 1]])
    """

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        self.shape, self.size = shape, math.prod(shape)
        self.packed = np.empty((count, row_bytes(shape)), np.uint8)

    def put(self, start: int, rows: np.ndarray) -> None:
        """Hold rows (n, …) of 0 and 1 from `start` on."""
        flat = np.packbits(rows.reshape(len(rows), self.size), axis=1)
        self.packed[start : start + len(rows)] = flat

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Give some rows, (n, …) uint8, in the order asked for: a copy."""
        flat = np.unpackbits(self.packed[rows], axis=1, count=self.size)
        return flat.reshape(len(rows), *self.shape)


def row_bytes(shape: tuple[int, ...]) -> int:
    """Bytes of a row of `Bits`."""
    return -(-math.prod(shape) // 8)
