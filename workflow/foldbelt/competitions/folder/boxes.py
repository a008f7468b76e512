"""Boxes of a folder data set: read from files, or drawn around the parts of the masks."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.boxes import NUMBERS
from foldbelt.competitions.folder.files import FROM_MASKS, box_file
from foldbelt.formats import boxes
from foldbelt.formats.findings import Finding
from foldbelt.shapes import boxes_of_mask, bright_mask_of_boxes, mask_of_boxes


def read_boxes(
    root: Path,
    settings: Mapping[str, Any],
    sizes: Mapping[str, tuple[int, int]],
    others: Collection[str],
    classes: list[str],
) -> tuple[list[str] | None, dict[str, np.ndarray], list[Finding]]:
    """Read the boxes that `data.boxes` names.

    Parameters
    ----------
    root, settings
        The competition's folder and the config's `data` section.
    sizes
        id → (height, width) of the training images.
    others
        Ids of other images, whose boxes are not read: test images, and such as cannot be read.
    classes
        Of the masks.

    Returns
    -------
    list of str or None
        Names of the classes; None where the data have no boxes.
    dict
        id → (m, 6) float32 of the images whose boxes are known; empty if masks tell them.
    list of Finding
        What is wrong, all at once.
    """
    if settings["boxes"] == FROM_MASKS:
        return classes, {}, []
    name = box_file(settings)
    if name is None:
        return None, {}, []
    listed = boxes.read(root, name, {*sizes, *others})
    checked = boxes.check(listed, sizes, others, settings["box_classes"])
    for note in checked.notes:
        print(f"{name}: {note}")
    known, findings = dict(checked.boxes), list(checked.findings)
    if listed.partial and settings["boxes_missing"] == "none":
        nothing = np.zeros((0, len(NUMBERS)), np.float32)
        known = {key: known.get(key, nothing) for key in sizes}
    if not findings and not any(map(len, known.values())):
        findings.append(Finding(name, "holds no box of a training image; nothing can be learnt"))
    _tell(checked.names, known, len(sizes))
    return checked.names, known, findings


def _tell(names: list[str], known: Mapping[str, np.ndarray], images: int) -> None:
    """Print how many boxes there are of each class, and how many images are unlabelled."""
    if not names:
        return  # the file could not be read, which is told
    rows = np.concatenate([np.zeros((0, len(NUMBERS))), *known.values()])
    counts = np.bincount(rows[:, 0].astype(np.int64), minlength=len(names)).tolist()
    text = ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True))
    without = sum(not len(given) for given in known.values())
    print(f"Boxes: {text}; {without} of {images} training images have none")
    if len(known) < images:
        print(f"Of {images - len(known)} training images the boxes are unknown")


def of_mask(
    mask: np.ndarray, ignore: np.ndarray | None, settings: Mapping[str, Any]
) -> np.ndarray | None:
    """Draw the boxes of a mask (h, w, K); None where no pixel of it is labelled."""
    if ignore is not None and ignore.all():
        return None
    return boxes_of_mask(mask, settings["boxes_least_area"])


def filled(
    boxes: np.ndarray | None, image: np.ndarray, classes: int, settings: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Make a mask (h, w, K) of boxes; where nobody knows them, all its pixels are ignored."""
    size = image.shape[:2]
    if boxes is None:
        return np.zeros((*size, classes), np.uint8), np.ones(size, bool)
    if settings["box_masks"] == "bright":
        return bright_mask_of_boxes(boxes, image, classes), None
    return mask_of_boxes(boxes, size, classes), None
