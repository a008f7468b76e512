"""The files of a folder that are somebody's data; only the standard library is imported here."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

_LITTER = {
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "icon",
    "__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found",
}  # fmt: skip


def is_litter(name: str) -> bool:
    """Tell whether a file or folder is hidden, or one that viewers and file managers leave."""
    return name.startswith(".") or name.lower() in _LITTER or name.lower().endswith((".lnk", "~"))


def files_in(folder: Path) -> list[Path]:
    """List the files of a folder by name: none nested or hidden, and none that a viewer left there.

    Files that are no images are listed too, so that the caller can report them. Links are followed;
    those that lead nowhere are listed as well, to be named by whoever wants to read them.
    """
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not is_litter(path.name) and _is_file(path))


def files_below(folder: Path) -> list[Path]:
    """Do as `files_in`, nested folders included."""
    return sorted(_walk(folder, set())) if folder.is_dir() else []


def _walk(folder: Path, above: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return  # a link to a folder that it lies in
    for path in folder.iterdir():
        if is_litter(path.name):
            continue
        if _is_file(path):
            yield path
        elif path.is_dir():
            yield from _walk(path, {*above, real})


def _is_file(path: Path) -> bool:
    return path.is_file() or leads_nowhere(path)


def leads_nowhere(path: Path) -> bool:
    """Tell whether a path is a link to what is not there."""
    return path.is_symlink() and not path.exists()


def tables_in(root: Path, names: Iterable[str]) -> list[Path]:
    """List those of some tables that there are."""
    return [root / name for name in names if (root / name).is_file()]


def composed(name: str) -> str:
    """Give a name with its accents composed, as most systems write it (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def printable(name: str) -> str:
    """Give a name as one line of text: what cannot be printed is escaped."""
    if name.isprintable():
        return name
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in name
    )
