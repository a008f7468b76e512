"""Tables of image-class pairs, in the two forms in which those of Severstal are found.

``pairs``
    ``ImageId_ClassId,EncodedPixels``: a row for every image and class, empty without a defect.
``positives``
    ``ImageId,ClassId,EncodedPixels``: rows for defects only; clean images have no row.

Columns may be in any order. An image and class may have several rows, a row an object, if these
do not overlap; -1 says the same as an empty field. A table of the first form without an empty field
is treated as one of positives: somebody left the empty rows out.
"""

import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding

JOINED = ["ImageId_ClassId", "EncodedPixels"]
APART = ["ImageId", "ClassId", "EncodedPixels"]

_EMPTY = "-1"  # says of a mask that nothing is in it
_CLASS = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


class Row(NamedTuple):
    """A row as text: of which image and class, and its run lengths."""

    image: str
    label: str
    runs: str

    @property
    def pair(self) -> tuple[str, str]:
        """Image and class."""
        return self.image, self.label


@dataclass(frozen=True)
class Pairs:
    """A table whose rows are split into image, class and run lengths.

    Attributes
    ----------
    name
        The file, for messages.
    columns
        Its header.
    rows
        Those whose class is not a number are included.
    """

    name: str
    columns: list[str]
    rows: list[Row]

    @property
    def joined(self) -> bool:
        """Whether image and class share one column."""
        return JOINED[0] in self.columns

    @property
    def whole(self) -> bool:
        """Whether every pair should have a row, empty or not."""
        return self.joined and any(not row.runs for row in self.rows)

    @property
    def classes(self) -> list[str]:
        """The classes that occur, in order of their numbers."""
        return sorted({row.label for row in self.rows if _CLASS.fullmatch(row.label)}, key=int)


def read(
    root: Path, name: str, needed: bool = True, join: bool = False
) -> tuple[Pairs | None, list[Finding]]:
    """Read one table of either form; None and a fatal finding if it cannot be used.

    With `join`, several rows of an image and class, a row an object, become one.
    """
    table, findings = csv_files.read_fields(root, name, (), needed)
    if table is None:
        if findings and not (root / name).is_file():
            findings = [Finding(name, f"is missing; it must be a csv of {_forms()}")]
        return None, findings
    return parse(table, name, join)


def read_text(text: str, name: str) -> tuple[Pairs | None, list[Finding]]:
    """Read a table of either form from text."""
    return parse(csv_files.read_columns(io.StringIO(text)), name)


def parse(
    table: csv_files.Columns, name: str, join: bool = False
) -> tuple[Pairs | None, list[Finding]]:
    """Find out the form of a table, and split its rows; rows of objects are joined, if asked."""
    columns = list(table)
    both = [column for column in APART[:2] if column in columns]
    if JOINED[0] in columns and both:
        reason = f"has both {JOINED[0]} and {', '.join(both)}; it must have {_forms()}"
        return None, [Finding(name, reason)]
    if set(JOINED) <= set(columns):
        keys = [_split(text) for text in table[JOINED[0]]]
    elif set(APART) <= set(columns):
        keys = list(zip(table["ImageId"], table["ClassId"], strict=True))
    else:
        reason = f"has the columns {', '.join(columns)}; it must have {_forms()}"
        return None, [Finding(name, reason)]
    texts = [text.strip() for text in table["EncodedPixels"]]
    rows = [
        Row(image.strip(), label.strip(), "" if text == _EMPTY else text)
        for (image, label), text in zip(keys, texts, strict=True)
    ]
    rows = _instances(rows) if join else rows
    return Pairs(name, [c for c in columns if c in {*JOINED, *APART}], rows), []


def _split(text: str) -> tuple[str, str]:
    """Split what the joined form says into image and class; without "_" there is no class."""
    image, mark, label = text.rpartition("_")
    return (image, label) if mark else (text, "")


def _instances(rows: list[Row]) -> list[Row]:
    """Join the rows of an image and class, a row an object, where no two objects overlap.

    Others stay as they are, and are problems.
    """
    objects: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        objects.setdefault(row.pair, []).append(row.runs)
    joined = {pair: _union(texts) for pair, texts in objects.items() if len(texts) > 1}
    made: dict[tuple[str, str] | int, Row] = {}
    for place, row in enumerate(rows):
        text = joined.get(row.pair)
        if text is None:
            made[place] = row
        else:
            made[row.pair] = row._replace(runs=text)
    return list(made.values())


def _union(texts: list[str]) -> str | None:
    """Sort the runs of several texts into one; None where they overlap, or are none."""
    words = [text.split() for text in texts]
    if not all(words) or any(len(w) % 2 or not all(map(str.isdecimal, w)) for w in words):
        return None
    runs = sorted((int(a), int(n)) for w in words for a, n in zip(w[::2], w[1::2], strict=True))
    ends = [start + length for start, length in runs]
    if any(start < end for (start, _), end in zip(runs[1:], ends, strict=False)):
        return None
    return " ".join(f"{start} {length}" for start, length in runs)


def _forms() -> str:
    return f"{','.join(JOINED)} or {','.join(APART)}"


def check(pairs: Pairs, known: Collection[str], where: str) -> list[Finding]:
    """Find rows of unknown images, classes that are no numbers, and pairs that occur twice.

    Parameters
    ----------
    pairs
        The table.
    known
        The images there are.
    where
        The folder that they lie in.
    """
    name, findings = pairs.name, []
    for image in dict.fromkeys(row.image for row in pairs.rows):
        if not csv_files.is_name(image):
            reason = f"image {image!r} is not a plain file name (no '/', '\\', '..', not empty)"
            findings.append(Finding(name, reason, image))
        elif image not in known:
            reason = f"image {image} is unknown: there is no {where}/{image}"
            findings.append(Finding(name, reason, image))
    for (image, label), count in Counter(row.pair for row in pairs.rows).items():
        if not _CLASS.fullmatch(label):
            shown = f"the class {label!r}, which is not an integer" if label else "no class"
            hint = "; write image and class as name.jpg_1" if pairs.joined else ""
            findings.append(Finding(name, f"image {image} has {shown}{hint}", image))
        elif count > 1:
            reason = f"image {image}, class {label}: the pair is duplicate ({count} rows)"
            reason += "; rows of objects are joined where no two of them overlap: join these"
            findings.append(Finding(name, reason, image))
    return findings


def check_classes(pairs: Pairs, classes: Sequence[str], of: str) -> list[Finding]:
    """Find rows of a class that is none of `classes`, those of the file `of`."""
    strange = set(pairs.classes) - set(classes)
    return [
        Finding(pairs.name, f"image {image} has the class {label}, which {of} does not know", image)
        for image, label in dict.fromkeys(row.pair for row in pairs.rows)
        if label in strange
    ]


def check_whole(pairs: Pairs, images: Iterable[str], classes: Sequence[str]) -> list[Finding]:
    """Find the pairs that a table of all pairs lacks, image by image.

    A class that most images lack gives one finding: rather the rows that name it are a mistake.
    """
    present, images = {row.pair for row in pairs.rows}, list(images)
    named = {label: [key for key in images if (key, label) in present] for label in classes}
    rare = [label for label in classes if 0 < 2 * len(named[label]) < len(images)]
    findings = [
        Finding(
            pairs.name,
            f"class {label} has a row for {len(named[label])} of {len(images)} images only, such "
            f"as {named[label][0]}; remove these rows, or give every image one, perhaps empty",
        )
        for label in rare
    ]
    for image in images:
        absent = [c for c in classes if c not in rare and (image, c) not in present]
        if absent:
            what = "any class" if len(absent) == len(classes) else f"class {', '.join(absent)}"
            reason = f"image {image} has no row for {what}; every pair needs one, perhaps empty"
            findings.append(Finding(pairs.name, reason, image))
    return findings


def first_runs(pairs: Pairs) -> dict[str, dict[str, str]]:
    """Give image → class → run lengths.

    Of a pair that occurs twice, the first row counts; a row without a class does not count. Both
    are findings already, but other problems of these rows are to be found in the same pass.
    """
    first: dict[tuple[str, str], str] = {}
    for row in pairs.rows:
        first.setdefault(row.pair, row.runs)
    runs_of: dict[str, dict[str, str]] = {}
    for (image, label), runs in first.items():
        if runs and _CLASS.fullmatch(label):
            runs_of.setdefault(image, {})[label] = runs
    return runs_of


def lists_pairs(sample: Pairs, classes: Sequence[str]) -> bool:
    """Tell whether a sample has rows for all pairs, not one row an image to show its columns."""
    if not sample.joined and len(sample.classes) < 2 and sample.classes != list(classes):
        return False
    counts = Counter(row.image for row in sample.rows)
    return sample.joined or set(counts.values()) == {len(sample.classes)}
