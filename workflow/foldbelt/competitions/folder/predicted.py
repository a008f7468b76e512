"""Predictions in the tables that a folder's submission consists of: labels.csv or boxes.csv."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foldbelt.boxes import XYXY, Boxes
from foldbelt.files import InputError, PathLike, Problem, raise_all
from foldbelt.formats import csv_files

if TYPE_CHECKING:
    import pandas as pd

_BOX_COLUMNS = ["class", *XYXY, "score"]


def read_predictions(
    path: PathLike,
    ids: Sequence[str],
    table: "pd.DataFrame",
    label_names: Sequence[str],
    box_names: Sequence[str],
) -> tuple[np.ndarray | None, Boxes | None]:
    """Read a table as `write_labels` or `write_boxes` writes it; its columns say which it is.

    Rows of other images are passed over: data may lack what `on_problem: drop` left out.

    Parameters
    ----------
    path
        The csv: id and a column a label, empty where nothing is said; or id, class, x1, y1, x2, y2,
        score, with a row of nothing but the id for an image without boxes.
    ids
        Of the N images that are asked for.
    table
        Not looked at: every row is of one image, in pixels of its own.
    label_names, box_names
        The labels and classes of boxes that the data know.

    Returns
    -------
    labels : (N, L) float32 or None
        NaN where the file does not say; None if it is one of boxes.
    boxes : Boxes or None
        By falling score; None if the file is one of labels.

    Raises
    ------
    InputError
        If the table is neither, or rows cannot be used; all offenders are listed.
    """
    given, findings = csv_files.read_table(Path(path).parent, Path(path).name, ["id"])
    if given is None:
        raise InputError(f"{path} {findings[0].reason}.")
    boxed = all(column in given for column in _BOX_COLUMNS)
    known = [name for name in label_names if name in given]
    if not boxed and not known:
        raise InputError(
            f"{path}: has the columns {', '.join(map(str, given))}; a table of labels has id and "
            f"some of {', '.join(label_names) or 'the labels'}, one of boxes id, "
            f"{', '.join(_BOX_COLUMNS)}."
        )
    present = set(given["id"])
    problems = [Problem(f"{path}, id {key}", "is missing") for key in ids if key not in present]
    if boxed:
        boxes, wrong = _boxes(given, ids, box_names)
    else:
        labels, wrong = _labels(given, ids, label_names)
    problems += [Problem(f"{path}, id {key}", reason) for key, reason in wrong]
    raise_all(problems, f"{path} cannot be used")
    return (None, boxes) if boxed else (labels, None)


_Wrong = list[tuple[str, str]]  # id, reason


def _labels(
    given: "pd.DataFrame", ids: Sequence[str], names: Sequence[str]
) -> tuple[np.ndarray, _Wrong]:
    wrong = [
        (key, f"comes {count} times; keep one")
        for key, count in Counter(given["id"]).items()
        if count > 1
    ]
    rows = given.drop_duplicates("id").set_index("id").reindex(list(ids), fill_value="")
    labels = np.full((len(ids), len(names)), np.nan, np.float32)
    for column, name in enumerate(names):
        if name not in rows:
            continue
        texts = rows[name].str.strip().tolist()
        labels[:, column] = [_number(text) for text in texts]
        wrong += [
            (key, f"has {text!r} for {name}, which is no number within 0 and 1")
            for key, text, number in zip(ids, texts, labels[:, column].tolist(), strict=True)
            if text and not 0 <= number <= 1
        ]
    return labels, wrong


def _boxes(given: "pd.DataFrame", ids: Sequence[str], names: Sequence[str]) -> tuple[Boxes, _Wrong]:
    wanted: dict[str, list[list[float]]] = {key: [] for key in ids}
    wrong = []
    for row in given.to_dict("records"):
        key, kind, texts = row["id"], row["class"], [row[column] for column in _BOX_COLUMNS[1:]]
        if key not in wanted or not any([kind, *texts]):
            continue
        numbers = [_number(text) for text in texts]
        x1, y1, x2, y2, score = numbers
        if kind not in names:
            wrong.append((key, f"has the class {kind!r}; known are {', '.join(names)}"))
        elif not all(map(math.isfinite, numbers)) or x2 < x1 or y2 < y1 or not 0 <= score <= 1:
            wrong.append((key, f"has {','.join(texts)}, which is no box with a score in 0 to 1"))
        else:
            wanted[key].append([float(list(names).index(kind)), *numbers])
    images = [np.array(boxes, np.float64).reshape(-1, 6) for boxes in wanted.values()]
    return Boxes.join(image[np.argsort(-image[:, 5], kind="stable")] for image in images), wrong


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
