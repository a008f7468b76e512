"""Masks that are drawn of annotations: their classes and sizes, before anything is drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.files import InputError
from foldbelt.formats import image_files, labelme
from foldbelt.formats.findings import Finding, Undecodable


def classes_of_folders(
    settings: Mapping[str, Any], folders: list[str]
) -> tuple[dict[str, int | None], list[Finding]]:
    """Give the classes where each has a folder of masks, and findings for folders that are none.

    `data.classes` names the classes, in order (its values do not matter).
    """
    if settings["colours"] is not None:
        raise InputError("data.colours: the masks are a folder for each class; leave it out.")
    classes = [*(settings["classes"] or folders)]
    strange = [name for name in folders if name not in classes]
    reason = f"is a folder of no class; data.classes names {', '.join(classes)}"
    return dict.fromkeys(classes), [Finding(f"masks/{name}", reason) for name in strange]


def measure(
    root: Path,
    settings: Mapping[str, Any],
    files: Mapping[str, Path],
    images: Mapping[str, tuple[int, int]],
) -> tuple[dict[str, int | None], dict[str, tuple[int, int]], list[Finding]]:
    """Give the classes, the sizes by id, and findings for files that cannot be drawn.

    Parameters
    ----------
    root, settings
        The competition's folder and the config's `data` section. `data.classes` names the classes
        (its values do not matter); without it they are the labels met, sorted.
    files
        Id → LabelMe's file.
    images
        Id → (height, width) of the images, for files that do not say their own.
    """
    idle = [key for key in ("ignore", "cut", "colours") if settings[key] is not None]
    if idle:
        raise InputError(
            f"{', '.join(f'data.{key}' for key in idle)}: the masks are LabelMe's shapes, which "
            "have labels; leave it out."
        )
    sizes: dict[str, tuple[int, int]] = {}
    met: set[str] = set()
    findings = []
    for key, path in files.items():
        try:
            drawing = labelme.read(path)
        except Undecodable as error:
            findings.append(Finding(image_files.relative(path, root), str(error), key))
            continue
        met |= {label for label, _ in drawing.shapes}
        size = drawing.size or images.get(key)
        if size is not None:
            sizes[key] = size
    return dict.fromkeys(settings["classes"] or sorted(met)), sizes, findings
