"""Commands that bring a folder of another layout into one that can be read.

Nothing is moved here: what people have differs too much for guesses to act on. But most of it is
told by names (``train`` and ``labels``, ``image`` and ``label``, masks beside the images), and then
the way is two commands, which are said.
"""

import csv
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from foldbelt.competitions.folder.files import META
from foldbelt.formats.folders import files_in, is_litter
from foldbelt.formats.image_files import SUFFIXES
from foldbelt.formats.pairs import pair

_MASKS = re.compile(r"mask|label|annot|segm|truth|target|^gt|_gt$|^y$")
"""In names of folders, in small letters, that hold masks."""
_BESIDE = re.compile(r"(.+?)([_-](?:mask|masks|label|labels|seg|segmentation|gt|annotation))", re.I)
"""Names of masks that lie beside their images."""
_FIT = 0.5  # share of the masks whose names must be those of images
_DEEP = 2  # folders below the root
_MOST = 200  # folders that are looked into
_CLASSES = 50  # folders that may be classes
_ROWS = 200  # of a table that are looked at


class Advice(NamedTuple):
    """What a folder looks like, and the commands that make it readable."""

    seen: str
    commands: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.seen}{' Run' if self.commands else ''}", *self.commands]
        return "\n  ".join(lines) + ("\nand try again." if self.commands else "")


def advise(root: Path) -> Advice | None:
    """Say what a folder without a known layout looks like, and what to do; None if nobody knows.

    Parameters
    ----------
    root
        The folder.
    """
    images = {place: files for place in _places(root) if (files := _images(root / place))}
    for guess in (_masks_beside, _two_folders, _classes, _named_labels, _coordinates, _pictures):
        made = guess(root, images)
        if made is not None:
            return made
    return None


_Images = Mapping[str, list[Path]]
"""Folder, relative to the root → the images in it."""


def _places(root: Path) -> Iterator[str]:
    """Give the root and the folders below it, the nearest first."""
    level = [root]
    given = 0
    for _ in range(_DEEP + 1):
        for folder in level:
            yield folder.relative_to(root).as_posix()
            given += 1
            if given == _MOST:
                return
        level = [
            path
            for folder in level
            for path in sorted(folder.iterdir())
            if path.is_dir() and not is_litter(path.name)
        ]


def _images(folder: Path) -> list[Path]:
    return [path for path in files_in(folder) if path.suffix.lower() in SUFFIXES]


def _masks_beside(root: Path, images: _Images) -> Advice | None:
    """Masks lie beside their images: `im.jpg` and `im_mask.png`."""
    for place, files in images.items():
        if place not in (".", "images"):
            continue
        stems = {path.stem for path in files}
        owners = {path: match for path in files if (match := _BESIDE.fullmatch(path.stem))}
        fitting = {path: match[2] for path, match in owners.items() if match[1] in stems}
        if not fitting or 2 * len(fitting) < _FIT * len(files):
            continue
        endings = [ending for ending, _ in Counter(fitting.values()).most_common()]
        folder, masks = _quoted(root / place), _quoted(root / "masks")
        moves = [f"mv {folder}/*{ending}.* {masks}/" for ending in endings]
        commands = [f"mkdir -p {masks}", *moves]
        if place == ".":
            commands += _into_images(root, [path for path in files if path not in fitting])
        told = f"{len(fitting)} files end in {' or '.join(endings)}"
        seen = f"{told}, beside the images whose masks they seem to be."
        return Advice(seen, tuple(commands))
    return None


def _two_folders(root: Path, images: _Images) -> Advice | None:
    """Images and masks lie in two folders, by whatever names."""
    best: tuple[int, str, str] | None = None
    named = {place for place, files in images.items() if _named_masks(place, files)} - {"."}
    for masks, drawn in images.items():
        if masks not in named:
            continue
        for place, files in images.items():
            if place in named:
                continue
            fitting = len(pair({p.stem for p in files}, {p.stem for p in drawn}).masks)
            if fitting >= _FIT * len(drawn) and (best is None or fitting > best[0]):
                best = fitting, place, masks
    if best is None:
        return None
    number, place, masks = best
    place, masks = _parents(place, masks)
    commands = []
    if place == ".":
        commands += _into_images(root, images[place])
    elif place != "images":
        commands.append(_linked(root, place, "images"))
    if masks != "masks":
        commands.append(_linked(root, masks, "masks"))
    if not commands:
        return None
    where = "the images here" if place == "." else f"{place}/"
    seen = f"{where} and {masks}/ look like images and their masks: {number} names fit."
    return Advice(seen, tuple(commands))


def _named_masks(place: str, files: list[Path]) -> bool:
    """Tell whether a folder holds masks by its name, or by the names of all files in it."""
    return bool(_MASKS.search(place.lower())) or all(_BESIDE.fullmatch(p.stem) for p in files)


def _parents(place: str, masks: str) -> tuple[str, str]:
    """Leave out what paths end in alike: of `images/train` and `labels/train` all parts are meant.

    Examples
    --------
    >>> _parents("images/train", "labels/train"), _parents("train/images", "train/masks")
    (('images', 'labels'), ('train/images', 'train/masks'))
    """
    first, second = Path(place), Path(masks)
    while first.name == second.name and len(first.parts) > 1 and len(second.parts) > 1:
        first, second = first.parent, second.parent
    return first.as_posix(), second.as_posix()


def _classes(root: Path, images: _Images) -> Advice | None:
    """Each folder holds the images of one class."""
    names = [place for place in images if "/" not in place and place not in (".", "images")]
    if not 2 <= len(names) <= _CLASSES or set(images) - set(names):
        return None
    if any(re.match("train|test|val", name.lower()) or _MASKS.search(name.lower())
           for name in names):  # fmt: skip
        return None
    folder, table = _quoted(root / "images"), _quoted(root / META)
    pattern = r"s#^\./(([^/]+)/.*)\.[^.]+$#\1,\2#p"
    commands = (
        f"mkdir -p {folder}",
        f"mv {' '.join(_quoted(root / name) for name in names)} {folder}/",
        f"(echo id,label; cd {folder}; find . -type f | sort | sed -nE '{pattern}') > {table}",
    )
    shown = ", ".join(f"{name}/" for name in names[:6])
    return Advice(f"{shown} look like classes of images. The last line makes labels.", commands)


def _named_labels(root: Path, images: _Images) -> Advice | None:
    """A table names image files in its first column, where ids are looked for."""
    stems = {path.stem for files in images.values() for path in files}
    for table in sorted(root.glob("*.csv")):
        with table.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = [row for row in islice(csv.reader(file), _ROWS) if row]
        names = [Path(row[0]) for row in rows[1:]]
        fitting = sum(bool(name.suffix) and name.stem in stems for name in names)
        if not names or fitting < _FIT * len(names) or rows[0][0] == "id":
            continue
        script = r"1s/^[^,]*/id/; s/^([^,]*)\.[A-Za-z]+,/\1,/"
        seen = f"{table.name} names files, where ids without suffix are looked for."
        made = f"sed -E '{script}' {_quoted(table)} > {_quoted(root / META)}"
        return None if table.name == META else Advice(seen, (made,))
    return None


def _coordinates(root: Path, images: _Images) -> Advice | None:
    """Texts of the images' names hold boxes, as YOLO has them."""
    folder = root / "labels"
    texts = {path.stem for path in files_in(folder) if path.suffix == ".txt"}
    stems = {path.stem for files in images.values() for path in files}
    if not texts & stems:
        return None
    seen = (
        f"{len(texts & stems)} files of labels/ look like YOLO's boxes, which are not read: write "
        "them into boxes.csv, with the columns id, class, x1, y1, x2, y2 in pixels "
        "(docs/outputs.md)."
    )
    return Advice(seen, ())


def _pictures(root: Path, images: _Images) -> Advice | None:
    """There are images alone, where they are not looked for."""
    if "images" in images or len(images) != 1:
        return None
    ((place, files),) = images.items()
    moved = _into_images(root, files) if place == "." else [_linked(root, place, "images")]
    where = "here" if place == "." else f"in {place}/"
    seen = (
        f"There are {len(files)} images {where}, and nothing that says what is to be learnt: draw "
        "masks of the same names into masks/ (LabelMe's .json files count), or list labels or "
        "boxes (docs/outputs.md)."
    )
    return Advice(seen, tuple(moved))


def _into_images(root: Path, files: list[Path]) -> list[str]:
    """Give commands that move images of the root into `images/`."""
    folder = _quoted(root / "images")
    kinds = sorted({path.suffix for path in files})
    moves = [f"mv {_quoted(root)}/*{kind} {folder}/" for kind in kinds]
    return [*([] if (root / "images").is_dir() else [f"mkdir -p {folder}"]), *moves]


def _linked(root: Path, place: str, name: str) -> str:
    return f"ln -s {_quoted(Path(place))} {_quoted(root / name)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
