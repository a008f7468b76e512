"""HDF5 files on disk: the one place that imports h5py, when the first file is opened."""

from pathlib import Path

import h5py
import hdf5plugin

from foldbelt.files import PathLike

COMPRESSION = dict(hdf5plugin.Zstd(clevel=1))
"""Of rows worth it. Not lzf: its output depends on what its hash table held before, so that equal
content need not give equal bytes."""


def to_read(path: PathLike) -> h5py.File:
    """Open a file; OSError if it is none.

    Files are complete once they have their name, so locks (missing on some cluster disks) are not
    needed.
    """
    return h5py.File(path, "r", locking=False)


def to_write(path: Path) -> h5py.File:
    """Make a file."""
    return h5py.File(path, "w", locking=False)
