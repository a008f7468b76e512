"""One part of the data: training images with their masks, or test images.

Each part is stored by a job of its own, so that another set of test images retrains nothing. The
training part settles what both share: storage size, colours, classes and labels. Nothing of what it
stores depends on the test part; but every problem is told at once, so that both parts are looked at
before either is refused.
"""

import contextlib
import functools
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pandas as pd

from foldbelt import competitions, store
from foldbelt.competitions import Item, Listing, Reader
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_csv
from foldbelt.formats import dicom
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import composed, printable
from foldbelt.formats.image_files import SUFFIXES
from foldbelt.formats.pixels.reading import kind_of_file
from foldbelt.ingest.streaming import Stream
from foldbelt.ingest.told import TOLD, Read, check_values, noted, tell
from foldbelt.store.layout import KNOWN

TRAIN, TEST = "train", "test"

_THREADS = 4  # decoding; OpenCV releases the interpreter's lock
SPECIAL = ("DICOM", "TIFF")
"""Formats of images that are stated, for they need packages of their own."""
DROP = ", or leave these images out with data.on_problem: drop."
"""What a run can do about an image beside correcting it."""
_LISTED = 40  # problems that the log lists
ALL_PROBLEMS = "problems.csv"
"""The list that outlives a failure, beside those of the parts."""
_COLUMNS = ["file", "reason", "action"]


@dataclass(frozen=True)
class _Sources:
    """What is read: the reader, the competition's folder, and the names of each part's files."""

    reader: Reader
    listing: Listing
    only_test: frozenset[str]
    to_learn: bool = True
    numbers: list[tuple[str, str]] = field(default_factory=list)
    """What was read of the part that has been stored, for the report."""

    @property
    def test_names(self) -> set[str]:
        """What the ids of test images can be, those that cannot be read included."""
        paths = [PurePosixPath(composed(name)) for name in self.only_test]
        images = [path for path in paths if path.suffix.lower() in SUFFIXES]
        below = {
            PurePosixPath(*path.parts[start:]).with_suffix("").as_posix()
            for path in images
            for start in range(len(path.parts))
        }
        # A DICOM file may be named by a number with points, and have no suffix.
        others = [Path(name) for name in self.only_test]
        others = [path for path in others if path.suffix.lower() not in SUFFIXES]
        unnamed = {path.name for path in others if dicom.has_mark(self.listing.root / path)}
        names = {path.name for path in images} | {f"{TEST}/{name}" for name in below}
        return below | names | unnamed

    def part_of(self, finding: Finding) -> str:
        """Tell which part a finding is about: the one that cannot be stored because of it."""
        if finding.file in self.only_test:
            return TEST
        return TEST if finding.id in self._of_test_alone else TRAIN

    @functools.cached_property
    def _of_test_alone(self) -> set[str]:
        train = {item.id for item in self.listing.train}
        return {item.id for item in self.listing.test} - train


def run(
    competition: str,
    root: PathLike,
    section: Mapping[str, Any],
    out: PathLike,
    problems: PathLike,
    train: PathLike | None = None,
    digest: str | None = None,
    numbers: PathLike | None = None,
    to_learn: bool = True,
) -> None:
    """Read one part of a competition's raw files.

    Parameters
    ----------
    competition
        Its name, a package of `foldbelt.competitions`.
    root
        Its folder.
    section
        The config's `data` section with its defaults; where the files lie is not looked at.
    out
        Where the HDF5 file goes. Rows are sorted by id.
    problems
        Where the table of problems goes: file, reason, action (header only when there are none).
    train
        The training data, for which test images are stored; None to store the training data.
    digest
        Of the part's raw files, for the file's attributes.
    numbers
        Where the table of what was read goes: what, read; None for none.
    to_learn
        Whether networks are to learn from the images: then masks have to show every class.

    Raises
    ------
    InputError
        Listing all findings in both parts at once, unless `on_problem` is "drop" and each of them
        is about a single image. Then no data are written, but the table of problems is.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(
            f"data.path: there is no folder {folder}; set it to that of the raw files."
        )
    settings = competitions.settings(section)
    part = TRAIN if train is None else TEST
    source = replace(_settled(competition, folder, settings, train, out), to_learn=to_learn)
    attrs = _attrs(competition, settings, source.listing, digest)
    findings = _convert_usable(source, part, out, attrs)
    fatal = _fatal(findings, settings)
    rows = _rows(source, part, findings, bool(fatal))
    if part == TRAIN and not fatal:
        rows += [Problem(name, "no pixel of its mask is labelled", "not used") for name in
                 _unlabelled(out)]  # fmt: skip
        rows += [Problem("data", note, TOLD) for note in noted(source.listing)]
    write_csv(problems, pd.DataFrame([vars(row) for row in rows], columns=_COLUMNS))
    if numbers is not None:
        write_csv(numbers, pd.DataFrame([] if fatal else source.numbers, columns=["what", "read"]))
    if fatal:
        whole = Path(problems).with_name(ALL_PROBLEMS)
        shutil.copyfile(problems, whole)  # the job that joins both parts' lists will not run
        title, rest = f"The raw files in {folder} cannot be used", f"; all of them: {whole}"
        raise_all(rows, title, _hint(fatal), _LISTED, rest)


def _settled(
    competition: str,
    folder: Path,
    settings: Mapping[str, Any],
    train: PathLike | None,
    out: PathLike,
) -> _Sources:
    """List what is to be read, with the names and sizes that the training part settles."""
    size = None if train is None else tuple(store.attrs(train)["size"])
    source = _look(competition, folder, settings, size)
    for note in source.listing.notes:
        print(note)
    _check_room(source.listing, TRAIN if train is None else TEST, out)
    if train is not None:
        return replace(source, listing=_as_trained(source.listing, store.attrs(train)))
    if hasattr(source.reader, "settle"):
        return replace(source, listing=source.reader.settle(source.listing))
    return source


def _attrs(
    competition: str, settings: Mapping[str, Any], listing: Listing, digest: str | None
) -> dict[str, Any]:
    """Give the attributes of the file: what is the same for all its images."""
    attrs: dict[str, Any] = {
        "config": {"competition": competition, **competitions.stated(settings)},
        "inputs": {} if digest is None else {"raw": digest},
        "class_names": listing.classes,
        "label_names": listing.labels,
        "size": listing.size,
    }
    if listing.exclusive:
        attrs["exclusive_labels"] = True
    if listing.groups:
        attrs["label_groups"] = listing.groups
    if listing.levels:
        attrs["label_levels"] = dict(listing.levels)
    if listing.boxes is not None:
        attrs["box_names"] = listing.boxes
    if listing.ranges:
        attrs["grey_range"] = dict(listing.ranges)
    return attrs


def _rows(source: _Sources, part: str, findings: Iterable[Finding], fatal: bool) -> list[Problem]:
    """Word the findings of a part, causes before consequences; fatal ones are of both parts."""
    told = [finding for finding in findings if fatal or source.part_of(finding) == part]
    told = sorted(told, key=lambda finding: finding.late)
    action = "stopped" if fatal else "dropped"
    return [Problem(printable(f.file), printable(f.reason), action) for f in told]


def _as_trained(listing: Listing, trained: Mapping[str, Any]) -> Listing:
    """Take the names of all that is predicted from the attributes of the training data."""
    return replace(
        listing,
        classes=trained["class_names"],
        labels=trained["label_names"],
        exclusive=trained.get("exclusive_labels", False),
        boxes=trained.get("box_names"),
        ranges=trained.get("grey_range", {}),
        groups=trained.get("label_groups", []),
        levels=trained.get("label_levels", {}),
    )


def _unlabelled(data: PathLike) -> list[str]:
    """Name the images of which no pixel's truth is known: folds leave them out."""
    table = store.table(data)
    return table["id"][table[KNOWN] == 0].tolist() if KNOWN in table else []


def list_problems(parts: Iterable[PathLike], out: PathLike) -> None:
    """Join the parts' tables of problems."""
    tables = [pd.read_csv(path, dtype=str, na_filter=False) for path in parts]
    write_csv(out, pd.concat(tables, ignore_index=True))


def _look(
    competition: str, folder: Path, settings: Mapping[str, Any], size: tuple[int, int] | None
) -> _Sources:
    """List images and findings of both parts; nothing is decoded."""
    reader = competitions.reader(competition)
    listing = _with_series(reader.scan(folder, settings, size), settings["series"])
    names = {
        part: {path.relative_to(folder).as_posix() for path in paths}
        for part, paths in competitions.files(competition)(folder, settings).items()
    }
    only_test = (names[TEST] | names["sample"]) - names[TRAIN]
    return _Sources(reader, listing, frozenset(only_test))


def _with_series(listing: Listing, pattern: str | None) -> Listing:
    """Give every image a column `series`: what the pattern's first group finds in its id, or ""."""
    if pattern is None:
        return listing
    expression = re.compile(pattern)

    def with_column(item: Item) -> Item:
        match = expression.search(item.id)
        return replace(item, columns={**item.columns, "series": (match and match[1]) or ""})

    items = [*listing.train, *listing.test]
    where = f"data.series, {pattern!r}"
    findings = list(listing.findings)
    if any("series" in item.columns for item in items):
        findings.append(Finding(where, "the images have a column `series` already; rename it"))
    train, test = ([with_column(item) for item in part] for part in (listing.train, listing.test))
    if train and not any(item.columns["series"] for item in train):
        reason = f"names no series for any training image; their ids are such as {train[0].id}"
        findings.append(Finding(where, reason))
    alone = sum(not item.columns["series"] for item in train)
    names = {item.columns["series"] for item in train} - {""}
    print(f"{where}: {len(names)} series in {len(train)} training images, {alone} without one")
    return replace(listing, train=train, test=test, findings=findings)


def _check_room(listing: Listing, part: str, out: PathLike) -> None:
    """Print how much disk space the arrays may need, and raise InputError where there is less.

    Images are counted uncompressed, masks at an eighth: compression shrinks masks to far less.
    """
    height, width = listing.size or (0, 0)
    items = listing.train if part == TRAIN else listing.test
    masks = store.packed_bytes(len(listing.classes)) * store.FLAT if part == TRAIN else 0
    need = 1.0 * height * width * (listing.channels + masks) * len(items)
    folder = Path(out).parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    print(
        f"{len(items)} {part} images of {height}×{width}: "
        f"at most {need / 2**30:.2f} GiB of disk, {free / 2**30:.1f} GiB are free"
    )
    if need > free:
        raise InputError(
            f"{folder}: the arrays may need {need / 2**30:.2f} GiB, but the disk has "
            f"{free / 2**30:.2f} GiB free. Make room, or put the results on another disk."
        )


def _fatal(findings: Iterable[Finding], settings: Mapping[str, Any]) -> list[Finding]:
    """Give the findings that stop the run: dropping images does not help, or is not allowed."""
    return [f for f in findings if f.id is None or settings["on_problem"] == "error"]


def _hint(fatal: Iterable[Finding]) -> str:
    if any(finding.id is None for finding in fatal):
        return "Correct the files. Leaving images out (data.on_problem: drop) does not help here."
    return f"Correct the files{DROP}"


def _convert_usable(
    source: _Sources, part: str, out: PathLike, attrs: Mapping[str, Any]
) -> list[Finding]:
    """Write a part from all its images without findings, unless one is fatal; give all findings.

    Images are written while they are checked, so that a data set without problems is decoded once.
    The file appears only if nothing new was found; images to drop cost a second pass. Where nothing
    will be written, the other part is decoded, too, for it may have problems of its own.
    """
    listing, settings = source.listing, source.listing.settings
    findings = sorted(set(listing.findings))
    with _quiet():
        while not _fatal(findings, settings):
            unusable = {f.id for f in findings if source.part_of(f) == part}
            new = set(_convert(source, part, unusable, out, attrs)) - set(findings)
            findings = sorted([*findings, *new])
            if not new:
                return findings
        # Images with a finding are decoded as well: they may have more than one problem.
        for which in (TRAIN, TEST):
            findings += _convert(source, which, set(), None, attrs)
    return sorted(set(findings))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV from printing its own warnings on broken files: the findings name them all."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


class _Abandon(Exception):
    """Leaves the writers without their files appearing."""


def _convert(
    source: _Sources,
    part: str,
    unusable: AbstractSet[str | None],
    out: PathLike | None,
    attrs: Mapping[str, Any],
) -> list[Finding]:
    """Decode every image of a part, and write the file unless there is a finding.

    With `out` None, images are only checked.
    """
    reader, listing = source.reader, source.listing
    items = listing.train if part == TRAIN else listing.test
    items = [item for item in items if item.id not in unusable]
    findings: list[Finding] = []
    with contextlib.suppress(_Abandon), contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)))
        writer = None
        if out is not None:
            dropped = {}
            if part == TEST:
                dropped = {"dropped": sorted(n for n in source.test_names if n in unusable)}
            given = {**attrs, **dropped}
            writer = stack.enter_context(store.Writer(out, None, given, len(listing.classes)))
        stream = Stream(reader, listing, items, part == TRAIN, writer)
        findings = stream.convert(pool)
        if part == TRAIN and not findings:  # of masks that cannot be used nothing follows yet
            findings = check_values(stream.looks)
            if not findings and source.to_learn:
                findings = _check_seen(listing.classes, items, stream.seen)
        if findings:
            raise _Abandon
        if out is not None:
            special = {kind for item in items if (kind := kind_of_file(item.image)) in SPECIAL}
            if special and writer is not None:
                writer.set_attrs({"formats": sorted(special)})
            sizes = [item.size for item in items]
            met = Read(sizes, stream.looks, stream.columns, stream.seen, stream.covered)
            source.numbers[:] = tell(listing, part, met)
        if part == TRAIN and out is not None:
            seen = zip(listing.classes, stream.seen.tolist(), strict=True)
            counts = ", ".join(f"{name} ({count})" for name, count in seen)
            if counts:
                print(f"Classes, and how many training images hold them: {counts}")
            unknown = sum(columns.get(KNOWN) == 0 for columns in stream.columns)
            if unknown:
                print(f"{unknown} training images have no pixel whose truth is known")
    return findings


def _check_seen(classes: Sequence[str], items: Sequence[Item], seen: np.ndarray) -> list[Finding]:
    if not items:
        return [Finding("train images", "none of them can be used", late=True)]
    if classes and not seen.any():
        reason = "all that can be used are empty; there is nothing to learn from"
        return [Finding("masks", reason, late=True)]
    return [
        Finding(
            "masks",
            f"class {name} is never seen: no mask that can be used shows it; remove it from the "
            "tables, or from data.classes",
            late=True,
        )
        for name, count in zip(classes, seen, strict=True)
        if not count
    ]
