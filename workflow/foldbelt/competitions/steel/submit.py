"""The submission of the steel competition: one run-length encoded mask an image and class."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from foldbelt.competitions._submitting import Prediction, refuse_others
from foldbelt.competitions.steel import SAMPLE, pairs
from foldbelt.files import InputError, Problem
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding
from foldbelt.rle import encode


def write_submission(
    predictions: Iterable[Prediction], root: Path, settings: Mapping[str, Any], classes: list[str]
) -> str:
    """Write the masks in the form of the sample submission.

    Header, rows and their order are the sample's, if the sample lists every pair. A sample of
    `ImageId,ClassId,EncodedPixels` with other rows shows only the form: then there is a row for
    every mask that is not empty, with the images in the sample's order. Without a sample, the form
    is `ImageId_ClassId,EncodedPixels` with all pairs, sorted.

    A test image that `on_problem: drop` left out of the data gets empty masks if the sample asks
    for it.
    """
    runs = {
        (p.id, label): encode(p.mask[..., k])
        for p in predictions
        for k, label in enumerate(classes)
    }
    sample = _read_sample(root)
    columns, keys = _layout(sample, sorted({image for image, _ in runs}), classes)
    if sample is not None:
        if settings["on_problem"] == "drop":
            runs = {(row.image, c): "" for row in sample.rows for c in classes} | runs
        _refuse_other_pairs(keys, runs)
    if sample is not None and not pairs.lists_pairs(sample, classes):
        keys = [key for key in keys if runs[key]]
    return _write(columns, [(image, label, runs[image, label]) for image, label in keys])


def check_submission(
    text: str,
    predictions: Iterable[Prediction],
    root: Path,
    settings: Mapping[str, Any],
    classes: list[str],
) -> list[Finding]:
    """Check a written submission: every required pair once, every RLE exactly its mask."""
    sample = _read_sample(root)
    table, findings = pairs.read_text(text, "submission")
    wanted_columns = _layout(sample, (), classes)[0]
    if table is None or table.columns != wanted_columns:
        header = text.split("\n", 1)[0]
        return [Finding("submission", f"its columns are {header}, not {','.join(wanted_columns)}")]
    written = [row.pair for row in table.rows]
    runs = {row.pair: row.runs for row in table.rows}
    images, with_mask = [], set()
    for prediction in predictions:
        images.append(prediction.id)
        for k, label in enumerate(classes):
            key = prediction.id, label
            with_mask |= {key} if prediction.mask[..., k].any() else set()
            line = runs.pop(key, "")
            findings += csv_files.check_runs("_".join(key), line, prediction.mask[..., k])
    findings += [
        Finding("_".join(key), "has a mask that was not predicted")
        for key, line in runs.items()
        if line
    ]
    keys = _layout(sample, sorted(images), classes)[1]
    if sample is not None and not pairs.lists_pairs(sample, classes):
        keys = [key for key in keys if key in with_mask]
    return findings + csv_files.check_keys(
        ["_".join(k) for k in written], ["_".join(k) for k in keys]
    )


def _read_sample(root: Path) -> pairs.Pairs | None:
    sample, findings = pairs.read(root, SAMPLE, needed=False)
    if findings:
        raise InputError(f"{root / SAMPLE} {findings[0].reason}.")
    return sample


def _layout(
    sample: pairs.Pairs | None, images: Iterable[str], classes: Sequence[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Give the columns of a submission and the pairs that may have a row, in order."""
    if sample is not None and pairs.lists_pairs(sample, classes):
        return sample.columns, [row.pair for row in sample.rows]
    if sample is not None:
        images = dict.fromkeys(row.image for row in sample.rows)
    keys = [(image, label) for image in images for label in classes]
    return (pairs.JOINED if sample is None else sample.columns), keys


def _write(columns: Sequence[str], rows: Iterable[tuple[str, str, str]]) -> str:
    names = [*pairs.APART, pairs.JOINED[0]]
    places = [names.index(column) for column in columns]
    fields = ((image, label, runs, f"{image}_{label}") for image, label, runs in rows)
    return csv_files.text_of(columns, ([line[place] for place in places] for line in fields))


def _refuse_other_pairs(
    wanted: Iterable[tuple[str, str]], given: Iterable[tuple[str, str]]
) -> None:
    wanted, given = set(wanted), set(given)
    problems = [
        Problem("_".join(key), "is in the sample, but nothing is predicted for it")
        for key in sorted(wanted - given)
    ]
    problems += [
        Problem("_".join(key), "is predicted, but not in the sample")
        for key in sorted(given - wanted)
    ]
    refuse_others(problems, SAMPLE)
