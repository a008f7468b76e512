"""What a file of boxes says, before it is held against the images."""

from dataclasses import dataclass, field
from typing import NamedTuple

from foldbelt.formats.findings import Finding

OBJECT = "object"
"""The class of boxes that name none."""


class BoxRow(NamedTuple):
    """One box.

    Parameters
    ----------
    file
        Path below the competition's folder.
    where
        Which entry of the file, for messages: "line 7", "annotation 12".
    id
        Of the image.
    name
        Of the class.
    x1, y1, x2, y2
        Pixels of the image, from 0; x2, y2 are where the box ends.
    """

    file: str
    where: str
    id: str
    name: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass
class Listed:
    """What a file, or a folder of files, lists.

    Parameters
    ----------
    rows
        The boxes that can be read, in the order of the file.
    seen
        Images of which a file says something, if only that there is no box: id → the file.
    sizes
        Sizes (height, width) that the file says its images have: id → (file, size).
    findings
        What cannot be read.
    partial
        Whether images of which nothing is said may be without boxes, as in a csv; else nobody has
        labelled them.
    notes
        What was left out on purpose, for the log.
    """

    rows: list[BoxRow] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[str, tuple[int, int]]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    partial: bool = False
    notes: list[str] = field(default_factory=list)
