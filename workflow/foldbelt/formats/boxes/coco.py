"""Boxes in COCO's JSON: `images`, `annotations`, `categories` (Lin et al. 2014).

A `bbox` is x, y, width, height. An image is known by its `file_name` without the suffix, and
without the folders that the ids of images lack. An image that is listed without an annotation has
no box; one that is not listed is unlabelled. Annotations with `iscrowd` enclose many objects, so
they are boxes of none: they are left out. `foldbelt.formats.mask_lists` reads the segmentations.
"""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from foldbelt.formats import csv_files
from foldbelt.formats.boxes.rows import BoxRow, Listed
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import composed

_PARTS = ("images", "annotations", "categories")


class Entries(NamedTuple):
    """What annotations refer to: the number of an image → id, that of a category → its name."""

    images: dict[Any, str]
    categories: dict[Any, str]
    annotations: list[tuple[str, Mapping[str, Any]]]
    """Each with its name for messages."""


def read(root: Path, name: str, known: Collection[str] = ()) -> Listed:
    """Read the boxes of a COCO JSON; see the module, and `load` for the parameters."""
    listed = Listed()
    entries = load(listed, root, name, known)
    crowds = 0
    if entries is None:
        return listed
    for where, annotation in entries.annotations:
        crowd = bool(annotation.get("iscrowd"))
        crowds += crowd
        if not crowd:
            _take(listed, name, where, annotation, entries)
    if crowds:
        listed.notes.append(f"{crowds} annotations of crowds (iscrowd) are left out")
    return listed


def load(listed: Listed, root: Path, name: str, known: Collection[str] = ()) -> Entries | None:
    """Read what a COCO JSON says of images and categories, and list its annotations.

    Parameters
    ----------
    listed
        To which images, their sizes, and findings are added.
    root, name
        The competition's folder and the file in it.
    known
        Ids of the images, by which folders in front of names are understood.

    Returns
    -------
    Entries or None
        None where the file cannot be read.
    """
    try:
        content = json.loads((root / name).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # wrong UTF-8 among them
        listed.findings.append(Finding(name, f"cannot be read as JSON: {error}"))
        return None
    wrong = [part for part in _PARTS if not _is_list(content, part)]
    if wrong:
        reason = f"lacks a list of {', '.join(wrong)}; COCO has {', '.join(_PARTS)}"
        listed.findings.append(Finding(name, reason))
        return None
    return Entries(
        _images(listed, name, content, known),
        _categories(listed, name, content),
        [
            (f"annotation {annotation.get('id', f'at {place}')}", annotation)
            for place, annotation in enumerate(content["annotations"])
        ],
    )


def _is_list(content: Any, part: str) -> bool:
    entries = content.get(part) if isinstance(content, Mapping) else None
    return isinstance(entries, list) and all(isinstance(entry, Mapping) for entry in entries)


def _images(
    listed: Listed, file: str, content: Mapping[str, Any], known: Collection[str]
) -> dict[Any, str]:
    """Give number → id of the images, each once; note their sizes."""
    images: dict[Any, str] = {}
    for image in content["images"]:
        number, given = image.get("id"), image.get("file_name")
        stem = _identity(given, known) if isinstance(given, str) else ""
        if not csv_files.is_name(stem):
            reason = f"image {number}: its file_name is {given!r}, no name of a file"
        elif not _is_key(number) or number in images:
            reason = f"image {stem}: its id {number!r} is no number, or not its own alone"
        elif stem in listed.seen:
            reason = f"image {stem} is listed twice; its name without the suffix must be its own"
        else:
            images[number] = stem
            listed.seen[stem] = file
            sides = image.get("height"), image.get("width")
            if all(isinstance(side, int) and side > 0 for side in sides):
                listed.sizes[stem] = (file, sides)
            continue
        listed.findings.append(Finding(file, reason, stem or None))
    return images


def _identity(name: str, known: Collection[str]) -> str:
    """Give the id that a `file_name` means: with as many of its folders as ids have."""
    path = PurePosixPath(composed(name.replace("\\", "/")))
    if not path.stem:
        return ""
    parts = path.with_suffix("").parts
    forms = ["/".join(parts[start:]) for start in range(len(parts))]
    return next((form for form in forms if form in known), path.stem)


def _categories(listed: Listed, file: str, content: Mapping[str, Any]) -> dict[Any, str]:
    """Give number → name of the categories, each once."""
    categories: dict[Any, str] = {}
    for category in content["categories"]:
        number, name = category.get("id"), category.get("name")
        if not isinstance(name, str) or not name.strip() or not _is_key(number):
            reason = f"category {number!r} has the name {name!r}; both an id and a name are needed"
        elif number in categories or name.strip() in categories.values():
            reason = f"category {number} ({name}) is listed twice; ids and names must differ"
        else:
            categories[number] = name.strip()
            continue
        listed.findings.append(Finding(file, reason))
    return categories


def _is_key(number: Any) -> bool:
    return isinstance(number, int | str)


def subject(
    listed: Listed, file: str, where: str, annotation: Mapping[str, Any], entries: Entries
) -> tuple[str, str] | None:
    """Give the image and the class that an annotation is about; None and a finding if none."""
    number, kind = annotation.get("image_id"), annotation.get("category_id")
    image = entries.images.get(number) if _is_key(number) else None
    if image is None:
        reason = f"{where}: image_id {number!r} is none of the images"
        listed.findings.append(Finding(file, reason))
        return None
    name = entries.categories.get(kind) if _is_key(kind) else None
    if name is None:
        reason = f"{where} ({image}): category_id {kind!r} is none of the categories"
        listed.findings.append(Finding(file, reason, image))
        return None
    return image, name


def _take(
    listed: Listed, file: str, where: str, annotation: Mapping[str, Any], entries: Entries
) -> None:
    """Add one annotation to what is listed."""
    about = subject(listed, file, where, annotation, entries)
    if about is None:
        return
    image, name = about
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(side) for side in box):
        reason = f"{where} ({image}): bbox is {box!r}, not the four numbers x, y, width, height"
        listed.findings.append(Finding(file, reason, image))
        return
    x, y, width, height = map(float, box)
    listed.rows.append(BoxRow(file, where, image, name, x, y, x + width, y + height))


def is_number(value: Any) -> bool:
    """Tell whether a value is a number that a float can hold; JSON's NaN is found later."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or math.log2(abs(value) + 1) < 1000
