"""Remove small connected components: a false speck costs more than it can bring."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt.decide.steps import Step, Tile
from foldbelt.files import InputError
from foldbelt.search.components import without_small

NEEDS: tuple[str, ...] = ()


def build(min_area: Sequence[int] = (10, 20, 40, 80, 160)) -> Step:
    """Make the step.

    Parameters
    ----------
    min_area
        Components of fewer pixels are removed: the values to try.

    Raises
    ------
    InputError
        If they are no list of positive integers.
    """
    return Components(sizes(min_area, "components.min_area"))


def sizes(values: Sequence[int], key: str) -> list[int]:
    """Check and sort numbers of pixels."""
    wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, int) or v < 1]
    if wrong or not values:
        raise InputError(f"decision.steps.{key}: takes a list of pixel counts, not {list(values)}.")
    return sorted(values)


class Components:
    """See :func:`build`; pixels that touch by a corner are connected."""

    needs: frozenset[str] = frozenset(NEEDS)

    def __init__(self, min_area: Sequence[int]) -> None:
        self.min_area = min_area

    def candidates(self) -> list[dict[str, Any]]:
        """The smallest first."""
        return [{"min_area": value} for value in self.min_area]

    def __call__(self, tile: Tile, params: Mapping[str, Any]) -> np.ndarray:
        """Give the mask (h, w, K) without its small components."""
        planes = np.moveaxis(tile.mask, 2, 0)
        return np.stack([without_small(plane, params["min_area"]) for plane in planes], axis=2)
