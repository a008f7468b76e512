"""What is written of all images together: tables, and the competition's own submission."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import competitions, registry, submit
from foldbelt.bundle.answers import Final
from foldbelt.bundle.manifest import decision_entry
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.places import BOXES_TABLE, LABELS_TABLE, LISTED
from foldbelt.bundle.records import Record
from foldbelt.competitions import Item, Prediction
from foldbelt.competitions.folder.sample import COLUMNS
from foldbelt.files import InputError, PathLike, Problem, atomic, raise_all, write_text
from foldbelt.rle import decode

DECISION_COLUMN = "decision"

_JOINED = ";"


def write_masks(records: Iterable[Record], classes: Sequence[str], out: Path) -> None:
    """Write the run lengths of all masks, in the form of a plain folder's submission."""
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for record in records:
            for name, runs in zip(classes, record.runs, strict=True):
                rows.writerow([record.id, name, *record.size, runs])


def write_tables(final: Final, pipeline: Pipeline, target: Path) -> None:
    """Write labels and boxes as the workflow writes its tables of them.

    Where the run decides which labels an image has, a last column says so: their names, with
    semicolons between them.
    """
    tables = {"labels": LABELS_TABLE, "boxes": BOXES_TABLE}
    competition = pipeline.bundle.manifest.competition
    for output, path in final.files.items():
        with atomic(target / tables[output]) as temporary:
            submit.write_table(output, competition, final.data, path, temporary)
            has = decided_names(pipeline, final) if output == "labels" else None
            if has is not None:
                words = [_JOINED.join(names) for names in has]
                _add_column(temporary, DECISION_COLUMN, dict(zip(final.ids, words, strict=True)))


def decided_names(pipeline: Pipeline, final: Final) -> list[list[str]] | None:
    """Give the names of the labels that each image has; None where the run does not decide so."""
    labels = final.labels()
    if labels is None:
        return None
    from foldbelt.bundle.finishing import decided  # which masks alone do not need

    decision = pipeline.bundle.decisions[decision_entry("labels")]
    has = decided(labels, decision, pipeline.labels)
    return None if has is None else [np.array(pipeline.labels)[row].tolist() for row in has]


def _add_column(path: Path, name: str, words: dict[str, str]) -> None:
    """Add a column to a table, by the first one."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*head, name])
    lines.writerows([*row, words[row[0]]] for row in rows)
    write_text(path, text.getvalue())


def check_sample(pipeline: Pipeline, sample: PathLike) -> None:
    """Refuse a sample that is not there, or where the run has no submission.

    A run may do without one, and writes all its images then; who names one wants its rows.

    Raises
    ------
    InputError
        If the folder holds no sample submission; or if the run decides neither on masks nor, for a
        competition that asks for it, on labels and boxes together.
    """
    if not pipeline.classes and not _is_joint(pipeline):
        tables = ", ".join(pipeline.bundle.manifest.outputs)
        raise InputError(
            f"{pipeline.bundle.path}: the run has no submission in the form of a sample; what it "
            f"predicts ({tables}) is in tables of their own. Leave out --sample."
        )
    competition = pipeline.bundle.manifest.competition
    name = registry.constant(registry.competition(competition), "SAMPLE")
    if not Path(sample).is_dir():
        what = "is a file" if Path(sample).is_file() else "there is no such folder"
        raise InputError(f"{sample}: {what}. --sample takes the folder in which {name} lies.")
    if name is not None and not (Path(sample) / name).is_file():
        raise InputError(
            f"{sample}: there is no {name} in it. --sample takes the folder in which the "
            "competition's sample submission lies; without --sample, tables of all images are "
            "written."
        )


def check_rows(
    pipeline: Pipeline, sample: PathLike, items: Sequence[Item], incomplete: bool
) -> None:
    """Refuse a sample of other images than those that are given, before any is predicted.

    The submission is written as if nothing were found on the images.

    Parameters
    ----------
    pipeline, sample, incomplete
        As for `write_submission`.
    items
        The images.

    Raises
    ------
    InputError
        Naming the rows.
    """
    writer = competitions.writer(pipeline.bundle.manifest.competition)
    what = Path(sample), _settings(pipeline, incomplete)
    if _is_joint(pipeline):
        ids = [item.id for item in items]
        known = (*pipeline.levels, "height", "width")
        table = {column: [item.columns[column] for item in items] for column in known}
        writer.write_joint(ids, np.zeros((len(ids), len(pipeline.labels))), None, table, *what)
        return
    nothing = np.zeros((1, 1, len(pipeline.classes)), np.uint8)
    empty = [Prediction(item.id, nothing) for item in items]
    classes = list(pipeline.classes)
    text = writer.write_submission(empty, *what, classes)
    findings = writer.check_submission(text, empty, *what, classes)
    problems = [Problem(f.file, f.reason) for f in findings]
    raise_all(problems, f"The sample submission in {sample} cannot be answered", "", LISTED)


def _settings(pipeline: Pipeline, incomplete: bool) -> dict[str, Any]:
    """Say what becomes of rows of a sample for which there is no image."""
    return {"on_problem": "drop" if incomplete else pipeline.settings["on_problem"]}


def _is_joint(pipeline: Pipeline) -> bool:
    """Tell whether labels and boxes are submitted together, as the workflow would."""
    manifest = pipeline.bundle.manifest
    return manifest.joint and not pipeline.classes and registry.writes_joint(manifest.competition)


def write_submission(
    pipeline: Pipeline,
    final: Final,
    records: Callable[[], Iterable[Record]],
    sample: PathLike,
    incomplete: bool,
    out: Path,
) -> None:
    """Write the competition's own submission, read it back and check it.

    Parameters
    ----------
    pipeline
        Whose competition.
    final
        Labels and boxes of all images.
    records
        Gives their masks, each time it is called.
    sample
        A folder with the sample submission.
    incomplete
        Whether images could not be read: they then get empty masks, or zeros.
    out
        The file.
    """
    competition = pipeline.bundle.manifest.competition
    settings = _settings(pipeline, incomplete)
    if _is_joint(pipeline):
        if final.files:  # else no image could be read, which is told
            blend = final.files["labels"]
            submit.write_joint(competition, sample, settings, final.data, blend, out)
        return

    def masks() -> Iterator[Prediction]:
        for record in records():
            planes = [decode(runs, record.size) for runs in record.runs]
            yield Prediction(record.id, np.stack(planes, axis=2))

    submit.write_masks(competition, sample, settings, pipeline.classes, masks, out)
