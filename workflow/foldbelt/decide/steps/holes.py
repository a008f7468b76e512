"""Fill small holes: what is labelled by hand has few."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from foldbelt.decide.steps import Step, Tile
from foldbelt.decide.steps.components import sizes

NEEDS: tuple[str, ...] = ()


def build(max_area: Sequence[int] = (20, 80, 320)) -> Step:
    """Make the step.

    Parameters
    ----------
    max_area
        Holes of at most so many pixels are filled: the values to try.

    Raises
    ------
    InputError
        If they are no list of positive integers.
    """
    return Holes(sizes(max_area, "holes.max_area"))


class Holes:
    """See :func:`build`. A hole is connected by its sides and does not touch the border."""

    needs: frozenset[str] = frozenset(NEEDS)

    def __init__(self, max_area: Sequence[int]) -> None:
        self.max_area = max_area

    def candidates(self) -> list[dict[str, Any]]:
        """The smallest first."""
        return [{"max_area": value} for value in self.max_area]

    def __call__(self, tile: Tile, params: Mapping[str, Any]) -> np.ndarray:
        """Give the mask (h, w, K) with its small holes filled."""
        mask = tile.mask.copy()
        height, width = mask.shape[:2]
        for k in range(mask.shape[2]):
            off = np.ascontiguousarray(~tile.mask[..., k], np.uint8)
            _, labels, stats, _ = cv2.connectedComponentsWithStats(off, connectivity=4)
            left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
            inside = (left > 0) & (top > 0)
            inside &= left + stats[:, cv2.CC_STAT_WIDTH] < width
            inside &= top + stats[:, cv2.CC_STAT_HEIGHT] < height
            small = inside & (stats[:, cv2.CC_STAT_AREA] <= params["max_area"])
            small[0] = False
            mask[..., k] |= small[labels]
        return mask
