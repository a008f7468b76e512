"""Boxes in PASCAL VOC's XML: one file an image, `object` with `name` and `bndbox` (2007).

The id of an image is the name of its XML file without the suffix. Pixels are counted from 1 and
xmax, ymax belong to the box; so x1 = xmin - 1 and x2 = xmax. A file without objects says that its
image has no box; an image without a file is unlabelled. Objects marked `difficult` or `truncated`
are boxes like others.

An XML file may define entities that grow beyond any memory, or name other files. No annotation
needs any, so files that declare one are refused.
"""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from foldbelt.formats import image_files
from foldbelt.formats.boxes.rows import BoxRow, Listed
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import files_in

_SIDES = ("xmin", "ymin", "xmax", "ymax")


class _Refused(ValueError):
    """A file is no annotation that can be read; the message says why."""


def read(root: Path, name: str) -> Listed:
    """Read a folder of VOC's XML files; see the module."""
    found, findings = image_files.by_stem(files_in(root / name), root, (".xml",))
    listed = Listed(findings=findings)
    if not found:
        listed.findings.append(Finding(name, "holds no XML file"))
    for identity, path in found.items():
        file = image_files.relative(path, root)
        try:
            tree = _parse(path.read_bytes())
        except _Refused as error:
            listed.findings.append(Finding(file, str(error), identity))
            continue
        listed.seen[identity] = file
        _note_size(listed, file, identity, tree)
        for number, entry in enumerate(tree.findall("object"), 1):
            _take(listed, file, identity, f"object {number}", entry)
    return listed


def _parse(data: bytes) -> ElementTree.Element:
    def refuse(*_: Any) -> None:
        raise _Refused("declares an XML entity, which no annotation needs; take it out")

    checker = expat.ParserCreate()
    checker.EntityDeclHandler = refuse  # called before any use of the entity is expanded
    try:
        checker.Parse(data, True)
        tree = ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, LookupError) as error:
        raise _Refused(f"cannot be read as XML: {error}") from error
    if tree.tag != "annotation":
        raise _Refused(f"has the root <{tree.tag}>, not <annotation>, as VOC has it")
    return tree


def _note_size(listed: Listed, file: str, identity: str, tree: ElementTree.Element) -> None:
    texts = [tree.findtext(f"size/{side}", "").strip() for side in ("height", "width")]
    if all(text.isdecimal() and int(text) > 0 for text in texts):
        listed.sizes[identity] = (file, (int(texts[0]), int(texts[1])))


def _take(listed: Listed, file: str, identity: str, where: str, entry: ElementTree.Element) -> None:
    """Add one object to what is listed."""
    name = entry.findtext("name", "").strip()
    if not name:
        listed.findings.append(Finding(file, f"{where} has no name of a class", identity))
        return
    corners = []
    for side in _SIDES:
        text = entry.findtext(f"bndbox/{side}", "").strip()
        try:
            corners.append(float(text))
        except ValueError:
            reason = f"{where} ({name}): bndbox/{side} is {text!r}, no number"
            listed.findings.append(Finding(file, reason, identity))
    if len(corners) == len(_SIDES):
        left, top, right, bottom = corners
        listed.rows.append(BoxRow(file, where, identity, name, left - 1, top - 1, right, bottom))
