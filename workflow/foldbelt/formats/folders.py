"""The files of a folder that are somebody's data; only the standard library is imported here."""

import os
from collections.abc import Iterable
from pathlib import Path

_LITTER = {"thumbs.db", "desktop.ini"}


def files_in(folder: Path) -> list[Path]:
    """List the files of a folder by name: none nested or hidden, and none that a viewer left there.

    Files that are no images are listed too, so that the caller can report them. Links are followed.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in _LITTER and path.is_file()
    )


def files_below(folder: Path) -> list[Path]:
    """List the files of a folder and of all folders below it, sorted; see `files_in`."""
    files: list[Path] = []
    seen: set[str] = set()
    for place, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += files_in(Path(place))
    return sorted(files)


def tables_in(root: Path, names: Iterable[str]) -> list[Path]:
    """List those of some tables that there are."""
    return [root / name for name in names if (root / name).is_file()]
