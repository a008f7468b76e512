"""Tables beside the images: read as text, ids checked; run lengths of a submission verified."""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import composed
from foldbelt.rle import decode

if TYPE_CHECKING:
    import pandas as pd

MANY = 5  # how many wrong values of one kind in one file a reason lists
_USUAL = {
    "id": ("imageid", "image_id", "img", "image", "filename"),
    "rle": ("encodedpixels", "rle_mask", "segmentation"),
    "class": ("classid", "class_id", "label", "category"),
}
"""What tables of run lengths call their columns, in small letters, besides their usual names."""
_MISSING = {"", "nan", "na", "inf", "-inf"}
_NOTHING = {"", "-1", "na", "n/a", "nan", "none", "null"}
_LONGEST = 2**31 - 1  # characters of a field: run lengths may be long
_END = ("\n", "end")  # lines behind the last one, by which a quote that is still open shows


Columns = dict[str, list[str]]
"""A csv as text: name of a column → its fields, "" where nothing stands."""


def read_text(source: Path | io.StringIO) -> "pd.DataFrame":
    """Read a csv as `read_columns` does, into a DataFrame of str.

    Raises
    ------
    ValueError
        As `read_columns` does.
    """
    import pandas as pd

    return pd.DataFrame(read_columns(source), dtype=str)


def read_columns(source: Path | io.StringIO) -> Columns:
    """Read a csv without interpreting it, and without pandas: where a bundle predicts is none.

    Blanks around the names of columns do not count, nor do empty lines. Rows may end in commas
    that the header lacks, if nothing stands behind them; a short row lacks nothing but its last
    fields. A column without a name is called "Unnamed: 2" by its place, counted from 0.

    Raises
    ------
    ValueError
        If rows have more fields than the header names, a name is there twice, a quote is never
        closed, or it is no csv.
    """
    if isinstance(source, io.StringIO):
        source.seek(0)
        (_, header), *rows = _rows(source)
    else:
        with source.open(encoding="utf-8-sig", newline="") as file:
            (_, header), *rows = _rows(file)
    names = [name.strip() or f"Unnamed: {place}" for place, name in enumerate(header)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"its header names {', '.join(map(repr, twice))} more than once")
    for line, row in rows:
        if any(row[len(names) :]):
            raise ValueError(
                f"line {line} has more fields than the header, which names {len(names)}: is there "
                "a comma too many, or a text with a comma that is not in quotes?"
            )
    return {name: [row[place] if place < len(row) else "" for _, row in rows]
            for place, name in enumerate(names)}  # fmt: skip


def _rows(lines: Iterable[str]) -> list[tuple[int, list[str]]]:
    """Give the rows that are not empty, with the number of their last line; at least one."""
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(chain(lines, _END))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if rows.pop()[1] != [_END[1]]:
        raise ValueError("a quote is opened and never closed")
    rows = [(line, row) for line, row in rows if row[1:] or "".join(row).strip()]
    if not rows:
        raise ValueError("it is empty")
    return rows


def text_of(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as the text of a csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def usual_names(columns: Iterable[str]) -> dict[str, str]:
    """Give the usual names of the columns of run lengths: given → id, rle or class.

    Examples
    --------
    >>> usual_names(["ImageId", "EncodedPixels", "height"])
    {'ImageId': 'id', 'EncodedPixels': 'rle'}
    """
    given, renamed = list(columns), {}
    for usual, others in _USUAL.items():
        found = [column for column in given if column.lower() in (usual, *others)]
        if usual not in given and len(found) == 1:
            renamed[found[0]] = usual
    return renamed


def empty_fields(path: Path) -> int:
    """Count the fields that rows of a csv, which `read_text` reads, have behind their header's."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lengths = [len(row) for row in csv.reader(file)]
    return max(lengths, default=0) - next(iter(lengths), 0)


def match_ids(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Bring ids to the form in which images have them: blanks around them, accents, suffixes.

    An id that is known as it stands is left alone, and so is one that no form makes known.
    """
    return [name if name in known else _matched(name, known) for name in names]


def _matched(name: str, known: Collection[str]) -> str:
    bare = composed(name.strip())
    for form in (name.strip(), composed(name), bare, bare.rpartition(".")[0]):
        if form in known:
            return form
    return name


def read_table(
    root: Path, name: str, columns: Collection[str], needed: bool = True
) -> "tuple[pd.DataFrame | None, list[Finding]]":
    """Read a table of the competition as `read_fields` does, into a DataFrame of str."""
    import pandas as pd

    given, findings = read_fields(root, name, columns, needed)
    return None if given is None else pd.DataFrame(given, dtype=str), findings


def read_fields(
    root: Path, name: str, columns: Collection[str], needed: bool = True
) -> tuple[Columns | None, list[Finding]]:
    """Read one table of the competition; None and a finding if it cannot be used.

    Parameters
    ----------
    root, name
        Folder and file.
    columns
        Columns that it must have.
    needed
        Whether its absence is a finding.
    """
    path = root / name
    if not path.is_file():
        which = f"the column{'s' * (len(columns) > 1)} {', '.join(columns)}"
        reason = f"is missing; it must be a csv with {which}"
        return None, [Finding(name, reason)] if needed else []
    try:
        given = read_columns(path)
    except ValueError as error:
        return None, [Finding(name, f"cannot be read as a csv: {' '.join(str(error).split())}")]
    absent = [column for column in columns if column not in given]
    if absent:
        has = ", ".join(given)
        reason = f"lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)} (it has {has})"
        return None, [Finding(name, reason)]
    return given, []


def check_ids(ids: Iterable[str], name: str, known: Collection[str], where: str) -> list[Finding]:
    """Find ids that are duplicate, are no plain file names, or belong to no image.

    Parameters
    ----------
    ids
        Of the rows.
    name
        The file, for the messages.
    known
        The ids that images have.
    where
        What those images are, for instance "train/images".
    """
    findings = []
    for identity, count in Counter(ids).items():
        if not is_name(identity):
            reason = f"id {identity!r} is not a plain file name (no '/', '\\', '..', not empty)"
            findings.append(Finding(name, reason, identity))
            continue
        if count > 1:
            findings.append(Finding(name, f"id {identity} is duplicate ({count} rows)", identity))
        if identity not in known:
            reason = f"id {identity} is unknown: no image of that name in {where}"
            findings.append(Finding(name, reason, identity))
    return findings


def is_name(identity: str) -> bool:
    """Tell whether an id is a plain name, or a path of such, which cannot leave its folder."""
    return all(
        bool(part.strip()) and not set(part) & set("\\\0") and part not in (".", "..")
        for part in identity.split("/")
    )


def check_rows(name: str, ids: Iterable[str], wanted: Iterable[str]) -> list[Finding]:
    """Find the images for which a table, with rows of these ids, has no row."""
    present = set(ids)
    return [
        Finding(name, f"has no row for id {identity}; every image needs one", identity)
        for identity in wanted
        if identity not in present
    ]


def typed(table: "pd.DataFrame", name: str) -> list[Any]:
    """Read a column as numbers if all its entries are numbers, else as text.

    Codes with leading zeros stay text: "007" and "7" are two patients. A missing number becomes
    NaN; the code that needs the column refuses it.
    """
    import pandas as pd

    texts = table[name].str.strip()
    missing = texts.str.lower().isin(_MISSING)
    given = texts[~missing]
    numbers = pd.to_numeric(texts.mask(missing), errors="coerce").to_numpy(np.float64)
    codes = given.str.fullmatch(r"[+-]?0\d.*").any()
    if codes or given.empty or not np.isfinite(numbers[~missing]).all():
        return texts.tolist()  # "x " and "x" are one patient
    whole = given.str.fullmatch(r"[+-]?\d{1,15}").all() and not missing.any()
    return (numbers.astype(np.int64) if whole else numbers).tolist()


def says_nothing(value: object) -> bool:
    """Tell whether a value of a table is missing, however that is written."""
    if isinstance(value, str):
        return value.strip().lower() in _NOTHING
    return value == -1 or value != value  # NaN


def check_runs(where: str, text: str, mask: np.ndarray) -> list[Finding]:
    """Verify that a written RLE decodes to exactly the mask (h, w)."""
    try:
        same = np.array_equal(decode(text, mask.shape), mask != 0)
    except ValueError as error:
        return [Finding(where, str(error))]
    return (
        [] if same else [Finding(where, "its RLE decodes to a mask that is not the predicted one")]
    )


def check_keys(written: list[str], wanted: list[str]) -> list[Finding]:
    """Verify that a submission has exactly the wanted rows, each once, in the wanted order."""
    findings = []
    rows = Counter(written)
    findings += [Finding(key, f"is written {n} times") for key, n in rows.items() if n > 1]
    known = set(wanted)
    findings += [Finding(key, "is unknown to the sample") for key in rows if key not in known]
    findings += [Finding(key, "is missing") for key in wanted if key not in rows]
    if not findings and written != wanted:
        findings.append(Finding("submission", "its rows are not in the sample's order"))
    return findings
