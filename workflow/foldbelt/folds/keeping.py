"""Images that keep the fold of an earlier run, when more training images come.

Scores of both runs are then of the same images held out, and no image that a model was scored on is
one that its successor learns from in that fold.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldbelt.files import InputError, PathLike, Problem, raise_all
from foldbelt.folds.dealing import NEW
from foldbelt.formats import csv_files

_FOLD = re.compile(r"\d{1,9}", re.ASCII)
_SHOWN = 3  # ids of a group that a message names
_LISTED = 20
_CURE = (
    "Give every image one fold from 0 to {}, and all images of a group the same, or leave `keep` "
    "out to split anew."
)


def read(path: PathLike) -> pd.DataFrame:
    """Read a table of folds as text.

    Parameters
    ----------
    path
        CSV file with the columns id and fold; others do not count.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        table = csv_files.read_text(Path(path))
    except OSError as error:
        raise InputError(f"{path}: folds.*.keep cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: folds.*.keep is no CSV file ({error}).") from error
    missing = [name for name in ("id", "fold") if name not in table]
    if missing:
        columns = ", ".join(table.columns)
        raise InputError(
            f"{path}: folds.*.keep lacks the column {' and '.join(missing)}; it has {columns}. "
            "Name a table of folds: results/<run>/folds/<scheme>.csv of an earlier run."
        )
    kept = table[["id", "fold"]]
    kept.attrs["name"] = str(path)
    return kept


def settle(table: pd.DataFrame, ids: Sequence[str], groups: np.ndarray, count: int) -> np.ndarray:
    """Give each row the fold that its group has in a table.

    Prints how many images are kept and new, and how many of the table's are gone.

    Parameters
    ----------
    table
        As `read` gives it.
    ids
        Of the N rows.
    groups : (N,) int64 array
        What must stay together, of the rows.
    count
        Number of folds.

    Returns
    -------
    (N,) int64 array
        The fold of each row; `NEW` where no image of its group is in the table.

    Raises
    ------
    InputError
        Naming ids that occur twice, folds that are none or too high, and groups that lie in several
        folds; or if the table has no id of these images.
    """
    times = Counter(table["id"])
    problems = [Problem(name, f"this id occurs {n} times") for name, n in times.items() if n > 1]
    fold_of: dict[str, int] = {}
    for name, text in zip(table["id"], table["fold"], strict=True):
        if not _FOLD.fullmatch(text):
            problems.append(Problem(name, f"fold {text!r} is no whole number from 0"))
        elif int(text) >= count:
            problems.append(Problem(name, f"fold {text}, but `count` is {count}"))
        else:
            fold_of[name] = int(text)
    members = defaultdict(list)
    for name, group in zip(ids, groups.tolist(), strict=True):
        members[group].append(name)
    settled: dict[int, int] = {}
    for group, names in members.items():
        known: dict[int, list[str]] = {}
        for name in names:
            if name in fold_of:
                known.setdefault(fold_of[name], []).append(name)
        if len(known) > 1:
            problems.append(_split(known, [name for name in names if name not in times]))
        elif known:
            settled[group] = next(iter(known))
    name = table.attrs.get("name", "the table")
    raise_all(problems, f"{name}, which folds.*.keep names", _CURE.format(count - 1), _LISTED)
    here = set(ids)
    gone = [name for name in times if name not in here]
    if len(gone) == len(times):
        raise InputError(
            f"{name}, which folds.*.keep names: no id of the table is that of a training image"
            + (f" (it has {gone[0]!r}, they are like {min(here)!r})" if gone and here else "")
            + ". Name the folds of a run on the same images."
        )
    new = sum(name not in times for name in ids)
    print(f"{len(times) - len(gone)} images keep their fold, {new} are new")
    if gone:
        shown = ", ".join(gone[:_SHOWN])
        print(f"{len(gone)} images of the table of `keep` take no part any more, such as {shown}")
    return np.array([settled.get(group, NEW) for group in groups.tolist()], np.int64)


def _split(known: dict[int, list[str]], new: Sequence[str]) -> Problem:
    """Say of a group in which folds its images lie, and which new ones join it."""
    parts = [f"fold {fold} ({_some(names)})" for fold, names in sorted(known.items())]
    reason = f"its images lie in {' and '.join(parts)}"
    if new:
        reason += f"; {_some(new)}, new, belong{'s' if len(new) == 1 else ''} to it"
    first = min(name for names in known.values() for name in names)
    return Problem(f"the group of {first}", reason)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(sorted(names)[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
