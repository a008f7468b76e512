"""What the raw files are, by content: every file is digested once and remembered.

Where raw files lie, when they were touched and what else lies beside them does not matter to a
run: the list of (name, digest of the content) does, part by part. Snakemake's main process takes
the digests, and remembers each by path, size and times, so that a second look costs one `stat` a
file. The time of the content can be set back (`touch -r`, `rsync -t`, an unpacked archive), that
of the file's state cannot, so both must be as they were. Jobs read what the main process wrote
down, and look at no raw file.

Only the standard library is imported here: this runs whenever Snakemake builds its graph.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from foldbelt.files import InputError, PathLike, write_text

PARTS = ("train", "test", "sample")
"""Training data, test data, the sample submission: each is stored by a job of its own."""

CACHE, RECORD = "raw-cache.json", "raw.json"

_THREADS = 4  # hashlib releases the interpreter's lock
_SETTLED = 2.0  # seconds; a file changed more recently may change again within its time's precision
_TELL = 5.0  # seconds between two words on the progress

_Entry = tuple[int, int, int, str]
"""Size, times of change in nanoseconds, of the content and of the file's state, digest."""


def digests(
    files: Mapping[str, Sequence[Path]],
    root: PathLike,
    state: PathLike,
    tell: Callable[[str], None] = print,
) -> dict[str, str]:
    """Digest raw files by content, part by part, and write the digests down for the jobs.

    Parameters
    ----------
    files
        Part → its files, as the competition's ``files`` lists them. Links are followed.
    root
        The competition's folder; names are relative to it.
    state
        Folder for the cache and for the record.
    tell
        Gets a line of progress every few seconds while files are read.

    Returns
    -------
    dict
        Part → SHA-256 over the names and contents of its files. Neither order nor place, nor the
        time of a change, matters.

    Raises
    ------
    InputError
        Naming the files that cannot be read.
    """
    folder = Path(state)
    cache = _read_cache(folder / CACHE)
    paths = sorted({os.path.abspath(path) for part in files.values() for path in part})
    states = {path: _state(path) for path in paths}
    known = {path: cache[path][3] for path in paths if _same(cache.get(path), states[path])}
    fresh = _read([path for path in paths if path not in known], states, tell)
    content = known | fresh
    now = time.time_ns()
    settled = {
        path: (*_seen(states[path]), content[path])
        for path in paths
        if path in known or now - max(_seen(states[path])[1:]) > _SETTLED * 1e9
    }
    if settled != cache:
        write_text(folder / CACHE, json.dumps(settled))
    made = {part: _digest(listed, Path(root), content) for part, listed in files.items()}
    if made != recorded(folder):
        write_text(folder / RECORD, json.dumps(made, indent=1) + "\n")
    return made


def recorded(state: PathLike) -> dict[str, str] | None:
    """Give the digests that `digests` last wrote down; None where there are none."""
    try:
        return dict(json.loads((Path(state) / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _read_cache(path: Path) -> dict[str, _Entry]:
    """Read what was remembered; nothing where the file is missing or broken."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: (int(size), int(at), int(state_at), str(digest))
                for name, (size, at, state_at, digest) in content.items()}  # fmt: skip
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _same(entry: _Entry | None, state: os.stat_result) -> bool:
    return entry is not None and entry[:3] == _seen(state)


def _seen(state: os.stat_result) -> tuple[int, int, int]:
    """Give what an entry of the cache says of a file besides its digest."""
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _read(
    paths: Sequence[str], states: Mapping[str, os.stat_result], tell: Callable[[str], None]
) -> dict[str, str]:
    """Digest the content of files: path → SHA-256."""
    whole = sum(states[path].st_size for path in paths)
    done, last = 0, time.monotonic()
    made: dict[str, str] = {}
    unreadable: list[str] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, digest in zip(paths, pool.map(_content, paths), strict=True):
            made[path] = digest
            if not digest:
                unreadable.append(path)
            done += states[path].st_size
            if time.monotonic() - last > _TELL:
                last = time.monotonic()
                tell(
                    f"Digesting raw files: {len(made)} of {len(paths)}, "
                    f"{done / 2**30:.1f} of {whole / 2**30:.1f} GiB"
                )
    if unreadable:
        listed = "\n".join(f"  {path}" for path in unreadable)
        raise InputError(f"These raw files cannot be read; allow it, or move them away:\n{listed}")
    return made


def _state(path: str) -> os.stat_result:
    """Look at a file, or at a link that leads nowhere: readers name it, so it counts."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return os.lstat(path)


def _content(path: str) -> str:
    if os.path.islink(path) and not os.path.exists(path):
        return hashlib.sha256(b"link\0" + os.fsencode(os.readlink(path))).hexdigest()
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _digest(paths: Iterable[Path], root: Path, content: Mapping[str, str]) -> str:
    """Digest the names below `root` and the contents of one part's files."""
    lines = sorted(
        f"{path.relative_to(root).as_posix()}\0{content[os.path.abspath(path)]}\n" for path in paths
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
