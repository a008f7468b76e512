"""Severstal: Steel Defect Detection (Kaggle, 2019): pictures of sheets, several classes of defects.

Layout: ``train_images/`` and ``test_images/`` (JPEG or PNG), ``train.csv`` and perhaps
``sample_submission.csv``, both in either of the two forms that `_pairs` tells of. An image's id is
its file name with the suffix, as in the tables. The classes are the numbers that the tables name,
one or many; image label k says whether class k is there.

Images are grey though saved with three channels, which JPEG may leave slightly unequal: they are
converted. `data.color: rgb` keeps three. `data.size` stores images of mixed sizes at one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import rle
from foldbelt.competitions import (
    DEFAULTS,
    Finding,
    Item,
    Listing,
    Prediction,
    Sample,
    Spoilt,
    _images,
    _pairs,
    _tables,
)
from foldbelt.files import InputError, Problem, digest, raise_all

METRIC = "mean_dice"
SURVEY = "steel"
TRAIN = "train.csv"
SAMPLE = "sample_submission.csv"

_BLACK = 10  # grey values up to this are the black beside a coil; JPEG leaves it not quite zero
_SUFFIXES = (".jpg", ".jpeg", ".png")


def scan(root: Path, spec: Mapping[str, Any]) -> Listing:
    """List the images and all that names, tables and headers tell to be wrong."""
    _refuse_settings(spec)
    findings: list[Finding] = []
    inputs: dict[str, str] = {}
    images, wrong = _list_folder(root, "train_images", inputs)
    test, wrong_test = _list_folder(root, "test_images", inputs)
    findings += wrong + wrong_test
    findings += [
        Finding(f"test_images/{key}", "has the name of a train image; names must differ", key)
        for key in sorted(images.keys() & test.keys())
    ]
    sizes, broken = _images.measure(images | test, root)
    size, wrong = _images.storage_size(root, spec, images | test, sizes)
    findings += broken + wrong
    classes, runs, wrong = _read_tables(root, images, test, inputs)
    findings += wrong
    return Listing(
        root=root,
        spec=spec,
        train=[
            Item(key, path, sizes[key], runs.get(key, {}))
            for key, path in sorted(images.items())
            if key in sizes
        ],
        test=[Item(key, path, sizes[key]) for key, path in sorted(test.items()) if key in sizes],
        size=size,
        channels=3 if spec["color"] == "rgb" else 1,
        classes=classes,
        labels=classes,
        findings=findings,
        inputs=inputs,
    )


def _refuse_settings(spec: Mapping[str, Any]) -> None:
    idle = ("ignore", "classes", "label")
    given = [f"data.{key}" for key in idle if spec.get(key) != DEFAULTS[key]]
    if given:
        raise InputError(
            f"{', '.join(given)}: not for the steel competition, whose tables name the classes. "
            "Remove the setting, or use the folder layout."
        )


def _list_folder(
    root: Path, folder: str, inputs: dict[str, str]
) -> tuple[dict[str, Path], list[Finding]]:
    files = _images.listing(root / folder)
    findings = []
    if not (root / folder).is_dir():
        cure = (
            "; make an empty one if nothing is to be predicted" if folder == "test_images" else ""
        )
        reason = f"is missing; looked for a folder of images below {root}{cure}"
        findings.append(Finding(folder, reason))
    elif not files and folder == "train_images":
        findings.append(Finding(folder, "holds no files"))
    inputs[folder] = _images.listing_digest(files)
    found, wrong = _images.by_name(files, root, _SUFFIXES)
    return found, findings + wrong


def _read_tables(
    root: Path, images: Mapping[str, Path], test: Mapping[str, Path], inputs: dict[str, str]
) -> tuple[list[str], dict[str, dict[str, str]], list[Finding]]:
    """Give the classes, image → class → run lengths, and findings."""
    train, findings = _pairs.read(root, TRAIN)
    sample, wrong = _pairs.read(root, SAMPLE, needed=False)
    findings += wrong
    inputs.update({n: digest([root / n]) for n in (TRAIN, SAMPLE) if (root / n).is_file()})
    trained = [] if train is None else train.classes
    told = [] if sample is None or not _lists_pairs(sample, trained) else sample.classes
    classes = told or trained
    if train is not None:
        findings += _pairs.check(train, images, "train_images")
        findings += _pairs.check_classes(train, classes, SAMPLE)
        if train.whole:
            findings += _pairs.check_whole(train, sorted(images), classes)
        if not classes:
            findings.append(Finding(TRAIN, "names no class; there is nothing to learn"))
    if sample is not None:
        findings += _pairs.check(sample, test, "test_images")
        findings += _pairs.check_whole(sample, sorted(test), classes) if told else []
    runs = {} if train is None else _pairs.runs_told_once(train)
    return classes, runs, findings


def _lists_pairs(sample: _pairs.Pairs, classes: Sequence[str]) -> bool:
    """Tell whether a sample has rows for all pairs, not one an image to show its columns."""
    if not sample.joined and len(sample.classes) < 2 and sample.classes != list(classes):
        return False
    counts = sample.rows.groupby("image").size()
    return sample.joined or bool((counts == len(sample.classes)).all() and counts.size)


def read(item: Item, listing: Listing) -> Sample:
    """Decode one image and draw its masks."""
    findings: list[Finding] = []
    height, width = item.size
    columns: dict[str, Any] = {"height": height, "width": width}
    image = np.zeros(item.size, np.uint8)
    try:
        image = _images.to_u8(_images.decode(item.image), listing.channels)
    except _images.Undecodable as error:
        findings.append(Finding(_images.relative(item.image, listing.root), str(error), item.id))
    columns["black"] = float((image <= _BLACK).mean())
    if item.truth is None:
        if findings:
            raise Spoilt(findings)
        return Sample(image, columns=columns)
    planes, wrong = _draw(item.id, item.truth, item.size, listing.classes, TRAIN)
    if findings or wrong:
        raise Spoilt(findings + wrong)
    areas = {label: float(plane.mean()) for label, plane in planes.items()}
    shown = [label for label in listing.classes if areas.get(label)]
    union = np.bitwise_or.reduce([*planes.values(), np.zeros(item.size, np.uint8)])
    columns["coverage"] = float(union.mean())
    columns["empty"] = int(not shown)
    columns["classes"] = "+".join(shown) or "none"
    columns |= {f"area_{label}": areas.get(label, 0.0) for label in listing.classes}
    labels = np.array([label in shown for label in listing.classes], np.uint8)
    return Sample(image, _stack(planes, item.size, listing.classes), None, labels, columns)


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
            planes[label] = rle.decode(runs[label], size)
        except ValueError as error:
            findings.append(Finding(table, f"image {image}, class {label}: {error}", image))
    return planes, findings


def _stack(
    planes: Mapping[str, np.ndarray], size: tuple[int, int], classes: Sequence[str]
) -> np.ndarray:
    """Lay masks behind one another, (h, w, K) u8; most classes of most images have none."""
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
    pairs, findings = _pairs.read(path.parent, path.name)
    names = list(classes) if classes is not None else [] if pairs is None else pairs.classes
    runs: dict[str, dict[str, str]] = {}
    if pairs is not None:
        asked = set(ids)
        findings += [f for f in _pairs.check(pairs, asked, "test image") if f.id in asked]
        findings += _pairs.check_classes(pairs, names, "the data")
        findings += _pairs.check_whole(pairs, ids, names) if pairs.whole else []
        runs = _pairs.runs_told_once(pairs)
    for key in ids:
        findings += _draw(key, runs.get(key, {}), shape, names, path.name)[1]
    problems = [Problem(finding.file, finding.reason) for finding in findings]
    raise_all(problems, f"The truth {path} cannot be used")
    drawn = (_draw(key, runs.get(key, {}), shape, names, path.name)[0] for key in ids)
    return (_stack(planes, shape, names) for planes in drawn)


# --- the product --------------------------------------------------------------------------------


def write_submission(
    predictions: Iterable[Prediction], root: Path, spec: Mapping[str, Any], classes: list[str]
) -> str:
    """Write the masks in the form of the sample submission.

    Its header, rows and their order are the sample's, if that lists every pair. A sample of
    `ImageId,ClassId,EncodedPixels` with other rows shows the form alone: then rows are written of
    what is there, image by image in its order. Without a sample it is
    `ImageId_ClassId,EncodedPixels` of all pairs, sorted.

    A test image that `on_problem: drop` left out of the data gets empty masks if the sample asks
    for it.
    """
    runs = {
        (p.id, label): rle.encode(p.mask[..., k])
        for p in predictions
        for k, label in enumerate(classes)
    }
    sample = _read_sample(root)
    columns, keys = _layout(sample, sorted({image for image, _ in runs}), classes)
    if sample is not None:
        if spec.get("on_problem") == "drop":
            runs = {(i, c): "" for i in sample.rows["image"] for c in classes} | runs
        _refuse_other_pairs(keys, runs)
    if sample is not None and not _lists_pairs(sample, classes):
        keys = [key for key in keys if runs[key]]
    return _write(columns, [(image, label, runs[image, label]) for image, label in keys])


def _read_sample(root: Path) -> _pairs.Pairs | None:
    sample, findings = _pairs.read(root, SAMPLE, needed=False)
    if findings:
        raise InputError(f"{root / SAMPLE} {findings[0].reason}.")
    return sample


def _layout(
    sample: _pairs.Pairs | None, images: Iterable[str], classes: Sequence[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Give the columns of a submission and the pairs that may have a row, in order."""
    if sample is not None and _lists_pairs(sample, classes):
        return sample.columns, list(zip(sample.rows["image"], sample.rows["class"], strict=True))
    if sample is not None:
        images = dict.fromkeys(sample.rows["image"])
    keys = [(image, label) for image in images for label in classes]
    return (_pairs.JOINED if sample is None else sample.columns), keys


def _write(columns: Sequence[str], rows: Iterable[tuple[str, str, str]]) -> str:
    table = pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels"])
    table["ImageId_ClassId"] = table["ImageId"] + "_" + table["ClassId"]
    return table[list(columns)].to_csv(index=False, lineterminator="\n")


def _refuse_other_pairs(
    wanted: Iterable[tuple[str, str]], given: Iterable[tuple[str, str]]
) -> None:
    wanted, given = set(wanted), set(given)
    problems = [
        Problem("_".join(key), "is in the sample, but nothing is predicted for it")
        for key in sorted(wanted - given)
    ]
    problems += [
        Problem("_".join(key), "is predicted, but not in the sample")
        for key in sorted(given - wanted)
    ]
    cure = "Redo ingest and predictions from the same files."
    raise_all(problems, f"The predictions do not fit {SAMPLE}", cure)


def check_submission(
    text: str,
    predictions: Iterable[Prediction],
    root: Path,
    spec: Mapping[str, Any],
    classes: list[str],
) -> list[Finding]:
    """Read a submission anew: every pair that must be there once, every RLE exactly its mask."""
    sample = _read_sample(root)
    table, findings = _pairs.read_text(text, "submission")
    wanted_columns = _layout(sample, (), classes)[0]
    if table is None or table.columns != wanted_columns:
        header = text.split("\n", 1)[0]
        return [Finding("submission", f"its columns are {header}, not {','.join(wanted_columns)}")]
    written = list(zip(table.rows["image"], table.rows["class"], strict=True))
    runs = dict(zip(written, table.rows["runs"], strict=True))
    images, there = [], set()
    for prediction in predictions:
        images.append(prediction.id)
        for k, label in enumerate(classes):
            key = prediction.id, label
            there |= {key} if prediction.mask[..., k].any() else set()
            line = runs.pop(key, "")
            findings += _tables.check_runs("_".join(key), line, prediction.mask[..., k])
    findings += [
        Finding("_".join(key), "has a mask that nobody predicted")
        for key, line in runs.items()
        if line
    ]
    keys = _layout(sample, sorted(images), classes)[1]
    if sample is not None and not _lists_pairs(sample, classes):
        keys = [key for key in keys if key in there]
    return findings + _tables.check_keys(
        ["_".join(k) for k in written], ["_".join(k) for k in keys]
    )
