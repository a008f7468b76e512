"""The tables of the chest competition, in the form in which it has them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CLASSES = ("negative", "typical", "indeterminate", "atypical")
"""The classes of a study, in the order of the columns."""

STUDY_COLUMNS = (
    "Negative for Pneumonia",
    "Typical Appearance",
    "Indeterminate Appearance",
    "Atypical Appearance",
)
"""The columns of the study table, one a class."""

NOTHING = "none 1 0 0 1 1"
"""What the image table says of an image without boxes, whether there is something in it or not."""

DIGITS = 5
"""After the point, of coordinates."""


class Row(NamedTuple):
    """One image: its ids, and its boxes (n, 4) in pixels as x1, y1, x2, y2."""

    image: str
    study: str
    boxes: NDArray[np.float64]


def image_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Give `train_image_level.csv`: boxes as a Python literal, and the same as a prediction."""
    columns = ["id", "boxes", "label", "StudyInstanceUID"]
    listed = [
        (f"{row.image}_image", _literal(row.boxes), _label(row.boxes), row.study) for row in rows
    ]
    return pd.DataFrame(sorted(listed), columns=columns)


def study_table(studies: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """Give `train_study_level.csv` of (study, number of the class): a column of 0 and 1 a class."""
    rows = [
        (f"{study}_study", *[int(kind == number) for number in range(len(CLASSES))])
        for study, kind in sorted(studies)
    ]
    return pd.DataFrame(rows, columns=["id", *STUDY_COLUMNS])


def sample_table(studies: Iterable[str], images: Iterable[str]) -> pd.DataFrame:
    """Give `sample_submission.csv`: all studies, and then all images."""
    rows = [(f"{study}_study", "negative 1 0 0 1 1") for study in sorted(studies)]
    rows += [(f"{image}_image", NOTHING) for image in sorted(images)]
    return pd.DataFrame(rows, columns=["id", "PredictionString"])


def _literal(boxes: NDArray[np.float64]) -> str:
    if not len(boxes):
        return ""
    dicts = [
        {"x": x1, "y": y1, "width": _rounded(x2 - x1), "height": _rounded(y2 - y1)}
        for x1, y1, x2, y2 in (map(_rounded, box) for box in boxes)
    ]
    return str(dicts)


def _label(boxes: NDArray[np.float64]) -> str:
    if not len(boxes):
        return NOTHING
    return " ".join("opacity 1 " + " ".join(str(_rounded(v)) for v in box) for box in boxes)


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
