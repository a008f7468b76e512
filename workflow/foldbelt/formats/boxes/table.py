"""Boxes in a csv: id, x1, y1, x2, y2, and perhaps class; other columns are not looked at.

A row of an id whose coordinates are empty says that the image has no box.
"""

from pathlib import Path

import pandas as pd

from foldbelt.boxes import XYXY
from foldbelt.formats import csv_files
from foldbelt.formats.boxes.rows import OBJECT, BoxRow, Listed
from foldbelt.formats.findings import Finding

COLUMNS = ("id", *XYXY)


def read(root: Path, name: str) -> Listed:
    """Read a csv of boxes; see the module."""
    table, findings = csv_files.read_table(root, name, COLUMNS)
    listed = Listed(findings=findings, partial=True)
    if table is None:
        return listed
    if "score" in table:
        listed.notes.append("scores are not looked at: every box is taken for true, however unsure")
    without: dict[str, str] = {}
    for line, cells in enumerate(_stripped(table, "class" in table), 2):  # after the header
        if csv_files.is_name(cells[0]) and not any(cells[2:]):
            listed.seen[cells[0]] = name
            without.setdefault(cells[0], f"line {line}")
        else:
            _take(listed, name, f"line {line}", cells)
    for row in listed.rows:
        said = without.pop(row.id, "")
        if said:
            reason = f"{said} says that {row.id} has no box, and {row.where} has one; keep one"
            listed.findings.append(Finding(name, reason, row.id))
    return listed


def _stripped(table: pd.DataFrame, named: bool) -> list[tuple[str, ...]]:
    """Give id, class and coordinates of every row as text."""
    columns = [table["id"]]
    columns += [table["class"].str.strip() if named else pd.Series([OBJECT] * len(table))]
    columns += [table[side].str.strip() for side in XYXY]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _take(listed: Listed, file: str, where: str, cells: tuple[str, ...]) -> None:
    """Add the box of one line to what is listed."""
    identity, kind, *sides = cells
    if not csv_files.is_name(identity):
        reason = f"id {identity!r} is not a plain file name"
        listed.findings.append(Finding(file, f"{where}: {reason}", identity))
        return
    listed.seen[identity] = file
    corners = []
    for side, text in zip(XYXY, sides, strict=True):
        try:
            corners.append(float(text))
        except ValueError:
            reason = f"{where} (id {identity}): {side} is {text!r}, no number"
            hint = "; for an image without boxes leave all four empty" if not text else ""
            listed.findings.append(Finding(file, reason + hint, identity))
    if not kind:
        reason = f"{where} (id {identity}): has no class; name it"
        listed.findings.append(Finding(file, reason, identity))
    elif len(corners) == len(XYXY):
        listed.rows.append(BoxRow(file, where, identity, kind, *corners))
