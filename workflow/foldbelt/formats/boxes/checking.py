"""Boxes as files list them, held against the images: whole, inside, of known classes."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from foldbelt.boxes import NUMBERS
from foldbelt.formats.boxes.rows import BoxRow, Listed
from foldbelt.formats.findings import Finding
from foldbelt.registry import suggest

SLACK = 1.0
"""Pixels by which a box may stick out of its image: rounding, or pixels counted from 1."""


@dataclass(frozen=True)
class Checked:
    """Boxes that can be used.

    Parameters
    ----------
    names
        Of the classes, in order.
    boxes
        id → (m, 6) float32 as `foldbelt.boxes.NUMBERS`, in the order of the file; the images of
        which the file says something. Scores are 1.
    findings
        What is wrong, all at once; an image with a finding lacks the boxes it is about.
    notes
        What was mended or left out, for the log.
    """

    names: list[str]
    boxes: dict[str, np.ndarray]
    findings: list[Finding]
    notes: list[str]


def check(
    listed: Listed,
    sizes: Mapping[str, tuple[int, int]],
    others: Collection[str] = (),
    names: Sequence[str] | None = None,
    where: str = "images/",
) -> Checked:
    """Hold boxes against the images.

    Parameters
    ----------
    listed
        As `read` gives it.
    sizes
        id → (height, width) of the images whose boxes are wanted.
    others
        Ids of other images, whose boxes are left out.
    names
        The classes there may be, in order; by default those met, sorted.
    where
        What the images are, for the messages.

    Returns
    -------
    Checked
    """
    findings, notes = list(listed.findings), list(listed.notes)
    findings += check_images(listed, sizes, others, "boxes", where)
    left_out = sum(row.id in others for row in listed.rows)
    if left_out:
        notes.append(f"{left_out} boxes of test images, or of unreadable ones, are left out")
    rows = [row for row in listed.rows if row.id in sizes]
    classes = sorted({row.name for row in rows}) if names is None else list(names)
    drawn: dict[str, list[tuple[float, ...]]] = {key: [] for key in listed.seen if key in sizes}
    cut = 0
    for row in rows:
        reasons = [fault for fault in [_fault(row, sizes[row.id])] if fault]
        if row.name not in classes:
            hint = suggest(row.name, classes)
            reasons.append(f"is of a class that data.box_classes does not name{hint}")
        for reason in reasons:
            title = f"{row.where} (id {row.id}, {row.name})"
            findings.append(Finding(row.file, f"{title} {reason}", row.id))
        if not reasons:
            corners = _inside(row, sizes[row.id])
            cut += corners != row[4:]
            drawn[row.id].append((classes.index(row.name), *corners, 1.0))
    if cut:
        notes.append(f"{cut} boxes stuck out of their image by at most {SLACK:g} pixel and are cut")
    boxes = {key: np.array(given, np.float32).reshape(-1, len(NUMBERS))
             for key, given in drawn.items()}  # fmt: skip
    return Checked(classes, boxes, findings, notes)


def _bare(key: str, sizes: Mapping[str, tuple[int, int]]) -> str:
    """Say that ids have no suffix, if that is what is wrong with one."""
    stem = PurePosixPath(key).stem
    return f"; ids have no suffix, so write {stem}" if stem != key and stem in sizes else ""


def _inside(row: BoxRow, size: tuple[int, int]) -> tuple[float, ...]:
    """Give the corners of a box, cut at the border of its image."""
    height, width = size
    ends = (width, height, width, height)
    return tuple(min(max(side, 0.0), float(end)) for side, end in zip(row[4:], ends, strict=True))


def check_images(
    listed: Listed,
    sizes: Mapping[str, tuple[int, int]],
    others: Collection[str],
    what: str,
    where: str = "images/",
) -> list[Finding]:
    """Find images that are unknown, or of which a file says another size: it is about other pixels.

    Parameters are those of `check`; `what` the file lists, for the messages.
    """
    unknown = [
        Finding(
            file, f"id {key} is unknown: no image of that name in {where}{_bare(key, sizes)}", key
        )
        for key, file in listed.seen.items()
        if key not in sizes and key not in others
    ]
    return unknown + [
        Finding(
            file,
            f"says that {key} is {said[0]}×{said[1]} (height × width), but the image is "
            f"{sizes[key][0]}×{sizes[key][1]}; {what} must be in the pixels of the image",
            key,
        )
        for key, (file, said) in sorted(listed.sizes.items())
        if key in sizes and sizes[key] != said
    ]


def _fault(row: BoxRow, size: tuple[int, int]) -> str:
    """Say what keeps a box from being used; "" if nothing does."""
    x1, y1, x2, y2 = corners = row[4:]
    height, width = size
    over = max(-x1, -y1, x2 - width, y2 - height)
    if not all(map(math.isfinite, corners)):
        reason = "is not finite"
    elif x2 < x1 or y2 < y1:
        reason = "is inside out: it must end after it begins, as x1, y1, x2, y2"
    elif x2 == x1 or y2 == y1:
        reason = "is empty: x2, y2 are where a box ends, so a pixel is 1 wide"
    elif x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        reason = f"lies outside the image ({width} wide, {height} high)"
    elif over > SLACK:
        reason = (
            f"sticks out of the image ({width} wide, {height} high) by {over:g} pixels; cut it at "
            f"the border (up to {SLACK:g} is cut without a question)"
        )
    else:
        return ""
    return f"({', '.join(f'{side:g}' for side in corners)}) {reason}"
