"""One image of a folder data set and its mask, from their files to arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.competitions._reading import Item, Listing, Look, Sample
from foldbelt.competitions.folder.boxes import filled, of_mask
from foldbelt.competitions.folder.files import FROM_BOXES, FROM_MASKS, mask_file
from foldbelt.competitions.folder.listed import Listed
from foldbelt.competitions.folder.several import Part
from foldbelt.formats import image_files, labelme
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.formats.pixels import Meaning, Pixels, Read, read_mask
from foldbelt.formats.pixels import read as read_pixels
from foldbelt.formats.pixels.ranges import span_for
from foldbelt.store.layout import KNOWN


def read(item: Item, listing: Listing) -> Sample:
    """Decode one image and, of a training image, its mask."""
    findings: list[Finding] = []
    height, width = item.size
    columns: dict[str, Any] = {"height": height, "width": width}
    image, stored = np.zeros(item.size, np.uint8), ""
    try:
        image, stored = _read_image(item, listing)
    except image_files.Undecodable as error:
        findings.append(
            Finding(image_files.relative(item.image, listing.root), str(error), item.id)
        )
    mask = ignore = None
    look = Look(stored)
    if item.truth is not None and item.truth.mask is not None:
        try:
            mask, ignore, look = _read_truth(item.truth.mask, item, listing, stored)
        except UnusableImage as error:
            findings += error.findings
    if findings:
        raise UnusableImage(findings)
    if item.truth is None:
        return Sample(image, columns=columns, look=look)
    boxes = item.truth.boxes
    if listing.settings["masks"] == FROM_BOXES:
        mask, ignore = filled(boxes, image, len(listing.classes), listing.settings)
    if mask is not None:
        partial = isinstance(item.truth.mask, Listed) and item.truth.mask.partial
        columns |= _mask_columns(mask, ignore, listing.settings, partial)
    if listing.settings["boxes"] == FROM_MASKS and mask is not None:
        boxes = of_mask(mask, ignore, listing.settings)
    return Sample(image, mask, ignore, _labels(item, mask), columns, boxes, look)


def _read_truth(
    truth: Path | tuple[Part, ...] | Listed, item: Item, listing: Listing, stored: str
) -> tuple[np.ndarray, np.ndarray | None, Look]:
    """Decode, join or draw a mask; `UnusableImage` names every file that cannot be used."""
    if isinstance(truth, Listed):
        mask, ignore = truth.draw(item.size, listing.classes)
        return mask, ignore, Look(stored, f"listed in {mask_file(listing.settings)}")
    if not isinstance(truth, Path):
        return _read_parts(truth, item, listing, stored)
    try:
        return _read_mask(truth, item, listing, stored)
    except image_files.Undecodable as error:
        where = image_files.relative(truth, listing.root)
        raise UnusableImage([Finding(where, str(error), item.id)]) from error


def _read_parts(
    parts: tuple[Part, ...], item: Item, listing: Listing, stored: str
) -> tuple[np.ndarray, np.ndarray | None, Look]:
    """Join the parts of a mask: instances, or one class each."""
    mask = np.zeros((*item.size, len(listing.classes)), np.uint8)
    unlabelled = np.zeros(item.size, bool)
    findings, kinds, notes = [], [], []
    for part in parts:
        if part.name is not None and part.name not in listing.classes:
            continue  # a folder of no class, which is told
        means = meaning(listing.settings)
        one = slice(None)
        if part.name is not None:
            means = means._replace(classes=None)
            one = slice(place := listing.classes.index(part.name), place + 1)
        try:
            found = read_pixels(part.path)
            known = read_mask(found, means)
        except image_files.Undecodable as error:
            where = image_files.relative(part.path, listing.root)
            findings.append(Finding(where, str(error), item.id))
            continue
        mask[..., one] |= known.planes
        unlabelled |= False if known.ignore is None else known.ignore
        kinds.append(_stored(found))
        notes += [known.note] * bool(known.note)
    if findings:
        raise UnusableImage(findings)
    mask[unlabelled] = 0
    look = Look(stored, next(iter(kinds), ""), notes=tuple(dict.fromkeys(notes)))
    return mask, unlabelled if unlabelled.any() else None, look


def _read_mask(
    path: Path, item: Item, listing: Listing, stored: str
) -> tuple[np.ndarray, np.ndarray | None, Look]:
    """Decode or draw a mask (h, w, K), its unlabelled pixels, and what was met."""
    if path.suffix.lower() == labelme.SUFFIX:
        mask = labelme.draw(labelme.read(path), item.size, listing.classes)
        return mask, None, Look(stored, "LabelMe")
    found = read_pixels(path)
    known = read_mask(found, meaning(listing.settings))
    return known.planes, known.ignore, _look(stored, found, known, listing.settings)


def _mask_columns(
    mask: np.ndarray, ignore: np.ndarray | None, settings: Mapping[str, Any], partial: bool
) -> dict[str, Any]:
    """Compute what the table says of a mask (h, w, K); `partial` data have unlabelled pixels."""
    union = mask.any(axis=2)
    labelled = union.size if ignore is None else union.size - int(ignore.sum())
    columns: dict[str, Any] = {"coverage": float(union.sum() / max(labelled, 1))}
    ignoring = settings["ignore"] is not None or settings["ignore_colour"] is not None
    if ignoring or partial or settings["masks"] == FROM_BOXES:
        columns[KNOWN] = float(labelled / union.size)
    return {**columns, "empty": int(not union.any())}


def _labels(item: Item, mask: np.ndarray | None) -> np.ndarray:
    """Give the labels that a table tells, or else the classes that the mask shows."""
    if item.labels is not None:
        return item.labels
    return np.asarray([] if mask is None else mask.any(axis=(0, 1)), np.uint8)


def meaning(settings: Mapping[str, Any]) -> Meaning:
    """Give what the config says of the values of masks."""
    keys = ("classes", "ignore", "cut", "colours", "ignore_colour")
    return Meaning(*(settings[key] for key in keys))


def _read_image(item: Item, listing: Listing) -> tuple[np.ndarray, str]:
    """Decode an image to u8, and say how it is stored."""
    found = read_pixels(item.image)
    pixels = bands_of(found, listing.settings["bands"])
    span = span_for(pixels, listing.settings["range"], listing.ranges)
    return image_files.to_u8(pixels, listing.channels, span), _stored(found)


def bands_of(found: Pixels, bands: list[int] | None) -> np.ndarray:
    """Give the pixels that are used of a decoded image: (h, w) or (h, w, C)."""
    colours = image_files.colours_of(found)
    if found.alpha is not None and not (found.alpha == found.alpha.flat[0]).all():
        flat = colours.reshape(-1, colours.shape[2] if colours.ndim == 3 else 1)
        if (flat == flat[0]).all():
            raise image_files.Undecodable(
                "has one colour everywhere; what it shows lies in its alpha; save it without "
                "transparency"
            )
    return image_files.choose_bands(colours, bands)


def _stored(found: Pixels) -> str:
    """Say how a file is stored: what it is, the type of its values, how many bands."""
    what = f"{found.kind}, {found.values.dtype}"
    what = f"{found.kind}, {found.bits} bit" if found.bits else what
    if found.palette is not None:
        return f"{found.kind}, palette"
    planes = f", {found.bands} bands" if found.deep else ""
    return what + planes + " and alpha" * (found.alpha is not None)


def _look(stored: str, found: Pixels, known: Read, settings: Mapping[str, Any]) -> Look:
    named = any(settings[key] is not None for key in ("classes", "cut", "colours"))
    value = None if named else known.value
    notes = (known.note,) if known.note else ()
    full = bool(value) and known.ignore is None and bool(known.planes.all())
    return Look(stored, _stored(found), value, notes, known.gap, full)
