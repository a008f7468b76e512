"""The store: whole files, the same bytes, rows by id."""

import shutil
import time
from collections import namedtuple

import h5py
import numpy as np
import pandas as pd
import pytest

from foldbelt import store
from foldbelt.files import InputError
from foldbelt.store import layout

N = 40


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "depth": np.linspace(1, 2, N),
            "id": [f"täle{row:03d}" for row in range(N)],
            "empty": np.arange(N) % 3 == 0,
            "rows": np.arange(N, dtype=np.int32),
            "note/1 %": [None if row % 4 == 0 else f"ö{row}" for row in range(N)],
            "gaps": pd.array([None if row == 5 else row for row in range(N)], dtype="Int64"),
        }
    )


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 255, (N, 40, 30), dtype=np.uint8),
        "mask": rng.random((N, 40, 30)) > 0.5,
        "labels": rng.integers(0, 2, (N, 1), dtype=np.uint8),
        "confidence": rng.random(N, dtype=np.float32),
    }


def test_what_was_written_is_read(tmp_path, table, arrays):
    path = tmp_path / "new" / "x.h5"
    attrs = {
        "config": {"b": [1, 2.5], "a": None},
        "scale": np.float32([1, 2]),
        "text": "t" * 100_000,
    }
    store.write(path, arrays, table, attrs)
    for name, array in arrays.items():
        assert np.array_equal(store.read(path, name), array), name
    assert store.read(path, "mask").dtype == np.uint8
    back = store.table(path)
    assert list(back) == ["id", "depth", "empty", "rows", "note/1 %", "gaps"]
    assert back["id"].tolist() == table["id"].tolist()
    assert back["note/1 %"].tolist() == table["note/1 %"].fillna("").tolist()
    assert [back[name].dtype for name in ("empty", "rows", "depth")] == [bool, "int32", float]
    assert back["gaps"].isna().tolist() == [row == 5 for row in range(N)]
    assert store.read(path, "table/note/1 %", ["täle001"]).tolist() == ["ö1"]
    expected = {**attrs, "scale": [1, 2], "schema_version": store.SCHEMA_VERSION}
    assert store.attrs(path) == expected
    assert store.length(path) == N
    assert store.stored_size(path) == (40, 30)
    assert store.has(path, "mask")
    assert store.has(path, "table/note/1 %")
    assert not store.has(path, "ignore")


def test_rows_come_in_the_order_asked_for(tmp_path, table, arrays):
    store.write(tmp_path / "x.h5", arrays, table)
    rng = np.random.default_rng(3)
    choices = [[], [7], [39, 0], [0, 30, 0, 0], *(rng.integers(0, N, size) for size in (5, 40, 90))]
    for rows in choices:
        ids = [table["id"][row] for row in rows]
        for name, array in arrays.items():
            read = store.read(tmp_path / "x.h5", name, ids)
            assert np.array_equal(read, array[np.array(rows, dtype=int)])
        assert store.table(tmp_path / "x.h5", ids)["id"].tolist() == ids
        parts = list(store.blocks(tmp_path / "x.h5", "image", ids, size=7))
        assert [part for part, _ in parts] == [
            slice(start, min(start + 7, len(rows))) for start in range(0, len(rows), 7)
        ]
        if parts:
            images = np.concatenate([block for _, block in parts])
            assert np.array_equal(images, arrays["image"][np.array(rows)])


@pytest.mark.parametrize("classes", [2, 8, 9, 20])
def test_masks_of_several_classes(tmp_path, classes):
    rng = np.random.default_rng(classes)
    mask = (rng.random((9, 33, 37, classes)) > 0.5).astype(np.uint8)
    ids = pd.DataFrame({"id": list("abcdefghi")})
    store.write(tmp_path / "x.h5", {"mask": np.asfortranarray(mask)}, ids, classes=classes)
    assert np.array_equal(store.read(tmp_path / "x.h5", "mask"), mask)
    assert np.array_equal(store.read(tmp_path / "x.h5", "mask", ["d", "a"]), mask[[3, 0]])
    assert store.shape(tmp_path / "x.h5", "mask") == mask.shape
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["mask"].shape[-1] == -(-classes // 8)
        assert file["mask"].chunks[0] == 1
    truths = list(store.truth(tmp_path / "x.h5", ["i", "b"]))
    assert np.array_equal(truths[0][0], mask[8])
    assert truths[1][1] is None


def test_the_same_content_gives_the_same_bytes(tmp_path, table, arrays):
    store.write(tmp_path / "a.h5", arrays, table, {"x": 1, "y": 2})
    time.sleep(1.1)  # HDF5 keeps times, in seconds, unless told not to
    layout = {name: np.asfortranarray(arrays[name]) for name in reversed(arrays)}
    store.write(tmp_path / "b.h5", layout, table, {"y": 2, "x": 1})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_what_was_compressed_before_does_not_show(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.clip(rng.normal(128, 3, (20, 101, 101)).cumsum(axis=1) / 40, 0, 255)
    images, ids = smooth.astype(np.uint8), pd.DataFrame({"id": [str(i) for i in range(20)]})
    written = set()
    for number in range(6):
        other = rng.integers(0, 4 + number, (20, 101, 101)).astype(np.uint8)
        store.write(tmp_path / "other.h5", {"image": other}, ids)
        store.write(tmp_path / "x.h5", {"image": images}, ids)
        written.add((tmp_path / "x.h5").read_bytes())
    assert len(written) == 1


def test_streaming_equals_writing_at_once(tmp_path, table, arrays):
    with store.Writer(tmp_path / "x.h5") as out:
        out.create("image", (40, 30), "uint8")
        for start in range(0, N, 16):
            out.put("image", start, arrays["image"][start : start + 16])
        out.set_table(table)  # known only once all rows were seen
        out.set_attrs({"late": True})
    assert np.array_equal(store.read(tmp_path / "x.h5", "image"), arrays["image"])
    assert store.table(tmp_path / "x.h5")["id"].tolist() == table["id"].tolist()
    assert store.attrs(tmp_path / "x.h5")["late"] is True


def test_a_failure_leaves_what_was_there(tmp_path, table, arrays):
    path = tmp_path / "x.h5"

    def fail():
        with store.Writer(path, table) as out:
            out.create("image", (40, 30), "uint8")
            out.put("image", 0, arrays["image"][:10])
            raise RuntimeError("power cut")

    for content in (None, b"old"):
        if content:
            path.write_bytes(content)
        with pytest.raises(RuntimeError, match="power cut"):
            fail()
        assert [file.read_bytes() for file in tmp_path.iterdir()] == ([content] if content else [])


def test_half_written_rows_are_refused(tmp_path, table, arrays):
    def write(first: int, last: int, rows: pd.DataFrame | None) -> None:
        with store.Writer(tmp_path / "x.h5", rows) as out:
            out.create("image", (40, 30), "uint8")
            out.put("image", first, arrays["image"][first:last])

    with pytest.raises(ValueError, match=r"never written.*'image': 3"):
        write(0, N - 3, table)
    with pytest.raises(ValueError, match=r"never written.*'image': 2"):
        write(2, N, None)
    with pytest.raises(ValueError, match="do not fit into 10"):
        write(0, N, table[:10])
    with pytest.raises(ValueError, match="differ in their number of rows"):
        store.write(tmp_path / "x.h5", {"image": arrays["image"][:9], "mask": arrays["mask"]})
    assert not list(tmp_path.iterdir())


def test_unfit_rows_are_refused(tmp_path, table, arrays):
    def write(**other: np.ndarray) -> None:
        store.write(tmp_path / "x.h5", {**arrays, **other}, table)

    with pytest.raises(ValueError, match="other than 0 and 1"):
        write(mask=arrays["mask"] * np.uint8(255))
    with pytest.raises(ValueError, match=r"rows of shape \(40, 30\)"):
        store.write(tmp_path / "x.h5", arrays, table, classes=3)
    with store.Writer(tmp_path / "x.h5") as out:
        out.create("image", (40, 30), "uint8")
        with pytest.raises(ValueError, match="would lose values"):
            out.put("image", 0, np.ones((1, 40, 30)))
        with pytest.raises(ValueError, match=r"have shape \(30, 40\)"):
            out.put("image", 0, np.ones((1, 30, 40), dtype=np.uint8))


def test_repeated_ids_are_refused_all_at_once(tmp_path, table, arrays):
    table.loc[3, "id"] = table["id"][4]
    table.loc[9, "id"] = table["id"][8]
    with pytest.raises(InputError, match="2 ids occur more than once: täle004, täle008"):
        store.write(tmp_path / "x.h5", arrays, table)


def test_unknown_ids_are_listed_all_at_once(tmp_path, table, arrays):
    store.write(tmp_path / "x.h5", arrays, table)
    with pytest.raises(InputError, match=r"x\.h5.*2 of the ids: no, nor"):
        store.read(tmp_path / "x.h5", "image", ["nor", table["id"][0], "no", "nor"])
    with pytest.raises(ValueError, match="sequence of ids"):
        store.read(tmp_path / "x.h5", "image", "täle001")


def test_what_is_missing_or_spoilt_is_said(tmp_path, table, arrays):
    store.write(tmp_path / "x.h5", arrays, table)
    with pytest.raises(InputError, match="no dataset 'prob'; it holds confidence, id, image"):
        store.read(tmp_path / "x.h5", "prob")
    with pytest.raises(FileNotFoundError):
        store.read(tmp_path / "none.h5", "image")
    data = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"half\.h5.*not a whole HDF5 file.*delete it"):
        store.read(tmp_path / "half.h5", "image")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file.attrs["schema_version"] = "99"
    with pytest.raises(InputError, match="schema_version is 99"):
        store.table(tmp_path / "x.h5")


def test_a_full_disk_is_noticed_before_writing(tmp_path, table, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**30, 2**30 - 2**20, 2**20))
    with (
        pytest.raises(InputError, match=r"may need 38\.1 MiB more.*has 1\.0 MiB free"),
        store.Writer(tmp_path / "x.h5", table) as out,
    ):
        out.create("image", (1000, 1000), "uint8")

    def grow() -> None:
        with store.Writer(tmp_path / "x.h5") as out:
            out.create("image", (1000, 1000), "uint8")
            for start in range(5):
                out.put("image", start, np.ones((1, 1000, 1000), dtype=np.uint8))

    with pytest.raises(InputError, match="MiB free"):
        grow()
    assert not list(tmp_path.iterdir())


def test_no_rows(tmp_path, table, arrays):
    none = {name: array[:0] for name, array in arrays.items()}
    store.write(tmp_path / "x.h5", {**none, "original": []}, table[:0])
    assert store.read(tmp_path / "x.h5", "image").shape == (0, 40, 30)
    assert store.read(tmp_path / "x.h5", "image", []).shape == (0, 40, 30)
    assert list(store.table(tmp_path / "x.h5")) == ["id", *(name for name in table if name != "id")]
    assert store.length(tmp_path / "x.h5") == 0
    assert store.stored_size(tmp_path / "x.h5") == (40, 30)
    assert store.original_sizes(tmp_path / "x.h5").shape == (0, 2)
    assert list(store.blocks(tmp_path / "x.h5", "image")) == []
    assert list(store.truth(tmp_path / "x.h5")) == []


@pytest.mark.parametrize("classes", [1, 7, 8, 15, 16, 33])
def test_original_masks_are_exact(classes):
    rng = np.random.default_rng(classes)
    mask = (rng.random((13, 21, classes)) > 0.5).astype(np.uint8)
    ignore = rng.random((13, 21)) > 0.7
    back, ignored = store.decode_original(store.encode_original(mask, ignore), classes)
    assert np.array_equal(back, mask)
    assert np.array_equal(ignored, ignore)
    back, ignored = store.decode_original(store.encode_original(mask.astype(bool)), classes)
    assert np.array_equal(back, mask)
    assert ignored is None


def test_truth_prefers_the_original_size(tmp_path, table):
    rng = np.random.default_rng(2)
    sizes = rng.integers(5, 50, (N, 2))
    masks = [rng.random((*size, 3)) > 0.5 for size in sizes]
    rows = [
        store.encode_original(mask, mask[..., 0] if row % 2 else None)
        for row, mask in enumerate(masks)
    ]
    table = table.assign(height=sizes[:, 0], width=sizes[:, 1])
    small = np.zeros((N, 8, 8, 3), dtype=bool)
    for name in "xy":
        store.write(tmp_path / f"{name}.h5", {"mask": small, "original": rows}, table, classes=3)
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "y.h5").read_bytes()
    ids = table["id"].tolist()[::-3]
    for row, (mask, ignore) in zip(
        range(N)[::-3], store.truth(tmp_path / "x.h5", ids), strict=True
    ):
        assert np.array_equal(mask, masks[row])
        assert (ignore is not None) == bool(row % 2)
    assert np.array_equal(store.original_sizes(tmp_path / "x.h5", ids), sizes[::-3])


def test_truth_at_storage_size(tmp_path, table, arrays):
    ignore = np.zeros((N, 40, 30), dtype=np.uint8)
    ignore[4, :7] = 1
    store.write(tmp_path / "x.h5", {**arrays, "ignore": ignore}, table)
    truths = list(store.truth(tmp_path / "x.h5"))
    assert np.array_equal(np.stack([mask for mask, _ in truths])[..., 0], arrays["mask"])
    assert [row for row, (_, some) in enumerate(truths) if some is not None] == [4]
    assert np.array_equal(truths[4][1], ignore[4] == 1)


@pytest.mark.parametrize("classes", [2, 4, 8, 9, 17])
def test_packing_is_that_of_numpy(classes: int) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (3, 5, 7, classes), dtype=np.uint8)
    packed = layout.pack(mask)
    assert np.array_equal(packed, np.packbits(mask, axis=-1))
    assert np.array_equal(layout.pack(mask.astype(bool)), packed)
    assert np.array_equal(layout.unpack(packed, classes), mask)


@pytest.mark.parametrize("rows", [[b"abc"], [b"abc", b"def"], [b"", b""], [b"", b"a", b"bc"]])
def test_byte_strings_of_one_length_stay_apart(tmp_path, rows):
    arrays = [np.frombuffer(row, np.uint8) for row in rows]
    ids = [str(number) for number in range(len(rows))]
    store.write(tmp_path / "x.h5", {"id": ids, "boxes": arrays})
    assert [bytes(row) for row in store.read(tmp_path / "x.h5", "boxes")] == rows
    chosen = store.read(tmp_path / "x.h5", "boxes", ids[::-1])
    assert [bytes(row) for row in chosen] == rows[::-1]
