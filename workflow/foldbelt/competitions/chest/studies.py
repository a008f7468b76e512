"""Which study and which patient an image belongs to, and what its siblings say of it.

Somebody who looked at a study of several images drew the boxes on one of them. Of the others, its
siblings, nobody has said what they show: they are unlabelled, and not without opacities. Where none
of a study's images has a box, all of them are as the table says.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foldbelt.competitions.chest.files import IMAGE_TABLE
from foldbelt.competitions.chest.tables import ImageRow, Original
from foldbelt.formats import dicom
from foldbelt.formats.findings import Finding, Undecodable
from foldbelt.formats.image_files import relative


@dataclass
class Belonging:
    """Where images belong.

    Attributes
    ----------
    study, patient
        Image → name; a patient whom nobody names is called as the study is.
    images
        Study → how many images it has.
    findings
        What is wrong.
    unnamed
        How many images have no patient of a name.
    """

    study: dict[str, str] = field(default_factory=dict)
    patient: dict[str, str] = field(default_factory=dict)
    images: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    unnamed: int = 0


def belonging(
    root: Path,
    folder: str,
    files: Mapping[str, Path],
    rows: Mapping[str, ImageRow] | None,
    originals: Mapping[str, Original],
    table: tuple[str, bool],
) -> Belonging:
    """Find out where the images of a part belong.

    A study is named by the table of images, by the folder in which the image lies, by the table of
    converted images, or by a DICOM header; those that name it must agree, but for the header, which
    is asked last and may be anonymised.

    Parameters
    ----------
    root, folder, files
        The competition's folder, that of the part, and image → file.
    rows
        What the table of images says, of training images; None for test images.
    originals
        What the table of converted images says.
    table
        Its name, and whether it has a column of studies.
    """
    found = Belonging()
    nobody = []
    for image, path in sorted(files.items()):
        header = _header(path)
        said = originals.get(image)
        names = {
            IMAGE_TABLE: rows[image].study if rows is not None and image in rows else "",
            "its folder": _folder_of(path, root / folder),
            table[0]: said.study if said is not None else "",
        }
        given = {where: name for where, name in names.items() if name}
        study = next(iter(given.values()), (header.study if header else None) or "")
        if len(set(given.values())) > 1:
            told = ", ".join(f"{name} by {where}" for where, name in given.items())
            reason = f"is of different studies: {told}"
            found.findings.append(Finding(relative(path, root), reason, image))
        elif not study and rows is None:
            nobody.append(image)
        patient = (said.patient if said is not None else "") or (header and header.patient) or ""
        found.study[image], found.patient[image] = study, patient
    found.findings += _without_study(root, files, nobody, table)
    found.images = Counter(found.study.values())
    _name_patients(found, root, files)
    return found


def _header(path: Path) -> dicom.Header | None:
    """Read the header of a DICOM file; None for others, and for such as cannot be read."""
    try:
        return dicom.header(path) if dicom.is_dicom(path) else None
    except Undecodable:  # told where the images are measured
        return None


def _folder_of(path: Path, folder: Path) -> str:
    """Name the study in whose folder an image lies; "" where all images lie in one folder."""
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def _without_study(
    root: Path, files: Mapping[str, Path], images: list[str], table: tuple[str, bool]
) -> list[Finding]:
    """Say what to do about test images of which nobody knows the study."""
    name, has_column = table
    if not images:
        return []
    if not has_column:
        reason = (
            f"has no column `study`, and of {len(images)} test images, such as {images[0]}, "
            "nothing else says to which study they belong: add it (the StudyInstanceUID of the "
            "original file), or put the images in folders test/<study>/"
        )
        return [Finding(name, reason)]
    return [
        Finding(relative(files[image], root), f"is of no study; name it in {name}", image)
        for image in images
    ]


def _name_patients(found: Belonging, root: Path, files: Mapping[str, Path]) -> None:
    """Give a study's images one patient; name patients of whom nothing is known by their study."""
    known: dict[str, str] = {}
    for image, patient in found.patient.items():
        study = found.study[image]
        first = known.setdefault(study, patient) if patient and study else patient
        if patient and first != patient:
            reason = f"is of patient {patient}, and another image of study {study} of {first}"
            found.findings.append(Finding(relative(files[image], root), reason, image))
    for image, patient in found.patient.items():
        study = found.study[image]
        named = patient or known.get(study, "")
        found.unnamed += not named
        found.patient[image] = named or study


def siblings(rows: Mapping[str, ImageRow]) -> set[str]:
    """Give the images without boxes of studies of which another image has some.

    Examples
    --------
    >>> box = [(0.0, 0.0, 1.0, 1.0)]
    >>> rows = {"a": ImageRow(2, "s", box), "b": ImageRow(3, "s", []), "c": ImageRow(4, "t", [])}
    >>> siblings(rows)
    {'b'}
    """
    boxed = {row.study for row in rows.values() if row.boxes and row.study}
    return {image for image, row in rows.items() if not row.boxes and row.study in boxed}
