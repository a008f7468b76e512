"""Images on their way from raw files to HDF5: decoded in threads, written block by block.

Images of another size are brought to storage size, and the mask is kept at its original size, too
(dataset `original`).
"""

import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from foldbelt import store
from foldbelt.boxes import NUMBERS, Boxes
from foldbelt.competitions import Item, Listing, Look, Reader
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.ingest.warned import Watch, watching, whose
from foldbelt.store.stored_columns import of_rows

BLOCK = 256  # images in memory at a time, at most
HUGE = 2**26
"""Pixels of an image from which on it is decoded alone."""
_one_at_a_time = threading.Lock()
_BLOCK_BYTES = 64 * 2**20
_SUMMED = 4  # channels that OpenCV sums at once


@dataclass
class Row:
    """One image as it is stored."""

    columns: dict[str, Any]
    seen: np.ndarray
    covered: np.ndarray
    image: np.ndarray
    labels: np.ndarray | None
    mask: np.ndarray | None
    ignore: np.ndarray | None
    original: np.ndarray | None
    boxes: np.ndarray | None
    look: Look | None


UNLABELLED = -1
"""In the column `boxes`: nobody has labelled the boxes of the image."""


class Stream:
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
        self.masked = is_train and listing.has_masks
        self.mixed = self.masked and any(item.size != self.size for item in items)
        self.boxed = is_train and listing.boxes is not None
        planes = listing.channels + len(listing.classes) + 1
        self.block = max(1, min(BLOCK, _BLOCK_BYTES // (self.size[0] * self.size[1] * planes)))
        self.columns: list[dict[str, Any]] = []
        self.seen = np.zeros(len(listing.classes), np.int64)
        self.covered = np.zeros(len(listing.classes))
        self.ignoring = False
        self.looks: list[tuple[str, Look]] = []
        whole = all(item.labels is None or _is_whole(item.labels) for item in items)
        self.label_dtype: Any = np.uint8 if whole else np.float32

    def convert(self, pool: ThreadPoolExecutor) -> list[Finding]:
        """Convert every image; give the findings. After the first one nothing more is written."""
        with watching() as watch:
            return self._convert_blocks(pool, watch)

    def _convert_blocks(self, pool: ThreadPoolExecutor, watch: Watch) -> list[Finding]:
        findings: list[Finding] = []
        self._create()
        for start in range(0, len(self.items), self.block):
            rows = []
            for result in pool.map(self._convert, self.items[start : start + self.block]):
                if isinstance(result, Row):
                    rows.append(result)
                    self.seen += result.seen
                    self.covered += result.covered
                    if result.look is not None:
                        self.looks.append((result.columns["id"], result.look))
                else:
                    findings += result
            lines = watch.said()
            if lines:
                damaged = self._damaged(self.items[start : start + self.block], watch)
                watch.pass_on([] if damaged else lines)  # others have their say
                findings += damaged
            if self.writer is not None and not findings:
                self._put(start, rows)
        if self.writer is not None:
            self.writer.set_table(of_rows(self.columns))
        return findings

    def _damaged(self, items: Sequence[Item], watch: Watch) -> list[Finding]:
        """Find the files of a block of which a decoder says that they are damaged."""
        files: dict[Path, str] = {}
        for item in items:
            mask = getattr(item.truth, "mask", None)
            for path in (item.image, *getattr(item.truth, "files", [mask])):
                if isinstance(path, Path):
                    files[path] = item.id
        return [
            Finding(
                path.relative_to(self.listing.root).as_posix(),
                f"is damaged: its decoder goes on with a warning ({text}); restore it",
                files[path],
            )
            for path, text in whose(files, watch).items()
        ]

    def _convert(self, item: Item) -> Row | list[Finding]:
        """Decode one image; huge ones one after the other, so that the memory is bounded."""
        with _one_at_a_time if item.size[0] * item.size[1] >= HUGE else contextlib.nullcontext():
            return self._convert_one(item)

    def _convert_one(self, item: Item) -> Row | list[Finding]:
        try:
            sample = self.reader.read(item, self.listing)
        except UnusableImage as error:
            return [replace(finding, id=item.id) for finding in error.findings]
        if sample.image.shape[:2] != item.size:
            where = item.image.relative_to(self.listing.root).as_posix()
            return [Finding(where, f"has {sample.image.shape} pixels, unlike its header", item.id)]
        covered = np.zeros_like(self.covered)
        if sample.mask is not None and covered.size:
            covered += pixels_of(sample.mask) / (sample.mask.shape[0] * sample.mask.shape[1])
        seen = covered > 0
        columns = {"id": item.id, **item.columns, **sample.columns}
        if self.boxed:
            columns["boxes"] = UNLABELLED if sample.boxes is None else len(sample.boxes)
        mask, ignore, original = sample.mask, sample.ignore, None
        if self.writer is None:
            nothing = None, None, None, None, None
            return Row(columns, seen, covered, sample.image, *nothing, sample.look)
        if self.mixed and mask is not None:
            original = store.encode_original(mask, ignore)
        image = resize_image(sample.image, self.size)
        mask = None if mask is None else resize_mask(mask, self.size)
        ignore = None if ignore is None else resize_mask(ignore, self.size)
        given = sample.labels, mask, ignore, original, sample.boxes, sample.look
        return Row(columns, seen, covered, image, *given)

    def _create(self) -> None:
        if self.writer is None:
            return
        count, classes = len(self.items), len(self.listing.classes)
        colours = (self.listing.channels,) if self.listing.channels > 1 else ()
        self.writer.create("image", (*self.size, *colours), np.uint8, count)
        if self.masked:
            tail = self.size if classes == 1 else (*self.size, classes)
            self.writer.create("mask", tail, np.uint8, count)
        if self.is_train and self.listing.labels:
            self.writer.create("labels", (len(self.listing.labels),), self.label_dtype, count)
        if self.mixed:
            self.writer.create("original", (), store.BYTES, count)
        if self.boxed:
            self.writer.create("boxes", (), store.BYTES, count)

    def _put(self, start: int, rows: Sequence[Row]) -> None:
        assert self.writer is not None  # for the type checker
        self.columns += [row.columns for row in rows]
        self.writer.put("image", start, np.stack([row.image for row in rows]))
        if not self.is_train:
            return
        if self.masked:
            masks = np.stack([row.mask for row in rows if row.mask is not None])
            self.writer.put("mask", start, masks if masks.shape[3] > 1 else masks[..., 0])
        if self.listing.labels:
            labels = np.stack([row.labels for row in rows if row.labels is not None])
            self.writer.put("labels", start, labels.astype(self.label_dtype))
        if self.mixed:
            self.writer.put("original", start, [row.original for row in rows])
        if self.boxed:
            nothing = np.zeros((0, len(NUMBERS)))
            boxes = Boxes.join(nothing if row.boxes is None else row.boxes for row in rows)
            self.writer.put("boxes", start, boxes.to_bytes())
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


def pixels_of(mask: np.ndarray) -> np.ndarray:
    """Count the pixels of every class.

    OpenCV does so for up to four classes in a tenth of NumPy's time.

    Parameters
    ----------
    mask
        (h, w, K) u8 of 0 and 1.

    Returns
    -------
    (K,) float64 array

    Examples
    --------
    >>> pixels_of(np.array([[[1, 0], [1, 1]]], np.uint8)).tolist()
    [2.0, 1.0]
    """
    classes = mask.shape[2]
    if classes <= _SUMMED:
        return np.array(cv2.sumElems(np.ascontiguousarray(mask))[:classes])
    rows = mask.reshape(len(mask), -1)  # a last axis of K is slow to reduce
    return rows.sum(axis=0, dtype=np.uint32).reshape(-1, classes).sum(axis=0).astype(np.float64)


def _is_whole(labels: np.ndarray) -> bool:
    """Tell whether labels are all 0 or 1; NaN is neither."""
    return bool(((labels == 0) | (labels == 1)).all())


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring an image (h, w) or (h, w, C) u8 to (H, W): area means down, linear interpolation up.

    The aspect ratio is not kept; predictions are stretched back to the original size.
    """
    if image.shape[:2] == size:
        return image
    smaller = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    if image.ndim == 3 and image.shape[2] > 4:  # OpenCV's limit
        bands = [resize_image(image[..., k], size) for k in range(image.shape[2])]
        return np.stack(bands, axis=-1)
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
