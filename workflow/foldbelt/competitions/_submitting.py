"""What a competition's writer gets, and how it refuses what does not fit a sample submission."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.files import Problem, raise_all

_LISTED = 20
_CURE = (
    "Predict exactly the images that the sample lists: in a run, redo ingest and predictions from "
    "the files that it belongs to; with a bundle, give the folder of these images."
)


Table = Mapping[str, Sequence[Any] | np.ndarray]
"""What is known of images: column → a value an image."""


@dataclass(frozen=True)
class Prediction:
    """What is predicted for one test image.

    Parameters
    ----------
    id
        The image's name.
    mask
        (h, w, K) u8 of 0 and 1, at original size.
    label_prob
        (L,) f32, probabilities of the labels; None where no model predicts labels.
    """

    id: str
    mask: np.ndarray
    label_prob: np.ndarray | None = None


def refuse_others(problems: Sequence[Problem], sample: str) -> None:
    """Raise InputError if rows are missing or too many, with the first of them.

    Parameters
    ----------
    problems
        A row each.
    sample
        Name of the sample submission.
    """
    raise_all(problems, f"The predictions do not match {sample}", _CURE, _LISTED)
