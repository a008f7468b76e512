"""What channels need to know of an image beside its pixels, from a table."""

import importlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import registry
from foldbelt.bundle.reading import Bundle
from foldbelt.files import InputError, PathLike, Problem, raise_all
from foldbelt.formats import csv_files

_LISTED = 20
_ALSO = {"depth": "z"}  # as salt's own depths.csv calls it

Columns = dict[str, dict[str, Any]]


def needed(bundle: Bundle) -> list[str]:
    """Name the columns without which no channels can be made."""
    return sorted({column for module in _modules(bundle) for column in _columns(module)})


def _modules(bundle: Bundle) -> list[str]:
    return [
        module for one in bundle.channels.values() for module in registry.channels(one["recipe"])
    ]


def _columns(module: str) -> Sequence[str]:
    return registry.constant(module, "COLUMNS", ()) or ()


def read(
    table: PathLike | None, bundle: Bundle, ids: Sequence[str], more: Sequence[str]
) -> Columns:
    """Read what a table says of images.

    Parameters
    ----------
    table
        A csv with the column `id`, and those that channels need; None where there is none.
    bundle
        Whose channels.
    ids
        The images. Rows of others do not matter.
    more
        Columns of texts that are taken where the table has them.

    Returns
    -------
    dict
        Id → column → value.

    Raises
    ------
    InputError
        Naming every image of which a value is missing, or cannot be.
    """
    wanted = needed(bundle)
    if table is None:
        if wanted:
            raise InputError(
                f"{bundle.path}: its channels need of every image a {' and a '.join(wanted)}, "
                f"which no file shows. Give a csv with the columns id, {', '.join(wanted)} "
                "(--table)."
            )
        return {}
    path = Path(table)
    given = _columns_of(path)
    names = {column: column if column in given else _ALSO.get(column, column) for column in wanted}
    absent = [column for column, name in {"id": "id", **names}.items() if name not in given]
    if absent:
        raise InputError(
            f"{path}: lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}, which the "
            f"bundle needs; it has {', '.join(given)}."
        )
    rows = csv_files.match_ids(given["id"], set(ids))
    times = Counter(rows)
    problems = [Problem(n, "has several rows") for n in sorted(set(ids)) if times[n] > 1]
    place = {name: number for number, name in enumerate(rows)}
    texts = {column: given[name] for column, name in names.items()}
    texts |= {column: given[column] for column in more if column in given}
    known: Columns = {}
    for name in ids:
        if name not in place:
            problems.append(Problem(name, "has no row"))
            continue
        said = {column: values[place[name]].strip() for column, values in texts.items()}
        known[name] = {c: text for c, text in said.items() if text and c not in wanted}
        known[name] |= {column: _number(said[column]) for column in wanted}
        problems += [
            Problem(name, f"{column} is {said[column]!r}, no number")
            for column in wanted
            if math.isnan(known[name][column])
        ]
    raise_all(problems, f"{path} does not fit the images", "Every image needs one row.", _LISTED)
    for name, said in known.items():
        try:
            check(bundle, said)
        except InputError as error:
            problems.append(Problem(name, str(error)))
    raise_all(problems, f"{path} does not fit the channels", "", _LISTED)
    return known


def _columns_of(path: Path) -> dict[str, list[str]]:
    try:
        return csv_files.read_columns(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as a csv: {error}.") from error


def check(bundle: Bundle, said: Mapping[str, Any]) -> None:
    """Refuse values of an image that a channel cannot take, before any is predicted.

    Raises
    ------
    InputError
        As the channel says it.
    """
    pixels = np.zeros((1, 1, 1), np.uint8)
    for module in _modules(bundle):
        table = {name: np.array([said[name]]) for name in _columns(module)}
        if table:
            importlib.import_module(module).planes(pixels, table)


def of_one(bundle: Bundle, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check what is said of one image.

    Raises
    ------
    InputError
        If something is missing or cannot be.
    """
    said, wanted = dict(given or {}), needed(bundle)
    absent = [column for column in wanted if column not in said]
    if absent:
        raise InputError(f"the channels need of the image: {', '.join(absent)}; give them by name.")
    numbers = {column: _number(str(said[column])) for column in wanted}
    strange = [f"{c} is {said[c]!r}" for c in wanted if math.isnan(numbers[c])]
    if strange:
        raise InputError(f"the channels need numbers of the image: {', '.join(strange)}.")
    said |= numbers
    check(bundle, said)
    return said


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
