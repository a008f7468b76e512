"""The submission of the chest competition, and predictions that others submitted.

What it must have is in `form`. The score only ranks, so nothing is cut off: every study has its
four probabilities, every image its ``none`` and all its boxes, however low. Scores are written with
as many digits as tell them apart, so that neither an order nor a tie changes.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.competitions._output_tables import write_boxes, write_labels
from foldbelt.competitions._submitting import Table, refuse_others
from foldbelt.competitions.chest import LABELS, SAMPLE, form
from foldbelt.competitions.chest.predicted import read_predictions
from foldbelt.files import Problem, raise_all
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding

__all__ = ["check_joint", "read_predictions", "write_boxes", "write_joint", "write_labels"]

_HUNDREDTH = 0.01  # of a pixel: as exactly as corners are written
_MOVED = 0.0151  # by rounding, and by what keeps a thin box from closing
_NOTHING = 0.0  # probability of what nobody could look at; ranks below all that was predicted


def write_joint(
    ids: Sequence[str],
    labels: np.ndarray,
    boxes: Boxes | None,
    table: Table,
    root: Path,
    settings: Mapping[str, Any],
) -> str:
    """Write the submission in the form of the sample: its header, its rows, its order.

    Without a sample there is a row for every study and every image, sorted. What `on_problem: drop`
    left out of the data, images and studies of which no image is left, gets zeros if the sample
    lists it. Labels that nobody predicts are written as zeros, too.

    Parameters
    ----------
    ids
        Of the N test images.
    labels
        (N, 5) float32 of the labels `LABELS`; those of a study are the same for its images.
    boxes
        Of these images, in pixels of the original; None where there are none.
    table
        Of the images: `study`, `height` and `width` of the original.
    root
        Where the sample lies.
    settings
        The key `on_problem` of the config's `data`.

    Returns
    -------
    str
        A csv. Of an image the boxes come by falling score, ties in the order given.

    Raises
    ------
    InputError
        If the sample lists other images or studies, or images of a study differ in its classes.
    """
    column, wanted = _wanted(ids, table, root)
    _check_rows(wanted, ids, table, settings)
    rows = _studies(labels, table) | _images(ids, labels, boxes, table)
    texts = [rows[key] if key in rows else _unknown(key) for key in wanted]
    return csv_files.text_of([column, form.TEXT], zip(wanted, texts, strict=True))


def _study(table: Table) -> list[str]:
    """Give the study of every image; without images a table may have no columns."""
    return [str(study) for study in table.get("study", ())]


def _sides(table: Table) -> np.ndarray:
    """Give (width, height) of every image, (N, 2) float64."""
    return np.stack(
        [np.asarray(table.get(side, ()), np.float64) for side in ("width", "height")], 1
    )


def _wanted(ids: Sequence[str], table: Table, root: Path) -> tuple[str, list[str]]:
    """Give the column of ids and the rows, as the sample has them."""
    path = root / SAMPLE
    if not path.is_file():
        return form.IDS[0], form.wanted_rows(ids, _study(table))
    return form.read_ids(path, str(path))


def _check_rows(
    wanted: Sequence[str], ids: Sequence[str], table: Table, settings: Mapping[str, Any]
) -> None:
    given = form.wanted_rows(ids, _study(table))
    drops = settings["on_problem"] == "drop"
    absent = [] if drops else sorted(set(wanted) - set(given))
    problems = [Problem(key, "is in the sample, but not predicted") for key in absent]
    extra = sorted(set(given) - set(wanted))
    problems += [Problem(key, "is predicted, but not in the sample") for key in extra]
    again = [key for key, count in Counter(wanted).items() if count > 1]
    problems += [Problem(key, "is in the sample more than once") for key in again]
    refuse_others(problems, SAMPLE)


def _studies(labels: np.ndarray, table: Table) -> dict[str, str]:
    """Give the text of every study's row."""
    columns = [LABELS.index(name) for name in form.STUDY_LABELS]
    said: dict[str, tuple[str, ...]] = {}
    problems = []
    for study, row in zip(_study(table), labels[:, columns], strict=True):
        scores = tuple(_score(value) for value in row)
        if said.setdefault(study, scores) != scores:
            problems.append(Problem(str(study), "its images differ in the classes of the study"))
    hint = "Join the predictions of a study first (`labels.join`)."
    raise_all(problems, "Not every study has one answer", hint)
    return {
        f"{study}{form.STUDY}": form.joined(
            (name, score, form.WHOLE) for name, score in zip(form.STUDY_LABELS, scores, strict=True)
        )
        for study, scores in said.items()
    }


def _images(
    ids: Sequence[str], labels: np.ndarray, boxes: Boxes | None, table: Table
) -> dict[str, str]:
    """Give the text of every image's row."""
    sides = _sides(table)
    rows = {}
    for number, key in enumerate(ids):
        answers = [(form.NONE, _score(labels[number, LABELS.index(form.NONE)]), form.WHOLE)]
        if boxes is not None:
            part = slice(boxes.start[number], boxes.start[number + 1])
            scores, corners = boxes.scores[part], _within(boxes.xyxy[part], sides[number])
            for place in np.argsort(-scores, kind="stable"):
                box = " ".join(f"{corner:.2f}" for corner in corners[place])
                answers.append((form.OPACITY, _score(scores[place]), box))
        rows[f"{key}{form.IMAGE}"] = form.joined(answers)
    return rows


def _within(xyxy: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Bring boxes (m, 4) into an image of (width, height), at least a hundredth of a pixel wide."""
    limit = sides[[0, 1, 0, 1]]
    inside = np.round(np.clip(xyxy.astype(np.float64), 0, limit), 2)
    first = np.minimum(inside[:, :2], limit[:2] - _HUNDREDTH)
    return np.concatenate([first, np.maximum(inside[:, 2:], first + _HUNDREDTH)], axis=1)


def _score(value: np.floating[Any]) -> str:
    """Write a score with as many digits as tell it from its neighbours; none where unknown."""
    known = value if np.isfinite(value) else type(value)(_NOTHING)
    return np.format_float_positional(known, unique=True, trim="-")


def _unknown(key: str) -> str:
    kinds = form.STUDY_LABELS if key.endswith(form.STUDY) else (form.NONE,)
    return form.joined((kind, f"{_NOTHING:.0f}", form.WHOLE) for kind in kinds)


def check_joint(
    text: str,
    ids: Sequence[str],
    labels: np.ndarray,
    boxes: Boxes | None,
    table: Table,
    root: Path,
    settings: Mapping[str, Any],
) -> list[Finding]:
    """Read a written submission anew, and list what differs from the predictions.

    Every row of the sample must be there once and in order, every class with the very number that
    was predicted, and every box with its score, within its image and where it was predicted to
    within what rounding moves it.

    Parameters
    ----------
    text
        The submission.
    ids, labels, boxes, table, root, settings
        As for `write_joint`.
    """
    column, wanted = _wanted(ids, table, root)
    rows, problems = form.read(io.StringIO(text), "submission")
    findings = [Finding(problem.file, problem.reason) for problem in problems]
    if rows.column != column:
        findings.append(Finding("submission", f"has the column {rows.column}, not {column}"))
    known = {f"{study}{form.STUDY}" for study in _study(table)}
    sides = _sides(table)
    for number, (key, study) in enumerate(zip(ids, _study(table), strict=True)):
        for place, name in enumerate(LABELS):
            row = f"{study}{form.STUDY}" if name in form.STUDY_LABELS else f"{key}{form.IMAGE}"
            findings += _check_score(row, name, rows, labels[number, place])
        row = f"{key}{form.IMAGE}"
        known.add(row)
        given = np.array(rows.answers.get(row, {}).get(form.OPACITY, [])).reshape(-1, 5)
        predicted = np.zeros((0, 6)) if boxes is None else boxes.image(number)
        wrong = _wrong_boxes(given, predicted, sides[number])
        findings += [Finding(row, reason) for reason in wrong]
    for row in (row for row in rows.ids if row not in known):
        answers = [a for given in rows.answers.get(row, {}).values() for a in given]
        if any(answer[0] for answer in answers):
            findings.append(Finding(row, "is answered, but was not predicted"))
    return sorted(set(findings)) + csv_files.check_keys(rows.ids, wanted)


def _check_score(row: str, name: str, rows: form.Rows, value: np.floating[Any]) -> list[Finding]:
    written = form.only(rows.answers.get(row, {}), name)
    expected = value if np.isfinite(value) else type(value)(_NOTHING)
    if type(expected)(written) == expected:
        return []
    return [Finding(row, f"has {written} for {name}, not {expected}")]


def _wrong_boxes(given: np.ndarray, predicted: np.ndarray, sides: np.ndarray) -> list[str]:
    """Say how the boxes of a row (m, 5: score and corners) differ from those predicted (m, 6)."""
    if len(given) != len(predicted):
        return [f"has {len(given)} boxes, not {len(predicted)}"]
    ranked = predicted[np.argsort(-predicted[:, 5], kind="stable")]
    limit = sides[[0, 1, 0, 1]]
    reasons = []
    if (given[:, 0].astype(np.float32) != ranked[:, 5]).any():
        reasons.append("has other scores than were predicted, or in another order")
    if (given[:, 1:] < 0).any() or (given[:, 1:] > limit).any():
        reasons.append("has boxes that leave the image")
    if (given[:, 3:] <= given[:, 1:3]).any():
        reasons.append("has boxes without an inside")
    if (abs(given[:, 1:] - np.clip(ranked[:, 1:5], 0, limit)) > _MOVED).any():
        reasons.append("has boxes elsewhere than was predicted")
    return reasons
