"""A run knows its raw files by content, part by part; jobs never look at them."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from raw_folders import ingest_both, make_folder, make_salt, save, save_table, tile
from test_steel import make as make_steel

from foldbelt import competitions, raw_files
from foldbelt.config import complete
from foldbelt.files import InputError

OLD = 1_600_000_000  # seconds: a time of change that is long past


def make(competition: str, root: Path) -> None:
    if competition == "folder":
        make_folder(root, {"a": (24, 24), "b": (24, 24)}, test=True)
        save_table(root / "meta.csv", {"id": ["a", "b"], "group": [1, 2]})
    else:
        {"salt": make_salt, "steel": make_steel}[competition](root)
    for path in root.rglob("*"):
        os.utime(path, (OLD, OLD))


def look(root: Path, state: Path, competition: str = "salt") -> dict[str, str]:
    files = competitions.files(competition)(root, complete("data", {}))
    return raw_files.digests(files, root, state)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make("salt", tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {part for part in raw_files.PARTS if before[part] != after[part]}


def test_place_time_and_what_lies_beside_do_not_matter(root: Path, state: Path) -> None:
    before = look(root, state)
    (root / "notes.csv").write_text("id,remark\n")
    (root / "my_submission.csv").write_text("id,rle_mask\n")
    (root / "old").mkdir()
    save(root / "old/a1.png", tile(1))
    os.utime(root / "test/images/x8.png")
    assert look(root, state) == before
    shutil.copytree(root, root.parent / "copy")
    assert look(root.parent / "copy", state) == before
    assert look(root.parent / "copy", root.parent / "other-state") == before
    (root.parent / "link").symlink_to(root)
    assert look(root.parent / "link", state) == before


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("train/images/a1.png", {"train"}),
        ("train/masks/a1.png", {"train"}),
        ("train.csv", {"train"}),
        ("test/images/x8.png", {"test"}),
        ("depths.csv", {"train", "test"}),
        ("sample_submission.csv", {"test", "sample"}),
    ],
)
def test_a_content_matters_to_its_parts(
    root: Path, state: Path, place: str, parts: set[str]
) -> None:
    before = look(root, state)
    with (root / place).open("ab") as file:
        file.write(b" ")
    assert changed(before, look(root, state)) == parts


def test_names_matter_and_so_do_files_that_come_and_go(root: Path, state: Path) -> None:
    before = look(root, state)
    (root / "test/images/x8.png").rename(root / "test/images/x9.png")
    renamed = look(root, state)
    assert changed(before, renamed) == {"test"}
    (root / "test/images/x9.png").unlink()
    assert changed(renamed, look(root, state)) == {"test"}


def test_links_are_followed(root: Path, state: Path) -> None:
    (root / "train/images").rename(root.parent / "images")
    (root / "train/images").symlink_to(root.parent / "images")
    before = look(root, state)
    save(root.parent / "images/a1.png", tile(77))
    assert changed(before, look(root, state)) == {"train"}


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the files that a test has made for old ones."""
    monkeypatch.setattr(raw_files, "_SETTLED", -1.0)


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once(root: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = look(root, state)
    read: list[str] = []
    content = raw_files._content
    monkeypatch.setattr(raw_files, "_content", lambda path: read.append(path) or content(path))
    assert look(root, state) == before
    assert read == []
    os.utime(root / "depths.csv", (OLD + 1, OLD + 1))
    assert look(root, state) == before
    assert read == [str(root / "depths.csv")]


@pytest.mark.usefixtures("settled")
def test_other_content_of_the_same_size_and_time_is_noticed(root: Path, state: Path) -> None:
    path = root / "depths.csv"
    before = look(root, state)
    time.sleep(0.1)  # longer than file systems take for one moment
    path.write_text(path.read_text().replace("50", "51"))
    os.utime(path, (OLD, OLD))
    assert changed(before, look(root, state)) == {"train", "test"}


def test_a_file_of_this_moment_is_read_again(root: Path, state: Path) -> None:
    """Changed twice within the precision of its time, and of the same size, it would look old."""
    path = root / "depths.csv"
    text = path.read_text()
    path.write_text(text)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    before = look(root, state)
    path.write_text(text.replace("50", "51"))
    os.utime(path, ns=times)
    assert changed(before, look(root, state)) == {"train", "test"}


def test_jobs_read_what_was_written_down(root: Path, state: Path) -> None:
    assert raw_files.recorded(state) is None
    made = look(root, state)
    shutil.rmtree(root)
    assert raw_files.recorded(state) == made


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', '{"/x": [1, 2, "a"]}'])
def test_a_broken_cache_is_made_anew(root: Path, state: Path, content: str) -> None:
    before = look(root, state)
    (state / raw_files.CACHE).write_text(content)
    assert look(root, state) == before
    assert len((state / raw_files.CACHE).read_text()) > 100


def test_all_files_that_cannot_be_read_are_named(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_files, "_content", lambda path: "" if "a1" in path else "0")
    with pytest.raises(InputError, match=r"images/a1\.png\n.*masks/a1\.png"):
        look(root, state)
    assert raw_files.recorded(state) is None


OPENED: set[str] | None = None


def watch(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and OPENED is not None and isinstance(args[0], str | os.PathLike):
        OPENED.add(os.fspath(args[0]))


sys.addaudithook(watch)


@pytest.mark.parametrize("competition", ["salt", "steel", "folder"])
def test_exactly_the_listed_files_are_read(tmp_path: Path, competition: str) -> None:
    global OPENED
    root = tmp_path / "raw"
    make(competition, root)
    (root / "notes.csv").write_text("id\n")
    OPENED = set()
    try:
        ingest_both(competition, root, complete("data", {}), tmp_path / "out")
        opened = {path for path in OPENED if path.startswith(f"{root}/")}
    finally:
        OPENED = None
    parts = competitions.files(competition)(root, complete("data", {}))
    assert set(parts) == set(raw_files.PARTS)
    assert opened == {str(path) for paths in parts.values() for path in paths}
