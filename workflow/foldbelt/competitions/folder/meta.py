"""The table meta.csv of a folder data set: any columns, by which folds stratify and group."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.competitions.folder.files import META, label_spec
from foldbelt.formats import csv_files, dicom
from foldbelt.formats.findings import Finding
from foldbelt.store.layout import KNOWN

_RESERVED = {"height", "width", "coverage", "empty", KNOWN}


def read_meta(
    root: Path,
    settings: Mapping[str, Any],
    images: Mapping[str, Path],
    test: Mapping[str, Path],
) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Give id → columns of every image, and findings."""
    columns: dict[str, dict[str, Any]] = {key: {} for key in (*images, *test)}
    spec = label_spec(settings["label"])
    labels = (spec.columns or [spec.column]) if spec is not None and spec.table == META else []
    # Labels that the table lacks are told with the other labels; here what a missing table needs.
    wanted = ("id",) if (root / META).is_file() else ("id", *labels)
    table, findings = csv_files.read_table(root, META, wanted, needed=bool(labels))
    if table is None:
        return columns, findings
    more = csv_files.empty_fields(root / META)
    if more:
        print(f"{META}: its rows have {more} empty field{'s' * (more > 1)} more than its header")
    table["id"] = csv_files.match_ids(table["id"], columns)
    findings += csv_files.check_ids(table["id"], META, columns, "images/ or the test folder")
    findings += csv_files.check_rows(META, table["id"], sorted(images))
    covered = set(table["id"]) & test.keys()
    if (
        covered
    ):  # rows for train images alone are fine; rows for some test images only are a mistake
        findings += csv_files.check_rows(META, table["id"], sorted(test))
    reserved = _RESERVED if settings["boxes"] is None else {*_RESERVED, "boxes"}
    clash = sorted(reserved & set(table.columns))
    if clash:
        reason = f"has columns whose names foldbelt uses itself: {', '.join(clash)}; rename them"
        return columns, [*findings, Finding(META, reason)]
    for name in table.columns.drop("id"):
        values = csv_files.typed(table, name)
        for key, value in zip(table["id"], values, strict=True):
            if key in images or (key in test and covered):
                columns[key].setdefault(name, value)
    return columns, findings


def add_patients(
    columns: Mapping[str, dict[str, Any]], images: Mapping[str, Path], test: Mapping[str, Path]
) -> None:
    """Take the columns `patient` and `study` of DICOM headers, where no table has them.

    A column is that of a whole part: images that do not say it have "".
    """
    for files in (images, test):
        said = dicom.patient_columns(files)
        for name in sorted({name for given in said.values() for name in given}):
            if not any(name in columns[key] for key in files):
                for key in files:
                    columns[key][name] = said.get(key, {}).get(name, "")
