"""The tables of the chest competition: studies and their classes, images and their boxes, sizes.

Ids are ``<study>_study`` and ``<image>_image``. Boxes are a Python literal, a list of mappings of
x, y, width and height in pixels of the original image; the column `label` says the same once more
as a prediction, and both must agree.
"""

import ast
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foldbelt.boxes import NUMBERS
from foldbelt.competitions.chest import SAMPLE, spelling
from foldbelt.competitions.chest.files import IMAGE_TABLE, STUDY_TABLE
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

CLASS_COLUMNS = {
    "negative": "Negative for Pneumonia",
    "typical": "Typical Appearance",
    "indeterminate": "Indeterminate Appearance",
    "atypical": "Atypical Appearance",
}
"""Label → its column in the table of studies."""

SLACK = 8.0
"""Pixels by which a box may stick out of its image; the real table has one of 3.56."""

_AGREE = 0.01  # pixels by which the two columns of boxes may differ, being rounded
_SIDES = ("x", "y", "width", "height")
_IMAGE_COLUMNS = ("boxes", "StudyInstanceUID")
_OPTIONAL = {"study": ("study", "StudyInstanceUID"), "patient": ("patient", "PatientID")}

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2."""


class ImageRow(NamedTuple):
    """What the table of images says of one: its line, its study, its boxes in the file's order."""

    line: int
    study: str
    boxes: list[Box]


class Original(NamedTuple):
    """What the table of converted images says of one; "" where it does not know."""

    size: tuple[int, int]
    study: str
    patient: str


def read_studies(root: Path) -> tuple[dict[str, str], list[Finding]]:
    """Read the table of studies: study → its class."""
    columns = list(CLASS_COLUMNS.values())
    table, findings = _keyed(root, STUDY_TABLE, columns)
    classes: dict[str, str] = {}
    if table is None:
        return classes, findings
    cells = table[columns].apply(lambda column: column.str.strip()).to_numpy(object).tolist()
    for line, (key, row) in enumerate(zip(table["id"], cells, strict=True), 2):
        study, where = _plain(key, spelling.STUDY), f"line {line} (id {key})"
        shown = [name for name, text in zip(CLASS_COLUMNS, row, strict=True) if _is(text, 1)]
        if study is None:
            findings.append(Finding(STUDY_TABLE, f"{where}: ends not in {spelling.STUDY}"))
        elif study in classes:
            findings.append(Finding(STUDY_TABLE, f"{where}: is duplicate"))
        elif len(shown) != 1 or not all(_is(text, 0) or _is(text, 1) for text in row):
            reason = f"says {', '.join(row)}; one of the four columns must be 1, and the others 0"
            findings.append(Finding(STUDY_TABLE, f"{where}: {reason}"))
            classes[study] = ""
        else:
            classes[study] = shown[0]
    return classes, findings


def read_images(root: Path) -> tuple[dict[str, ImageRow], list[Finding]]:
    """Read the table of images: image → its study and boxes; wrong boxes are left out."""
    import pandas as pd

    table, findings = _keyed(root, IMAGE_TABLE, _IMAGE_COLUMNS)
    images: dict[str, ImageRow] = {}
    if table is None:
        return images, findings
    said = table["label"] if "label" in table else pd.Series([""] * len(table))
    columns = (table["id"], table["StudyInstanceUID"].str.strip(), table["boxes"], said)
    for line, (key, study, text, label) in enumerate(zip(*columns, strict=True), 2):
        image, where = _plain(key, spelling.IMAGE), f"line {line} (id {key})"
        if image is None:
            findings.append(Finding(IMAGE_TABLE, f"{where}: ends not in {spelling.IMAGE}"))
            continue
        if image in images:
            findings.append(Finding(IMAGE_TABLE, f"{where}: is duplicate", image))
            continue
        try:
            boxes = _boxes(text)
            _compare(boxes, label)
        except ValueError as error:
            findings.append(Finding(IMAGE_TABLE, f"{where}: {error}", image))
            boxes = []
        if not study:
            reason = f"{where}: StudyInstanceUID is empty; it names the image's study"
            findings.append(Finding(IMAGE_TABLE, reason, image))
        images[image] = ImageRow(line, study, boxes)
    return images, findings


def _keyed(
    root: Path, name: str, columns: Sequence[str]
) -> "tuple[pd.DataFrame | None, list[Finding]]":
    """Read a table with a column of ids, which may be called `Id`, too; it is `id` from here on."""
    key, other = spelling.IDS
    table, _ = csv_files.read_table(root, name, (other, *columns), needed=False)
    if table is None or key in table:
        return csv_files.read_table(root, name, (key, *columns))
    return table.rename(columns={other: key}), []


def _boxes(text: str) -> list[Box]:
    """Understand a cell of boxes; ValueError says what is wrong with it."""
    if not text.strip() or text.strip().lower() == "nan":
        return []
    try:
        given = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"boxes is {_short(text)}, no Python literal") from error
    if not isinstance(given, list):
        raise ValueError(f"boxes is {_short(text)}; it must be a list of boxes")
    boxes = []
    for number, box in enumerate(given, 1):
        keys = sorted(map(str, box)) if isinstance(box, dict) else None
        if keys != sorted(_SIDES):
            raise ValueError(f"box {number} is {_short(box)}; it must have {', '.join(_SIDES)}")
        sides = [box[side] for side in _SIDES]
        if not all(map(_is_number, sides)):
            raise ValueError(f"box {number} is {_short(box)}; its sides must be numbers")
        x, y, width, height = map(float, sides)
        if width <= 0 or height <= 0:
            raise ValueError(f"box {number} is {_short(box)}; width and height must be above 0")
        boxes.append((x, y, x + width, y + height))
    return boxes


def _is_number(side: object) -> bool:
    """Tell whether a literal is a finite number that a float can hold; True is none."""
    if isinstance(side, bool) or not isinstance(side, int | float):
        return False
    return abs(side) <= sys.float_info.max  # what is not a number is not less


def _compare(boxes: list[Box], label: str) -> None:
    """Raise ValueError where the column `label` says something else; empty, it says nothing."""
    words = label.split()
    if not words or words == ["nan"]:
        return
    if len(words) % 6:
        raise ValueError(f"label is {_short(label)}; it must be a list of six words each")
    said = []
    for start in range(0, len(words), 6):
        name, *numbers = words[start : start + 6]
        try:
            corners = [float(number) for number in numbers][1:]
        except ValueError:
            raise ValueError(f"label has {' '.join(numbers)!r} for four corners") from None
        if name == spelling.OPACITY:
            said.append(tuple(corners))
        elif name != spelling.NONE:
            raise ValueError(f"label names the class {name!r}; there are opacity and none")
    nothing = spelling.NONE in words[::6]
    same = len(said) == len(boxes) and all(
        np.allclose(one, other, rtol=0, atol=_AGREE)
        for one, other in zip(sorted(said), sorted(boxes), strict=True)
    )
    if not same or nothing == bool(boxes):
        raise ValueError(f"boxes and label disagree: {_short(boxes)}, and {_short(label)}")


def placed(
    image: str, row: ImageRow, size: tuple[int, int]
) -> tuple[np.ndarray, int, list[Finding]]:
    """Hold boxes against their image: (m, 6) f32, cut at its border; how many were cut; findings.

    A box that sticks out by more than `SLACK` pixels is one of another image, or of another size.
    """
    height, width = size
    findings, kept, cut = [], [], 0
    for x1, y1, x2, y2 in row.boxes:
        inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        over = max(-x1, -y1, x2 - width, y2 - height)
        if over > SLACK or inside[0] >= inside[2] or inside[1] >= inside[3]:
            corners = ", ".join(f"{side:g}" for side in (x1, y1, x2, y2))
            reason = (
                f"line {row.line} (id {image}): the box ({corners}) sticks out of the image "
                f"({width} wide, {height} high) by {over:g} pixels; boxes must be in pixels of the "
                "original image"
            )
            findings.append(Finding(IMAGE_TABLE, reason, image))
        else:
            cut += inside != (x1, y1, x2, y2)
            kept.append((0, *inside, 1))
    return np.array(kept, np.float32).reshape(-1, len(NUMBERS)), cut, findings


def read_originals(
    root: Path, name: str, needed: bool
) -> tuple[dict[str, Original], set[str], list[Finding]]:
    """Read the table of converted images.

    Parameters
    ----------
    root, name
        The competition's folder and the table.
    needed
        Whether its absence is a finding.

    Returns
    -------
    dict
        Image → what it was before it was converted.
    set of str
        Which of `study` and `patient` the table has.
    list of Finding
        What is wrong.
    """
    nothing: tuple[dict[str, Original], set[str]] = ({}, set())
    table, findings = csv_files.read_table(root, name, ("image_id", "dim0", "dim1"), needed)
    if table is None:
        return (*nothing, findings)
    columns = {
        key: next((column for column in names if column in table), None)
        for key, names in _OPTIONAL.items()
    }
    texts = {key: _texts(table, column) for key, column in columns.items()}
    originals: dict[str, Original] = {}
    ids = table["image_id"].str.strip().str.removesuffix(spelling.IMAGE)
    for place, (key, *sides) in enumerate(zip(ids, table["dim0"], table["dim1"], strict=True)):
        where = f"line {place + 2} (image_id {key})"
        numbers = [_whole(side) for side in sides]
        if key in originals:
            findings.append(Finding(name, f"{where}: is duplicate", key))
        elif None in numbers:
            reason = f"dim0 is {sides[0]!r} and dim1 {sides[1]!r}; they must be height and width"
            findings.append(Finding(name, f"{where}: {reason}", key))
        else:
            height, width = (int(number or 0) for number in numbers)
            study = texts["study"][place].removesuffix(spelling.STUDY)
            originals[key] = Original((height, width), study, texts["patient"][place])
    return originals, {key for key, column in columns.items() if column is not None}, findings


def read_sample(root: Path) -> tuple[list[str] | None, list[Finding]]:
    """Read the rows of the sample submission; None where there is none that can be used."""
    table, findings = csv_files.read_table(root, SAMPLE, (), needed=False)
    if table is None:
        return None, findings
    column = next((name for name in spelling.IDS if name in table), None)
    if column is None:
        has = ", ".join(map(str, table.columns))
        return None, [
            Finding(SAMPLE, f"lacks the column {' or '.join(spelling.IDS)} (it has {has})")
        ]
    return table[column].str.strip().tolist(), findings


def _texts(table: "pd.DataFrame", column: str | None) -> list[str]:
    """Give a column's texts, "" where there is no such column or no value."""
    if column is None:
        return [""] * len(table)
    texts = table[column].str.strip()
    return texts.mask(texts.str.lower() == "nan", "").tolist()


def _plain(key: str, ending: str) -> str | None:
    """Give an id without its ending; None where it is not a plain name with that ending."""
    name = key.strip()
    if not name.endswith(ending) or not csv_files.is_name(name.removesuffix(ending)):
        return None
    return name.removesuffix(ending)


def _is(text: str, number: int) -> bool:
    try:
        return float(text) == number
    except ValueError:
        return False


def _whole(text: str) -> int | None:
    """Understand a height or a width: a whole number above 0, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number > 0 and number.is_integer() else None


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def labels_of(kind: str, names: tuple[str, ...], nothing: float) -> np.ndarray:
    """Give labels (L,) f32 in the order of `names`.

    Parameters
    ----------
    kind
        The study's class; "" where nothing is said of it.
    names
        Of the labels.
    nothing
        Of `none`: 0, 1, or NaN where nobody knows.
    """
    values: Mapping[str, float] = {name: float(name == kind) if kind else math.nan for name in
                                   CLASS_COLUMNS} | {spelling.NONE: nothing}  # fmt: skip
    return np.array([values[name] for name in names], np.float32)
