"""A folder of images → their masks, by a bundle."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from foldbelt import submit
from foldbelt.bundle.journal import Journal, Record
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.reading import Bundle
from foldbelt.competitions import Item, Prediction
from foldbelt.competitions.folder.sample import COLUMNS
from foldbelt.files import InputError, PathLike, Problem, atomic, digest, raise_all, write_rows
from foldbelt.formats import image_files
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import files_below, printable
from foldbelt.rle import decode, encode

MASKS, TABLE, SUBMISSION, PROBLEMS = "masks", "masks.csv", "submission.csv", "problems.csv"

_SEEN = 255  # value of the one class, if no value was given: white to whoever looks
_GROUP = 32  # images that share the work of a call, if they take no more than
_GROUP_BYTES = 2**29  # of memory between the stages
_LISTED = 40


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
    progress: Callable[[int, int], None] = lambda done, total: None,
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
        id, class, height, width and run lengths of every mask; ``problems.csv``, what could not be
        read; ``journal.jsonl``, by which the work is taken up again.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    cpu_threads
        Compute threads; None: as many as the run had.
    sample
        A folder with the competition's sample submission, for ``submission.csv`` in its form.
    progress
        Called with the number of images that are done, and of all.

    Raises
    ------
    InputError
        If the bundle, the folders or the sample cannot be used; and, after all others are done,
        if images could not be read.
    """
    source, target = Path(images), Path(out)
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder of images.")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{target} lies in the folder of images, {source}: what is predicted would be taken "
            "for images the next time. Choose a folder outside."
        )
    if sample is not None:
        _check_pandas()
    with Bundle(bundle) as opened, Journal(target, opened.id) as journal:
        pipeline = Pipeline(opened, device, cpu_threads)
        items, findings = _list(source, bool(opened.data["suffixes"]))
        folder = _Folder(pipeline, target, journal, source)
        new = passed = 0
        progress(passed, len(items))
        for group in _groups(items, pipeline.group, pipeline.image_bytes):
            count, wrong = folder.predict(group)
            new, findings = new + count, [*findings, *wrong]
            passed += len(group)
            progress(passed, len(items))
        lost = {finding.id for finding in findings}
        names = [item.id for item in items if item.id not in lost]
        problems = [Problem(printable(f.file), printable(f.reason)) for f in sorted(findings)]
        rows = [(problem.file, problem.reason) for problem in problems]
        write_rows(target / PROBLEMS, ["file", "reason"], rows)
        folder.write_table(names)
        if sample is not None:
            folder.write_submission(names, sample, incomplete=bool(problems))
    rest = f"; all of them: {target / PROBLEMS}"
    hint = "All other images are predicted."
    raise_all(problems, f"Images in {source} cannot be read", hint, _LISTED, rest)
    return Done(len(names), new)


def _check_pandas() -> None:
    """Refuse early where a submission could not be written; only its tables need pandas."""
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            "--sample needs the package pandas, which is not installed. Install it, or leave "
            f"--sample out: {TABLE} holds the run lengths of all masks."
        ) from error


def _list(source: Path, suffixes: bool) -> tuple[list[Item], list[Finding]]:
    """List the images of a folder by their ids, and what cannot be read by its header.

    Parameters
    ----------
    source
        The folder.
    suffixes
        Whether ids end in the suffix of the file, as those of the run's own images do.
    """
    if suffixes:
        files, findings = image_files.by_name(files_below(source), source)
    else:
        files, findings = image_files.by_path(files_below(source), source, source)
    sizes, broken = image_files.measure(files, source)
    items = [
        Item(name, files[name], (height, width), None, {"height": height, "width": width})
        for name, (height, width) in sorted(sizes.items())
    ]
    if not items and not findings + broken:
        raise InputError(f"{source} holds no images.")
    return items, [*findings, *broken]


def _groups(items: Sequence[Item], size: int, each: int) -> Iterator[Sequence[Item]]:
    """Split images into groups of whole batches, which do not depend on what is done already.

    Parameters
    ----------
    items
        All images.
    size
        Images of whole batches.
    each
        Bytes of an image.
    """
    size *= max(1, min(-(-_GROUP // size), _GROUP_BYTES // (each * size)))
    for start in range(0, len(items), size):
        yield items[start : start + size]


class _Folder:
    """The folder that predictions go to."""

    def __init__(self, pipeline: Pipeline, target: Path, journal: Journal, source: Path) -> None:
        self.pipeline, self.target, self.journal = pipeline, target, journal
        self.source = source
        self.values = values_of(pipeline.classes, pipeline.settings.get("classes"))

    def predict(self, group: Sequence[Item]) -> tuple[int, list[Finding]]:
        """Predict those images of a group that are not done; give their number, and findings."""
        digests = {item.id: digest([item.image]) for item in group}
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
        return self.journal.has(name, source) and self._picture(name).is_file()

    def _keep(self, given: Prediction, source: str) -> None:
        """Write a mask, then note it."""
        path = self._picture(given.id)
        with atomic(path) as temporary:
            temporary.write_bytes(picture(given.mask, self.values))
        planes = range(given.mask.shape[2])
        runs = [encode(given.mask[..., k]) for k in planes]
        self.journal.add(Record(given.id, source, given.mask.shape[:2], runs))

    def _picture(self, name: str) -> Path:
        return self.target / MASKS / f"{name}.png"

    def write_table(self, names: Sequence[str]) -> None:
        """Write the run lengths of all masks, in the form of a plain folder's submission."""
        rows = (
            [record.id, name, *record.size, runs]
            for record in self.journal.records(names)
            for name, runs in zip(self.pipeline.classes, record.runs, strict=True)
        )
        write_rows(self.target / TABLE, COLUMNS, rows)

    def write_submission(self, names: Sequence[str], sample: PathLike, incomplete: bool) -> None:
        """Write the competition's own submission; images that cannot be read get empty masks."""

        def masks() -> Iterator[Prediction]:
            for record in self.journal.records(names):
                planes = [decode(runs, record.size) for runs in record.runs]
                yield Prediction(record.id, np.stack(planes, axis=2))

        on_problem = "drop" if incomplete else self.pipeline.settings["on_problem"]
        submit.write_masks(
            self.pipeline.bundle.manifest.competition,
            sample,
            {"on_problem": on_problem},
            self.pipeline.classes,
            masks,
            self.target / SUBMISSION,
        )


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
