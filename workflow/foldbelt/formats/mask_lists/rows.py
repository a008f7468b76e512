"""What a file of masks says: entries of one image and class each, and the mask drawn of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foldbelt import rle
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.formats.mask_lists import counts as coco_counts


class Polygons(NamedTuple):
    """Closed lines, corners (n, 2) as x, y each; a pixel is inside if its centre is in any."""

    corners: list[np.ndarray]


class Counts(NamedTuple):
    """COCO's run lengths of an image of some size (height, width)."""

    counts: list[int]
    size: tuple[int, int]


class Runs(NamedTuple):
    """Run lengths as `foldbelt.rle` reads them; "" is an empty mask."""

    text: str


class MaskRow(NamedTuple):
    """One entry.

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
    shape
        What it covers.
    crowd
        Whether it encloses many objects without saying which pixels are theirs: such pixels are
        unlabelled where no other entry covers them.
    """

    file: str
    where: str
    id: str
    name: str
    shape: Polygons | Counts | Runs
    crowd: bool = False


def draw(
    rows: Sequence[MaskRow], size: tuple[int, int], classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw the mask of one image.

    Parameters
    ----------
    rows
        Its entries, all of them of known classes.
    size
        (height, width) of the image.
    classes
        Names of the classes, in order.

    Returns
    -------
    mask : (h, w, K) uint8
        0 and 1.
    ignore : (h, w) bool or None
        True where unlabelled; None where every pixel is labelled.

    Raises
    ------
    UnusableImage
        With a finding for every entry that does not fit, or that overlaps another one of its class
        in a table: there a pixel stands once.
    """
    mask = np.zeros((*size, len(classes)), np.uint8)
    crowds = np.zeros(size, bool)
    findings = []
    for row in rows:
        plane = mask[..., list(classes).index(row.name)]
        try:
            covered = _pixels(row.shape, size)
        except ValueError as error:
            findings.append(_finding(row, str(error)))
            continue
        if row.crowd:
            crowds |= covered
            continue
        twice = int((plane.astype(bool) & covered).sum()) if isinstance(row.shape, Runs) else 0
        if twice:
            reason = f"covers {twice} pixels that another row of the image and class covers, too"
            findings.append(_finding(row, f"{reason}; every pixel stands once"))
        plane[covered] = 1
    if findings:
        raise UnusableImage(findings)
    crowds &= ~mask.any(axis=2)
    return mask, crowds if crowds.any() else None


def _finding(row: MaskRow, reason: str) -> Finding:
    return Finding(row.file, f"{row.where} (id {row.id}, {row.name}): {reason}", row.id)


def _pixels(shape: Polygons | Counts | Runs, size: tuple[int, int]) -> np.ndarray:
    """Give what an entry covers, (h, w) bool; ValueError says why it does not fit."""
    if isinstance(shape, Runs):
        return rle.decode(shape.text, size).astype(bool)
    if isinstance(shape, Counts):
        if shape.size != size:
            raise ValueError(
                f"is of {shape.size[0]}×{shape.size[1]} (height × width), but the image is "
                f"{size[0]}×{size[1]}"
            )
        return coco_counts.decode(shape.counts, size)
    from skimage.draw import polygon  # only where masks are drawn

    covered = np.zeros(size, bool)
    for corners in shape.corners:
        covered[polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, size)] = True
    return covered
