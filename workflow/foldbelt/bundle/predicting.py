"""A folder of images → what a bundle predicts of them."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from foldbelt.bundle.folder import Predictions
from foldbelt.bundle.journal import Journal
from foldbelt.bundle.listing import beside, groups, listed, writable
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.places import LISTED, PROBLEMS, counted, refuse_predicted, sweep
from foldbelt.bundle.products import check_rows, check_sample
from foldbelt.bundle.reading import Bundle
from foldbelt.bundle.records import Form
from foldbelt.competitions import Item
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_rows
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import printable


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


@dataclass(frozen=True)
class Step:
    """How far a call of `predict` is.

    Attributes
    ----------
    done, total
        Images that it is done with, and all.
    new
        How many of the former were not done before.
    drawing
        Whether it draws overlays: it does so after all images are predicted.
    """

    done: int
    total: int
    new: int
    drawing: bool = False


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
    progress: Callable[[Step], None] = lambda step: None,
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
        Called after every image.
    told
        Called with what is worth knowing: where it computes, and how many images of earlier calls
        are not among these.

    Raises
    ------
    InputError
        If the bundle, the folders or the sample cannot be used; if a file would be overwritten that
        no bundle has written; and, after all others are done, if images could not be read.
    """
    source, target = folders(images, out)
    with Bundle(bundle) as opened:
        pipeline = Pipeline(opened, device, cpu_threads)
        if sample is not None:
            check_sample(pipeline, sample)
        items, findings = listed(source, opened, pipeline.levels, table)
        refuse_predicted(items, target)
        items, more = writable(items, source, bool(pipeline.classes), overlays)
        findings += more
        if sample is not None:
            check_rows(pipeline, sample, items, incomplete=bool(findings))
        with Journal(target, opened.id, form_of(pipeline)) as journal:
            sweep(target)
            told(pipeline.computing)
            if extra := beside(source):
                told(f"{counted(len(extra), 'file')} of {source} passed over, such as {extra[0]}.")
            folder = Predictions(pipeline, target, journal, source)
            outcomes = map(folder.predict, groups(items, pipeline.group, pipeline.image_bytes))
            new, wrong = followed(chain.from_iterable(outcomes), len(items), progress)
            findings += wrong
            kept = _without(items, findings)
            names = [item.id for item in kept]
            folder.tell_more(names, told)
            problems = _write_problems(findings, target)
            final = folder.finish(names, sample, incomplete=bool(findings))
            if overlays and kept:
                _, wrong = followed(folder.draw(kept, final), len(kept), progress, drawing=True)
                problems = _write_problems([*findings, *wrong], target)
    rest = f"; all of them: {target / PROBLEMS}"
    hint = "All other images are predicted." if names else ""
    raise_all(problems, f"Images in {source} cannot be read", hint, LISTED, rest)
    return Done(len(names), new)


def folders(images: PathLike, out: PathLike) -> tuple[Path, Path]:
    """Refuse folders that are none, or that lie within each other."""
    source, target = Path(images), Path(out)
    if "" in (os.fspath(images), os.fspath(out)):
        raise InputError("the name of a folder is empty; for the current folder, give a dot.")
    if source.is_file():
        raise InputError(f"{source} is a file; give the folder in which the images lie.")
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder of images.")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{target} lies in the folder of images, {source}: what is predicted would be taken "
            "for images the next time. Choose a folder outside."
        )
    return source, target


def form_of(pipeline: Pipeline) -> Form:
    """Say what a bundle predicts of every image."""
    numbers = len(pipeline.classes), len(pipeline.labels), len(pipeline.boxes)
    return Form(*numbers, pipeline.levels)


def followed(
    outcomes: Iterable[Finding | bool],
    total: int,
    progress: Callable[[Step], None],
    drawing: bool = False,
) -> tuple[int, list[Finding]]:
    """Tell of every image what becomes of it; give the number of new ones, and findings."""
    passed = new = 0
    findings: list[Finding] = []
    lost = set()  # of an image there may be several findings
    progress(Step(0, total, 0, drawing))
    for outcome in outcomes:
        if isinstance(outcome, Finding):
            findings.append(outcome)
            lost.add(outcome.id)
        else:
            passed, new = passed + 1, new + outcome
        progress(Step(passed + len(lost), total, new, drawing))
    return new, findings


def _without(items: Sequence[Item], findings: Sequence[Finding]) -> list[Item]:
    lost = {finding.id for finding in findings}
    return [item for item in items if item.id not in lost]


def _write_problems(findings: Sequence[Finding], target: Path) -> list[Problem]:
    problems = [Problem(printable(f.file), printable(f.reason)) for f in sorted(findings)]
    rows = [(problem.file, problem.reason) for problem in problems]
    write_rows(target / PROBLEMS, ["file", "reason"], rows)
    return problems
