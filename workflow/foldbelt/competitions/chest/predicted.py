"""Predictions that somebody submitted: external members of the ensemble."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.competitions.chest import form
from foldbelt.files import PathLike, Problem, raise_all

if TYPE_CHECKING:
    import pandas as pd


def read_predictions(
    path: PathLike,
    ids: Sequence[str],
    table: "pd.DataFrame",
    label_names: Sequence[str],
    box_names: Sequence[str],
) -> tuple[np.ndarray | None, Boxes | None]:
    """Read a submission, of test images or, made out of fold, of training images.

    Rows of a study are spread over its images. Rows of other images and studies are passed over:
    data may lack what `on_problem: drop` left out. Boxes are brought into their image.

    Parameters
    ----------
    path
        The csv; see `form`.
    ids
        Of the N images that are asked for.
    table
        With a row an image: `study`; `height` and `width` of the original where boxes are read.
    label_names, box_names
        The labels and classes of boxes that the data know.

    Returns
    -------
    labels : (N, L) float32 or None
        NaN where the file does not say; None if it says nothing of any label.
    boxes : Boxes or None
        By falling score; None if the file has no box.

    Raises
    ------
    InputError
        If rows cannot be understood, or the file has rows of studies or of images, and lacks some
        of those asked for; all offenders are listed.
    """
    rows, problems = form.read(Path(path), str(path))
    studies = [str(study) for study in table["study"]]
    labels = np.full((len(ids), len(label_names)), np.nan, np.float32)
    keys = {form.STUDY: studies, form.IMAGE: [str(key) for key in ids]}
    for ending, names in keys.items():
        wanted = [f"{name}{ending}" for name in names]
        if not any(row.endswith(ending) for row in rows.ids):
            continue
        lacking = dict.fromkeys(row for row in wanted if row not in rows.answers)
        problems += [Problem(f"{path}, row {row}", "is missing") for row in lacking]
        mine = form.STUDY_LABELS if ending == form.STUDY else (form.NONE,)
        for column, label in enumerate(label_names):
            if label in mine:
                labels[:, column] = [form.only(rows.answers.get(r, {}), label) for r in wanted]
    hint = "A submission has a row for every image and study asked for, or for none of a kind."
    raise_all(problems, f"{path} cannot be used", hint)
    boxes = _boxes(rows, ids, table, box_names) if form.OPACITY in box_names else None
    return (labels if np.isfinite(labels).any() else None), boxes


def _boxes(
    rows: form.Rows, ids: Sequence[str], table: "pd.DataFrame", box_names: Sequence[str]
) -> Boxes | None:
    kind, images = list(box_names).index(form.OPACITY), []
    if not any(form.OPACITY in answers for answers in rows.answers.values()):
        return None
    sides = table[["width", "height"]].to_numpy(np.float64)
    for key, side in zip(ids, sides, strict=True):
        given = rows.answers.get(f"{key}{form.IMAGE}", {}).get(form.OPACITY, [])
        made = np.array(given, np.float64).reshape(-1, 5)
        made = made[np.argsort(-made[:, 0], kind="stable")]
        corners = np.clip(made[:, 1:], 0, side[[0, 1, 0, 1]])
        there = (corners[:, 2:] > corners[:, :2]).all(axis=1)  # what is left within the image
        first = np.full((len(made), 1), float(kind))
        images.append(np.concatenate([first, corners, made[:, :1]], axis=1)[there])
    return Boxes.join(images)
