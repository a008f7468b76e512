"""The folder that predictions go to: masks, what the journal notes of them, and tables."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from foldbelt.bundle.answers import Answer, Final
from foldbelt.bundle.journal import Journal, Noted
from foldbelt.bundle.overlaying import draw_all
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.places import MASKS_TABLE, SUBMISSION, counted, mask_of, overlay_of
from foldbelt.bundle.products import write_masks, write_submission, write_tables
from foldbelt.bundle.records import Record
from foldbelt.competitions import Item, Listing, Reader, Sample
from foldbelt.files import PathLike, atomic, digest
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.store import Memory

_SEEN = 255  # value of the one class, if no value was given: white to whoever looks
_SIDES = ("height", "width")


class Predictions:
    """What is predicted of a folder of images.

    Parameters
    ----------
    pipeline
        The bundle.
    target
        The folder of predictions.
    journal
        Its journal.
    source
        The folder of images.
    """

    def __init__(self, pipeline: Pipeline, target: Path, journal: Journal, source: Path) -> None:
        self.pipeline, self.target, self.journal = pipeline, target, journal
        self.source = source
        self.reader = cast(Reader, _Reader(pipeline.reader, source))
        self.corrected = 0  # masks that somebody has changed since
        self.values = values_of(pipeline.classes, pipeline.settings.get("classes"))

    def predict(self, group: Sequence[Item]) -> Iterator[Finding | bool]:
        """Predict those images of a group that are not done.

        Yields
        ------
        Finding or bool
            For every image: why it cannot be read, or whether it is predicted now.
        """
        sources: dict[str, str] = {}
        for item in group:
            try:
                sources[item.id] = _source(item)
            except OSError as error:
                yield _unreadable(item, self.source, error)
        there = [item for item in group if item.id in sources]
        done = {item.id for item in there if self._is_done(item, sources[item.id])}
        yield from [False] * len(done)
        if len(done) == len(there):
            return
        for given in self.pipeline(there, self.source, self.reader):
            if isinstance(given, Finding):
                if given.id not in done:
                    yield given
            elif given.id not in done:
                self._keep(given, sources[given.id])
                yield True
        self.journal.sync()

    def _is_done(self, item: Item, source: str) -> bool:
        """Tell whether an image was predicted as it is, and its mask is as it was written."""
        noted = self.journal.noted.get(item.id)
        if noted is None or (noted.source, noted.size) != (source, item.size):
            return False
        return not self.pipeline.classes or self._has_mask(item.id, noted)

    def _has_mask(self, name: str, noted: Noted) -> bool:
        """Tell whether a mask is there, as it was written or as somebody has corrected it."""
        path = mask_of(self.target, name)
        if not os.path.isfile(path):
            return False
        data = path.read_bytes()
        if _digest(data) == noted.picture:
            return True
        drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        corrected = drawn is not None and drawn.shape[:2] == noted.size
        self.corrected += corrected
        return corrected

    def _keep(self, given: Answer, source: str) -> None:
        """Write a mask, then note what is predicted; an older overlay is of the past."""
        overlay_of(self.target, given.id).unlink(missing_ok=True)
        data = b"" if given.mask is None else picture(given.mask, self.values)
        if data:
            with atomic(mask_of(self.target, given.id)) as temporary:
                temporary.write_bytes(data)
        self.journal.add(Record.of(given, source, _digest(data) if data else ""))

    def tell_more(self, names: Collection[str], told: Callable[[str], None]) -> None:
        """Say what lies in the folder beside what the tables list."""
        if self.corrected:
            what = counted(self.corrected, "mask")
            told(
                f"{what} in {self.target} changed by hand; left so, tables hold what was predicted."
            )
        others = len(self.journal.noted.keys() - set(names))
        if others:
            told(
                f"{self.target} still holds predictions of {counted(others, 'image')} not in "
                f"{self.source} now, or that cannot be read; no table lists them."
            )

    def finish(self, names: Sequence[str], sample: PathLike | None, incomplete: bool) -> Final:
        """Write what is of all images together; give labels and boxes."""

        def records() -> Iterator[Record]:
            return self.journal.records(names)

        if self.pipeline.classes:
            write_masks(records(), self.pipeline.classes, self.target / MASKS_TABLE)
        final = self._final(records())
        write_tables(final, self.pipeline, self.target)
        if sample is not None:
            out = self.target / SUBMISSION
            write_submission(self.pipeline, final, records, sample, incomplete, out)
        return final

    def _final(self, records: Iterator[Record]) -> Final:
        """Decide what needs all images at once; masks do not."""
        if not self.pipeline.labels and not self.pipeline.boxes:
            return Final([], Memory(), {})
        from foldbelt.bundle.finishing import finish

        return finish(self.pipeline.bundle, [record.answer() for record in records])

    def draw(self, items: Sequence[Item], final: Final) -> Iterator[Finding | bool]:
        """Draw overlays of the images that `final` is of; see `draw_all`."""
        by_name = {item.id: item for item in items}
        records = self.journal.records(list(by_name))
        places = self.source, self.target
        return draw_all(self.pipeline, self.reader, by_name, *places, records, final)


class _Reader:
    """Reads images as the run did; one that has gone meanwhile is a finding, too."""

    def __init__(self, reader: Reader, source: Path) -> None:
        self.reader, self.source = reader, source

    def read(self, item: Item, listing: Listing) -> Sample:
        try:
            return self.reader.read(item, listing)
        except OSError as error:
            raise UnusableImage([_unreadable(item, self.source, error)]) from error


def _unreadable(item: Item, source: Path, error: OSError) -> Finding:
    where = item.image.relative_to(source).as_posix()
    return Finding(where, f"cannot be opened ({error.strerror})", item.id)


def _source(item: Item) -> str:
    """Tell what an image is predicted from: its file, and what is known of it besides."""
    more = {key: value for key, value in item.columns.items() if key not in _SIDES and value != ""}
    content = digest([item.image])
    return f"{content} {json.dumps(more, sort_keys=True)}" if more else content


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def values_of(classes: Sequence[str], given: Mapping[str, int] | None) -> list[int]:
    """Give the value of every class in a mask's picture.

    Parameters
    ----------
    classes
        Their names.
    given
        The config's ``data.classes``.

    Returns
    -------
    list of int
        Those of the config; else 255 for one class alone, and 1, 2, … for several.

    Examples
    --------
    >>> values_of(["object"], None), values_of(["a", "b"], None), values_of(["a"], {"a": 7})
    ([255], [1, 2], [7])
    """
    if given is not None and all(isinstance(given.get(name), int) for name in classes):
        return [given[name] for name in classes]
    return [_SEEN] if len(classes) == 1 else list(range(1, len(classes) + 1))


def picture(mask: np.ndarray, values: Sequence[int]) -> bytes:
    """Draw masks (h, w, K) of 0 and 1 as a PNG file of class values, 0 where there is none.

    Where classes overlap, the last of them is seen.
    """
    kind = np.uint8 if max(values) < 2**8 else np.uint16
    drawn: np.ndarray = np.zeros(mask.shape[:2], kind)
    for place, value in enumerate(values):
        drawn[mask[..., place] > 0] = value
    done, data = cv2.imencode(".png", drawn)
    if not done:
        raise ValueError(f"a mask of shape {mask.shape} cannot be written as PNG")
    return data.tobytes()
