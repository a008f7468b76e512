"""What a competition's reader gives: images, their truth, and the problems it found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.formats import Finding


@dataclass(frozen=True)
class Item:
    """One image that `scan` has listed.

    Parameters
    ----------
    id
        Its name, unique among train and test images.
    image
        The file to decode.
    size
        (height, width) according to the file's header.
    truth
        What `read` needs to find the mask; None for a test image.
    columns
        Per-image columns known without decoding.
    labels
        (L,) f32 in [0, 1], NaN where unknown; None where masks tell the labels, and for a test
        image.
    """

    id: str
    image: Path
    size: tuple[int, int]
    truth: Any = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Listing:
    """What `scan` gives: the images in order of their ids, the classes and the findings.

    Parameters
    ----------
    root
        The competition's folder.
    settings
        What of the config's `data` section decides what is read (see the function `settings`).
    train, test
        The images, sorted by id. Images with findings are listed too, if their file can be read.
    size
        Storage size (height, width), that of most training images unless `data.size` says it;
        None where there is no image that can be read.
    channels
        1 for grey, 3 for RGB, or the number of bands.
    classes
        Names of the K mask channels.
    labels
        Names of the L image labels.
    findings
        Every problem found, in training and test data.
    exclusive
        Whether an image has exactly one of the labels.
    groups
        Where that is so of some labels: lists of those that exclude each other.
    levels
        Column of the table → the labels that all images with the same value there share, such as
        those of a study.
    boxes
        Names of the classes of boxes; None where the data have no boxes.
    has_masks
        Whether training images have masks; without any there are no classes.
    ranges
        Type of pixels → the values that become black and white, where images have more than eight
        bits (see `foldbelt.formats.pixels.ranges`); {} where there are none.
    notes
        What a person should know of how files were understood.
    """

    root: Path
    settings: Mapping[str, Any]
    train: list[Item]
    test: list[Item]
    size: tuple[int, int] | None
    channels: int
    classes: list[str]
    labels: list[str]
    findings: list[Finding]
    exclusive: bool = False
    boxes: list[str] | None = None
    has_masks: bool = True
    groups: list[list[str]] = field(default_factory=list)
    levels: Mapping[str, list[str]] = field(default_factory=dict)
    ranges: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """What was met in an image's files, for the numbers that a person can check.

    Parameters
    ----------
    image
        How its image is stored, such as "PNG, uint8, 3 bands".
    mask
        How its mask is stored; "" without.
    value
        The value that is the object, for one class without a name; 0 where there is none, -1 where
        the mask was cut; None where it does not matter.
    notes
        What was done that a person should know.
    full
        Whether all pixels of the mask have that value.
    gap
        The values on both sides of where a mask was cut; None where it was not.
    """

    image: str
    mask: str = ""
    value: int | None = None
    notes: tuple[str, ...] = ()
    gap: tuple[int, int] | None = None
    full: bool = False


@dataclass(frozen=True)
class Sample:
    """One decoded image, at its original size.

    Parameters
    ----------
    image
        (h, w) or (h, w, C) u8.
    mask
        (h, w, K) u8 of 0 and 1; None for a test image, and where the data have no masks.
    ignore
        (h, w) bool, True where unlabelled; None where every pixel is labelled.
    labels
        (L,) u8 of 0 and 1, or f32 in [0, 1] with NaN where unknown; None for a test image.
    columns
        Per-image columns that are computed from the pixels.
    boxes
        (m, 6) f32 as `foldbelt.boxes.NUMBERS`, at the original size; None where nobody has labelled
        them, and for a test image.
    look
        What was met in its files; None where the competition does not look.
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    ignore: np.ndarray | None = None
    labels: np.ndarray | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    boxes: np.ndarray | None = None
    look: Look | None = None


_ELSEWHERE = ("path", "synthetic", "truth")  # the same files in another folder are the same data


def settings(section: Mapping[str, Any]) -> dict[str, Any]:
    """Give the part of the config's `data` section that decides what is read.

    Parameters
    ----------
    section
        With its defaults. Where the files lie is left out.

    Returns
    -------
    dict
        The other keys; `size` is None or [height, width].
    """
    chosen = {key: value for key, value in section.items() if key not in _ELSEWHERE}
    if isinstance(chosen["size"], int):
        chosen["size"] = [chosen["size"], chosen["size"]]
    return chosen


_LATER: Mapping[str, Any] = {
    "masks": True,
    "masks_missing": "error",
    "boxes": None,
    "boxes_missing": "none",
    "boxes_least_area": 1,
    "box_classes": None,
    "range": "auto",
    "bands": None,
    "cut": None,
    "colours": None,
    "ignore_colour": None,
    "box_masks": "filled",
    "sizes": None,
    "siblings": "labels",
}
"""Keys of `data` that came later, and the values that say what was so before."""


def stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a data file states of the settings that it was read by.

    Keys that came later stand only where they change something, so that files keep their bytes.
    """
    return {key: value for key, value in settings.items()
            if key not in _LATER or value != _LATER[key]}  # fmt: skip
