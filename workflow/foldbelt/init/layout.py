"""Which layout a folder has, and what its `data` section has to say so that it can be read."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foldbelt import registry
from foldbelt.competitions.folder import SAMPLE
from foldbelt.competitions.folder.files import META
from foldbelt.files import InputError
from foldbelt.formats import csv_files
from foldbelt.formats.boxes import Listed
from foldbelt.formats.folders import files_below, files_in, printable
from foldbelt.formats.mask_lists import coco, table
from foldbelt.init.advice import advise
from foldbelt.init.masks import meant_by

_COORDINATES = {"x1", "y1", "x2", "y2"}
_LABEL_NAMES = ("label", "class", "target", "category", "diagnosis", "finding")
_MOST_LABELS = 20  # values of a column that is a label


class Setting(NamedTuple):
    """A key of the config's `data` section, its value, and why."""

    key: str
    value: Any
    reason: str
    asks: str = ""


class Layout(NamedTuple):
    """What a folder is.

    Parameters
    ----------
    competition
        The reader: a package of `foldbelt.competitions`.
    why
        By which files it was told.
    kind
        What is learnt: masks, labels or boxes; for `chest` labels.
    settings
        Keys of `data` that are not as the schema has them.
    """

    competition: str
    why: str
    kind: str
    settings: list[Setting]

    def section(self) -> dict[str, Any]:
        """Give the settings by key."""
        return {setting.key: setting.value for setting in self.settings}


def told(competition: str, constant: str, default: Any = None) -> Any:
    """Value of a constant of a competition's package.

    Examples
    --------
    >>> told("steel", "ONE_SIZE"), told("folder", "ONE_SIZE", False)
    (True, False)
    """
    return registry.constant(registry.competition(competition), constant, default)


def detect(root: Path) -> Layout:
    """Tell a folder's layout by its files.

    Raises
    ------
    InputError
        If it is none that foldbelt reads; the message says what there is and what is looked for.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder.")
    marks = _marks()
    competition = _marked(root, marks)
    if competition is not None:
        kind = told(competition, "OUTPUTS", ("masks",))[0]
        return Layout(competition, f"there are {', '.join(marks[competition])}", kind, [])
    if files_below(root / "images"):
        return _folder(root)
    raise InputError(_unknown(root, marks))


def _unknown(root: Path, marks: Mapping[str, tuple[str, ...]]) -> str:
    """Say what there is, what it looks like, and what is looked for."""
    there = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = ", ".join(map(printable, there[:8])) or "nothing"
    said = f"{root}: is no layout that can be read. There is {shown}."
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()]
    layouts = [path for path in folders if (path / "images").is_dir() or _marked(path, marks)]
    if len(layouts) == 1:
        return f"{said} But {layouts[0]} is one: foldbelt init {shlex.quote(str(layouts[0]))}"
    advice = advise(root)
    if advice is not None:
        return f"{said} {advice}"
    return (
        f"{said} Looked for images/ (with masks/, boxes or a meta.csv of labels beside it, see "
        "docs/outputs.md and docs/files.md), or for "
        + "; ".join(f"{', '.join(files)} ({name})" for name, files in marks.items())
        + ". Move or link your images to images/ and their masks, of the same names, to masks/."
    )


def _marks() -> dict[str, tuple[str, ...]]:
    """Give competition → the files by which it is told; those that ask for more come first."""
    known = {name: told(name, "MARKS") for name in registry.known("competitions")}
    marks = {name: tuple(files) for name, files in known.items() if files}
    return dict(sorted(marks.items(), key=lambda mark: (-len(mark[1]), mark[0])))


def _marked(root: Path, marks: Mapping[str, tuple[str, ...]]) -> str | None:
    """Give the competition whose files are all there."""
    for competition, files in marks.items():
        if all((root / name).exists() for name in files):
            return competition
    return None


def _folder(root: Path) -> Layout:
    """Tell what a folder of images has beside them: masks, boxes, labels."""
    masks = files_below(root / "masks")
    if masks:
        return Layout("folder", "there are images/ and masks/", "masks", list(_of_masks(masks)))
    listed = _listed(root)
    if listed:
        name, settings = listed
        return Layout("folder", f"there are images/ and {name}", "masks", settings)
    boxes = _boxes(root)
    without = Setting("masks", False, "no folder masks/, and no file that lists masks")
    if boxes:
        name, form = boxes
        found = Setting("boxes", name, f"read as {form}")
        return Layout("folder", f"there are images/ and {name}", "boxes", [without, found])
    label = _label(root)
    if label is None:
        advice = advise(root)
        if advice is not None:
            raise InputError(f"{root}: there are images/, but no masks/. {advice}")
        raise InputError(
            f"{root}: there are images/, but nothing says what is to be learnt: no masks/, no csv, "
            "COCO json or folder of VOC xml with boxes, and no csv of ids with a column named "
            f"{', '.join(_LABEL_NAMES)}. docs/outputs.md says what to bring."
        )
    name, column = label
    return Layout("folder", f"there are images/ and {name}", "labels", [without, column])


def _of_masks(masks: list[Path]) -> Iterator[Setting]:
    """Give the settings that say what the values of masks mean."""
    for key, value, reason, asks in meant_by(masks):
        yield Setting(key, value, reason, asks)


def _listed(root: Path) -> tuple[str, list[Setting]] | None:
    """Find the file that lists masks, and say what it means that it lacks an image."""
    folder = root / "images"
    images = {path.relative_to(folder).with_suffix("").as_posix() for path in files_below(folder)}
    for path in sorted([*root.glob("*.csv"), *root.glob("*.json")]):
        if path.name == SAMPLE or (path.suffix == ".json" and _coco(path) is None):
            continue
        form = "COCO's JSON" if path.suffix == ".json" else "a csv of run lengths"
        reader = coco if path.suffix == ".json" else table
        listed = Listed()
        rows, _ = reader.read(listed, root, path.name, images)
        if not rows:
            continue
        settings = [Setting("masks", path.name, f"read as {form}")]
        absent = images - listed.seen.keys()
        if absent:
            reason = f"{len(absent)} of {len(images)} images are not listed"
            asks = "do they show nothing? unknown where nobody has looked"
            settings.append(Setting("masks_missing", "empty", reason, asks))
        return path.name, settings
    return None


def _coco(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    is_coco = isinstance(found, dict) and {"images", "annotations"} <= found.keys()
    return found if is_coco else None


def _boxes(root: Path) -> tuple[str, str] | None:
    """Find the file, or folder of files, that holds boxes."""
    for path in sorted(root.glob("*.csv")):
        header = path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
        if {name.strip().strip('"').lower() for name in header.split(",")} >= _COORDINATES:
            return path.name, "a csv"
    for path in sorted(root.glob("*.json")):
        if _coco(path) is not None:
            return path.name, "COCO's JSON"
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if any(path.suffix.lower() == ".xml" for path in files_in(folder)[:20]):
            return folder.name, "VOC's XML"
    return None


def _label(root: Path) -> tuple[str, Setting] | None:
    """Choose the column of a table that is a label: by its name, one value an image."""
    names = {path.name for path in root.glob("*.csv")} - {META, SAMPLE}
    for file in (META, *sorted(names)):
        rows, _ = csv_files.read_table(root, file, ("id",), needed=False)
        if rows is None:
            continue
        for name in rows.columns.drop("id"):
            values = sorted({value for value in rows[name] if value})
            if name.lower() in _LABEL_NAMES and 2 <= len(values) <= _MOST_LABELS:
                column = str(name) if file == META else {"table": file, "column": str(name)}
                shown = ", ".join(values[:6])
                reason = f"a column of {file} with {len(values)} values: {shown}"
                return file, Setting("label", column, reason)
    return None
