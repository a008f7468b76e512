"""Image labels of a folder data set: from a column that names one, or from columns of numbers.

Without `data.label` the labels say which classes the masks show, and nothing is read here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbelt.competitions.folder.files import META, label_spec
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

SUM_TOLERANCE = 1e-3
"""By how much the labels of an image that exclude each other may miss the sum 1."""

_UNKNOWN = {"", "nan", "na"}


@dataclass(frozen=True)
class Labels:
    """Labels of the training images.

    Parameters
    ----------
    names
        Of the L labels.
    values
        id → (L,) float32 in [0, 1], NaN where unknown.
    exclusive
        Whether an image has exactly one of them.
    """

    names: list[str]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    exclusive: bool = False

    def of(self, image: str) -> np.ndarray:
        """Give the labels (L,) of an image; all unknown where nothing is said of it."""
        unknown = np.full(len(self.names), np.nan, np.float32)
        return self.values.get(image, unknown)


def read_labels(
    root: Path, label: Any, images: Mapping[str, Any], test: Mapping[str, Any]
) -> tuple[Labels | None, list[Finding]]:
    """Read the labels that `data.label` describes.

    Parameters
    ----------
    root
        The competition's folder.
    label
        The key `data.label`.
    images, test
        Ids of the training and of the test images; rows of the latter are not read.

    Returns
    -------
    Labels or None
        None where labels are the classes that the masks show.
    list of Finding
        What is wrong, all at once.
    """
    spec = label_spec(label)
    if spec is None:
        return None, []
    nothing = Labels(spec.columns or [], exclusive=spec.exclusive)
    table, findings = csv_files.read_table(root, spec.table, ("id",))
    if table is None:
        return nothing, [] if spec.table == META else findings  # of meta.csv it is told elsewhere
    table["id"] = csv_files.match_ids(table["id"], {**images, **test})
    if spec.table != META:
        findings += csv_files.check_ids(table["id"], spec.table, {**images, **test}, "images/")
        findings += csv_files.check_rows(spec.table, table["id"], sorted(images))
    wanted = [spec.column] if spec.columns is None else spec.columns
    absent = [column for column in wanted if column not in table]
    if absent:
        has = ", ".join(map(str, table.columns))
        few = ", ".join(map(repr, absent))
        reason = f"has no column {few}, which data.label names (it has {has})"
        return nothing, [*findings, Finding(spec.table, reason)]
    rows = table[table["id"].isin(list(images))].drop_duplicates("id")
    if spec.columns is None:
        labels, wrong = _one_of(rows, spec.column, spec.table)
    else:
        labels, wrong = _numbers(rows, spec.columns, spec.exclusive, spec.table)
    _tell(labels, spec.table)
    return labels, findings + wrong


def _one_of(rows: "pd.DataFrame", column: str, table: str) -> tuple[Labels, list[Finding]]:
    """Read a column that names one label an image, or nothing where it is unknown."""
    known = rows[column].str.strip().map(lambda text: "" if text.lower() in _UNKNOWN else text)
    texts = dict(zip(rows["id"], known, strict=True))
    names = sorted(set(texts.values()) - {""})
    if texts and not names:
        reason = f"column {column} is empty for all training images; data.label needs some labels"
        return Labels([], exclusive=True), [Finding(table, reason)]
    if len(names) == 1:
        reason = f"column {column} holds {names[0]!r} alone; there is nothing to tell apart"
        return Labels(names, exclusive=True), [Finding(table, reason)]
    values = {
        key: np.array([text == name if text else np.nan for name in names], np.float32)
        for key, text in texts.items()
    }
    return Labels(names, values, exclusive=True), []


def _numbers(
    rows: "pd.DataFrame", columns: list[str], exclusive: bool, table: str
) -> tuple[Labels, list[Finding]]:
    """Read columns of numbers from 0 to 1, empty where unknown."""
    findings: list[Finding] = []
    values: dict[str, np.ndarray] = {}
    cells = rows[columns].apply(lambda column: column.str.strip()).to_numpy(object)
    lines = rows.index + 2  # line 1 is the header
    for key, line, texts in zip(rows["id"], lines, cells, strict=True):
        where = f"line {line} (id {key})"
        numbers, reasons = _row(columns, texts)
        if not reasons and exclusive:
            reasons = _not_one(numbers)
        findings += [Finding(table, f"{where}: {reason}", key) for reason in reasons]
        values[key] = numbers
    known = np.array([~np.isnan(numbers) for numbers in values.values()])
    for place, name in enumerate(columns if values else []):
        if not known[:, place].any():
            reason = f"column {name} says nothing of any training image; fill it, or do not name it"
            findings.append(Finding(table, reason))
    return Labels(columns, values, exclusive), findings


def _row(columns: list[str], texts: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Give the numbers of a row, NaN where unknown or wrong, and what is wrong with them."""
    numbers, reasons = np.full(len(columns), np.nan, np.float32), []
    for place, (name, text) in enumerate(zip(columns, texts, strict=True)):
        if text.lower() in _UNKNOWN:
            continue
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if 0 <= value <= 1:
            numbers[place] = value
        else:
            reasons.append(f"{name} is {text!r}; it must be a number from 0 to 1, or empty")
    return numbers, reasons


def _not_one(numbers: np.ndarray) -> list[str]:
    """Say what keeps labels that exclude each other from being shares of one."""
    unknown = np.isnan(numbers)
    if unknown.all():
        return []
    if unknown.any():
        return ["some labels are empty; of labels that exclude each other give all or none"]
    total = float(numbers.sum(dtype=np.float64))
    if abs(total - 1) <= SUM_TOLERANCE:
        return []
    return [f"the labels exclude each other, and sum to {total:.4g}; they must sum to 1"]


def _tell(labels: Labels, table: str) -> None:
    """Print what labels there are, and for how many images nothing is known."""
    if not labels.values:
        return
    values = np.stack(list(labels.values.values()))
    counts = ", ".join(
        f"{name} ({total:g})"
        for name, total in zip(labels.names, np.nansum(values, axis=0).round(2), strict=True)
    )
    print(f"Labels in {table}, and how many training images have them: {counts}")
    unknown = int(np.isnan(values).any(axis=1).sum())
    if unknown:
        print(f"Of {unknown} of {len(values)} training images a label is unknown")
