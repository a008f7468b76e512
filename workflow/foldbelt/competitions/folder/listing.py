"""The files of a folder data set: which there are, their ids, and which belong together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foldbelt.competitions.folder.files import TEST_FOLDERS, test_folders, unread
from foldbelt.competitions.folder.sample import TEST_PREFIX
from foldbelt.competitions.folder.several import Part, Several, group
from foldbelt.formats import image_files, labelme
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import composed, files_below, printable
from foldbelt.formats.pairs import pair


@dataclass(frozen=True)
class Files:
    """What was found: id → file, findings, and what a person should know.

    `masks` has the ids of the images; those without an image have the id of their own name. Where
    there are several masks an image, it is empty, and `parts` has their files; `folders` names the
    folders of classes, if that is what they are.
    """

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    test: dict[str, Path] = field(default_factory=dict)
    parts: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_files(root: Path, settings: Mapping[str, Any], with_masks: bool) -> Files:
    """List the images, masks and test images of a folder."""
    found = Files()
    test_folder = _test_folder(root, found)
    files_of: dict[str, dict[str, Path]] = {}
    masked = ["masks"] if with_masks else []
    for folder in ("images", *masked, *([test_folder] if test_folder else [])):
        files = files_below(root / folder)
        if not files and folder != test_folder:
            reason = f"is missing or empty; looked for images in {root / folder}{_there(root)}"
            found.findings.append(Finding(folder, reason))
        drawn = folder == "masks" and any(map(labelme.is_labelme, files))
        suffixes = (labelme.SUFFIX,) if drawn else image_files.SUFFIXES
        files_of[folder], wrong = image_files.by_path(files, root, root / folder, suffixes)
        if drawn:
            found.notes.append("Masks are drawn of the shapes in LabelMe's files")
        found.findings.extend(wrong)
    found.images.update(files_of["images"])
    several = group(found.images, files_of["masks"]) if with_masks else None
    if several is not None and not any(map(labelme.is_labelme, several.files)):
        _join_several(root, found, several)
    elif with_masks:
        _join(root, found, files_of["masks"])
    _add_test(found, files_of.get(test_folder, {}))
    strange = unread(root, settings)
    if strange:
        found.notes.append(f"Not read: {', '.join(map(printable, strange))}")
    return found


def _there(root: Path) -> str:
    """Name the folders that there are instead of one that is looked for."""
    names = sorted(path.name + "/" for path in root.iterdir() if path.is_dir())
    return f" (there are {', '.join(map(printable, names))})" if names else ""


def _test_folder(root: Path, found: Files) -> str:
    folders = test_folders(root)
    if len(folders) > 1:
        reason = f"is beside {folders[0]}; keep one of the two folders"
        found.findings.append(Finding(folders[1], reason))
    if not folders:
        for path in sorted(root.iterdir()):
            if path.is_dir() and path.name.lower().startswith("test"):
                reason = (
                    f"is not read: a folder of test images is named {' or '.join(TEST_FOLDERS)}"
                )
                found.findings.append(Finding(path.name, f"{reason}; rename it"))
    elif folders[0] not in TEST_FOLDERS:
        found.notes.append(f"Test images are those in {printable(folders[0])}/")
    return folders[0] if folders else ""


def _join(root: Path, found: Files, masks: Mapping[str, Path]) -> None:
    """Give masks the ids of their images, and name those without a partner."""
    images = found.images
    paired = pair(images, masks)
    if paired.note:
        found.notes.append(f"{paired.note[0].upper()}{paired.note[1:]}: {len(paired.masks)} pairs")
    found.masks.update({key: masks[name] for key, name in paired.masks.items()})
    taken = set(paired.masks.values())
    alone = {key: path for key, path in masks.items() if key not in taken}
    without = images.keys() - found.masks.keys()
    hint = _alike(without, alone)
    found.findings.extend(
        _named(root, without, images, f"has no mask of the same name in masks/{hint}")
    )
    found.findings.extend(
        _named(root, alone, masks, f"has no image of the same name in images/{hint}")
    )
    found.masks.update({key: path for key, path in alone.items() if key not in found.masks})


def _join_several(root: Path, found: Files, several: Several) -> None:
    """Take several masks an image, and name images and masks without a partner."""
    found.findings.extend(several.findings)
    if several.findings:
        return
    found.notes.append(several.note)
    found.parts.update(several.parts)
    found.folders.extend(several.classes)
    without = found.images.keys() - several.parts.keys()
    found.findings.extend(_named(root, without, found.images, "has no mask in masks/"))
    reason = "belongs to no image in images/"
    found.findings.extend(_named(root, several.alone, several.alone, reason))


def _alike(images: Iterable[str], masks: Iterable[str]) -> str:
    """Give an example of names that do not fit, where both kinds are left."""
    image, mask = min(images, default=""), min(masks, default="")
    if not image or not mask:
        return ""
    return f" (images are named such as {printable(image)}, masks such as {printable(mask)})"


def _named(
    root: Path, keys: Iterable[str], files: Mapping[str, Path], reason: str
) -> list[Finding]:
    """Make a finding of each, told after others: files that cannot be read lack a partner, too."""
    return [
        Finding(image_files.relative(files[key], root), reason, key, late=True)
        for key in sorted(keys)
    ]


def _add_test(found: Files, test: Mapping[str, Path]) -> None:
    """Give test images their ids, with their part where training images bear the same names."""
    both = found.images.keys() & test.keys()
    if both:
        found.notes.append(
            f"{len(both)} test images bear the names of training images, such as "
            f"{printable(min(both))}: the ids of all test images begin with {TEST_PREFIX}"
        )
    prefix = TEST_PREFIX if both else ""
    found.test.update({composed(prefix + key): path for key, path in test.items()})
    for key in sorted(found.test.keys() & found.images.keys()):  # images/test/…
        reason = "has the id of a train image; ids must differ"
        found.findings.append(Finding(found.test[key].name, reason, key))
