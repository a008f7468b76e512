"""The submission of the TGS salt competition: one run-length encoded mask for every test tile."""

from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from foldbelt.competitions._submitting import Prediction, refuse_others
from foldbelt.competitions.salt import SAMPLE
from foldbelt.files import InputError, Problem
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding
from foldbelt.rle import encode

_COLUMNS = ("id", "rle_mask")


def write_submission(
    predictions: Iterable[Prediction], root: Path, settings: Mapping[str, Any], classes: list[str]
) -> str:
    """Write id and RLE, with the rows and the header of the sample submission.

    A test tile that `on_problem: drop` left out of the data gets an empty mask, because the
    competition accepts only complete submissions. Without test tiles there is only the header, and
    no sample is needed.
    """
    runs = {p.id: encode(p.mask[..., 0]) for p in predictions}
    sample = _read_sample(root, bool(runs))
    if settings["on_problem"] == "drop":
        runs = {key: "" for key in sample["id"]} | runs
    _refuse_other_ids(sample["id"], runs)
    given = {"id": sample["id"], "rle_mask": [runs[key] for key in sample["id"]]}
    return csv_files.text_of(list(sample), zip(*(given[name] for name in sample), strict=True))


def check_submission(
    text: str,
    predictions: Iterable[Prediction],
    root: Path,
    settings: Mapping[str, Any],
    classes: list[str],
) -> list[Finding]:
    """Check a written submission: every id of the sample once, every RLE exactly its mask."""
    sample = _read_sample(root, needed=False)  # writing has missed it where it was needed
    table = csv_files.read_columns(StringIO(text))
    if list(table) != list(sample):
        return [Finding("submission", f"its columns are {list(table)}")]
    findings = csv_files.check_keys(table["id"], sample["id"])
    runs = dict(zip(table["id"], table["rle_mask"], strict=True))
    for prediction in predictions:
        text = runs.pop(prediction.id, "")
        findings += csv_files.check_runs(prediction.id, text, prediction.mask[..., 0])
    findings += [
        Finding(key, "has a mask that was not predicted") for key, text in runs.items() if text
    ]
    return findings


def _read_sample(root: Path, needed: bool) -> csv_files.Columns:
    sample, findings = csv_files.read_fields(root, SAMPLE, _COLUMNS, needed)
    if sample is None and not findings:
        return {name: [] for name in _COLUMNS}
    if sample is None:
        raise InputError(f"{root / SAMPLE} {findings[0].reason}.")
    return {name: fields for name, fields in sample.items() if name in _COLUMNS}


def _refuse_other_ids(wanted: list[str], given: Iterable[str]) -> None:
    given = list(given)
    problems = [
        Problem(key, "is in the sample, but nothing is predicted for it")
        for key in sorted(set(wanted) - set(given))
    ]
    problems += [
        Problem(key, "is predicted, but not in the sample")
        for key in sorted(set(given) - set(wanted))
    ]
    refuse_others(problems, SAMPLE)
