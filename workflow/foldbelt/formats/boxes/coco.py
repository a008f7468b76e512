"""Boxes in COCO's JSON: `images`, `annotations`, `categories` (Lin et al. 2014).

A `bbox` is x, y, width, height. An image is known by the stem of its `file_name`. An image that is
listed without an annotation has no box; one that is not listed is unlabelled. Annotations with
`iscrowd` enclose many objects, so they are boxes of none: they are left out.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from foldbelt.formats import csv_files
from foldbelt.formats.boxes.rows import BoxRow, Listed
from foldbelt.formats.findings import Finding

_PARTS = ("images", "annotations", "categories")


class _Entries(NamedTuple):
    """What annotations refer to: the number of an image → id, that of a category → its name."""

    images: dict[Any, str]
    categories: dict[Any, str]


def read(root: Path, name: str) -> Listed:
    """Read a COCO JSON; see the module."""
    listed = Listed()
    try:
        content = json.loads((root / name).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # wrong UTF-8 among them
        listed.findings.append(Finding(name, f"cannot be read as JSON: {error}"))
        return listed
    wrong = [part for part in _PARTS if not _is_list(content, part)]
    if wrong:
        reason = f"lacks a list of {', '.join(wrong)}; COCO has {', '.join(_PARTS)}"
        listed.findings.append(Finding(name, reason))
        return listed
    entries = _Entries(_images(listed, name, content), _categories(listed, name, content))
    crowds = 0
    for place, annotation in enumerate(content["annotations"]):
        crowd = bool(annotation.get("iscrowd"))
        crowds += crowd
        if not crowd:
            _take(listed, name, f"annotation {annotation.get('id', f'at {place}')}", annotation,
                  entries)  # fmt: skip
    if crowds:
        listed.notes.append(f"{crowds} annotations of crowds (iscrowd) are left out")
    return listed


def _is_list(content: Any, part: str) -> bool:
    entries = content.get(part) if isinstance(content, Mapping) else None
    return isinstance(entries, list) and all(isinstance(entry, Mapping) for entry in entries)


def _images(listed: Listed, file: str, content: Mapping[str, Any]) -> dict[Any, str]:
    """Give number → id of the images, each once; note their sizes."""
    images: dict[Any, str] = {}
    for image in content["images"]:
        number, given = image.get("id"), image.get("file_name")
        stem = PurePosixPath(given.replace("\\", "/")).stem if isinstance(given, str) else ""
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


def _take(
    listed: Listed, file: str, where: str, annotation: Mapping[str, Any], entries: _Entries
) -> None:
    """Add one annotation to what is listed."""
    number, kind = annotation.get("image_id"), annotation.get("category_id")
    image = entries.images.get(number) if _is_key(number) else None
    if image is None:
        reason = f"{where}: image_id {number!r} is none of the images"
        listed.findings.append(Finding(file, reason))
        return
    name = entries.categories.get(kind) if _is_key(kind) else None
    if name is None:
        reason = f"{where} ({image}): category_id {kind!r} is none of the categories"
        listed.findings.append(Finding(file, reason, image))
        return
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(side) for side in box):
        reason = f"{where} ({image}): bbox is {box!r}, not the four numbers x, y, width, height"
        listed.findings.append(Finding(file, reason, image))
        return
    x, y, width, height = map(float, box)
    listed.rows.append(BoxRow(file, where, image, name, x, y, x + width, y + height))


def _is_number(value: Any) -> bool:
    """Tell whether a value is a number that a float can hold; JSON's NaN is found later."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or math.log2(abs(value) + 1) < 1000
