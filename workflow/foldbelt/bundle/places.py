"""What lies where in the folder of predictions, and what may not lie there."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from foldbelt.competitions import Item
from foldbelt.files import TEMPORARY, Problem, raise_all
from foldbelt.formats.folders import is_litter, printable

MASKS, OVERLAYS = "masks", "overlays"
MASKS_TABLE, LABELS_TABLE, BOXES_TABLE = "masks.csv", "labels.csv", "boxes.csv"
SUBMISSION, PROBLEMS = "submission.csv", "problems.csv"
LISTED = 40
"""Problems that a message lists; all others are counted."""

_FOLDERS = (MASKS, OVERLAYS)
_FILES = (MASKS_TABLE, LABELS_TABLE, BOXES_TABLE, PROBLEMS, SUBMISSION)


def counted(number: int, what: str) -> str:
    """Word a number of things.

    Examples
    --------
    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def mask_of(target: Path, name: str) -> Path:
    """Give the file of an image's mask."""
    return target / MASKS / f"{name}.png"


def overlay_of(target: Path, name: str) -> Path:
    """Give the file of an image's overlay."""
    return target / OVERLAYS / f"{name}.jpg"


def check_target(target: Path, begun: bool) -> None:
    """Refuse a folder in which something would be overwritten that no bundle has written.

    Parameters
    ----------
    target
        The folder of predictions.
    begun
        Whether its journal says that a bundle has begun to predict there.

    Raises
    ------
    InputError
        Naming everything that is in the way.
    """
    problems = [Problem(str(path), reason) for path, reason in _in_the_way(target, begun)]
    hint = "Choose an empty folder, or move these away."
    raise_all(problems, f"{target} cannot take predictions", hint)


def _in_the_way(target: Path, begun: bool) -> Iterator[tuple[Path, str]]:
    for path in [target / name for name in (*_FOLDERS, *_FILES)]:
        is_folder = path.is_dir()
        if path.exists() and is_folder != (path.name in _FOLDERS):
            found, wanted = ("folder", "file") if is_folder else ("file", "folder")
            yield path, f"is a {found}, where a {wanted} is to be written"
        elif not begun and (_holds_files(path) if is_folder else _has_content(path)):
            yield path, "is in no bundle's journal, and would be overwritten"


def _holds_files(folder: Path) -> bool:
    return any(not is_litter(path.name) for path in folder.iterdir())


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def refuse_predicted(items: Iterable[Item], target: Path) -> None:
    """Refuse images that lie where masks and overlays are written, by a link or otherwise.

    Raises
    ------
    InputError
        Naming them.
    """
    folders = [os.path.join(os.path.realpath(target / name), "") for name in _FOLDERS]
    problems = [
        Problem(printable(str(item.image)), f"lies in {target}")
        for item in items
        if os.path.realpath(item.image).startswith(tuple(folders))
    ]
    title = f"Images lie among what is predicted in {target}, and would be overwritten"
    raise_all(problems, title, "Choose another folder for what is predicted.", LISTED)


def sweep(target: Path) -> None:
    """Delete unfinished masks and overlays that a killed process left.

    Only who has the folder's journal may do so: another process would lose what it is writing.
    """
    for name in _FOLDERS:
        for path in (target / name).rglob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)
