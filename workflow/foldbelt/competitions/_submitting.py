"""What a competition's writer is given."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """What is predicted for one test image: its mask (h, w, K) u8 at original size, and labels."""

    id: str
    mask: np.ndarray
    label_prob: np.ndarray | None = None
