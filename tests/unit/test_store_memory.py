"""A store in memory gives what one on disk gives; columns are stored alike, whoever gives them."""

import itertools
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from foldbelt import store
from foldbelt.files import InputError
from foldbelt.store.memory import Memory
from foldbelt.store.stored_columns import of_rows, stored

IDS = ["b", "é", "a", "c/d"]


def filled(place: os.PathLike[str], classes: int) -> os.PathLike[str]:
    """Write everything that a store can hold; `mask` row by row, growing."""
    draw = np.random.default_rng(0)
    path = place / "x.h5"
    attrs = {"size": (4, 5), "scale": np.float32(0.5), "names": ["ö", None]}
    with store.Writer(path, None, attrs, classes) as out:
        out.create("image", (4, 5), np.uint8, 4)
        out.put("image", 0, draw.integers(0, 255, (4, 4, 5), np.uint8))
        out.create("mask", (4, 5) if classes == 1 else (4, 5, classes), bool)
        for row in range(4):
            out.put("mask", row, draw.random((1, 4, 5, classes)[: 3 + (classes > 1)]) > 0.5)
        out.create("original", (), store.BYTES, 4)
        masks = [draw.random((row + 1, 7, classes)) > 0.5 for row in range(4)]
        out.put("original", 0, [store.encode_original(mask) for mask in masks])
        out.create("labels", (2,), np.float32, 4)
        out.put("labels", 0, draw.random((4, 2), np.float32))
        out.set_table(
            {"id": IDS, "height": [1, 2, 3, 4], "a/b": ["x", None, "", "ü"], ".": [0.5] * 4}
        )
        out.set_attrs({"more": {"b": 1, "a": 2}})
    return path


def content(path: os.PathLike[str], ids: list[str] | None) -> dict[str, object]:
    """Read a store by every function that there is."""
    names = ("id", "image", "mask", "original", "labels", "table/a/b", "table/height")
    arrays = {name: store.read(path, name, ids).tolist() for name in names}
    blocks = [(rows, part.tolist()) for rows, part in store.blocks(path, "mask", ids, 3)]
    truth = [(mask.tolist(), ignore) for mask, ignore in store.truth(path, ids)]
    return {
        **arrays,
        "blocks": blocks,
        "truth": truth,
        "table": store.table(path, ids).to_dict(),
        "kinds": [store.read(path, name).dtype for name in names],
        "shapes": [store.shape(path, name) for name in names],
        "sizes": (store.stored_size(path), store.length(path), store.attrs(path)),
        "has": [store.has(path, name) for name in (*names, "prob", "table/none", "none/none")],
    }


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("ids", [None, ["c/d", "b", "c/d"]])
def test_memory_reads_as_the_disk_does(tmp_path, classes, ids):
    on_disk, in_memory = filled(tmp_path, classes), filled(Memory(), classes)
    assert repr(content(in_memory, ids)) == repr(content(on_disk, ids))
    for path in (on_disk, in_memory):
        with pytest.raises(
            InputError, match=r"no dataset 'prob'; it holds id, image, .*table/height"
        ):
            store.read(path, "prob")
        with pytest.raises(InputError, match="1 of the ids: nobody"):
            store.read(path, "image", ["b", "nobody"])


def test_what_fails_leaves_what_was_there_and_reading_gives_copies():
    place = Memory()
    path = place / "x"
    with pytest.raises(FileNotFoundError, match="memory/x"):
        store.read(path, "x")
    store.write(path, {"id": ["a"], "x": np.ones(1)})
    with pytest.raises(ValueError, match="never written"), store.Writer(path) as out:
        out.create("x", (), np.uint8, 2)
    for _, block in [(0, store.read(path, "x")), *store.blocks(place / "x", "x")]:
        block += 1
    assert store.read(path, "x").tolist() == [1]


def test_nobody_takes_it_for_a_path_on_disk():
    with pytest.raises(TypeError, match="memory/x is in memory"):
        Path(Memory() / "x")
    assert Memory() / "x" != Memory() / "x"  # of two folders
    place = Memory()
    assert {place / "x": 1}[place / "x"] == 1


def test_byte_strings_are_what_h5py_takes_for_them():
    assert h5py.vlen_dtype(np.uint8) == store.BYTES
    assert h5py.check_vlen_dtype(store.BYTES) == np.uint8
    assert h5py.vlen_dtype(np.uint8).metadata == store.BYTES.metadata


CELLS = [1, 2.5, True, False, None, np.nan, "é", "", np.bool_(True)]
NUMPYS = [
    [np.int32(3)] * 2, [np.float32(0.5)], [np.int32(3), 4], [np.float32(0.5), None],
    [np.int64(3), None, 1.5], [np.float64(2), "x"],
]  # fmt: skip


def test_columns_are_stored_as_pandas_takes_them():
    """Whatever a column holds: rows of plain values give the bytes of a DataFrame of them."""
    columns = [cells for count in (1, 2, 3) for cells in itertools.product(CELLS, repeat=count)]
    for cells in [*columns, *NUMPYS]:
        rows = [{"id": str(place), "x": cell} for place, cell in enumerate(cells)]
        plain, pandas = stored(of_rows(rows)["x"]), stored(pd.DataFrame(rows)["x"])
        assert plain.dtype == pandas.dtype, cells
        assert plain.tobytes() == pandas.tobytes(), cells
    assert (
        stored(of_rows([])["id"]).dtype
        == stored(pd.DataFrame({"id": []}, dtype=object)["id"]).dtype
    )


def test_a_column_that_some_rows_lack_is_missing_there():
    rows = [{"id": "a", "n": 1, "text": "x"}, {"id": "b", "flag": True}]
    table = pd.DataFrame(rows)
    for name, values in of_rows(rows).items():
        assert stored(values).tobytes() == stored(table[name]).tobytes(), name
