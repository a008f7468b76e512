"""Boxes of images: how many there are differs from image to image, so they lie one after the other.

A box is (class, x1, y1, x2, y2, score), in pixels of the image at its original size; x2 and y2 are
where it ends, so that its width is x2 - x1. True boxes have the score 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

XYXY = ["x1", "y1", "x2", "y2"]
NUMBERS = ["class", *XYXY, "score"]
"""What a box consists of, in the order in which it is stored."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of N images.

    Attributes
    ----------
    start
        (N + 1,) int64: those of image n are the rows ``start[n]:start[n + 1]``.
    xyxy
        (M, 4) float32: x1, y1, x2, y2.
    classes
        (M,) int64, numbers of classes, from 0.
    scores
        (M,) float32.
    """

    start: np.ndarray
    xyxy: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    @classmethod
    def join(cls, images: Iterable[np.ndarray]) -> "Boxes":
        """Join boxes (m, 6) of one image after the other, columns as in `NUMBERS`.

        Examples
        --------
        >>> boxes = Boxes.join([np.array([[1, 0, 0, 4, 5, 0.5]]), np.zeros((0, 6))])
        >>> len(boxes), boxes.start.tolist(), boxes.classes.tolist()
        (2, [0, 1, 1], [1])
        """
        rows = [np.asarray(image, np.float32).reshape(-1, len(NUMBERS)) for image in images]
        start = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        whole = np.concatenate([np.zeros((0, len(NUMBERS)), np.float32), *rows])
        return cls(start, whole[:, 1:5].copy(), whole[:, 0].astype(np.int64), whole[:, 5].copy())

    @classmethod
    def empty(cls, images: int) -> "Boxes":
        """Give so many images without any box."""
        return cls.join([np.zeros((0, len(NUMBERS)))] * images)

    @classmethod
    def from_bytes(cls, rows: Iterable[Any]) -> "Boxes":
        """Undo `to_bytes`."""
        return cls.join(np.frombuffer(bytes(row), np.float32) for row in rows)

    def to_bytes(self) -> list[np.ndarray]:
        """Give one (24 m,) uint8 array an image, as a store keeps it; float32, little-endian."""
        return [np.frombuffer(self.image(n).tobytes(), np.uint8) for n in range(len(self))]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.start) - 1

    def image(self, number: int) -> np.ndarray:
        """Give the boxes (m, 6) of one image, columns as in `NUMBERS`; float32."""
        part = slice(self.start[number], self.start[number + 1])
        columns = (self.classes[part, None], self.xyxy[part], self.scores[part, None])
        return np.concatenate(columns, axis=1).astype(np.float32)

    def of(self) -> np.ndarray:
        """Number of the image to which each box belongs, (M,) int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def take(self, images: np.ndarray | Sequence[int]) -> "Boxes":
        """Give some images, in this order, repeats allowed."""
        images = np.asarray(images, np.int64)
        first, counts = self.start[images], np.diff(self.start)[images]
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(start[-1]) + np.repeat(first - start[:-1], counts)
        return Boxes(start, self.xyxy[rows], self.classes[rows], self.scores[rows])

    def keep(self, rows: np.ndarray) -> "Boxes":
        """Keep some boxes (M,) bool of the same images."""
        kept = np.bincount(self.of()[rows], minlength=len(self))
        start = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        return Boxes(start, self.xyxy[rows], self.classes[rows], self.scores[rows])

    def first(self, most: int) -> "Boxes":
        """Keep so many boxes of each image, the first ones."""
        return self.keep(np.arange(len(self.scores)) - self.start[self.of()] < most)

    def frame(self, ids: Sequence[str], names: Sequence[str]) -> "pd.DataFrame":
        """Give a table image, class, x1, y1, x2, y2, score, a row a box."""
        import pandas as pd

        table = pd.DataFrame({"image": np.asarray(ids, object)[self.of()]})
        table["class"] = np.asarray(names, object)[self.classes]
        for number, name in enumerate(XYXY):
            table[name] = self.xyxy[:, number]
        return table.assign(score=self.scores)
