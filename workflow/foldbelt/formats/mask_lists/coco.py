"""Masks in COCO's JSON: `segmentation`, polygons or run lengths (Lin et al. 2014).

Of the polygons of one annotation a pixel is inside if its centre is within any; the upper left
corner of the image is (0, 0). Annotations of one class may overlap. Crowds (`iscrowd`) enclose many
objects: their pixels are unlabelled where no other annotation covers them. An image that is listed
without an annotation shows nothing; `foldbelt.formats.boxes.coco` says how images are known.
"""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from foldbelt.formats.boxes import Listed, coco
from foldbelt.formats.findings import Finding
from foldbelt.formats.mask_lists.counts import unpack
from foldbelt.formats.mask_lists.rows import Counts, MaskRow, Polygons

_LEAST = 6  # numbers of a polygon: three corners


def read(
    listed: Listed, root: Path, name: str, known: Collection[str]
) -> tuple[list[MaskRow], list[str]]:
    """Read the masks of a COCO JSON.

    Parameters
    ----------
    listed
        To which images, their sizes, notes and findings are added.
    root, name
        The competition's folder and the file in it.
    known
        Ids of the images.

    Returns
    -------
    rows : list of MaskRow
        In the order of the file.
    names : list of str
        The categories, sorted.
    """
    entries = coco.load(listed, root, name, known)
    if entries is None:
        return [], []
    rows = []
    for where, annotation in entries.annotations:
        about = coco.subject(listed, name, where, annotation, entries)
        if about is None:
            continue
        image, kind = about
        try:
            shape = _shape(annotation.get("segmentation"))
        except ValueError as error:
            listed.findings.append(Finding(name, f"{where} ({image}, {kind}): {error}", image))
            continue
        rows.append(MaskRow(name, where, image, kind, shape, bool(annotation.get("iscrowd"))))
    crowds = sum(row.crowd for row in rows)
    if crowds:
        listed.notes.append(
            f"{crowds} annotations of crowds (iscrowd): their pixels are unlabelled where no other "
            "annotation covers them"
        )
    return rows, sorted(entries.categories.values())


def _shape(given: Any) -> Polygons | Counts:
    """Understand a segmentation; ValueError says what is wrong with it."""
    if isinstance(given, Mapping):
        return _counts(given)
    if not isinstance(given, list) or not given:
        raise ValueError(
            "has no segmentation; give polygons or run lengths, or read its box (data.masks: "
            "from_boxes)"
        )
    return Polygons([_polygon(number, line) for number, line in enumerate(given, 1)])


def _polygon(number: int, line: Any) -> np.ndarray:
    if not isinstance(line, list) or not all(coco.is_number(value) for value in line):
        raise ValueError(f"its polygon {number} is no list of numbers x, y, x, y, …")
    if len(line) < _LEAST or len(line) % 2:
        raise ValueError(
            f"its polygon {number} has {len(line)} numbers; at least three corners x, y are needed"
        )
    if not all(map(math.isfinite, line)):
        raise ValueError(f"its polygon {number} has corners that are not finite")
    return np.array(line, np.float64).reshape(-1, 2)


def _counts(given: Mapping[str, Any]) -> Counts:
    size, counts = given.get("size"), given.get("counts")
    if not _are_whole(size) or len(size) != 2:
        raise ValueError(f"its size is {size!r}, not [height, width]")
    if isinstance(counts, str):
        return Counts(unpack(counts), (size[0], size[1]))
    if not _are_whole(counts):
        raise ValueError("its counts are neither a list of whole numbers nor a text")
    return Counts(counts, (size[0], size[1]))


def _are_whole(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(v) is int and abs(v) < 2**62 for v in values)
