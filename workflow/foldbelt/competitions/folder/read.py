"""A plain folder of images with masks, image labels or boxes.

Layout: ``images/`` and ``masks/`` (unless `data.masks` is false), optionally ``test/`` or
``test_images/`` (images alone), ``meta.csv`` (id and any columns: strata, groups) and
``sample_submission.csv``. PNG, JPEG or TIFF; grey, RGB, palette or with alpha; 8 or 16 bit; or
DICOM, which gives the columns `patient` and `study` where meta.csv does not. Sizes may be mixed if
`data.size` is set. The id of an image is its file name without the suffix, and its mask has the
same id. Nested folders are not followed. `foldbelt.formats.image_files` describes how
pixels become u8.

A class is a value in the masks: `data.classes` maps names to values. Without it there is one
class, `object`: every value above zero. `data.ignore` is the value of unlabelled pixels. JPEG blurs
values, so a JPEG mask is accepted only for the one unnamed class, and cut at half the range.

`data.label` names a table of image labels (see `labels`), `data.boxes` files of boxes (`boxes`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foldbelt.competitions._reading import Item, Listing, Sample
from foldbelt.competitions.folder import SAMPLE
from foldbelt.competitions.folder.boxes import filled, of_mask, read_boxes
from foldbelt.competitions.folder.files import (
    FROM_BOXES,
    FROM_MASKS,
    META,
    label_spec,
    test_folders,
)
from foldbelt.competitions.folder.labels import read_labels
from foldbelt.competitions.folder.sample import sample_fault
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.formats import csv_files, dicom, image_files
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.formats.folders import files_in
from foldbelt.rle import decode
from foldbelt.store.layout import KNOWN

_RESERVED = {"height", "width", "coverage", "empty", KNOWN}
_LOSSY = (".jpg", ".jpeg")
ONE = "object"
"""The class of every value above zero, where `data.classes` names none."""


class Truth(NamedTuple):
    """A train image's truth: the file of its mask, and its boxes; None where there are none."""

    mask: Path | None
    boxes: np.ndarray | None


def scan(root: Path, settings: Mapping[str, Any], size: tuple[int, int] | None = None) -> Listing:
    """List images, masks and tables, and what is wrong with names, headers and tables."""
    drawn = settings["masks"] is True  # as files, not made of boxes
    classes = _classes(settings) if drawn else {}
    test_folder, findings = _test_folder(root)
    files_of: dict[str, dict[str, Path]] = {}
    masked = ["masks"] if drawn else []
    for folder in ("images", *masked, *([test_folder] if test_folder else [])):
        files = files_in(root / folder)
        if not files and folder != test_folder:
            findings.append(
                Finding(folder, f"is missing or empty; looked for images in {root / folder}")
            )
        files_of[folder], wrong = image_files.by_stem(files, root)
        findings += wrong
    images, test = files_of["images"], files_of.get(test_folder, {})
    masks = files_of.get("masks", {})
    findings += _check_pairs(root, images, masks if masked else None, test)
    sizes, broken = image_files.measure(images | test, root)
    mask_sizes, broken_masks = image_files.measure(masks, root)
    findings += broken + broken_masks
    size, wrong = image_files.storage_size(root, settings, images, test, sizes, size)
    findings += wrong + _check_mask_sizes(root, images, masks, sizes, mask_sizes)
    columns, wrong = _read_meta(root, settings, images, test)
    _add_patients(columns, images, test)
    findings += wrong
    labels, wrong = read_labels(root, settings["label"], images, test)
    findings += wrong
    train = {key: sizes[key] for key in images if key in sizes}
    others = (images.keys() | test.keys()) - train.keys()
    box_names, boxes, wrong = read_boxes(root, settings, train, others, list(classes))
    findings += wrong
    names = list(box_names or []) if settings["masks"] == FROM_BOXES else list(classes)
    findings += _check_sample(root, test, names) if settings["masks"] else []
    if labels is not None and names and labels.names == names:
        reason = (
            f"the labels of data.label are named as the classes of the masks are "
            f"({', '.join(names)}), so that they would be taken for what masks show; rename either"
        )
        findings.append(Finding("data.label", reason))
    train_items = [
        Item(
            key,
            path,
            sizes[key],
            Truth(masks.get(key), boxes.get(key)),
            columns[key],
            None if labels is None else labels.of(key),
        )
        for key, path in sorted(images.items())
        if key in sizes and (key in mask_sizes or not masked)
    ]
    test_items = [
        Item(key, path, sizes[key], None, columns[key])
        for key, path in sorted(test.items())
        if key in sizes
    ]
    channels = 3 if settings["image_mode"] == "rgb" else 1
    return Listing(
        root,
        settings,
        train_items,
        test_items,
        size,
        channels,
        names,
        names if labels is None else labels.names,
        findings,
        exclusive=labels is not None and labels.exclusive,
        boxes=box_names,
        has_masks=bool(settings["masks"]),
    )


def _classes(settings: Mapping[str, Any]) -> dict[str, int | None]:
    """Give class → value in masks; None means every value that is neither 0 nor ignored."""
    ignore, classes = settings["ignore"], settings["classes"]
    if ignore == 0:
        raise InputError("data.ignore is 0, which is the background; choose the unlabelled value.")
    if classes is None:
        return {ONE: None}
    values = list(classes.values())
    wrong = [
        f"{name}: {value}"
        for name, value in classes.items()
        if value in (0, ignore) or values.count(value) > 1
    ]
    if wrong:
        raise InputError(
            f"data.classes: {', '.join(wrong)}: every class needs a different value, not 0 "
            f"(background) and not that of data.ignore ({ignore})."
        )
    return dict(classes)


def _test_folder(root: Path) -> tuple[str, list[Finding]]:
    folders = test_folders(root)
    if len(folders) > 1:
        return folders[0], [Finding("test_images", "is beside test; keep one of the two folders")]
    return (folders[0] if folders else ""), []


def _check_pairs(
    root: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Path] | None,
    test: Mapping[str, Path],
) -> list[Finding]:
    def find(keys: Iterable[str], files: Mapping[str, Path], reason: str) -> list[Finding]:
        return [
            Finding(image_files.relative(files[key], root), reason, key) for key in sorted(keys)
        ]

    found = find(images.keys() & test.keys(), test, "has the id of a train image; ids must differ")
    if masks is None:
        return found
    return [
        *find(images.keys() - masks.keys(), images, "has no mask of the same name in masks/"),
        *find(masks.keys() - images.keys(), masks, "has no image of the same name in images/"),
        *found,
    ]


def _check_mask_sizes(
    root: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    sizes: Mapping[str, tuple[int, int]],
    mask_sizes: Mapping[str, tuple[int, int]],
) -> list[Finding]:
    return [
        Finding(
            image_files.relative(masks[key], root),
            f"is {mask_sizes[key][0]}×{mask_sizes[key][1]}, "
            f"unlike its image ({sizes[key][0]}×{sizes[key][1]})",
            key,
        )
        for key in sorted(images.keys() & sizes.keys() & mask_sizes.keys())
        if sizes[key] != mask_sizes[key]
    ]


def _read_meta(
    root: Path,
    settings: Mapping[str, Any],
    images: Mapping[str, Path],
    test: Mapping[str, Path],
) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Give id → columns of every image, and findings."""
    columns: dict[str, dict[str, Any]] = {key: {} for key in (*images, *test)}
    spec = label_spec(settings["label"])
    labels = (spec.columns or [spec.column]) if spec is not None and spec.table == META else []
    # Labels that the table lacks are told with the other labels; here what a missing table needs.
    wanted = ("id",) if (root / META).is_file() else ("id", *labels)
    table, findings = csv_files.read_table(root, META, wanted, needed=bool(labels))
    if table is None:
        return columns, findings
    findings += csv_files.check_ids(table, META, columns, "images/ or the test folder")
    findings += csv_files.check_rows(META, table, sorted(images))
    covered = set(table["id"]) & test.keys()
    if (
        covered
    ):  # rows for train images alone are fine; rows for some test images only are a mistake
        findings += csv_files.check_rows(META, table, sorted(test))
    reserved = _RESERVED if settings["boxes"] is None else {*_RESERVED, "boxes"}
    clash = sorted(reserved & set(table.columns))
    if clash:
        reason = f"has columns whose names foldbelt uses itself: {', '.join(clash)}; rename them"
        return columns, [*findings, Finding(META, reason)]
    for name in table.columns.drop("id"):
        values = csv_files.typed(table, name)
        for key, value in zip(table["id"], values, strict=True):
            if key in images or (key in test and covered):
                columns[key].setdefault(name, value)
    return columns, findings


def _add_patients(
    columns: Mapping[str, dict[str, Any]], images: Mapping[str, Path], test: Mapping[str, Path]
) -> None:
    """Take the columns `patient` and `study` of DICOM headers, where no table has them.

    A column is that of a whole part: images that do not say it have "".
    """
    for files in (images, test):
        said = dicom.patient_columns(files)
        for name in sorted({name for given in said.values() for name in given}):
            if not any(name in columns[key] for key in files):
                for key in files:
                    columns[key][name] = said.get(key, {}).get(name, "")


def read(item: Item, listing: Listing) -> Sample:
    """Decode one image and, of a training image, its mask."""
    findings: list[Finding] = []
    height, width = item.size
    columns: dict[str, Any] = {"height": height, "width": width}
    image = np.zeros(item.size, np.uint8)
    try:
        image = image_files.to_u8(image_files.decode(item.image), listing.channels)
    except image_files.Undecodable as error:
        findings.append(
            Finding(image_files.relative(item.image, listing.root), str(error), item.id)
        )
    mask = ignore = None
    if item.truth is not None and item.truth.mask is not None:
        try:
            mask, ignore = _read_mask(item.truth.mask, listing.settings)
        except image_files.Undecodable as error:
            where = image_files.relative(item.truth.mask, listing.root)
            findings.append(Finding(where, str(error), item.id))
    if findings:
        raise UnusableImage(findings)
    if item.truth is None:
        return Sample(image, columns=columns)
    boxes = item.truth.boxes
    if listing.settings["masks"] == FROM_BOXES:
        mask, ignore = filled(boxes, image, len(listing.classes), listing.settings)
    if mask is not None:
        columns |= _mask_columns(mask, ignore, listing.settings)
    if listing.settings["boxes"] == FROM_MASKS and mask is not None:
        boxes = of_mask(mask, ignore, listing.settings)
    return Sample(image, mask, ignore, _labels(item, mask), columns, boxes)


def _mask_columns(
    mask: np.ndarray, ignore: np.ndarray | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Compute what the table says of a mask (h, w, K)."""
    union = mask.any(axis=2)
    labelled = union.size if ignore is None else union.size - int(ignore.sum())
    columns: dict[str, Any] = {"coverage": float(union.sum() / max(labelled, 1))}
    if settings["ignore"] is not None or settings["masks"] == FROM_BOXES:
        columns[KNOWN] = float(labelled / union.size)
    return {**columns, "empty": int(not union.any())}


def _labels(item: Item, mask: np.ndarray | None) -> np.ndarray:
    """Give the labels that a table tells, or else the classes that the mask shows."""
    if item.labels is not None:
        return item.labels
    return np.asarray([] if mask is None else mask.any(axis=(0, 1)), np.uint8)


def _read_mask(path: Path, settings: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    classes, unlabelled = _classes(settings), settings["ignore"]
    values = image_files.decode_values(path)
    if path.suffix.lower() in _LOSSY:
        if settings["classes"] is not None or unlabelled is not None:
            raise image_files.Undecodable("is a JPEG, which blurs values; save it as PNG or TIFF")
        values = np.where(values > np.iinfo(values.dtype).max // 2, values, 0)
    ignore = None if unlabelled is None else values == unlabelled
    background = values == 0 if ignore is None else (values == 0) | ignore
    if settings["classes"] is None:
        mask = ~background[..., None]
    else:
        mask = np.stack([values == value for value in classes.values()], axis=-1)
        unknown = np.unique(values[~background & ~mask.any(axis=2)])
        if unknown.size:
            few = ", ".join(map(str, unknown[: csv_files.MANY]))
            known = ", ".join(f"{name} {value}" for name, value in classes.items())
            raise image_files.Undecodable(
                f"holds the values {few}{'…' * (unknown.size > csv_files.MANY)}: neither 0, nor in "
                f"data.classes ({known}), nor data.ignore ({unlabelled})"
            )
    return mask.astype(np.uint8), ignore if ignore is not None and ignore.any() else None


def _check_sample(root: Path, test: Mapping[str, Path], classes: list[str]) -> list[Finding]:
    sample, findings = csv_files.read_table(root, SAMPLE, ("id", "rle"), needed=False)
    if sample is None:
        return findings
    reason = sample_fault(sample, classes)
    if reason:
        return [Finding(SAMPLE, reason)]
    once = sample.drop_duplicates("id") if len(classes) > 1 else sample
    findings += csv_files.check_ids(once, SAMPLE, test, "the test folder")
    return findings + csv_files.check_rows(SAMPLE, sample, sorted(test))


def read_truth(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int],
    classes: Sequence[str] | None = None,
) -> Iterator[np.ndarray]:
    """Read a table of hidden truth, mask by mask.

    Parameters
    ----------
    path
        The csv, in the form of a submission: id, rle, and class where there are several; a row of
        every image and class. Other columns are not looked at.
    ids
        Whose masks, in which order.
    shape
        (height, width) of every mask.
    classes
        Names of the classes, in order; by default those that the table names, sorted. A single
        class `ONE` that the table does not name is all of them together.

    Yields
    ------
    (h, w, K) uint8
        0 and 1.

    Raises
    ------
    InputError
        If rows are absent or duplicate, or an RLE is wrong; all of them at once.
    """
    path = Path(path)
    table, findings = csv_files.read_table(path.parent, path.name, ("id", "rle"))
    runs: dict[tuple[str, str], str] = {}
    names = list(classes or [])
    # Where every value of a mask is one class, so is every class of the truth.
    joined = table is not None and names == [ONE] and ONE not in {*table.get("class", [ONE])}
    names = [] if joined else names
    if table is not None:
        if "class" not in table and len(names) <= 1:
            names = names or [ONE]
            table["class"] = names[0]
        elif "class" not in table:
            findings.append(Finding(path.name, "lacks the column class, though there are several"))
            table["class"] = ""
        names = names or sorted(set(table["class"]))
        keys = list(zip(table["id"], table["class"], strict=True))
        runs = dict(zip(keys, table["rle"], strict=True))
        twice = sorted({key for key, count in Counter(keys).items() if count > 1})
        findings += [Finding(path.name, f"id {key} has {name} twice") for key, name in twice]
    for key in ids if not findings else ():
        for name in names:
            if (key, name) not in runs:
                findings.append(Finding(path.name, f"id {key} has no row of the class {name}"))
                continue
            try:
                decode(runs[key, name], shape)
            except ValueError as error:
                findings.append(Finding(path.name, f"id {key} {name}: {error}"))
    problems = [Problem(finding.file, finding.reason) for finding in findings]
    raise_all(problems, f"The truth {path} cannot be used")
    masks = (np.stack([decode(runs[key, name], shape) for name in names], axis=-1) for key in ids)
    return (mask.max(axis=-1, keepdims=True) for mask in masks) if joined else masks
