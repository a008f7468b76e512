"""Stores in memory: what a stage hands to the next where nobody keeps it.

A bundle takes images through the stages of the workflow, which read and write stores. On disk these
are HDF5; between the stages of one prediction they need no disk, no compression and no h5py. `Rows`
and `Group` have of h5py's datasets and groups what reading and writing a store use.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Rows:
    """An array whose rows are read and written as those of an h5py dataset are: by copies.

    Attributes
    ----------
    name
        With a slash in front, as h5py gives it.
    attrs
        Name → value.
    """

    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name, self._values = f"/{name}", values
        self.attrs: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._values.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return self._values.dtype

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.array(self._values[rows])

    def __setitem__(self, rows: Any, values: Any) -> None:
        self._values[rows] = values

    def resize(self, length: int, axis: int) -> None:
        """Change the number of rows; new ones are zero."""
        if axis != 0:
            raise ValueError(f"only the number of rows can change, not axis {axis}.")
        values = np.zeros((length, *self.shape[1:]), self.dtype)
        kept = min(length, len(self))
        values[:kept] = self._values[:kept]
        self._values = values


class Group:
    """Arrays and groups by name; a slash in a name parts the group from the array.

    Attributes
    ----------
    attrs
        Name → value.
    """

    def __init__(self) -> None:
        self.attrs: dict[str, Any] = {}
        self._content: dict[str, Group | Rows] = {}

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: what is in memory stays open."""

    def close(self) -> None:
        """Do nothing, as above."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __getitem__(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Give an array or a group."""
        first, _, rest = name.partition("/")
        value = self._content.get(first)
        if rest:
            return value.get(rest, default) if isinstance(value, Group) else default
        return default if value is None else value

    def create_group(self, name: str) -> "Group":
        """Add a group."""
        self._content[name] = made = Group()
        return made

    def create_dataset(
        self, name: str, shape: Any = None, dtype: Any = None, data: Any = None, **_: Any
    ) -> Rows:
        """Add an array of zeros of a shape, or one that is given; how h5py would store it is left
        aside.
        """
        values = np.zeros(shape, dtype) if data is None else np.array(data)
        group, slash, last = name.rpartition("/")
        place = self[group] if slash else self
        place._content[last] = made = Rows(name, values)
        return made


class _Files:
    """The stores of a folder in memory, by name."""

    def __init__(self) -> None:
        self.of: dict[str, Group] = {}


@dataclass(frozen=True)
class Memory(os.PathLike[str]):
    """A folder in memory, or a store in it; `foldbelt.store` takes it wherever it takes a path.

    All that lies in a folder goes when nothing names the folder any more.

    Examples
    --------
    >>> from foldbelt import store
    >>> place = Memory()
    >>> store.write(place / "x.h5", {"id": np.array(["a", "b"], object), "x": np.arange(2)})
    >>> store.read(place / "x.h5", "x", ["b"]).tolist()
    [1]
    """

    name: str = "memory"
    _files: _Files = field(default_factory=_Files, repr=False)

    def __truediv__(self, name: str) -> "Memory":
        return Memory(f"{self.name}/{name}", self._files)

    def __str__(self) -> str:
        return self.name

    def __fspath__(self) -> str:
        """Refuse: whoever asks would look on the disk."""
        raise TypeError(f"{self.name} is in memory, and has no path on disk.")

    def opened(self) -> Group:
        """Give what was written.

        Raises
        ------
        FileNotFoundError
            If nothing was.
        """
        if self.name not in self._files.of:
            raise FileNotFoundError(f"{self.name}: nothing of this name was written.")
        return self._files.of[self.name]

    @contextmanager
    def written(self) -> Iterator[Group]:
        """Give a new store; it takes its place when the block succeeds."""
        group = Group()
        yield group
        self._files.of[self.name] = group
