"""The images of a folder: their ids, as the run's own images are named, and their columns."""

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from foldbelt.bundle.reading import Bundle
from foldbelt.competitions import Item
from foldbelt.files import InputError
from foldbelt.formats import image_files
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import files_below

_GROUP = 32  # images that share the work of opening files, at least


def listed(source: Path, bundle: Bundle, levels: Sequence[str]) -> tuple[list[Item], list[Finding]]:
    """List the images of a folder, and what cannot be read by its header.

    Parameters
    ----------
    source
        The folder.
    bundle
        Whose competition says how images are named, and of which units they are.
    levels
        Columns of units that are needed.

    Returns
    -------
    items, findings
        The images, sorted by id; an image that names no unit is a unit of its own.

    Raises
    ------
    InputError
        If there is nothing in the folder.
    """
    paths = files_below(source)
    named = _named(bundle.manifest.competition)
    columns: Mapping[str, Mapping[str, Any]] = {}
    if named is not None:
        files, columns, findings = named.listed(paths, source)
    elif bool(bundle.data["suffixes"]):
        files, findings = image_files.by_name(paths, source)
    else:
        files, findings = image_files.by_path(paths, source, source)
    sizes, broken = image_files.measure(files, source)
    items = [
        Item(name, files[name], size, None, about(size, levels, columns.get(name, {})))
        for name, size in sorted(sizes.items())
    ]
    if not items and not findings + broken:
        raise InputError(f"{source} holds no images.")
    return items, [*findings, *broken]


def about(size: tuple[int, int], levels: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns of an image: its unit at each level, where it is known, and its size."""
    height, width = size
    return {**{level: known.get(level, "") for level in levels}, "height": height, "width": width}


def _named(competition: str) -> Any:
    """Find the module by which a competition names new images; None where it has none."""
    name = f"foldbelt.competitions.{competition}.new_images"
    return None if importlib.util.find_spec(name) is None else importlib.import_module(name)


def groups(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Split images into groups of whole batches, which do not depend on what is done already."""
    size *= -(-_GROUP // size)
    for start in range(0, len(items), size):
        yield items[start : start + size]
