"""What is predicted of one image, and of all of them together.

Nothing heavy is imported here: who predicts masks alone needs neither pandas nor what decides on
labels and boxes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from foldbelt import store
from foldbelt.store import Memory

if TYPE_CHECKING:
    from foldbelt.boxes import Boxes


@dataclass(frozen=True)
class Answer:
    """What is predicted of one image.

    Attributes
    ----------
    id
        Its name.
    size
        (height, width) of the original.
    units
        Level → the unit to which the image belongs, where labels are of units.
    mask
        (h, w, K) u8 of 0 and 1; None where the run does not decide on masks.
    labels
        (L,) float32, not yet joined with those of the unit; NaN where nobody predicts; or None.
    boxes
        (m, 6) float32, columns as in `foldbelt.boxes.NUMBERS`; or None.
    """

    id: str
    size: tuple[int, int]
    units: Mapping[str, str] = field(default_factory=dict)
    mask: np.ndarray | None = None
    labels: np.ndarray | None = None
    boxes: np.ndarray | None = None


@dataclass(frozen=True)
class Final:
    """Labels and boxes of all images, in stores of the workflow's form; of none, no stores.

    Attributes
    ----------
    ids
        Of the images, in order.
    data
        A file with what is known of the images.
    files
        Output → the file of it: "labels", "boxes", where the run has them, as they are decided
        together, where they are.
    """

    ids: list[str]
    data: Memory
    files: Mapping[str, Memory]

    def labels(self) -> np.ndarray | None:
        """Give the probabilities, (N, L) float32."""
        return store.read(self.files["labels"], "labels") if "labels" in self.files else None

    def boxes(self) -> "Boxes | None":
        """Give the boxes of the N images."""
        from foldbelt.boxes import Boxes

        if "boxes" not in self.files:
            return None
        return Boxes.from_bytes(store.read(self.files["boxes"], "boxes"))
