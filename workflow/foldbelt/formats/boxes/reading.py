"""Which format a file of boxes has: its content decides, not its name."""

from pathlib import Path

from foldbelt.formats.boxes import coco, table, voc
from foldbelt.formats.boxes.rows import Listed
from foldbelt.formats.findings import Finding
from foldbelt.registry import suggest

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


def read(root: Path, name: str) -> Listed:
    """Read boxes.

    Parameters
    ----------
    root, name
        The competition's folder, and in it a folder of VOC's XML files, a COCO JSON (whose content
        begins with a brace), or else a csv.

    Returns
    -------
    Listed
        With a finding where there is no such file or it cannot be read.
    """
    path = root / name
    if path.is_dir():
        return voc.read(root, name)
    if not path.is_file():
        reason = f"is missing; data.boxes names it, and there is no file or folder {path}"
        beside = sorted(other.name for other in root.iterdir()) if root.is_dir() else []
        reason += suggest(name, beside)
        return Listed(findings=[Finding(name, reason)])
    with path.open("rb") as file:
        start = file.read(1024).removeprefix(_BOM).lstrip(_SPACE)
    return coco.read(root, name) if start.startswith((b"{", b"[")) else table.read(root, name)
