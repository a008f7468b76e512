"""Tables of image-class pairs, in the two forms in which Severstal's went round.

``pairs``
    ``ImageId_ClassId,EncodedPixels``: a row for every image and class, empty where nothing is.
``positives``
    ``ImageId,ClassId,EncodedPixels``: rows of what is there alone; clean images have no row.

Columns may stand in any order. A table of the first form without a single empty field is taken for
one of positives: somebody left the empty rows out.
"""

import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding

JOINED = ["ImageId_ClassId", "EncodedPixels"]
APART = ["ImageId", "ClassId", "EncodedPixels"]

_CLASS = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


@dataclass(frozen=True)
class Pairs:
    """A table, its rows parted into image, class and run lengths.

    Attributes
    ----------
    name
        The file, for messages.
    columns
        Its header.
    rows
        DataFrame of text: image, class, runs; rows whose class is no number included.
    """

    name: str
    columns: list[str]
    rows: pd.DataFrame

    @property
    def joined(self) -> bool:
        """Whether image and class stand in one column."""
        return JOINED[0] in self.columns

    @property
    def whole(self) -> bool:
        """Whether every pair is meant to have a row, empty or not."""
        return self.joined and bool((self.rows["runs"].str.strip() == "").any())

    @property
    def classes(self) -> list[str]:
        """The classes that occur, in order of their numbers."""
        numbers = {text for text in self.rows["class"] if _CLASS.fullmatch(text)}
        return sorted(numbers, key=int)

    def keys(self) -> list[str]:
        """Name each row's pair as the joined form does."""
        return (self.rows["image"] + "_" + self.rows["class"]).tolist()


def read(root: Path, name: str, needed: bool = True) -> tuple[Pairs | None, list[Finding]]:
    """Read one table of either form; None and a fatal finding if it cannot be used."""
    table, findings = csv_files.read_table(root, name, (), needed)
    if table is None:
        if findings and not (root / name).is_file():
            findings = [Finding(name, f"is missing; it must be a csv of {_forms()}")]
        return None, findings
    return parse(table, name)


def read_text(text: str, name: str) -> tuple[Pairs | None, list[Finding]]:
    """Read a table of either form from text."""
    return parse(csv_files.read_text(io.StringIO(text)), name)


def parse(table: pd.DataFrame, name: str) -> tuple[Pairs | None, list[Finding]]:
    """Tell the form of a table, and part its rows."""
    columns = [str(column) for column in table.columns]
    both = [column for column in APART[:2] if column in columns]
    if JOINED[0] in columns and both:
        reason = f"has both {JOINED[0]} and {', '.join(both)}; it must have {_forms()}"
        return None, [Finding(name, reason)]
    if set(JOINED) <= set(columns):
        # an empty column would be parted into none
        parts = table[JOINED[0]].str.rpartition("_").reindex(columns=range(3), fill_value="")
        # without an underscore all stands in the last part: an image, and no class
        bare = parts[1] == ""
        image, label = parts[0].mask(bare, parts[2]), parts[2].mask(bare, "")
    elif set(APART) <= set(columns):
        image, label = table["ImageId"], table["ClassId"].str.strip()
    else:
        reason = f"has the columns {', '.join(columns)}; it must have {_forms()}"
        return None, [Finding(name, reason)]
    rows = pd.DataFrame({"image": image, "class": label, "runs": table["EncodedPixels"]})
    return Pairs(name, [c for c in columns if c in {*JOINED, *APART}], rows), []


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
    for image in dict.fromkeys(pairs.rows["image"]):
        if not csv_files.is_name(image):
            reason = f"image {image!r} is not a plain file name (no '/', '\\', '..', not empty)"
            findings.append(Finding(name, reason, image))
        elif image not in known:
            reason = f"image {image} is unknown: there is no {where}/{image}"
            findings.append(Finding(name, reason, image))
    for (image, label), count in Counter(_keys(pairs)).items():
        if not _CLASS.fullmatch(label):
            shown = f"the class {label!r}, which is not an integer" if label else "no class"
            cure = "; write image and class as name.jpg_1" if pairs.joined else ""
            findings.append(Finding(name, f"image {image} has {shown}{cure}", image))
        elif count > 1:
            reason = f"image {image}, class {label}: the pair is duplicate ({count} rows)"
            findings.append(Finding(name, reason, image))
    return findings


def check_classes(pairs: Pairs, classes: Sequence[str], of: str) -> list[Finding]:
    """Find rows of a class that is none of `classes`, those of the file `of`."""
    strange = set(pairs.classes) - set(classes)
    return [
        Finding(pairs.name, f"image {image} has the class {label}, which {of} does not know", image)
        for image, label in dict.fromkeys(_keys(pairs))
        if label in strange
    ]


def check_whole(pairs: Pairs, images: Iterable[str], classes: Sequence[str]) -> list[Finding]:
    """Find the pairs that a table of all pairs lacks, image by image.

    A class that most images lack is told once: it is more likely a slip in the rows that name it.
    """
    there, every = set(_keys(pairs)), list(images)
    named = {label: [key for key in every if (key, label) in there] for label in classes}
    odd = [label for label in classes if 0 < 2 * len(named[label]) < len(every)]
    findings = [
        Finding(
            pairs.name,
            f"class {label} has a row for {len(named[label])} of {len(every)} images only, such as "
            f"{named[label][0]}; take these rows out, or give every image one, perhaps empty",
        )
        for label in odd
    ]
    for image in every:
        lost = [label for label in classes if label not in odd and (image, label) not in there]
        if lost:
            what = "any class" if len(lost) == len(classes) else f"class {', '.join(lost)}"
            reason = f"image {image} has no row for {what}; every pair needs one, perhaps empty"
            findings.append(Finding(pairs.name, reason, image))
    return findings


def runs_told_once(pairs: Pairs) -> dict[str, dict[str, str]]:
    """Give image → class → run lengths; of pairs that occur twice the first, without classes none.

    Both are findings, and what else is wrong with the rows shall be found in the same pass.
    """
    found: dict[str, dict[str, str]] = {}
    once = pairs.rows.drop_duplicates(["image", "class"])
    for image, label, runs in once.itertuples(index=False):
        if runs.strip() and _CLASS.fullmatch(label):
            found.setdefault(image, {})[label] = runs
    return found


def _keys(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.rows["image"], pairs.rows["class"], strict=True))


def lists_pairs(sample: Pairs, classes: Sequence[str]) -> bool:
    """Tell whether a sample has rows for all pairs, not one an image to show its columns."""
    if not sample.joined and len(sample.classes) < 2 and sample.classes != list(classes):
        return False
    counts = sample.rows.groupby("image").size()
    return sample.joined or bool((counts == len(sample.classes)).all() and counts.size)
