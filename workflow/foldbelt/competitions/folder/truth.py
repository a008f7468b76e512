"""The hidden truth of a folder data set, where it is known, for the `hidden` score."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from foldbelt.files import Problem, raise_all
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding
from foldbelt.rle import decode

ONE = "object"
"""The class of all that is not background, where `data.classes` names none."""


def read_truth(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int],
    classes: Sequence[str] | None = None,
) -> Iterator[np.ndarray]:
    """Read a table of hidden truth, mask by mask.

    Parameters
    ----------
    path
        The csv, in the form of a submission: id, rle, and class where there are several; a row of
        every image and class. Other columns are not looked at.
    ids
        Whose masks, in which order.
    shape
        (height, width) of every mask.
    classes
        Names of the classes, in order; by default those that the table names, sorted. A single
        class `ONE` that the table does not name is all of them together.

    Yields
    ------
    (h, w, K) uint8
        0 and 1.

    Raises
    ------
    InputError
        If rows are absent or duplicate, or an RLE is wrong; all of them at once.
    """
    path = Path(path)
    table, findings = csv_files.read_table(path.parent, path.name, ("id", "rle"))
    runs: dict[tuple[str, str], str] = {}
    names = list(classes or [])
    # Where every value of a mask is one class, so is every class of the truth.
    joined = table is not None and names == [ONE] and ONE not in {*table.get("class", [ONE])}
    names = [] if joined else names
    if table is not None:
        if "class" not in table and len(names) <= 1:
            names = names or [ONE]
            table["class"] = names[0]
        elif "class" not in table:
            findings.append(Finding(path.name, "lacks the column class, though there are several"))
            table["class"] = ""
        names = names or sorted(set(table["class"]))
        keys = list(zip(table["id"], table["class"], strict=True))
        runs = dict(zip(keys, table["rle"], strict=True))
        twice = sorted({key for key, count in Counter(keys).items() if count > 1})
        findings += [Finding(path.name, f"id {key} has {name} twice") for key, name in twice]
    for key in ids if not findings else ():
        for name in names:
            if (key, name) not in runs:
                findings.append(Finding(path.name, f"id {key} has no row of the class {name}"))
                continue
            try:
                decode(runs[key, name], shape)
            except ValueError as error:
                findings.append(Finding(path.name, f"id {key} {name}: {error}"))
    problems = [Problem(finding.file, finding.reason) for finding in findings]
    raise_all(problems, f"The truth {path} cannot be used")
    masks = (np.stack([decode(runs[key, name], shape) for name in names], axis=-1) for key in ids)
    return (mask.max(axis=-1, keepdims=True) for mask in masks) if joined else masks
