"""The images of a folder: their ids, as the run's own images are named, and their columns."""

import importlib
import importlib.util
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from foldbelt.bundle import columns
from foldbelt.bundle.reading import Bundle
from foldbelt.competitions import Item
from foldbelt.files import InputError, PathLike
from foldbelt.formats import image_files
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import files_below
from foldbelt.formats.image_files import SUFFIXES

_GROUP = 32  # images that share the work of a call, if they take no more than
_GROUP_BYTES = 2**29  # of memory between the stages
_BESIDE = {
    ".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".log",
    ".xlsx", ".zip",
}  # fmt: skip
_MOST_SIDE = 1_000_000  # libpng's limit
_MOST_BYTES = 255  # of a file's name, on nearly all disks


def listed(
    source: Path, bundle: Bundle, levels: Sequence[str], table: PathLike | None = None
) -> tuple[list[Item], list[Finding]]:
    """List the images of a folder, and what cannot be read by its header.

    Parameters
    ----------
    source
        The folder.
    bundle
        Whose competition says how images are named, and of which units they are.
    levels
        Columns of units that are needed.
    table
        A csv of what else is known of the images; see `foldbelt.bundle.columns`. What it says of
        units counts before all else.

    Returns
    -------
    items, findings
        The images, sorted by id; an image that names no unit is a unit of its own.

    Raises
    ------
    InputError
        If there is nothing in the folder, or the table lacks what channels need.
    """
    if {"images", "masks"} <= {path.name for path in source.iterdir() if path.is_dir()}:
        raise InputError(
            f"{source} holds images/ and masks/; give {source / 'images'}. Where the masks are the "
            "truth, `foldbelt validate` scores the bundle on them."
        )
    paths = [path for path in files_below(source) if not _is_beside(path)]
    named = _named(bundle.manifest.competition)
    found: Mapping[str, Mapping[str, Any]] = {}
    if named is not None:
        files, found, findings = named.listed(paths, source)
    elif bool(bundle.data["suffixes"]):
        files, findings = image_files.by_name(paths, source)
    else:
        files, findings = image_files.by_path(paths, source, source)
    sizes, broken = image_files.measure(files, source)
    said = columns.read(table, bundle, sorted(sizes), levels)
    items = [
        Item(name, files[name], size, None,
             about(size, levels, {**found.get(name, {}), **said.get(name, {})}))
        for name, size in sorted(sizes.items())
    ]  # fmt: skip
    if not items and not findings + broken:
        raise InputError(f"{source} holds no images.")
    clashes = {f.id for f in findings if f.id in files and Path(f.file).suffix.lower() in SUFFIXES}
    reason = "has the same id as another; rename one"  # of two images neither can be meant
    findings += [
        Finding(image_files.relative(files[name], source), reason, name) for name in clashes
    ]
    return [item for item in items if item.id not in clashes], [*findings, *broken]


def beside(source: Path) -> list[str]:
    """Name the files of a folder that are plainly no images: tables, notes, archives."""
    return [str(path.relative_to(source)) for path in files_below(source) if _is_beside(path)]


def _is_beside(path: Path) -> bool:
    return path.suffix.lower() in _BESIDE


def writable(
    items: Sequence[Item], source: Path, masks: bool, overlays: bool
) -> tuple[list[Item], list[Finding]]:
    """Leave out images whose mask or overlay no file could hold.

    Parameters
    ----------
    items
        The images.
    source
        Their folder.
    masks, overlays
        Which of both are written.

    Returns
    -------
    items, findings
        The others; and why these are left out.
    """
    written = [(".png", "mask")] * masks + [(".jpg", "overlay")] * overlays
    folders = {str(parent) for item in items for parent in PurePosixPath(item.id).parents}
    fitting, findings = [], []
    for item in items:
        reasons = [_misfit(f"{item.id}{suffix}", what, folders) for suffix, what in written]
        if masks and max(item.size) > _MOST_SIDE:
            height, width = item.size
            reasons.append(f"is {height}×{width}, and the side of a mask in PNG is {_MOST_SIDE} at "
                           "most; cut it in parts")  # fmt: skip
        reason = next((reason for reason in reasons if reason), None)
        if reason is None:
            fitting.append(item)
        else:
            findings.append(Finding(image_files.relative(item.image, source), reason, item.id))
    return fitting, findings


def _misfit(file: str, what: str, folders: Collection[str]) -> str | None:
    """Say why a file cannot be written beside those of all other images."""
    if any(len(part.encode()) > _MOST_BYTES for part in file.split("/")):
        return f"has too long a name: its {what} would need one of more than {_MOST_BYTES} bytes"
    if file in folders:
        return f"its {what} would lie where the folder {file} for other images lies; rename one"
    return None


def about(size: tuple[int, int], levels: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns of an image: its size, its unit at each level, and what else is known."""
    height, width = size
    units = {level: known.get(level) or "" for level in levels}
    return {**known, **units, "height": height, "width": width}


def _named(competition: str) -> Any:
    """Find the module by which a competition names new images; None where it has none."""
    name = f"foldbelt.competitions.{competition}.new_images"
    return None if importlib.util.find_spec(name) is None else importlib.import_module(name)


def groups(items: Sequence[Item], size: int, each: int) -> Iterator[Sequence[Item]]:
    """Split images into groups of whole batches, which do not depend on what is done already.

    Parameters
    ----------
    items
        All images.
    size
        Images of whole batches.
    each
        Bytes of an image.
    """
    size *= max(1, min(-(-_GROUP // size), _GROUP_BYTES // (each * size)))
    for start in range(0, len(items), size):
        yield items[start : start + size]
