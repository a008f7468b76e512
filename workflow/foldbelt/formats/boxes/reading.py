"""Which format a file of boxes has: its content decides, not its name."""

from collections.abc import Collection
from pathlib import Path

from foldbelt.formats.boxes import coco, table, voc
from foldbelt.formats.boxes.rows import Listed
from foldbelt.formats.findings import Finding
from foldbelt.registry import suggest

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


def read(root: Path, name: str, known: Collection[str] = ()) -> Listed:
    """Read boxes.

    Parameters
    ----------
    root, name
        The competition's folder, and in it a folder of VOC's XML files, a COCO JSON (whose content
        begins with a brace), or else a csv.
    known
        Ids of the images.

    Returns
    -------
    Listed
        With a finding where there is no such file or it cannot be read.
    """
    path = root / name
    if path.is_dir():
        return voc.read(root, name)
    if not path.is_file():
        return Listed(findings=[missing(root, name, "data.boxes")])
    return coco.read(root, name, known) if is_json(path) else table.read(root, name)


def missing(root: Path, name: str, key: str) -> Finding:
    """Make the finding that a file, which a key of the config names, is not there."""
    reason = f"is missing; {key} names it, and there is no file or folder {root / name}"
    beside = sorted(other.name for other in root.iterdir()) if root.is_dir() else []
    return Finding(name, reason + suggest(name, beside))


def is_json(path: Path) -> bool:
    """Tell by its first bytes whether a file is JSON: whether it begins with a brace."""
    with path.open("rb") as file:
        start = file.read(1024).removeprefix(_BOM).lstrip(_SPACE)
    return start.startswith((b"{", b"["))
