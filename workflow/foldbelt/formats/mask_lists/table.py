"""Masks in a table of run lengths: id, rle and, where there are several, class.

It is the form of a submission of the folder layout, so that the masks of another run can be read.
Rows of one image and class are joined where they do not overlap, as instances are. An empty `rle`,
or -1, says that the image shows nothing of the class. Names of columns as in Kaggle's tables are
understood.
"""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from foldbelt.formats import csv_files
from foldbelt.formats.boxes import OBJECT, Listed
from foldbelt.formats.findings import Finding
from foldbelt.formats.mask_lists.rows import MaskRow, Runs

_NOTHING = {"", "-1", "nan"}


def read(
    listed: Listed, root: Path, name: str, known: Collection[str], one: str = OBJECT
) -> tuple[list[MaskRow], list[str]]:
    """Read a table; parameters and results as those of `coco.read`.

    `one` is the class of a table without that column. Rows without pixels only say that there are
    none, so that they are not among those given; their classes are among the names.
    """
    table, findings = csv_files.read_table(root, name, ())
    listed.findings.extend(findings)
    if table is None:
        return [], []
    usual = csv_files.usual_names(map(str, table.columns))
    table.columns = pd.Index([usual.get(str(column), column) for column in table.columns])
    renamed = [f"{given} as {name}" for given, name in usual.items()]
    absent = [column for column in ("id", "rle") if column not in table]
    if absent:
        has = ", ".join(map(str, table.columns))
        reason = f"lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)} (it has {has})"
        listed.findings.append(Finding(name, reason))
        return [], []
    if renamed:
        listed.notes.append(f"columns were understood: {', '.join(renamed)}")
    ids = csv_files.match_ids(table["id"], known)
    kinds = table["class"].str.strip().tolist() if "class" in table else [one] * len(table)
    _note_sizes(listed, name, table, ids)
    rows = []
    texts = table["rle"].str.strip().tolist()
    for line, (key, kind, text) in enumerate(zip(ids, kinds, texts, strict=True), 2):
        if not csv_files.is_name(key):
            reason = f"line {line}: id {key!r} is not a plain file name"
            listed.findings.append(Finding(name, reason, key))
            continue
        listed.seen[key] = name
        if text.lower() in _NOTHING:
            continue
        if not kind:
            reason = f"line {line} (id {key}): has no class; name it"
            listed.findings.append(Finding(name, reason, key))
            continue
        rows.append(MaskRow(name, f"line {line}", key, kind, Runs(text)))
    return rows, sorted({*kinds} - {""})


def _note_sizes(listed: Listed, name: str, table: pd.DataFrame, ids: list[str]) -> None:
    """Note what the table says of sizes; a row that says another than one before is a fault."""
    if not {"height", "width"} <= {*table.columns}:
        return
    pairs = zip(ids, table["height"].str.strip(), table["width"].str.strip(), strict=True)
    for line, (key, height, width) in enumerate(pairs, 2):
        if not height and not width:
            continue
        if not height.isdecimal() or not width.isdecimal():
            reason = f"line {line} (id {key}): height and width are {height!r}, {width!r}"
            listed.findings.append(Finding(name, f"{reason}, no numbers of pixels", key))
            continue
        said = int(height), int(width)
        before = listed.sizes.setdefault(key, (name, said))[1]
        if before != said:
            reason = f"line {line} (id {key}): is of another size than a row before"
            listed.findings.append(Finding(name, reason, key))
