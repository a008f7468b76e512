"""A bundle on labelled images that its run has never seen: is it as good there?

Researchers call it external validation: another hospital, another mine, another month. The images
lie as training data do, and are read, truth and all, by the reader of the run's own; they are
predicted as new images are, and scored as the run was.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from foldbelt import competitions, raw_files
from foldbelt.bootstrap import spoken
from foldbelt.bundle.folder import Predictions
from foldbelt.bundle.journal import Journal
from foldbelt.bundle.judging import Judge
from foldbelt.bundle.listing import about, groups
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.places import LISTED
from foldbelt.bundle.predicting import Step, folders, followed, form_of
from foldbelt.bundle.reading import Bundle
from foldbelt.competitions import Item
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_json, write_rows
from foldbelt.formats.folders import printable
from foldbelt.ingest import part

_CURE = ", or take these images out of the folder."
SCORES, EACH, READ = "scores.json", "scores.csv", "read.csv"


def validate(
    bundle: PathLike,
    data: PathLike,
    out: PathLike,
    *,
    device: str | None = None,
    cpu_threads: int | None = None,
    overlays: bool = False,
    progress: Callable[[Step], None] = lambda step: None,
    told: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Predict labelled images and score what is predicted.

    Repeated after an interruption, it predicts what is not predicted yet.

    Parameters
    ----------
    bundle
        The zip file, or the folder that it was unpacked to.
    data
        A folder like that of the run's training data: images with masks, labels or boxes. The
        recipe's section `data` says how it is read.
    out
        Folder for what `foldbelt.bundle.predict` writes, and ``scores.json``; ``scores.csv``, the
        scores of masks image by image; ``read.csv``, what was noticed when images and truth were
        read.
    device, cpu_threads, overlays, progress, told
        As for `foldbelt.bundle.predict`.

    Returns
    -------
    dict
        What ``scores.json`` holds: `Judge.scores`, less its ``each``.

    Raises
    ------
    InputError
        If bundle or folders cannot be used, or an image or its truth cannot be read.
    """
    source, target = folders(data, out)
    with tempfile.TemporaryDirectory(prefix="foldbelt-truth-") as place, Bundle(bundle) as opened:
        pipeline = Pipeline(opened, device, cpu_threads)
        with contextlib.redirect_stdout(io.StringIO()):  # ingest says it all once more
            labelled = pipeline.reader.scan(source, pipeline.settings, pipeline.size).train
        truth = Path(place) / "truth.h5"
        with Journal(target, opened.id, form_of(pipeline)) as journal:
            _ingest(pipeline, source, labelled, truth, target / READ)
            judge = Judge(opened, truth)
            items = _items(labelled, pipeline.levels, judge.ids)
            told(pipeline.computing)
            folder = Predictions(pipeline, target, journal, source)
            _predict(folder, items, progress)
            ids = [item.id for item in items]
            folder.tell_more(ids, told)
            final = folder.finish(ids, None, incomplete=False)
            content = judge.scores(journal.records(ids), ids, final)
            content["notes"] += _seen(pipeline, source)
            if overlays:
                followed(folder.draw(items, final), len(items), progress, drawing=True)
    each = content.pop("each")
    write_json(target / SCORES, content)
    rows = [(name, *(f"{score:.6f}" for score in scores)) for name, scores in each.items()]
    write_rows(target / EACH, ["id", *pipeline.classes], rows)
    return content


def _ingest(
    pipeline: Pipeline, source: Path, items: Sequence[Item], out: Path, problems: Path
) -> None:
    """Store the images with their truth, as ingest stores training images."""
    section = dict(pipeline.bundle.recipe["data"])
    if section["size"] is None and any(item.size != pipeline.size for item in items):
        section["size"] = list(pipeline.size)  # the run's images had one size, these have others
    try:
        part.run(
            pipeline.bundle.manifest.competition, source, section, out, problems, to_learn=False
        )
    except InputError as error:
        raise InputError(str(error).replace(part.DROP, _CURE)) from error


def _items(labelled: Sequence[Item], levels: Sequence[str], ids: Sequence[str]) -> list[Item]:
    """Give the images whose truth is known as those whose truth nobody knows, sorted by id."""
    wanted = set(ids)
    return [
        Item(item.id, item.image, item.size, None, about(item.size, levels, item.columns))
        for item in sorted(labelled, key=lambda item: item.id)
        if item.id in wanted
    ]


def _predict(folder: Predictions, items: Sequence[Item], progress: Callable[[Step], None]) -> None:
    """Predict what is not predicted yet; without one of the images there is no score."""
    pipeline = folder.pipeline
    outcomes = map(folder.predict, groups(items, pipeline.group, pipeline.image_bytes))
    _, findings = followed(chain.from_iterable(outcomes), len(items), progress)
    problems = [Problem(printable(f.file), printable(f.reason)) for f in sorted(findings)]
    raise_all(problems, f"Images in {folder.source} cannot be read", "", LISTED)


def _seen(pipeline: Pipeline, source: Path) -> list[str]:
    """Say so where the images are those that the run was trained on."""
    manifest = pipeline.bundle.manifest
    files = competitions.files(manifest.competition)(source, pipeline.settings)
    with tempfile.TemporaryDirectory() as state:
        digests = raw_files.digests(files, source, state, lambda line: None)
    if digests["train"] != manifest.raw.get("train"):
        return []
    return ["these are the images that the run was trained on: the scores flatter"]


def describe(scores: Mapping[str, Any]) -> str:
    """Say in a few lines what `validate` found."""
    lines = []
    for output, one in scores["outputs"].items():
        lines.append(f"{one['metric']} of {output}, {scores['images']} images")
        lines.append(
            _line("on these images", one["score"], spoken(one["interval"], scores["groups"]))
        )
        if one["run"] is not None:
            lines.append(_line("leave-one-fold-out, in the run", one["run"]))
        if "baseline" in one:
            lines.append(_line("all masks empty", one["baseline"]))
        for name, part_of in one.get("classes", {}).items():
            remark = (
                f"{spoken(part_of['interval'], scores['groups'])}; {part_of['positives']} images"
            )
            lines.append(_line(f"class {name}", part_of["score"], remark))
    return "\n".join(lines + [f"  note: {note}" for note in scores["notes"]])


def _line(name: str, score: float | None, remark: str = "") -> str:
    number = "unknown" if score is None else f"{score:.4f}"
    return f"  {name:<32} {number}" + (f"  ({remark})" if remark else "")
