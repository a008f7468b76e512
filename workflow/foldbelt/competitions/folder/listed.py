"""Masks of a folder data set that one file lists: COCO's JSON, or a table of run lengths."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foldbelt.formats import mask_lists
from foldbelt.formats.findings import Finding


class Listed(NamedTuple):
    """What a file says of one image's mask.

    Parameters
    ----------
    rows
        Its entries; None where nobody has looked.
    partial
        Whether the data set has unlabelled pixels.
    """

    rows: list[mask_lists.MaskRow] | None
    partial: bool

    def draw(
        self, size: tuple[int, int], classes: list[str]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw the mask (h, w, K) and its unlabelled pixels; raises `UnusableImage`."""
        if self.rows is None:
            return np.zeros((*size, len(classes)), np.uint8), np.ones(size, bool)
        return mask_lists.draw(self.rows, size, classes)


def read_masks(
    root: Path,
    settings: Mapping[str, Any],
    name: str,
    sizes: Mapping[str, tuple[int, int]],
    others: Collection[str],
) -> tuple[list[str], dict[str, Listed], list[str], list[Finding]]:
    """Read the masks that `data.masks` names.

    Parameters
    ----------
    root, settings
        The competition's folder and the config's `data` section. `data.classes` names the classes
        (its values do not matter).
    name
        The file.
    sizes
        id → (height, width) of the training images.
    others
        Ids of other images, whose masks are not read.

    Returns
    -------
    names : list of str
        Of the classes.
    masks : dict
        By id.
    notes : list of str
        For the log and the report.
    findings : list of Finding
        What is wrong, all at once.
    """
    classes = settings["classes"]
    checked = mask_lists.read(root, name, sizes, others, None if classes is None else [*classes])
    notes = [f"{name}: {note}" for note in checked.notes]
    findings, missing = list(checked.findings), settings["masks_missing"]
    without = [key for key in sizes if key not in checked.rows]
    if without and missing == "error" and checked.names:
        findings += [
            Finding(
                name,
                f"does not list id {key}: list it without an annotation (in a csv with an empty "
                "rle), or say what is meant by it (data.masks_missing: empty, or unknown)",
                key,
                late=True,
            )
            for key in without
        ]
    elif without and checked.names:
        notes.append(f"{name} does not list {len(without)} training images: {missing}")
    partial = checked.crowds or bool(without and missing == "unknown")
    masks = {key: Listed(rows, partial) for key, rows in checked.rows.items()}
    if missing != "error":
        rest: list[mask_lists.MaskRow] | None = [] if missing == "empty" else None
        masks |= {key: Listed(rest, partial) for key in without}
    return checked.names, masks, notes, findings
