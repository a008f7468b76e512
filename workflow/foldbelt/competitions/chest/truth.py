"""The score of a submission on the hidden truth."""

from pathlib import Path
from typing import Any

import pandas as pd

from foldbelt.competitions.chest import CLASSES, form
from foldbelt.files import InputError, PathLike, raise_all
from foldbelt.metrics.boxes import BOX, mean_average_precision

COLUMNS = ("id", "class", *BOX)


def hidden_score(submission: PathLike, truth: PathLike) -> dict[str, Any]:
    """Score a submission as the competition does: mean average precision over all six classes.

    Parameters
    ----------
    submission
        The csv; see `form`. A class that it does not predict counts 0.
    truth
        A csv with a row an object: id (``<study>_study`` or ``<image>_image``), class, x1, y1, x2,
        y2; classes of a study and ``none`` have the box 0 0 1 1.

    Returns
    -------
    dict
        `score`, the mean over the classes present in the truth, None if that is empty; `classes`,
        class → average precision, None for one that the truth does not have.

    Raises
    ------
    InputError
        If a file is not of its form.
    """
    rows, problems = form.read(Path(submission), str(submission))
    raise_all(problems, f"{submission} cannot be scored")
    pred, true = form.frame(rows), _truth(truth)
    classes: dict[str, float | None] = {}
    for name in CLASSES:
        mine = true[true["class"] == name]
        given = pred[pred["class"] == name]
        classes[name] = None if mine.empty else mean_average_precision(mine, given)
    score = None if true.empty else mean_average_precision(true, pred)
    return {"score": score, "classes": classes}


def _truth(path: PathLike) -> pd.DataFrame:
    table = pd.read_csv(path, dtype={"id": str, "class": str})
    lacking = [name for name in COLUMNS if name not in table]
    unknown = [] if lacking else sorted(set(map(str, table["class"])) - set(CLASSES))
    if lacking or unknown:
        wrong = f"lacks the columns {', '.join(lacking)}" if lacking else ""
        wrong = wrong or f"has the classes {', '.join(unknown)}; known are {', '.join(CLASSES)}"
        raise InputError(f"{path}: {wrong}. It must be a csv of {','.join(COLUMNS)}.")
    return table.rename(columns={"id": "image"})
