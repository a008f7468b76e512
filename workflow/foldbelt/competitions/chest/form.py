"""The form of a submission: a row a study with its four classes, a row an image with its boxes.

A row's id is ``<study>_study`` or ``<image>_image``. Its ``PredictionString`` is a list of answers,
six words each: class, score, x1, y1, x2, y2. Classes of a study, and ``none`` of an image, have the
box ``0 0 1 1``; boxes of class ``opacity`` are in pixels of the original image. The id's column is
``id`` in the files and ``Id`` in the competition's description; both are read.
"""

import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from foldbelt.competitions.chest.spelling import IDS as IDS
from foldbelt.competitions.chest.spelling import IMAGE as IMAGE
from foldbelt.competitions.chest.spelling import NONE as NONE
from foldbelt.competitions.chest.spelling import OPACITY as OPACITY
from foldbelt.competitions.chest.spelling import STUDY as STUDY
from foldbelt.files import InputError, Problem
from foldbelt.formats import csv_files

if TYPE_CHECKING:
    import pandas as pd

STUDY_LABELS = ("negative", "typical", "indeterminate", "atypical")
TEXT = "PredictionString"
WHOLE = "0 0 1 1"  # the box of a class that is of the whole study or image
_WORDS = 6

Answer = tuple[float, float, float, float, float]
"""Score, x1, y1, x2, y2."""


@dataclass(frozen=True)
class Rows:
    """The rows of a table in this form.

    Attributes
    ----------
    ids
        Of the rows, in order, with repeats if there are any.
    answers
        Row's id → class → its answers, in the row's order; of rows with the same id the last.
    column
        How the column of ids is called.
    """

    ids: list[str]
    answers: dict[str, dict[str, list[Answer]]] = field(default_factory=dict)
    column: str = IDS[0]


def read(source: Path | io.StringIO, name: str) -> tuple[Rows, list[Problem]]:
    """Read a table of this form.

    Parameters
    ----------
    source
        The file, or its text.
    name
        What it is called in messages.

    Returns
    -------
    Rows
        Without the answers of rows that cannot be understood.
    list of Problem
        Every row that is wrong: words that do not come in sixes, numbers that are none, classes
        that the row may not have or that come twice, scores outside 0 to 1, boxes inside out, ids
        that come twice or have neither ending.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    table, column = _table(source, name)
    rows = Rows([text.strip() for text in table[column]], {}, column)
    problems = []
    seen: set[str] = set()
    for key, text in zip(rows.ids, table[TEXT], strict=True):
        place = f"{name}, row {key}"
        if key in seen:
            problems.append(Problem(place, "comes more than once; keep one"))
        seen.add(key)
        if not key.endswith((STUDY, IMAGE)):
            problems.append(Problem(place, f"ends neither in {STUDY} nor in {IMAGE}"))
            continue
        answers, wrong = _answers(text, key.endswith(STUDY))
        rows.answers[key] = answers
        problems += [Problem(place, reason) for reason in wrong]
    return rows, problems


def read_ids(source: Path, name: str) -> tuple[str, list[str]]:
    """Give the id's column and the rows of a sample submission; its answers are not looked at.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    table, column = _table(source, name)
    return column, [text.strip() for text in table[column]]


def _table(source: Path | io.StringIO, name: str) -> tuple[csv_files.Columns, str]:
    wanted = f"it must be a csv of the columns {IDS[0]} (or {IDS[1]}) and {TEXT}"
    if isinstance(source, Path) and not source.is_file():
        raise InputError(f"{name}: is missing; {wanted}.")
    try:
        table = csv_files.read_columns(source)
    except ValueError as error:
        raise InputError(f"{name}: cannot be read ({error}); {wanted}.") from None
    columns = [column for column in IDS if column in table]
    if len(columns) != 1 or TEXT not in table:
        raise InputError(f"{name}: has the columns {', '.join(table)}; {wanted}.")
    return table, columns[0]


def _answers(text: str, study: bool) -> tuple[dict[str, list[Answer]], list[str]]:
    """Give class → answers of one row, and what is wrong with it."""
    words = text.split()
    answers: dict[str, list[Answer]] = {}
    if len(words) % _WORDS:
        return {}, [f"has {len(words)} words, which is no multiple of {_WORDS}: class score box"]
    allowed = STUDY_LABELS if study else (NONE, OPACITY)
    wrong = []
    for start in range(0, len(words), _WORDS):
        kind, *texts = words[start : start + _WORDS]
        numbers = [_number(word) for word in texts]
        if kind not in allowed:
            wrong.append(f"has the class {kind!r}; it may have {', '.join(allowed)}")
        elif kind != OPACITY and kind in answers:
            wrong.append(f"has the class {kind} twice")
        elif not all(map(math.isfinite, numbers)):
            wrong.append(f"has '{' '.join([kind, *texts])}', where numbers are wanted")
        elif not 0 <= numbers[0] <= 1:
            wrong.append(f"has the score {texts[0]} of {kind}, which is not within 0 and 1")
        elif numbers[3] < numbers[1] or numbers[4] < numbers[2]:
            wrong.append(f"has a box inside out: {' '.join(texts[1:])}")
        else:
            score, x1, y1, x2, y2 = numbers
            answers.setdefault(kind, []).append((score, x1, y1, x2, y2))
    return answers, wrong


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def wanted_rows(ids: Sequence[str], studies: Sequence[str]) -> list[str]:
    """Give the rows of these images and of their studies: studies first, each sorted."""
    return [
        *(f"{study}{STUDY}" for study in sorted(set(studies))),
        *(f"{image}{IMAGE}" for image in sorted(ids)),
    ]


def frame(rows: Rows) -> "pd.DataFrame":
    """Give the answers as a table that the metric takes: image, class, x1, y1, x2, y2, score."""
    import pandas as pd

    lines = [
        (key, kind, *answer[1:], answer[0])
        for key, answers in rows.answers.items()
        for kind, given in answers.items()
        for answer in given
    ]
    return pd.DataFrame(lines, columns=["image", "class", "x1", "y1", "x2", "y2", "score"])


def joined(answers: Iterable[tuple[str, str, str]]) -> str:
    """Write the answers (class, score, box), all of them words, of a row."""
    return " ".join(" ".join(answer) for answer in answers)


def only(answers: Mapping[str, Collection[Answer]], kind: str) -> float:
    """Give the score of a class that a row has at most once; NaN where it says nothing of it."""
    return next((answer[0] for answer in answers.get(kind, ())), math.nan)
