"""A folder of images → what a bundle predicts of them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from foldbelt.bundle.answers import Answer, Final
from foldbelt.bundle.journal import Journal, Record
from foldbelt.bundle.listing import groups, listed
from foldbelt.bundle.overlaying import draw_all, path_of
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.products import (
    MASKS_TABLE,
    SUBMISSION,
    check_rows,
    check_sample,
    write_masks,
    write_submission,
    write_tables,
)
from foldbelt.bundle.reading import Bundle
from foldbelt.competitions import Item
from foldbelt.files import InputError, PathLike, Problem, atomic, digest, raise_all, write_rows
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import printable
from foldbelt.store import Memory

MASKS, PROBLEMS = "masks", "problems.csv"

_SEEN = 255  # value of the one class, if no value was given: white to whoever looks
_LISTED = 40
_SIDES = ("height", "width")


@dataclass(frozen=True)
class Done:
    """What a call of `predict` has done.

    Attributes
    ----------
    images, new
        How many there are, and how many were not done before.
    """

    images: int
    new: int


def predict(
    bundle: PathLike,
    images: PathLike,
    out: PathLike,
    *,
    device: str | None = None,
    cpu_threads: int | None = None,
    sample: PathLike | None = None,
    table: PathLike | None = None,
    overlays: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    told: Callable[[str], None] = lambda sentence: None,
) -> Done:
    """Predict all images of a folder, nested ones included.

    Repeated after an interruption, or with more images, it does what is not done yet. Memory does
    not grow with the number of images.

    Parameters
    ----------
    bundle
        The zip file.
    images
        The folder. Files may have any format, size and depth that a run reads.
    out
        Folder of what is predicted: ``masks/<id>.png`` at the image's own size; ``masks.csv`` with
        id, class, height, width and run lengths of every mask; ``labels.csv`` with id and a column
        a label, and ``boxes.csv`` with id, class, x1, y1, x2, y2 and score; each where the run
        decides on it. And ``problems.csv``, what could not be read; ``journal.jsonl``, by which the
        work is taken up again.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    cpu_threads
        Compute threads; None: as many as the run had.
    sample
        A folder with the competition's sample submission, for ``submission.csv`` in its form.
    table
        A csv with id and what the bundle's channels need to know of every image, such as its depth.
        It may say of which units (of which study, say) images are, too.
    overlays
        Whether to write ``overlays/<id>.jpg``, the image with what is predicted drawn over it.
    progress
        Called with the number of images that are predicted, and of all.
    told
        Called with what is worth knowing before it begins: where it computes.

    Raises
    ------
    InputError
        If the bundle, the folders or the sample cannot be used; and, after all others are done,
        if images could not be read.
    """
    source, target = Path(images), Path(out)
    if source.is_file():
        raise InputError(f"{source} is a file; give the folder in which the images lie.")
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder of images.")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{target} lies in the folder of images, {source}: what is predicted would be taken "
            "for images the next time. Choose a folder outside."
        )
    with Bundle(bundle) as opened, Journal(target, opened.id) as journal:
        pipeline = Pipeline(opened, device, cpu_threads)
        if sample is not None:
            check_sample(pipeline, sample)
        items, findings = listed(source, opened, pipeline.levels, table)
        if sample is not None:
            check_rows(pipeline, sample, items, incomplete=bool(findings))
        folder = _Folder(pipeline, target, journal, source)
        told(pipeline.computing)
        new = passed = 0
        progress(passed, len(items))
        for group in groups(items, pipeline.group, pipeline.image_bytes):
            count, wrong = folder.predict(group)
            new, findings = new + count, [*findings, *wrong]
            passed += len(group)
            progress(passed, len(items))
        lost = {finding.id for finding in findings}
        names = [item.id for item in items if item.id not in lost]
        problems = [Problem(printable(f.file), printable(f.reason)) for f in sorted(findings)]
        rows = [(problem.file, problem.reason) for problem in problems]
        write_rows(target / PROBLEMS, ["file", "reason"], rows)
        drawn = [item for item in items if overlays and item.id not in lost]
        folder.finish(names, sample, drawn, incomplete=bool(problems))
    rest = f"; all of them: {target / PROBLEMS}"
    hint = "All other images are predicted."
    raise_all(problems, f"Images in {source} cannot be read", hint, _LISTED, rest)
    return Done(len(names), new)


class _Folder:
    """The folder that predictions go to."""

    def __init__(self, pipeline: Pipeline, target: Path, journal: Journal, source: Path) -> None:
        self.pipeline, self.target, self.journal = pipeline, target, journal
        self.source = source
        self.values = values_of(pipeline.classes, pipeline.settings.get("classes"))

    def predict(self, group: Sequence[Item]) -> tuple[int, list[Finding]]:
        """Predict those images of a group that are not done; give their number, and findings."""
        digests = {item.id: _source(item) for item in group}
        missing = {name for name, source in digests.items() if not self._is_done(name, source)}
        if not missing:
            return 0, []
        findings: list[Finding] = []
        new = 0
        for given in self.pipeline(group, self.source):
            if isinstance(given, Finding):
                findings.append(given)
            elif given.id in missing:
                self._keep(given, digests[given.id])
                new += 1
        self.journal.sync()
        return new, findings

    def _is_done(self, name: str, source: str) -> bool:
        there = not self.pipeline.classes or self._picture(name).is_file()
        return there and self.journal.has(name, source)

    def _keep(self, given: Answer, source: str) -> None:
        """Write a mask, then note what is predicted; an older overlay is of the past."""
        path_of(self.target, given.id).unlink(missing_ok=True)
        if given.mask is not None:
            path = self._picture(given.id)
            with atomic(path) as temporary:
                temporary.write_bytes(picture(given.mask, self.values))
        self.journal.add(Record.of(given, source))

    def _picture(self, name: str) -> Path:
        return self.target / MASKS / f"{name}.png"

    def finish(
        self,
        names: Sequence[str],
        sample: PathLike | None,
        drawn: Sequence[Item],
        incomplete: bool,
    ) -> None:
        """Write what is of all images together, and overlays of some."""

        def records() -> Iterator[Record]:
            return self.journal.records(names)

        if self.pipeline.classes:
            write_masks(records(), self.pipeline.classes, self.target / MASKS_TABLE)
        final = self._final(records())
        write_tables(final, self.pipeline, self.target)
        if sample is not None:
            out = self.target / SUBMISSION
            write_submission(self.pipeline, final, records, sample, incomplete, out)
        if drawn:
            by_name = {item.id: item for item in drawn}
            draw_all(self.pipeline, by_name, self.source, self.target, records(), final)

    def _final(self, records: Iterator[Record]) -> Final:
        """Decide what needs all images at once; masks do not."""
        if not self.pipeline.labels and not self.pipeline.boxes:
            return Final([], Memory(), {})
        from foldbelt.bundle.finishing import finish

        return finish(self.pipeline.bundle, [record.answer() for record in records])


def _source(item: Item) -> str:
    """Tell what an image is predicted from: its file, and what is known of it besides."""
    more = {key: value for key, value in item.columns.items() if key not in _SIDES and value != ""}
    content = digest([item.image])
    return f"{content} {json.dumps(more, sort_keys=True)}" if more else content


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
