"""Look at a data folder: read its images with the competition's own reader, and measure them."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from foldbelt import competitions
from foldbelt.competitions import Item, Listing, Sample
from foldbelt.config.resolving import complete
from foldbelt.copies import CopyFinder
from foldbelt.files import Problem, raise_all
from foldbelt.formats.findings import Finding, Undecodable, UnusableImage
from foldbelt.formats.pixels import Pixels
from foldbelt.formats.pixels import read as read_pixels
from foldbelt.formats.pixels.ranges import TAILS
from foldbelt.init import groups
from foldbelt.init.facts import Facts
from foldbelt.init.layout import Layout, Setting, told

LOOKED = 400
"""Images that are decoded, evenly over their names."""
COPIED = 8
"""Bits in which hashes of near copies may differ (see `foldbelt.copies`)."""
_COLOURED = 12  # grey values by which planes differ in a pixel that is coloured
_SPECK = 4  # pixels; smaller parts of a mask are no objects
_THUMB = 24
_THREADS = 4


def look(root: Path, layout: Layout, most: int = LOOKED) -> Facts:
    """Read a data folder and say what is in it.

    Parameters
    ----------
    root
        The folder.
    layout
        What it is.
    most
        So many training images are decoded.

    Raises
    ------
    InputError
        If no training image can be read; all problems are listed.
    """
    bands, stored, layout = _stored(root, layout)
    settings = _settings(root, layout)
    if not told(layout.competition, "ONE_SIZE", False) and settings["size"] is None:
        settings["size"] = [256, 256]  # sizes may be mixed; nothing is stored here
    masks = told(layout.competition, "MASKS")
    if masks is not None:
        settings["masks"] = masks  # as its own default is
    if bands == 3 and told(layout.competition, "COLOUR", False):
        settings["image_mode"] = "rgb"
    reader = competitions.reader(layout.competition)
    listing = reader.scan(root, settings)
    if not listing.train:
        problems = [Problem(finding.file, finding.reason) for finding in listing.findings]
        problems = problems or [Problem(str(root), "holds no training image that can be read")]
        raise_all(problems, f"{root} cannot be used", most=20)
    if hasattr(reader, "settle"):
        listing = reader.settle(listing)
        layout = layout._replace(settings=[*layout.settings, *_deep(listing)])
    facts = Facts(
        layout,
        str(root),
        len(listing.train),
        len(listing.test),
        0,
        np.array([_original(item)[0] for item in listing.train]),
        np.array([_original(item)[1] for item in listing.train]),
        bands,
        stored,
        classes=list(listing.classes),
        labels=list(listing.labels),
        problems=sorted(listing.findings, key=lambda finding: finding.late),
    )
    return _measured(facts, listing, reader, most)


def _settings(root: Path, layout: Layout) -> dict[str, Any]:
    """Give all keys of `data` by which the folder is read."""
    return competitions.settings(complete("data", {**layout.section(), "path": str(root)}))


def _deep(listing: Listing) -> Iterator[Setting]:
    """Say what becomes black and white where images have more than eight bits."""
    if not listing.ranges:
        return
    low, high = TAILS
    told = "; ".join(
        f"{kind}: {_numbers(black)} to {_numbers(white)}"
        for kind, (black, white) in sorted(listing.ranges.items())
    )
    reason = f"{told}, percentiles {low:g} and {high:g} of the training images"
    asks = "do values mean something (Hounsfield units, reflectance)? then [low, high]"
    yield Setting("range", "auto", reason, asks)


def _numbers(value: Any) -> str:
    """Write a number, or those of all bands."""
    return "/".join(f"{number:g}" for number in np.atleast_1d(value))


def _original(item: Item) -> tuple[int, int]:
    """Give (height, width) of the image before it was converted, if the tables say it."""
    said = item.columns
    if "height" in said and "width" in said:
        return int(said["height"]), int(said["width"])
    return item.size


def _stored(root: Path, layout: Layout) -> tuple[int, str, Layout]:
    """Tell bands and depth by some images; several bands need a setting of their own."""
    listed = competitions.files(layout.competition)(root, _settings(root, layout))["train"]
    met: list[Pixels] = []
    for path in listed:
        try:
            met.append(read_pixels(path))
        except (Undecodable, OSError):
            continue
        if len(met) == 5:
            break
    if not met:
        return 1, "", layout
    bands = max(pixels.bands for pixels in met)
    first = met[0]
    stored = f"{first.kind}, {first.bits or 8 * first.values.dtype.itemsize} bit"
    if bands not in (1, 3) and told(layout.competition, "BANDS", False):
        reason = f"images have {bands} bands ({stored}); all are used, in their order"
        setting = Setting(
            "bands", list(range(1, bands + 1)), reason, "leave out bands that say nothing"
        )
        layout = layout._replace(settings=[*layout.settings, setting])
    return bands, stored, layout


def _measured(facts: Facts, listing: Listing, reader: Any, most: int) -> Facts:
    """Decode images, and fill in what they show."""
    every = listing.train
    places = np.linspace(0, len(every) - 1, min(most, len(every))).astype(int)
    items = [every[place] for place in places]
    tally, unusable = _Tally(facts), list[Finding]()
    finder = CopyFinder()
    shape = facts.height, facts.width
    for item, sample in _read(items, listing, reader, unusable):
        tally.add(item.id, sample)
        grey = _grey(sample.image)
        finder.add(grey if grey.shape == shape else cv2.resize(grey, shape[::-1]))
    unusable.sort(key=lambda finding: finding.file)  # threads add them in any order
    if not tally.count:
        met = [*unusable, *listing.findings]
        problems = [Problem(finding.file, finding.reason) for finding in met]
        problems = problems or [Problem(facts.path, "none of its images can be read")]
        raise_all(problems, f"{facts.path} cannot be used", most=20)
    copied = sum(group is not None for group in finder.groups(COPIED))
    columns = {
        name: [item.columns.get(name) for item in every] for name in sorted(every[0].columns)
    }
    grouping = None
    if facts.told("GROUP") is None and facts.told("GROUPED") is None:
        grouping = groups.by_column(columns)
        grouping = grouping or groups.by_names([item.id for item in every], tally.thumbs())
    made = tally.facts()
    named = {(finding.file, finding.reason) for finding in made.problems}
    more = [finding for finding in unusable if (finding.file, finding.reason) not in named]
    every_problem = [*more, *made.problems]
    return replace(
        made, grouping=grouping, copies=copied, columns=tuple(columns), problems=every_problem
    )


def _read(
    items: Sequence[Item], listing: Listing, reader: Any, unusable: list[Finding]
) -> Iterator[tuple[Item, Sample]]:
    """Decode images in order; what is wrong with the others is added to `unusable`."""

    def one(item: Item) -> Sample | None:
        try:
            sample: Sample = reader.read(item, listing)
        except UnusableImage as error:
            unusable.extend(error.findings)
            return None
        return sample

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(items), 4 * _THREADS):  # so that few are in memory at a time
            part = items[start : start + 4 * _THREADS]
            for item, sample in zip(part, pool.map(one, part), strict=True):
                if sample is not None and _same_size(sample):
                    yield item, sample


def _same_size(sample: Sample) -> bool:
    """Tell whether a mask has the size of its image; one that has not was found by scanning."""
    return sample.mask is None or sample.mask.shape[:2] == sample.image.shape[:2]


def _grey(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2 or image.shape[2] == 1:
        return np.ascontiguousarray(image.reshape(image.shape[:2]))
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(image.mean(axis=2).astype(np.uint8))


class _Tally:
    """Adds up what images show."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        number = len(facts.classes)
        self.count = self.positive = self.coloured = self.known = 0
        self.pixels, self.present = np.zeros(number), np.zeros(number)
        self.labelled = 0
        self.overlap = False
        self.sides: list[float] = []
        self.largest: list[float] = []
        self.areas: list[int] = []
        self.parts: list[int] = []
        self.gains: list[tuple[float, float]] = []
        self.labels = np.zeros(len(facts.labels))
        self._thumbs: dict[str, np.ndarray] = {}

    def add(self, name: str, sample: Sample) -> None:
        """Take one image."""
        self.count += 1
        thumb = cv2.resize(_grey(sample.image), (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
        self._thumbs[name] = thumb.astype(np.float32).ravel()
        if sample.image.ndim == 3 and sample.image.shape[2] == 3:
            small = sample.image[::4, ::4].astype(np.int16)
            apart = small.max(axis=2) - small.min(axis=2)
            self.coloured += bool((apart > _COLOURED).mean() > 0.01)
        if sample.mask is not None and sample.mask.shape[2]:
            self._add_mask(sample)
        if sample.boxes is not None and len(sample.boxes) and sample.mask is None:
            wide, high = (
                sample.boxes[:, 3] - sample.boxes[:, 1],
                sample.boxes[:, 4] - sample.boxes[:, 2],
            )
            self.sides += np.sqrt(np.maximum(wide * high, 1)).tolist()
            self.largest = self.sides
            self.positive += 1
        if sample.labels is not None and len(sample.labels) == len(self.labels):
            values = np.asarray(sample.labels, np.float64)
            self.known += not np.isnan(values).any()
            self.labels += np.nan_to_num(values)

    def _add_mask(self, sample: Sample) -> None:
        mask, ignore = sample.mask, sample.ignore
        assert mask is not None
        labelled = mask.shape[0] * mask.shape[1] - (0 if ignore is None else int(ignore.sum()))
        pixels = mask.sum(axis=(0, 1), dtype=np.int64)
        self.pixels += pixels
        self.labelled += labelled
        self.present += pixels > 0
        number = 0
        for plane in np.moveaxis(mask, 2, 0):
            if not plane.any():
                continue
            sizes = cv2.connectedComponentsWithStats(np.ascontiguousarray(plane))[2][1:, -1]
            self.largest.append(float(sizes.max()) ** 0.5)
            sizes = sizes[sizes >= _SPECK]
            self.sides += np.sqrt(sizes).tolist()
            self.areas.append(int(plane.sum()))
            number += len(sizes)
        if pixels.any():
            self.positive += 1
            self.parts.append(number)
            self.overlap |= bool((mask.sum(axis=2, dtype=np.int64) > 1).any())
            self._add_gain(sample.image, np.asarray(mask.any(axis=2)), ignore)

    def _add_gain(self, image: np.ndarray, inside: np.ndarray, ignore: np.ndarray | None) -> None:
        """Note how far object and background lie apart, in colour and in brightness."""
        if image.ndim != 3 or image.shape[2] != 3:
            return
        outside = ~inside if ignore is None else ~inside & ~ignore
        if inside.sum() < _SPECK or not outside.any():
            return
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        of_objects, _ = cv2.meanStdDev(lab, mask=inside.astype(np.uint8))
        of_ground, spread = cv2.meanStdDev(lab, mask=outside.astype(np.uint8))
        apart = (np.abs(of_objects - of_ground) / np.maximum(spread, 2.0)).ravel()
        self.gains.append((float(apart[1:].max()), float(apart[0])))

    def thumbs(self) -> dict[str, np.ndarray]:
        """Give the thumbnails, less what all have in common, of unit length."""
        names = list(self._thumbs)
        images = np.stack([self._thumbs[name] for name in names])
        images = images - images.mean(axis=1, keepdims=True)
        images = images - images.mean(axis=0)
        images /= np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-6)
        return dict(zip(names, images, strict=True))

    def facts(self) -> Facts:
        """Give the facts with all that was added up."""
        count = self.count
        gains = np.array(self.gains).reshape(-1, 2)
        shares: Mapping[str, float] = {
            name: float(share)
            for name, share in zip(
                self._facts.labels, self.labels / max(self.known, 1), strict=True
            )
        }
        return replace(
            self._facts,
            looked=count,
            coloured=self.coloured / count,
            colour_gain=float(np.median(gains[:, 0])) if len(gains) else float("nan"),
            grey_gain=float(np.median(gains[:, 1])) if len(gains) else float("nan"),
            coverage=self.pixels / max(self.labelled, 1),
            present=self.present / count,
            positive=self.positive / count,
            overlap=self.overlap,
            sides=np.array(self.sides),
            largest=np.array(self.largest),
            areas=np.array(self.areas),
            parts=float(np.median(self.parts)) if self.parts else 0.0,
            label_shares=shares,
        )
