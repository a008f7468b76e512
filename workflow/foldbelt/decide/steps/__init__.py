"""Post-processing steps of masks; a module each, found by its name in the config.

A module has ``build(**options)``, whose keywords are the option names of the config: lists of the
values to search. What it builds is a :class:`Step`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

#: Where a neighbour may lie.
SIDES = ("above", "below", "left", "right")


@dataclass(frozen=True)
class Tile:
    """All that a step may look at of one image; never its own truth.

    Parameters
    ----------
    id
        Of the image.
    prob
        (h, w, K) uint8 probabilities (value/255) at original size.
    mask
        (h, w, K) bool, as the base decision and the steps before left it.
    threshold
        (K,) float, what the base decision cut the probabilities at.
    image
        (h, w) or (h, w, 3) uint8 at original size, where the step needs "image".
    neighbours
        Side → (h, w, K) bool, the *true* mask of the training image that lies there in the same
        mosaic, where the step needs "neighbours" and there is one.
    """

    id: str
    prob: np.ndarray
    mask: np.ndarray
    threshold: np.ndarray
    image: np.ndarray | None = None
    neighbours: Mapping[str, np.ndarray] = field(default_factory=dict)


class Step(Protocol):
    """One way to post-process a mask, with a grid of parameters.

    Attributes
    ----------
    needs : frozenset of str
        Which of "image" and "neighbours" it looks at.
    """

    needs: frozenset[str]

    def candidates(self) -> list[dict[str, Any]]:
        """Give the parameters to try, mildest first; JSON can hold them."""

    def __call__(self, tile: Tile, params: Mapping[str, Any]) -> np.ndarray:
        """Give the new mask, (h, w, K) bool; `tile` is left as it is."""
