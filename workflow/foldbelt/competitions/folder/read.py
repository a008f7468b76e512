"""A plain folder of images with masks, image labels or boxes.

Layout: ``images/`` and ``masks/`` (unless `data.masks` is false), optionally ``test/`` or
``test_images/`` (images alone), ``meta.csv`` (id and any columns: strata, groups) and
``sample_submission.csv``. PNG, JPEG, TIFF, BMP, GIF or WebP, told by their content; grey, RGB,
palette, with alpha, or any bands; any depth; or DICOM, which gives the columns `patient` and
`study` where meta.csv does not. Sizes may be mixed if `data.size` is set. The id of an image is its
path below the folder without the suffix. `listing` describes which mask is whose,
`foldbelt.formats.pixels` how pixels are read, `foldbelt.formats.image_files` how they become u8.

A class is a value in the masks: `data.classes` maps names to values. Without it there is one
class, `object`, of the one value above zero that there is. `data.ignore` is the value of unlabelled
pixels. `foldbelt.formats.pixels.masks` describes what happens with other values.

`data.label` names a table of image labels (see `labels`), `data.boxes` files of boxes (`boxes`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foldbelt.competitions._reading import Item, Listing, Sample
from foldbelt.competitions.folder import SAMPLE, decoding, drawings, truth
from foldbelt.competitions.folder.boxes import read_boxes
from foldbelt.competitions.folder.files import FROM_BOXES, mask_file
from foldbelt.competitions.folder.labels import read_labels
from foldbelt.competitions.folder.listed import Listed, read_masks
from foldbelt.competitions.folder.listing import list_files
from foldbelt.competitions.folder.meta import add_patients, read_meta
from foldbelt.competitions.folder.sample import in_sample, read_sample, sample_fault
from foldbelt.competitions.folder.several import Part, check_sizes
from foldbelt.files import InputError
from foldbelt.formats import csv_files, image_files, labelme
from foldbelt.formats.findings import Finding
from foldbelt.formats.pixels import read as read_pixels
from foldbelt.formats.pixels.ranges import grey_ranges

ONE = truth.ONE


class Truth(NamedTuple):
    """A train image's truth: the file or files of its mask, or what a file lists, and its boxes.

    None where there are none.
    """

    mask: Path | tuple[Part, ...] | Listed | None
    boxes: np.ndarray | None

    @property
    def files(self) -> list[Path]:
        """The files of its own that are decoded."""
        if isinstance(self.mask, Path):
            return [self.mask]
        return (
            []
            if self.mask is None or isinstance(self.mask, Listed)
            else [part.path for part in self.mask]
        )


def scan(root: Path, settings: Mapping[str, Any], size: tuple[int, int] | None = None) -> Listing:
    """List images, masks and tables, and what is wrong with names, headers and tables."""
    drawn = settings["masks"] is True  # as files, not made of boxes
    classes = _classes(settings) if drawn else {}
    files = list_files(root, settings, drawn)
    images, masks, test, findings = files.images, files.masks, files.test, files.findings
    sizes, broken = image_files.measure(images | test, root)
    if any(path.suffix.lower() == labelme.SUFFIX for path in masks.values()):
        classes, mask_sizes, broken_masks = drawings.measure(root, settings, masks, sizes)
    elif files.parts:
        mask_sizes, broken_masks = check_sizes(root, files.parts, sizes)
        if files.folders:
            classes, wrong = drawings.classes_of_folders(settings, files.folders)
            broken_masks += wrong
    else:
        mask_sizes, broken_masks = image_files.measure(masks, root)
    findings += broken + broken_masks
    size, wrong = image_files.storage_size(root, settings, images, test, sizes, size)
    findings += wrong + _check_mask_sizes(root, images, masks, sizes, mask_sizes)
    columns, wrong = read_meta(root, settings, images, test)
    add_patients(columns, images, test)
    findings += wrong
    labels, wrong = read_labels(root, settings["label"], images, test)
    findings += wrong
    train = {key: sizes[key] for key in images if key in sizes}
    others = (images.keys() | test.keys()) - train.keys()
    listed: dict[str, Listed] = {}
    mask_list = mask_file(settings)
    if mask_list is not None:
        found, listed, notes, wrong = read_masks(root, settings, mask_list, train, others)
        classes = dict.fromkeys(found)
        findings += wrong
        files.notes.extend(notes)
    truths: Mapping[str, Any] = {**masks, **files.parts, **listed}
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
            Truth(truths.get(key), boxes.get(key)),
            columns[key],
            None if labels is None else labels.of(key),
        )
        for key, path in sorted(images.items())
        if key in sizes and (key in mask_sizes or not drawn)
    ]
    test_items = [
        Item(key, path, sizes[key], None, columns[key])
        for key, path in sorted(test.items())
        if key in sizes
    ]
    channels = 3 if settings["image_mode"] == "rgb" else 1
    channels = channels if settings["bands"] is None else len(settings["bands"])
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
        notes=files.notes,
    )


def settle(listing: Listing) -> Listing:
    """Find out what the pixels of the training images decide: the grey range of deep ones."""
    wanted, bands = listing.settings["range"], listing.settings["bands"]
    if wanted != "auto":
        return listing

    def decode(path: Path) -> np.ndarray:
        return decoding.bands_of(read_pixels(path), bands)

    return replace(listing, ranges=grey_ranges((item.image for item in listing.train), decode))


def read(item: Item, listing: Listing) -> Sample:
    """Decode one image and, of a training image, its mask."""
    return decoding.read(item, listing)


def read_truth(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int],
    classes: Sequence[str] | None = None,
) -> Iterator[np.ndarray]:
    """Read a table of hidden truth, mask by mask; see `truth.read_truth`."""
    return truth.read_truth(path, ids, shape, classes)


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
            f"unlike its image ({sizes[key][0]}×{sizes[key][1]})"
            + "; is one of them turned by an orientation tag?"
            * (sizes[key] == mask_sizes[key][::-1]),
            key,
        )
        for key in sorted(images.keys() & sizes.keys() & mask_sizes.keys())
        if sizes[key] != mask_sizes[key]
    ]


def _classes(settings: Mapping[str, Any]) -> dict[str, int | None]:
    """Give class → value in masks; None means every value that is neither 0 nor ignored."""
    ignore, classes = settings["ignore"], settings["classes"]
    if settings["colours"] is not None:
        return _coloured(settings)
    if settings["ignore_colour"] is not None:
        raise InputError("data.ignore_colour is for masks whose classes are data.colours.")
    if classes is not None and settings["cut"] is not None:
        raise InputError("data.cut is for one class without a name; leave out it or data.classes.")
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


def _coloured(settings: Mapping[str, Any]) -> dict[str, int | None]:
    """Give the classes of `data.colours`, which no value has."""
    others = [f"data.{key}" for key in ("classes", "ignore", "cut") if settings[key] is not None]
    if others:
        raise InputError(
            f"data.colours names classes by colours, {', '.join(others)} by values; give either."
        )
    colours = [tuple(colour) for colour in settings["colours"].values()]
    colours += [] if settings["ignore_colour"] is None else [tuple(settings["ignore_colour"])]
    twice = sorted({str(list(colour)) for colour in colours if colours.count(colour) > 1})
    if twice:
        raise InputError(
            f"data.colours: {', '.join(twice)} stands twice; every class, and data.ignore_colour, "
            "needs a different colour."
        )
    return dict.fromkeys(settings["colours"])


def _check_sample(root: Path, test: Mapping[str, Path], classes: list[str]) -> list[Finding]:
    sample, _, findings = read_sample(root)
    if sample is None:
        return findings
    reason = sample_fault(sample, classes)
    if reason:
        return [Finding(SAMPLE, reason)]
    ids = in_sample(sample["id"], test)
    once = dict.fromkeys(ids) if len(classes) > 1 else ids
    findings += csv_files.check_ids(once, SAMPLE, test, "the test folder")
    return findings + csv_files.check_rows(SAMPLE, ids, sorted(test))
