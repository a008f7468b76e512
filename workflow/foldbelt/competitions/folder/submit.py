"""The submission of a folder data set: one run-length encoded mask an image and class.

Labels and boxes have tables of their own, in the forms in which their truth is read.
"""

import zlib
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foldbelt.competitions._output_tables import write_boxes, write_labels
from foldbelt.competitions._submitting import Prediction, refuse_others
from foldbelt.competitions.folder import SAMPLE
from foldbelt.competitions.folder.predicted import read_predictions
from foldbelt.competitions.folder.sample import COLUMNS, in_sample, sample_fault
from foldbelt.files import InputError, Problem
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding
from foldbelt.rle import encode

if TYPE_CHECKING:
    import pandas as pd

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
    import pandas as pd  # here: tables of labels and boxes are written without it

    rows = [
        (p.id, name, *p.mask.shape[:2], encode(p.mask[..., k]))
        for p in predictions
        for k, name in enumerate(classes)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    sample = _read_sample(root, classes)
    if sample is not None:
        as_named = sample["id"].tolist()
        sample["id"] = in_sample(as_named, set(table["id"]))
        keys = pd.MultiIndex.from_frame(sample[["id", "class"]])
        table = table.set_index(["id", "class"])
        absent = [] if settings["on_problem"] == "drop" else sorted(set(keys) - set(table.index))
        extra = sorted(set(table.index) - set(keys))
        problems = [Problem(" ".join(key), "is in the sample, but not predicted") for key in absent]
        problems += [Problem(" ".join(key), "is predicted, but not in the sample") for key in extra]
        refuse_others(problems, SAMPLE)
        table = table.reindex(keys).reset_index()
        table["id"] = as_named
        table["rle"] = table["rle"].fillna("")
        sides = {"height": "Int64", "width": "Int64"}
        table = table.astype(sides)[sample.attrs["columns"]]
    return table.to_csv(index=False, lineterminator="\n")


def check_submission(
    text: str,
    predictions: Iterable[Prediction],
    root: Path,
    settings: Mapping[str, Any],
    classes: list[str],
) -> list[Finding]:
    """Check a written submission: every image and class once, right sizes, exactly the masks."""
    sample = _read_sample(root, classes)
    table = csv_files.read_text(StringIO(text))
    columns = COLUMNS if sample is None else sample.attrs["columns"]
    if list(table.columns) != columns:
        return [Finding("submission", f"its columns are {list(table.columns)}, not {columns}")]
    if "class" not in table:
        table["class"] = classes[0]
    kept = [_Kept.of(prediction) for prediction in predictions]
    if sample is not None:
        known = {prediction.id for prediction in kept}
        sample["id"], table["id"] = (in_sample(t["id"], known) for t in (sample, table))
    rows = {(row["id"], row["class"]): row for row in table.to_dict("records")}
    written = [" ".join(key) for key in zip(table["id"], table["class"], strict=True)]
    wanted = (
        []
        if sample is None
        else [" ".join(key) for key in zip(sample["id"], sample["class"], strict=True)]
    )
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
    return findings + csv_files.check_keys(written, wanted)


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


def _read_sample(root: Path, classes: list[str]) -> "pd.DataFrame | None":
    sample, findings = csv_files.read_table(root, SAMPLE, ("id", "rle"), needed=False)
    reason = findings[0].reason if findings else ""
    if sample is not None:
        reason = sample_fault(sample, classes)
        sample.attrs["columns"] = list(sample.columns)
        if "class" not in sample:
            sample["class"] = classes[0]
    if reason:
        raise InputError(f"{root / SAMPLE} {reason}.")
    return sample
