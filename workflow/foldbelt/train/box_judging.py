"""How well a detector ranks its boxes, on the validation images."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from foldbelt.boxes import Boxes
from foldbelt.metrics.ranked import Ranking
from foldbelt.models._decoding import decode
from foldbelt.train.box_targets import known
from foldbelt.train.data import ImageSet


class BoxJudge:
    """Gather boxes at network size, and score how well they are ranked over all images together."""

    def __init__(self, valid: ImageSet, metric: str) -> None:
        self.size, self.classes = valid.resizer.size, 1
        self.truth: list[np.ndarray] = []
        self.given: list[np.ndarray] = []

    def add(self, rows: np.ndarray, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> None:
        """Take the boxes predicted for some rows of the validation images."""
        self.classes = outputs["box"]["logits"].shape[2]
        decoded = decode(outputs["box"], self.size)
        for target, boxes in zip(batch["box"].numpy(), decoded, strict=True):
            if known(target):
                true = target[target[:, 0] >= 0]
                self.truth.append(np.concatenate([true, np.ones((len(true), 1))], axis=1))
                self.given.append(boxes)

    def score(self) -> float:
        """Give the mean average precision over the classes; 0 where no image has a box."""
        truth, given = Boxes.join(self.truth), Boxes.join(self.given)
        score = Ranking.match(truth, given, self.classes).score()
        return 0.0 if math.isnan(score) else score

    def constant(self) -> float:
        """Score it as if no box had been found."""
        return 0.0
