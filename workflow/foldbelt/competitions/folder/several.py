"""Several masks an image: a folder of instances for each image, or a folder for each class.

``masks/<image>/*.png`` and ``masks/<image>_1.png``, ``masks/<image>_2.png``, …: instances, which
are joined. ``masks/<class>/<image>.png``: one class a folder; an image that a folder lacks shows
nothing of it. What fits two of these is refused.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from foldbelt.formats import image_files
from foldbelt.formats.findings import Finding
from foldbelt.formats.pairs import pair

_MOST = 0.5  # share of the masks that a layout has to explain
_NUMBERED = re.compile(r"(.+)[_-]\d+")


class Part(NamedTuple):
    """One file of a mask, and the class that its folder names; None where it is an instance."""

    path: Path
    name: str | None


@dataclass(frozen=True)
class Several:
    """The parts of masks, by image.

    Parameters
    ----------
    parts
        Image → its files.
    alone
        Masks that belong to no image.
    classes
        Names of the folders of classes, sorted; [] where the files are instances.
    note
        How the files were understood.
    findings
        What keeps them from being understood.
    """

    parts: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    alone: dict[str, Path] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    note: str = ""
    findings: list[Finding] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """All the files."""
        joined = [part.path for parts in self.parts.values() for part in parts]
        return [*joined, *self.alone.values()]


def group(images: Collection[str], masks: Mapping[str, Path]) -> Several | None:
    """Find out whether there are several masks an image; None where there are not.

    Parameters
    ----------
    images
        Ids of the images.
    masks
        Files by their path below ``masks/`` without the suffix.
    """
    if not masks or any(key in images for key in masks):
        return None
    in_folders = all("/" in key for key in masks)
    instances = {key: key.rpartition("/")[0] for key in masks} if in_folders else {}
    by_class = {key: key.partition("/")[2] for key in masks} if in_folders else {}
    fits = [_fits(found, images) for found in (instances, by_class)]
    if all(fits):
        reason = (
            "can be understood in two ways: as a folder of instances for each image, and as a "
            "folder for each class; name the folders of classes otherwise than images"
        )
        return Several(findings=[Finding("masks", reason)])
    if fits[0]:
        return _instances(images, masks, instances, "a folder of instances for each image")
    if in_folders:
        return _classes(images, masks)
    numbered = {key: match[1] for key in masks if (match := _NUMBERED.fullmatch(key))}
    owners = [numbered[key] for key in masks if numbered.get(key) in images]
    if len(owners) == len(masks) and len(set(owners)) < len(owners):
        return _instances(images, masks, numbered, "numbered instances")
    return None


def _fits(found: Mapping[str, str], images: Collection[str]) -> bool:
    return bool(found) and sum(name in images for name in found.values()) >= _MOST * len(found)


def _instances(
    images: Collection[str], masks: Mapping[str, Path], owner: Mapping[str, str], what: str
) -> Several:
    parts: dict[str, tuple[Part, ...]] = {}
    for key in sorted(masks):
        if owner.get(key) in images:
            parts[owner[key]] = (*parts.get(owner[key], ()), Part(masks[key], None))
    used = sum(map(len, parts.values()))
    alone = {key: path for key, path in masks.items() if owner.get(key) not in images}
    note = f"Masks are {what}, joined: {used} files of {len(parts)} images"
    return Several(parts, alone, note=note)


def _classes(images: Collection[str], masks: Mapping[str, Path]) -> Several | None:
    """Take the folders for classes, if images have masks in them by name or by a common affix."""
    folders: dict[str, dict[str, Path]] = {}
    for key, path in masks.items():
        name, _, rest = key.partition("/")
        folders.setdefault(name, {})[rest] = path
    parts: dict[str, tuple[Part, ...]] = {}
    alone: dict[str, Path] = {}
    counts = []
    for name, files in sorted(folders.items()):
        paired = pair(images, files).masks
        for image, rest in paired.items():
            parts[image] = (*parts.get(image, ()), Part(files[rest], name))
        taken = set(paired.values())
        alone |= {f"{name}/{rest}": path for rest, path in files.items() if rest not in taken}
        counts.append(f"{name} ({len(paired)})")
    if len(alone) > (1 - _MOST) * len(masks):
        return None
    note = (
        f"Masks are a folder for each class, with so many files: {', '.join(counts)}; where an "
        "image has no file in one, nothing of the class is there"
    )
    return Several(parts, alone, sorted(folders), note)


def check_sizes(
    root: Path,
    parts: Mapping[str, tuple[Part, ...]],
    images: Mapping[str, tuple[int, int]],
) -> tuple[dict[str, tuple[int, int]], list[Finding]]:
    """Measure all parts: the sizes of masks whose parts agree with their images, and findings."""
    files = {part.path: key for key, given in parts.items() for part in given}
    sizes, broken = image_files.measure({str(path): path for path in files}, root)
    keys = {image_files.relative(path, root): key for path, key in files.items()}
    findings = [Finding(f.file, f.reason, keys[f.file]) for f in broken]
    known: dict[str, tuple[int, int]] = {}
    wrong = {finding.id for finding in findings}
    for path, key in files.items():
        size = sizes.get(str(path))
        if size is None or key not in images:
            continue
        if size == images[key]:
            known.setdefault(key, size)
            continue
        wrong.add(key)
        reason = f"is {size[0]}×{size[1]}, unlike its image ({images[key][0]}×{images[key][1]})"
        findings.append(Finding(image_files.relative(path, root), reason, key))
    return {key: size for key, size in known.items() if key not in wrong}, findings
