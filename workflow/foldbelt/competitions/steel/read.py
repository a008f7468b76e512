"""Severstal: Steel Defect Detection (Kaggle, 2019): pictures of sheets, several classes of defects.

Layout: ``train_images/`` and ``test_images/`` (JPEG or PNG), ``train.csv`` and perhaps
``sample_submission.csv``, both in either of the two forms that `pairs` describes. An image's id is
its file name with the suffix, as in the tables. The classes are the numbers that the tables name,
one or many; image label k says whether class k is there.

Images are grey, but saved with three channels, which JPEG may leave slightly unequal. They are
converted to one channel. `data.image_mode: rgb` keeps three. With `data.size`, images of mixed
sizes are stored at one size.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.competitions._reading import Item, Listing, Sample
from foldbelt.competitions.steel import SAMPLE, pairs
from foldbelt.competitions.steel.files import TRAIN
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.formats import image_files
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.formats.folders import files_in
from foldbelt.rle import decode

_BLACK = 10  # grey values up to this are the black beside a coil; JPEG leaves it not quite zero
_SUFFIXES = (".jpg", ".jpeg", ".png")


def scan(root: Path, settings: Mapping[str, Any], size: tuple[int, int] | None = None) -> Listing:
    """List the images, and what is wrong with names, tables and headers."""
    _refuse_settings(settings)
    findings: list[Finding] = []
    images, wrong = _list_folder(root, "train_images")
    test, wrong_test = _list_folder(root, "test_images")
    findings += wrong + wrong_test
    findings += [
        Finding(f"test_images/{key}", "has the name of a train image; names must differ", key)
        for key in sorted(images.keys() & test.keys())
    ]
    sizes, broken = image_files.measure(images | test, root)
    size, wrong = image_files.storage_size(root, settings, images, test, sizes, size)
    findings += broken + wrong
    classes, runs, wrong = _read_tables(root, images, test)
    findings += wrong
    return Listing(
        root=root,
        settings=settings,
        train=[
            Item(key, path, sizes[key], runs.get(key, {}))
            for key, path in sorted(images.items())
            if key in sizes
        ],
        test=[Item(key, path, sizes[key]) for key, path in sorted(test.items()) if key in sizes],
        size=size,
        channels=3 if settings["image_mode"] == "rgb" else 1,
        classes=classes,
        labels=classes,
        findings=findings,
    )


def _refuse_settings(settings: Mapping[str, Any]) -> None:
    idle = ("ignore", "classes", "label", "boxes", "box_classes", "bands", "cut", "colours")
    given = [f"data.{key}" for key in idle if settings[key] is not None]
    given += [] if settings["masks"] else ["data.masks"]
    given += ["data.range"] if settings["range"] != "auto" else []
    if given:
        raise InputError(
            f"{', '.join(given)}: not for the steel competition, whose tables name the classes. "
            "Remove the setting, or use the folder layout."
        )


def _list_folder(root: Path, folder: str) -> tuple[dict[str, Path], list[Finding]]:
    files = files_in(root / folder)
    findings = []
    if not (root / folder).is_dir():
        hint = (
            "; make an empty one if nothing is to be predicted" if folder == "test_images" else ""
        )
        reason = f"is missing; looked for a folder of images below {root}{hint}"
        findings.append(Finding(folder, reason))
    elif not files and folder == "train_images":
        findings.append(Finding(folder, "holds no files"))
    by_id, wrong = image_files.by_name(files, root, _SUFFIXES)
    return by_id, findings + wrong


def _read_tables(
    root: Path, images: Mapping[str, Path], test: Mapping[str, Path]
) -> tuple[list[str], dict[str, dict[str, str]], list[Finding]]:
    """Give the classes, image → class → run lengths, and findings."""
    train, findings = pairs.read(root, TRAIN, join=True)
    sample, wrong = pairs.read(root, SAMPLE, needed=False)
    findings += wrong
    trained = [] if train is None else train.classes
    sampled = [] if sample is None or not pairs.lists_pairs(sample, trained) else sample.classes
    if train is not None:
        findings += pairs.check(train, images, "train_images")
        findings += _check_classes(train, sampled) if sampled else []
        if train.whole:
            findings += pairs.check_whole(train, sorted(images), trained)
        if not trained:
            findings.append(Finding(TRAIN, "names no class; there is nothing to learn from"))
    if sample is not None:
        findings += pairs.check(sample, test, "test_images")
        findings += pairs.check_whole(sample, sorted(test), trained) if sampled else []
    runs = {} if train is None else pairs.first_runs(train)
    return trained, runs, findings


def _check_classes(train: pairs.Pairs, sampled: Sequence[str]) -> list[Finding]:
    """Find the classes that only one of the two tables names.

    No single image is to blame: with fewer images the two would still disagree.
    """
    findings = []
    for label in train.classes:
        if label not in sampled:
            images = [row.image for row in train.rows if row.label == label]
            reason = f"has the class {label} for {len(images)} images, such as {images[0]}"
            findings.append(Finding(TRAIN, f"{reason}, which {SAMPLE} does not know"))
    missing = [label for label in sampled if label not in train.classes]
    if missing:
        reason = f"lists the class{'es' * (len(missing) > 1)} {', '.join(missing)}"
        findings.append(Finding(SAMPLE, f"{reason}, which {TRAIN} never shows"))
    return findings


def read(item: Item, listing: Listing) -> Sample:
    """Decode one image and draw its masks."""
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
    columns["black"] = _share(image <= _BLACK)
    if item.truth is None:
        if findings:
            raise UnusableImage(findings)
        return Sample(image, columns=columns)
    planes, wrong = _draw(item.id, item.truth, item.size, listing.classes, TRAIN)
    if findings or wrong:
        raise UnusableImage(findings + wrong)
    areas = {label: _share(plane) for label, plane in planes.items()}
    shown = [label for label in listing.classes if areas.get(label)]
    union = np.bitwise_or.reduce([*planes.values(), np.zeros(item.size, np.uint8)])
    columns["coverage"] = _share(union)
    columns["empty"] = int(not shown)
    columns["classes"] = "+".join(shown) or "none"
    columns |= {f"area_{label}": areas.get(label, 0.0) for label in listing.classes}
    labels = np.array([label in shown for label in listing.classes], np.uint8)
    return Sample(image, _stack(planes, item.size, listing.classes), None, labels, columns)


def _share(plane: np.ndarray) -> float:
    """Give the mean of a plane of 0 and 1, bool or u8, in less than half of the time of `mean`."""
    return np.count_nonzero(plane.view(bool)) / plane.size


def _draw(
    image: str,
    runs: Mapping[str, str],
    size: tuple[int, int],
    classes: Sequence[str],
    table: str,
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """Draw class → mask (h, w) u8 of an image; run lengths that cannot be drawn are findings."""
    planes = {}
    findings = []
    for label in classes:
        if label not in runs:
            continue
        try:
            planes[label] = decode(runs[label], size)
        except ValueError as error:
            findings.append(Finding(table, f"image {image}, class {label}: {error}", image))
    return planes, findings


def _stack(
    planes: Mapping[str, np.ndarray], size: tuple[int, int], classes: Sequence[str]
) -> np.ndarray:
    """Stack masks to (h, w, K) u8; classes that are not in `planes` are empty."""
    mask = np.zeros((*size, len(classes)), np.uint8)
    for place, label in enumerate(classes):
        if label in planes:
            mask[..., place] = planes[label]
    return mask


def read_truth(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int],
    classes: Sequence[str] | None = None,
) -> Iterator[np.ndarray]:
    """Read a table of hidden truth, in either form, mask by mask.

    Parameters
    ----------
    path
        The csv. In a table of positives an image without a row is clean.
    ids
        Whose masks, in which order.
    shape
        (height, width) of every mask.
    classes
        Names of the classes, in order; by default those that the table names.

    Yields
    ------
    (h, w, K) uint8
        0 and 1.

    Raises
    ------
    InputError
        If pairs are absent or duplicate, a class is not one of `classes`, or an RLE is wrong; all
        of them at once.
    """
    path = Path(path)
    table, findings = pairs.read(path.parent, path.name)
    names = list(classes) if classes is not None else [] if table is None else table.classes
    runs: dict[str, dict[str, str]] = {}
    if table is not None:
        asked = set(ids)
        findings += [f for f in pairs.check(table, asked, "test image") if f.id in asked]
        findings += pairs.check_classes(table, names, "the data")
        findings += pairs.check_whole(table, ids, names) if table.whole else []
        runs = pairs.first_runs(table)
    for key in ids:
        findings += _draw(key, runs.get(key, {}), shape, names, path.name)[1]
    problems = [Problem(finding.file, finding.reason) for finding in findings]
    raise_all(problems, f"The truth {path} cannot be used")
    drawn = (_draw(key, runs.get(key, {}), shape, names, path.name)[0] for key in ids)
    return (_stack(planes, shape, names) for planes in drawn)
