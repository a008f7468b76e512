"""Files that are written completely or not at all, and errors that list all problems at once."""

import contextlib
import csv
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]

TEMPORARY = ".foldbelt-"
"""How the names of files begin that `atomic` has not finished."""

_LONGEST, _RANDOM = 255, 16  # bytes of a name, and of what is added to it, with room to spare

_FULL = (errno.ENOSPC, errno.EDQUOT)

# It can only be read by setting it, which no thread may do while another makes files.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where, and what to do."""


def words_of(error: OSError) -> str:
    """Say what the system refused: of which file, if it tells, and what to do if a disk is full.

    Examples
    --------
    >>> words_of(OSError(28, "No space left on device", "a.png"))
    'a.png: No space left on device. Make room and repeat the command.'
    >>> words_of(PermissionError(13, "Permission denied"))
    'Permission denied.'
    """
    where = f"{error.filename}: " if error.filename else ""
    cure = " Make room and repeat the command." if error.errno in _FULL else ""
    return f"{where}{error.strerror or error}.{cure}"


@dataclass(frozen=True, order=True)
class Problem:
    """One problem found in the input: the file (or id), what is wrong, and what was done."""

    file: str
    reason: str
    action: str = ""


def raise_all(
    problems: Sequence[Problem], title: str, hint: str = "", most: int | None = None, rest: str = ""
) -> None:
    """Raise one InputError that lists every problem; do nothing if there is none.

    Parameters
    ----------
    problems
        What is wrong, in the order in which it is listed.
    title
        What was being checked, for the first line.
    hint
        What to do, for the last line.
    most
        How many problems are listed; None lists all.
    rest
        Where the others can be read, if not all are listed.

    Raises
    ------
    InputError
        If `problems` is not empty.
    """
    if not problems:
        return
    lines = [f"{title}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"]
    lines += [f"  {problem.file}: {problem.reason}" for problem in problems[:most]]
    if most is not None and len(problems) > most:
        lines.append(f"  … and {len(problems) - most} more{rest}")
    raise InputError("\n".join([*lines, hint] if hint else lines))


def refuse_folder(path: PathLike) -> None:
    """Raise InputError if a folder lies where a file is to be written.

    Called by `atomic`; and before, where the file is the end of long work.
    """
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder; give the name of a file.")


@contextlib.contextmanager
def atomic(path: PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`, synced and renamed to `path` when the block succeeds.

    So a reader never sees half a file, and a crash leaves the old file in place.

    Parameters
    ----------
    path
        Where the file is to be; its folder is made if it does not exist.

    Yields
    ------
    Path
        The temporary file to write to (it exists, empty).
    """
    target = Path(path)
    refuse_folder(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The name is part of it, since torch writes what stands before the last dot into a file.
    prefix = f"{TEMPORARY}{target.name}."
    if len(prefix.encode()) + _RANDOM > _LONGEST:
        prefix = TEMPORARY
    descriptor, name = tempfile.mkstemp(prefix=prefix, dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # mkstemp makes files private
        temporary.replace(target)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(target)  # a full disk does not say which file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: PathLike, text: str) -> None:
    """Write `text` as UTF-8, completely or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` as JSON with sorted keys, so that the same value gives the same bytes."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n")


def write_csv(path: PathLike, table: "pd.DataFrame") -> None:
    """Write a table as csv without its index, completely or not at all."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def write_rows(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as csv, completely or not at all, one at a time and without pandas."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def digest(paths: Iterable[PathLike]) -> str:
    """SHA-256 of the contents of some files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def seed_for(*parts: str | int | float | None) -> int:
    """Derive a seed from what it is for, so that no two uses share a stream by accident.

    Parameters
    ----------
    *parts
        For instance (seed, model, round, fold, stage, epoch, sample id).

    Returns
    -------
    int
        In [0, 2**63), the same on every machine.
    """
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def grouped(paths: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Split a list of paths into one part a name, all of the same length.

    Parameters
    ----------
    paths
        First all of the first name, then all of the second, and so on.
    names
        The names, in the order of their paths.

    Returns
    -------
    dict
        Name to its paths, in order.

    Examples
    --------
    >>> grouped(["a0", "a1", "b0", "b1"], ["a", "b"])
    {'a': ['a0', 'a1'], 'b': ['b0', 'b1']}
    """
    each = len(paths) // max(len(names), 1)
    if each * len(names) != len(paths):
        raise ValueError(f"{len(paths)} files cannot be split equally among {len(names)} names")
    return {name: list(paths[i * each : (i + 1) * each]) for i, name in enumerate(names)}


def in_turn(paths: Sequence[str], numbers: Mapping[str, int]) -> dict[str, list[str]]:
    """Split a list of paths into one part a name, of so many paths each.

    Parameters
    ----------
    paths
        First all of the first name, then all of the second, and so on.
    numbers
        Name → how many paths it has.

    Returns
    -------
    dict
        Name → its paths, in order.

    Examples
    --------
    >>> in_turn(["a0", "b0", "b1"], {"a": 1, "b": 2})
    {'a': ['a0'], 'b': ['b0', 'b1']}
    """
    if sum(numbers.values()) != len(paths):
        raise ValueError(f"{len(paths)} files are not those of {dict(numbers)}")
    rest = iter(paths)
    return {name: [next(rest) for _ in range(number)] for name, number in numbers.items()}
