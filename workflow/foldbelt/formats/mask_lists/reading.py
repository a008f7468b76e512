"""Which format a file of masks has, and its entries held against the images."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foldbelt.formats.boxes import Listed
from foldbelt.formats.boxes.checking import check_images
from foldbelt.formats.boxes.reading import is_json, missing
from foldbelt.formats.boxes.rows import OBJECT
from foldbelt.formats.findings import Finding
from foldbelt.formats.mask_lists import coco, table
from foldbelt.formats.mask_lists.rows import MaskRow
from foldbelt.registry import suggest


@dataclass(frozen=True)
class Checked:
    """Masks that can be drawn.

    Parameters
    ----------
    names
        Of the classes, in order.
    rows
        id → its entries, in the order of the file; the images of which the file says something.
    findings
        What is wrong, all at once.
    notes
        What was left out or understood, for the log.
    """

    names: list[str]
    rows: dict[str, list[MaskRow]]
    findings: list[Finding]
    notes: list[str]

    @property
    def crowds(self) -> bool:
        """Whether any pixels may be unlabelled."""
        return any(row.crowd for rows in self.rows.values() for row in rows)


def read(
    root: Path,
    name: str,
    sizes: Mapping[str, tuple[int, int]],
    others: Collection[str] = (),
    names: Sequence[str] | None = None,
) -> Checked:
    """Read masks.

    Parameters
    ----------
    root, name
        The competition's folder, and in it a COCO JSON (whose content begins with a brace), or else
        a csv.
    sizes
        id → (height, width) of the images whose masks are wanted.
    others
        Ids of other images, whose masks are left out.
    names
        The classes there may be, in order; by default COCO's categories, or those that a table
        names, sorted.
    """
    listed = Listed()
    path, known = root / name, {*sizes, *others}
    if not path.is_file():
        return Checked(list(names or []), {}, [missing(root, name, "data.masks")], [])
    if is_json(path):
        rows, met = coco.read(listed, root, name, known)
    else:
        one = names[0] if names is not None and len(names) == 1 else OBJECT
        rows, met = table.read(listed, root, name, known, one)
    findings = listed.findings + check_images(listed, sizes, others, "masks")
    classes = list(names) if names is not None else met
    kept: dict[str, list[MaskRow]] = {key: [] for key in listed.seen if key in sizes}
    for row in rows:
        if row.id not in kept:
            continue  # of another image, or an unknown one, which is told
        if row.name in classes:
            kept[row.id].append(row)
        else:
            hint = suggest(row.name, classes)
            reason = f"is of a class that data.classes does not name{hint}"
            title = f"{row.where} (id {row.id}, {row.name})"
            findings.append(Finding(row.file, f"{title} {reason}", row.id))
    left_out = len({row.id for row in rows if row.id in others})
    notes = list(listed.notes)
    if left_out:
        notes.append(f"masks of {left_out} test images, or of unreadable ones, are left out")
    return Checked(classes, kept, findings, notes)
