"""The submission of a folder data set: one run-length encoded mask an image and class.

Labels and boxes have tables of their own, in the forms in which their truth is read.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foldbelt.competitions._output_tables import write_boxes, write_labels
from foldbelt.competitions._submitting import Prediction, refuse_others
from foldbelt.competitions.folder import SAMPLE
from foldbelt.competitions.folder.predicted import read_predictions
from foldbelt.competitions.folder.sample import COLUMNS, in_sample, read_sample, sample_fault
from foldbelt.files import InputError, Problem
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding
from foldbelt.rle import encode

__all__ = [
    "check_submission",
    "read_predictions",
    "write_boxes",
    "write_labels",
    "write_submission",
]


def write_submission(
    predictions: Iterable[Prediction], root: Path, settings: Mapping[str, Any], classes: list[str]
) -> str:
    """Write one row an image and class: id, class, height, width, rle, or the sample's columns.

    Without test images there is only the header. An image that `on_problem: drop` left out of the
    data gets empty masks if the sample lists it.
    """
    rows = {
        (p.id, name): (*p.mask.shape[:2], encode(p.mask[..., k]))
        for p in predictions
        for k, name in enumerate(classes)
    }
    sample = _read_sample(root, classes)
    if sample is None:
        return csv_files.text_of(COLUMNS, ((*key, *row) for key, row in rows.items()))
    keys = sample.keys({key for key, _ in rows})
    absent = [] if settings["on_problem"] == "drop" else sorted(set(keys) - set(rows))
    problems = [Problem(" ".join(key), "is in the sample, but not predicted") for key in absent]
    extra = sorted(set(rows) - set(keys))
    problems += [Problem(" ".join(key), "is predicted, but not in the sample") for key in extra]
    refuse_others(problems, SAMPLE)
    places = [COLUMNS.index(column) for column in sample.columns]  # in the sample's order
    answers = (rows.get(key, ("", "", "")) for key in keys)
    named = zip(sample.ids, sample.classes, strict=True)
    lines = ((*name, *answer) for name, answer in zip(named, answers, strict=True))
    return csv_files.text_of(sample.header, ([line[p] for p in places] for line in lines))


def check_submission(
    text: str,
    predictions: Iterable[Prediction],
    root: Path,
    settings: Mapping[str, Any],
    classes: list[str],
) -> list[Finding]:
    """Check a written submission: every image and class once, right sizes, exactly the masks."""
    sample = _read_sample(root, classes)
    table = csv_files.read_columns(StringIO(text))
    header, columns = (COLUMNS, COLUMNS) if sample is None else (sample.header, sample.columns)
    if list(table) != header:
        return [Finding("submission", f"its columns are {list(table)}, not {header}")]
    table = dict(zip(columns, table.values(), strict=True))
    kept = [_Kept.of(prediction) for prediction in predictions]
    given, wanted = _Sample.of(table, classes), []
    keys = list(zip(given.ids, given.classes, strict=True))
    if sample is not None:
        known = {prediction.id for prediction in kept}
        keys, wanted = given.keys(known), [" ".join(key) for key in sample.keys(known)]
    records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    rows = dict(zip(keys, records, strict=True))
    findings: list[Finding] = []
    for prediction in kept:
        for k, name in enumerate(classes):
            where = f"{prediction.id} {name}"
            if sample is None:
                wanted.append(where)
            row = rows.pop((prediction.id, name), None)
            if row is None:
                continue  # check_keys names it
            findings += csv_files.check_runs(where, row["rle"], prediction.mask(k))
            sides = zip(("height", "width"), prediction.size, strict=True)
            if any(row.get(side, str(length)) != str(length) for side, length in sides):
                findings.append(Finding(where, "is written with a size that is not its image's"))
    findings += [
        Finding(" ".join(key), "has a mask that was not predicted")
        for key, row in rows.items()
        if row["rle"]
    ]
    return findings + csv_files.check_keys([" ".join(key) for key in keys], wanted)


class _Kept(NamedTuple):
    """A prediction while others are awaited: all their ids are needed first, in bounded memory."""

    id: str
    size: tuple[int, int]
    planes: list[bytes]

    @classmethod
    def of(cls, prediction: Prediction) -> "_Kept":
        """Pack the masks (h, w, K)."""
        height, width, count = prediction.mask.shape
        bits = (np.packbits(prediction.mask[..., k] != 0) for k in range(count))
        return cls(prediction.id, (height, width), [zlib.compress(b.tobytes(), 1) for b in bits])

    def mask(self, number: int) -> np.ndarray:
        """Unpack the mask (h, w) of a class."""
        bits = np.frombuffer(zlib.decompress(self.planes[number]), np.uint8)
        return np.unpackbits(bits, count=self.size[0] * self.size[1]).reshape(self.size)


class _Sample(NamedTuple):
    """The rows of a submission: its header, usual names, and an id and a class a row."""

    header: list[str]
    columns: list[str]
    ids: list[str]
    classes: list[str]

    @classmethod
    def of(
        cls, table: csv_files.Columns, classes: list[str], header: list[str] | None = None
    ) -> "_Sample":
        """Take a table that need not name the class where there is one alone."""
        ids, columns = table["id"], list(table)
        return cls(header or columns, columns, ids, table.get("class", classes[:1] * len(ids)))

    def keys(self, test: Collection[str]) -> list[tuple[str, str]]:
        """Give the id that a test image has here, and the class, of every row."""
        return list(zip(in_sample(self.ids, test), self.classes, strict=True))


def _read_sample(root: Path, classes: list[str]) -> _Sample | None:
    table, header, findings = read_sample(root)
    reason = findings[0].reason if table is None and findings else ""
    reason = reason if table is None else sample_fault(table, classes)
    if reason:
        raise InputError(f"{root / SAMPLE} {reason}.")
    return None if table is None else _Sample.of(table, classes, header)
