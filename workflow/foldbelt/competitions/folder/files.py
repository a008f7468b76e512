"""Which files a folder data set consists of. Only the standard library is imported here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foldbelt.competitions.folder import SAMPLE
from foldbelt.formats.folders import files_below, files_in, is_litter, tables_in

META = "meta.csv"
TEST_FOLDERS = ("test", "test_images")
FROM_MASKS = "from_masks"
"""As `data.boxes`: boxes are drawn around the connected parts of the masks."""


FROM_BOXES = "from_boxes"
"""As `data.masks`: masks are filled boxes."""


class LabelSpec(NamedTuple):
    """Where image labels are read: of a `table` one `column`, or `columns` of numbers."""

    table: str
    column: str
    columns: list[str] | None
    exclusive: bool


def label_spec(label: Any) -> LabelSpec | None:
    """Understand `data.label`: null, the name of a column of meta.csv, or a mapping."""
    if label is None:
        return None
    if isinstance(label, str):
        return LabelSpec(META, label, None, True)
    columns = label["columns"]
    if columns is None:
        return LabelSpec(label["table"], label["column"], None, True)
    return LabelSpec(label["table"], "", list(columns), label["exclusive"])


def box_file(settings: Mapping[str, Any]) -> str | None:
    """Name the file, or the folder of files, of boxes; None if there is none to be read."""
    name = settings.get("boxes")
    return None if name in (None, FROM_MASKS) else name


def mask_file(settings: Mapping[str, Any]) -> str | None:
    """Name the file that lists the masks; None where they are files of their own, or none."""
    name = settings.get("masks", True)
    return name if isinstance(name, str) and name != FROM_BOXES else None


def test_folders(root: Path) -> list[str]:
    """Name the folders of test images that there are; more than one is a mistake.

    Small and large letters are the same. Where such a folder holds no files, but a folder
    ``images``, that is it.
    """
    names = [path.name for path in _entries(root) if path.is_dir()]
    found = sorted(
        (name for name in names if name.lower() in TEST_FOLDERS),
        key=lambda name: (TEST_FOLDERS.index(name.lower()), name),
    )
    return [_inner(root, name) for name in found]


def _inner(root: Path, name: str) -> str:
    inner = f"{name}/images"
    return inner if (root / inner).is_dir() and not files_in(root / name) else name


def _entries(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if not is_litter(path.name))


def unread(root: Path, settings: Mapping[str, Any]) -> list[str]:
    """Name what lies in a competition's folder and is not read, folders with a slash behind."""
    labels, boxes = label_spec(settings.get("label")), box_file(settings)
    masks = mask_file(settings)
    known = {
        "images",
        META,
        SAMPLE,
        *([labels.table] if labels else []),
        *([boxes] if boxes else []),
        *([masks] if masks else []),
    }
    known |= {"masks"} if settings.get("masks", True) is True else set()
    tests = test_folders(root)
    known |= {Path(name).parts[0] for name in [*tests, *known]}
    strange = [path.name + "/" * path.is_dir() for path in _entries(root) if path.name not in known]
    for name in tests:
        parent, _, inner = name.partition("/")
        if inner:
            strange += [
                f"{parent}/{path.name}" + "/" * path.is_dir()
                for path in _entries(root / parent)
                if path.name != inner
            ]
    return strange


def files(root: Path, settings: Mapping[str, Any]) -> dict[str, list[Path]]:
    """List the files that reading consumes, by part.

    Parameters
    ----------
    root
        The competition's folder.
    settings
        The config's `data` section, or nothing where the sample alone is asked for.

    Returns
    -------
    dict
        Of `foldbelt.raw_files.PARTS` each → its files. `meta.csv` describes training and test
        images, so it belongs to both parts; labels and boxes are those of training images.
    """
    test = [path for folder in test_folders(root) for path in files_below(root / folder)]
    train = files_below(root / "images")
    if settings.get("masks", True) is True:
        train += files_below(root / "masks")
    labels, boxes = label_spec(settings.get("label")), box_file(settings)
    masks = mask_file(settings)
    tables = [META] if labels is None else [META, labels.table]
    tables += [] if masks is None else [masks]
    train += tables_in(root, dict.fromkeys(tables))
    if boxes is not None:
        path = root / boxes
        train += [path] if path.is_file() else files_in(path)
    return {
        "train": list(dict.fromkeys(train)),
        "test": [*test, *tables_in(root, [META, SAMPLE])],
        "sample": tables_in(root, [SAMPLE]),
    }
