"""SIIM-FISABIO-RSNA COVID-19 Detection (Kaggle, 2021): chest radiographs, studies and boxes.

Layout: ``train/<study>/<series>/<image>.dcm`` and ``test/`` alike, ``train_study_level.csv``,
``train_image_level.csv`` and perhaps ``sample_submission.csv`` (see `tables`). Converted images
(PNG or JPEG) may lie in the same folders or all in one; a table, `data.sizes`, then says how large
they were, for boxes stay in pixels of the original. An image's id is its file name without the
suffix.

The four classes of a study are labels of all its images; `none`, that there is no opacity, is a
label of the image. What becomes of siblings, images of which nobody has said what they show (see
`studies`), `data.siblings` says.
"""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foldbelt.competitions._reading import Item, Listing, Sample
from foldbelt.competitions.chest import BOXES, LABEL_GROUPS, LABEL_LEVELS, LABELS, SAMPLE, spelling
from foldbelt.competitions.chest.files import IMAGE_TABLE, STUDY_TABLE, sizes_table
from foldbelt.competitions.chest.studies import Belonging, belonging, siblings
from foldbelt.competitions.chest.tables import (
    ImageRow,
    Original,
    labels_of,
    placed,
    read_images,
    read_originals,
    read_sample,
    read_studies,
)
from foldbelt.files import InputError
from foldbelt.formats import dicom, image_files
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.formats.folders import files_below
from foldbelt.shapes import bright_mask_of_boxes, mask_of_boxes

_FROM_BOXES = "from_boxes"


class Truth(NamedTuple):
    """A training image's boxes (m, 6) in pixels of the original; None where nobody knows them."""

    boxes: np.ndarray | None


class _Images(NamedTuple):
    """The images of both parts before their truth is looked at."""

    train: dict[str, Path]
    test: dict[str, Path]
    sizes: dict[str, tuple[int, int]]
    originals: dict[str, Original]
    table: tuple[str, bool]
    findings: list[Finding]

    def original(self, image: str) -> tuple[int, int]:
        """Give (height, width) before the image was converted; of DICOM files, their own."""
        said = self.originals.get(image)
        return self.sizes[image] if said is None else said.size


def scan(root: Path, settings: Mapping[str, Any], size: tuple[int, int] | None = None) -> Listing:
    """List images and tables, and what is wrong with names, headers and tables."""
    _refuse_settings(settings)
    images = _list_images(root, settings)
    size, findings = image_files.storage_size(
        root, settings, images.train, images.test, images.sizes, size
    )
    classes, wrong = read_studies(root)
    rows, wrong_images = read_images(root)
    findings = [*images.findings, *findings, *wrong, *wrong_images]
    findings += _check_rows(root, images.train, rows, classes)
    parts = {}
    for folder, files, said in (("train", images.train, rows), ("test", images.test, None)):
        parts[folder] = belonging(root, folder, files, said, images.originals, images.table)
        findings += parts[folder].findings
    findings += _check_sample(root, images.test, parts["test"])
    _tell_patients(parts)
    train, wrong = _train_items(images, rows, classes, parts["train"], settings)
    test = [
        Item(image, path, images.sizes[image], None, _columns(image, images, parts["test"]))
        for image, path in sorted(images.test.items())
        if image in images.sizes
    ]
    masked = settings["masks"] == _FROM_BOXES
    return Listing(
        root,
        settings,
        train,
        test,
        size,
        3 if settings["image_mode"] == "rgb" else 1,
        list(BOXES) if masked else [],
        list(LABELS),
        findings + wrong,
        boxes=list(BOXES),
        has_masks=masked,
        groups=[list(group) for group in LABEL_GROUPS],
        levels={column: list(names) for column, names in LABEL_LEVELS.items()},
    )


def _refuse_settings(settings: Mapping[str, Any]) -> None:
    idle = ("ignore", "classes", "label", "boxes", "box_classes", "bands", "cut", "colours")
    given = [f"data.{key}" for key in idle if settings[key] is not None]
    given += ["data.masks"] if settings["masks"] is True else []
    if given:
        raise InputError(
            f"{', '.join(given)}: not for the chest competition, whose tables say what there is. "
            "Remove the setting (data.masks may be from_boxes), or use the folder layout."
        )


def _list_images(root: Path, settings: Mapping[str, Any]) -> _Images:
    """List and measure the images of both parts."""
    findings: list[Finding] = []
    files = {}
    for folder in ("train", "test"):
        found = files_below(root / folder)
        if not found:
            hint = "" if folder == "train" else "; make an empty one if nothing is to be predicted"
            if folder == "train" or not (root / folder).is_dir():
                reason = f"is missing or empty; looked for images below {root / folder}{hint}"
                findings.append(Finding(folder, reason))
        files[folder], wrong = image_files.by_stem(found, root)
        findings += wrong
    train, test = files["train"], files["test"]
    findings += [
        Finding(image_files.relative(test[image], root), "has the id of a train image", image)
        for image in sorted(train.keys() & test.keys())
    ]
    everything = train | test
    converted = {image for image, path in everything.items() if not dicom.is_dicom(path)}
    dicom.read_headers(path for image, path in everything.items() if image not in converted)
    sizes, broken = image_files.measure(everything, root)
    name = sizes_table(settings)
    needed = bool(converted) or settings["sizes"] is not None
    originals, has, wrong = read_originals(root, name, needed)
    findings += broken + wrong
    findings += _check_originals(name, everything, converted, sizes, originals)
    return _Images(train, test, sizes, originals, (name, "study" in has), findings)


def _check_originals(
    name: str,
    files: Mapping[str, Path],
    converted: set[str],
    sizes: Mapping[str, tuple[int, int]],
    originals: Mapping[str, Original],
) -> list[Finding]:
    """Find converted images of which nothing is said, and DICOM files of another size than said."""
    findings = []
    if originals:
        findings = [
            Finding(name, f"has no row for image_id {image}; every image needs one", image)
            for image in sorted(converted - originals.keys())
        ]
    for image in sorted((files.keys() & sizes.keys() & originals.keys()) - converted):
        if originals[image].size != sizes[image]:
            (height, width), (rows, columns) = originals[image].size, sizes[image]
            reason = f"says that {image} is {height}×{width}, and its file is {rows}×{columns}"
            findings.append(Finding(name, reason, image))
    return findings


def _check_rows(
    root: Path,
    images: Mapping[str, Path],
    rows: Mapping[str, ImageRow],
    classes: Mapping[str, str],
) -> list[Finding]:
    """Find images without a row, rows without an image, and images of a study without a class."""
    if not rows:
        return []
    findings = [
        Finding(IMAGE_TABLE, f"has no row for image {image}; every image needs one", image)
        for image in sorted(images.keys() - rows.keys())
    ]
    findings += [
        Finding(IMAGE_TABLE, f"line {rows[image].line}: no image {image} in train/", image)
        for image in sorted(rows.keys() - images.keys())
    ]
    if classes:
        findings += [
            Finding(STUDY_TABLE, f"has no row for study {row.study} (image {image})", image)
            for image, row in sorted(rows.items())
            if row.study and row.study not in classes
        ]
    return findings


def _check_sample(root: Path, test: Mapping[str, Path], where: Belonging) -> list[Finding]:
    """Find test images and studies that the sample does not list, and the other way round."""
    listed, findings = read_sample(root)
    if listed is None:
        return findings
    findings += [
        Finding(SAMPLE, f"id {key} is there {count} times")
        for key, count in Counter(listed).items()
        if count > 1
    ]
    studies = set(where.study.values()) - {""}
    wanted = {f"{image}{spelling.IMAGE}": image for image in test}
    known = {**dict.fromkeys(f"{study}{spelling.STUDY}" for study in studies), **wanted}
    rows = set(listed)
    for key in sorted(known.keys() - rows):
        findings.append(Finding(SAMPLE, f"has no row {key}, which is in test/", wanted.get(key)))
    if "" in where.study.values():  # told already: a study without a name
        rows = {key for key in rows if not key.endswith(spelling.STUDY)}
    for key in sorted(rows - known.keys()):
        image = key.removesuffix(spelling.IMAGE) if key.endswith(spelling.IMAGE) else None
        findings.append(Finding(SAMPLE, f"id {key} is unknown: it is not in test/", image))
    return findings


def _tell_patients(parts: Mapping[str, Belonging]) -> None:
    for folder, part in parts.items():
        studies, patients = set(part.study.values()), set(part.patient.values())
        several = sum(count > 1 for count in part.images.values())
        print(
            f"{folder}: {len(part.study)} images, {len(studies)} studies, {several} of them of "
            f"several images, {len(patients)} patients"
        )
        if part.unnamed:
            print(f"Of {part.unnamed} images no patient is known; each study counts as one")


def _train_items(
    images: _Images,
    rows: Mapping[str, ImageRow],
    classes: Mapping[str, str],
    where: Belonging,
    settings: Mapping[str, Any],
) -> tuple[list[Item], list[Finding]]:
    """Give the training images that can be read, with what is known of them."""
    alone = siblings(rows)
    what = settings["siblings"]
    findings: list[Finding] = []
    items: list[Item] = []
    cut = 0
    for image, path in sorted(images.train.items()):
        if image not in images.sizes or image not in rows or (what == "drop" and image in alone):
            continue
        boxes, more, wrong = placed(image, rows[image], images.original(image))
        findings, cut = findings + wrong, cut + more
        kind = classes.get(rows[image].study, "")
        unsaid = image in alone
        labels = labels_of(
            "" if unsaid and what == "keep" else kind,
            LABELS,
            math.nan if unsaid else float(not len(rows[image].boxes)),
        )
        truth = Truth(None if unsaid else boxes)
        columns = {**_columns(image, images, where), "class": kind}
        items.append(Item(image, path, images.sizes[image], truth, columns, labels))
    if cut:
        print(f"{IMAGE_TABLE}: {cut} boxes stick out of their image a little, and are cut")
    _tell_siblings(len(alone & images.train.keys()), what)
    _tell_labels(items)
    return items, findings


def _tell_siblings(count: int, what: str) -> None:
    says = {
        "labels": "they teach their study's class, and neither boxes nor none",
        "keep": "they teach nothing, and are predicted with their study",
        "drop": "they are left out",
    }
    if count:
        print(
            f"{count} training images have no box where another image of their study has some: "
            f"{says[what]} (data.siblings: {what})"
        )


def _tell_labels(items: list[Item]) -> None:
    """Print how many images there are of each label, and how many boxes."""
    values = [item.labels for item in items if item.labels is not None]
    if not values:
        return
    totals = np.nansum(np.stack(values), axis=0).astype(int).tolist()
    counts = ", ".join(f"{name} ({count})" for name, count in zip(LABELS, totals, strict=True))
    known = [item.truth.boxes for item in items if item.truth.boxes is not None]
    print(f"Labels, and how many training images have them: {counts}")
    print(f"Boxes: {BOXES[0]} ({sum(map(len, known))}), known of {len(known)} training images")


def _columns(image: str, images: _Images, where: Belonging) -> dict[str, Any]:
    """Give the per-image columns that are known without decoding."""
    height, width = images.original(image)
    study = where.study[image]
    return {
        "study": study,
        "patient": where.patient[image],
        "images": where.images[study],
        "height": height,
        "width": width,
    }


def read(item: Item, listing: Listing) -> Sample:
    """Decode one image, and draw masks of a training image's boxes where they are asked for."""
    try:
        image = image_files.to_u8(image_files.decode(item.image), listing.channels)
    except image_files.Undecodable as error:
        where = image_files.relative(item.image, listing.root)
        raise UnusableImage([Finding(where, str(error), item.id)]) from error
    if item.truth is None:
        return Sample(image)
    boxes = item.truth.boxes
    if not listing.has_masks:
        return Sample(image, labels=item.labels, boxes=boxes)
    mask, ignore = _mask(item, image, listing)
    covered = mask.any(axis=2)
    columns = {"coverage": float(covered.mean()), "empty": int(not covered.any())}
    return Sample(image, mask, ignore, item.labels, columns, boxes)


def _mask(item: Item, image: np.ndarray, listing: Listing) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw boxes as a mask (h, w, K) of the file's size; where they are unknown, all is ignored."""
    size, boxes = image.shape[:2], item.truth.boxes
    if boxes is None:
        return np.zeros((*size, len(listing.classes)), np.uint8), np.ones(size, bool)
    height, width = size[0] / item.columns["height"], size[1] / item.columns["width"]
    scaled = boxes * np.array([1, width, height, width, height, 1], np.float32)
    if listing.settings["box_masks"] == "bright":
        return bright_mask_of_boxes(scaled, image, len(listing.classes)), None
    return mask_of_boxes(scaled, size, len(listing.classes)), None
