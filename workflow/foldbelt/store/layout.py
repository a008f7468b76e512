"""What writing and reading a store agree on."""

import h5py
import hdf5plugin
import numpy as np

SCHEMA_VERSION = 1
BYTES = h5py.vlen_dtype(np.uint8)
"""dtype of a dataset whose rows are byte strings of any length, such as PNG files."""

COMPRESSION = dict(hdf5plugin.Zstd(clevel=1))
"""Of rows worth it. Not lzf: its output depends on what its hash table held before, so that equal
content need not give equal bytes."""

BLOCK = 256  # rows moved at a time where the caller does not say, at most
BLOCK_BYTES = 2**25  # and no more than this


def stored_name(name: str) -> str:
    """Where a dataset lies: column names may hold the slash, by which HDF5 parts groups."""
    group, slash, column = name.partition("/")
    if not slash:
        return name
    column = column.replace("%", "%25").replace("/", "%2F")
    return f"{group}/{'%2E' if column == '.' else column}"
