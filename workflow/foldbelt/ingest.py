"""Raw files → data/train.h5, data/test.h5 and problems.csv: checked, at storage size, in HDF5.

What the files look like is known to the competition alone (`foldbelt.competitions`). Here is what
all competitions share. Every problem is found before a file appears. Images are converted in
blocks, so that memory does not grow with the data set. Images of another size are brought to
storage size, and the mask is kept at its original size, too (dataset `original`).
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from foldbelt import competitions, store
from foldbelt.competitions import Item, Listing, Reader
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_csv
from foldbelt.formats.findings import Finding, UnusableImage

BLOCK = 256  # images in memory at a time, at most
_BLOCK_BYTES = 64 * 2**20
_THREADS = 4  # decoding; OpenCV releases the interpreter's lock


def run(
    competition: str,
    root: PathLike,
    section: Mapping[str, Any],
    train: PathLike,
    test: PathLike,
    problems: PathLike,
) -> None:
    """Read a competition's raw files.

    Parameters
    ----------
    competition
        Its name, a package of `foldbelt.competitions`.
    root
        Its folder.
    section
        The config's `data` section with its defaults; where the files lie is not looked at.
    train, test
        Where the HDF5 files go. Rows are sorted by id.
    problems
        Where the table of problems goes: file, reason, action (header only when there are none).

    Raises
    ------
    InputError
        Listing all findings at once, unless `on_problem` is "drop" and each of them is about a
        single image. Then no data are written, but the table of problems is.
    """
    reader = competitions.reader(competition)
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(
            f"data.path: there is no folder {folder}; set it to that of the raw files."
        )
    settings = competitions.settings(section)
    listing = _with_series(reader.scan(folder, settings), settings["series"])
    _check_room(listing, train, test)
    attrs = {
        "config": {"competition": competition, **settings},
        "inputs": listing.inputs,
        "class_names": listing.classes,
        "label_names": listing.labels,
    }
    findings = _convert_usable(reader, listing, (train, test), attrs)
    fatal = _fatal(findings, settings)
    action = "stopped" if fatal else "dropped"
    rows = [Problem(finding.file, finding.reason, action) for finding in findings]
    columns = ["file", "reason", "action"]
    write_csv(problems, pd.DataFrame([vars(row) for row in rows], columns=columns))
    if fatal:
        raise_all(rows, f"The raw files in {folder} cannot be used", _hint(fatal))


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


def _check_room(listing: Listing, train: PathLike, test: PathLike) -> None:
    """Print how much disk space the arrays may need, and raise InputError where there is less.

    Images are counted uncompressed, masks at an eighth: compression shrinks masks to far less.
    """
    height, width = listing.size or (0, 0)
    masks = store.packed_bytes(len(listing.classes)) * store.FLAT
    pixels = height * width * (1.0 * listing.channels * (len(listing.train) + len(listing.test)))
    need = pixels + height * width * masks * len(listing.train)
    folder = Path(train).parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    print(
        f"{len(listing.train)} train and {len(listing.test)} test images of {height}×{width}: "
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
    return "Correct the files, or leave these images out with data.on_problem: drop."


def _convert_usable(
    reader: Reader,
    listing: Listing,
    paths: tuple[PathLike, PathLike],
    attrs: Mapping[str, Any],
) -> list[Finding]:
    """Write the files from all images without findings, unless one is fatal; give all findings.

    Images are written while they are checked, so that a data set without problems is decoded once.
    Files appear only if nothing new was found; images to drop cost a second pass.
    """
    findings = sorted(set(listing.findings))
    with _quiet():
        while True:
            fatal = _fatal(findings, listing.settings)
            # Once it is clear that nothing will be written, images with a finding are decoded as
            # well: they may have more than one problem.
            kept = listing if fatal else _without(listing, findings)
            new = set(_convert(reader, kept, None if fatal else paths, attrs)) - set(findings)
            findings = sorted([*findings, *new])
            if fatal or not new or _fatal(new, listing.settings):
                return findings


def _without(listing: Listing, findings: Iterable[Finding]) -> Listing:
    unusable = {finding.id for finding in findings}
    return replace(
        listing,
        train=[item for item in listing.train if item.id not in unusable],
        test=[item for item in listing.test if item.id not in unusable],
    )


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
    reader: Reader,
    listing: Listing,
    paths: tuple[PathLike, PathLike] | None,
    attrs: Mapping[str, Any],
) -> list[Finding]:
    """Decode every image, and write the two files unless there is a finding.

    With `paths` None, images are only checked.
    """
    findings: list[Finding] = []
    with contextlib.suppress(_Abandon), contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)))
        writers: list[store.Writer | None] = [None, None]
        if paths is not None:
            count = len(listing.classes)
            writers = [
                stack.enter_context(store.Writer(path, None, attrs, count)) for path in paths
            ]
        train = _Stream(reader, listing, listing.train, True, writers[0])
        test = _Stream(reader, listing, listing.test, False, writers[1])
        findings = train.convert(pool) + test.convert(pool) + _check_seen(listing, train.seen)
        if findings:
            raise _Abandon
        if paths is not None:
            seen = zip(listing.classes, train.seen.tolist(), strict=True)
            counts = ", ".join(f"{name} ({count})" for name, count in seen)
            print(f"Classes, and how many training images hold them: {counts}")
    return findings


def _check_seen(listing: Listing, seen: np.ndarray) -> list[Finding]:
    if not listing.train:
        return [Finding("train images", "none of them can be used")]
    if listing.classes and not seen.any():
        return [Finding("masks", "all that can be used are empty; there is nothing to learn from")]
    return [
        Finding(
            "masks",
            f"class {name} is never seen: no mask that can be used shows it; remove it from the "
            "tables, or from data.classes",
        )
        for name, count in zip(listing.classes, seen, strict=True)
        if not count
    ]


@dataclass
class _Row:
    """One image as it is stored."""

    columns: dict[str, Any]
    seen: np.ndarray
    image: np.ndarray
    labels: np.ndarray | None
    mask: np.ndarray | None
    ignore: np.ndarray | None
    original: np.ndarray | None


class _Stream:
    """One of the two files on its way from raw images to HDF5."""

    def __init__(
        self,
        reader: Reader,
        listing: Listing,
        items: Sequence[Item],
        is_train: bool,
        writer: store.Writer | None,
    ) -> None:
        self.reader, self.listing, self.items = reader, listing, items
        self.is_train, self.writer = is_train, writer
        self.size = listing.size or (1, 1)
        self.mixed = is_train and any(item.size != self.size for item in items)
        planes = listing.channels + len(listing.classes) + 1
        self.block = max(1, min(BLOCK, _BLOCK_BYTES // (self.size[0] * self.size[1] * planes)))
        self.columns: list[dict[str, Any]] = []
        self.seen = np.zeros(len(listing.classes), np.int64)
        self.ignoring = False

    def convert(self, pool: ThreadPoolExecutor) -> list[Finding]:
        """Convert every image; give the findings. After the first one nothing more is written."""
        findings: list[Finding] = []
        self._create()
        for start in range(0, len(self.items), self.block):
            rows = []
            for result in pool.map(self._convert, self.items[start : start + self.block]):
                if isinstance(result, _Row):
                    rows.append(result)
                    self.seen += result.seen
                else:
                    findings += result
            if self.writer is not None and not findings:
                self._put(start, rows)
        if self.writer is not None:
            table = pd.DataFrame(self.columns)
            self.writer.set_table(table if len(table) else pd.DataFrame({"id": []}, dtype=object))
        return findings

    def _convert(self, item: Item) -> _Row | list[Finding]:
        try:
            sample = self.reader.read(item, self.listing)
        except UnusableImage as error:
            return [replace(finding, id=item.id) for finding in error.findings]
        if sample.image.shape[:2] != item.size:
            where = item.image.relative_to(self.listing.root).as_posix()
            return [Finding(where, f"has {sample.image.shape} pixels, unlike its header", item.id)]
        seen = np.zeros_like(self.seen)
        if sample.mask is not None and seen.size:
            rows = sample.mask.reshape(len(sample.mask), -1)  # a last axis of K is slow to reduce
            seen += np.bitwise_or.reduce(rows, axis=0).reshape(-1, len(seen)).any(axis=0)
        columns = {"id": item.id, **item.columns, **sample.columns}
        mask, ignore, original = sample.mask, sample.ignore, None
        if self.writer is None:
            return _Row(columns, seen, sample.image, None, None, None, None)
        if self.mixed and mask is not None:
            original = store.encode_original(mask, ignore)
        image = resize_image(sample.image, self.size)
        mask = None if mask is None else resize_mask(mask, self.size)
        ignore = None if ignore is None else resize_mask(ignore, self.size)
        return _Row(columns, seen, image, sample.labels, mask, ignore, original)

    def _create(self) -> None:
        if self.writer is None:
            return
        count, classes = len(self.items), len(self.listing.classes)
        colours = (3,) if self.listing.channels == 3 else ()
        self.writer.create("image", (*self.size, *colours), np.uint8, count)
        if self.is_train:
            tail = self.size if classes == 1 else (*self.size, classes)
            self.writer.create("mask", tail, np.uint8, count)
            self.writer.create("labels", (len(self.listing.labels),), np.uint8, count)
        if self.mixed:
            self.writer.create("original", (), store.BYTES, count)

    def _put(self, start: int, rows: Sequence[_Row]) -> None:
        assert self.writer is not None  # for the type checker
        self.columns += [row.columns for row in rows]
        self.writer.put("image", start, np.stack([row.image for row in rows]))
        if not self.is_train:
            return
        masks = np.stack([row.mask for row in rows if row.mask is not None])
        self.writer.put("mask", start, masks if masks.shape[3] > 1 else masks[..., 0])
        labels = np.stack([row.labels for row in rows if row.labels is not None])
        self.writer.put("labels", start, labels)
        if self.mixed:
            self.writer.put("original", start, [row.original for row in rows])
        self._put_ignore(start, [row.ignore for row in rows])

    def _put_ignore(self, start: int, ignores: Sequence[np.ndarray | None]) -> None:
        """Write unlabelled pixels; the dataset begins with the first of them."""
        assert self.writer is not None
        nothing = np.zeros(self.size, bool)
        if not self.ignoring and any(ignore is not None for ignore in ignores):
            self.ignoring = True
            self.writer.create("ignore", self.size, np.uint8, len(self.items))
            for first in range(0, start, self.block):
                count = min(self.block, start - first)
                self.writer.put("ignore", first, np.stack([nothing] * count))
        if self.ignoring:
            block = np.stack([nothing if ignore is None else ignore for ignore in ignores])
            self.writer.put("ignore", start, block)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring an image (h, w) or (h, w, 3) u8 to (H, W): area means down, linear interpolation up.

    The aspect ratio is not kept; predictions are stretched back to the original size.
    """
    if image.shape[:2] == size:
        return image
    smaller = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=method)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a mask (h, w) or (h, w, K) to (H, W) by the nearest pixel, centre to centre."""
    if mask.shape[:2] == size:
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, mask.shape, strict=False)
    )
    return mask[rows[:, None], columns]
