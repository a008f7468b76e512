"""What a competition's writer gets."""

from dataclasses import dataclass

import numpy as np


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
