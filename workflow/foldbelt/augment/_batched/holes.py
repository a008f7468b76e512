"""CoarseDropout: rectangular holes in images, and in masks where `fill_mask` says so."""

import numpy as np
import torch

from foldbelt.augment._batched.drawing import Stream, levels
from foldbelt.augment._batched.grey import Touch
from foldbelt.augment._batched.sending import sent


class Holes(Touch):
    """CoarseDropout.

    Columns: a key, then of each hole the first and the last column and row, plus one; all 0 where
    there is none.
    """

    def unusable(self) -> str:
        fill = self.transform.fill
        return f"fill: {fill} (numbers and random have one)" if fill in _ELSEWHERE else ""

    def draw(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        given, (height, width) = self.transform, self.size
        count, most = stream.whole(*given.num_holes_range), given.num_holes_range[1]
        there = active[:, None] & (np.arange(most) < count[:, None])
        whole = given.hole_height_range[1] >= 1  # of albumentations: this decides for both
        tall = _side(stream.take(most), given.hole_height_range, height, whole)
        wide = _side(stream.take(most), given.hole_width_range, width, whole)
        top = np.floor(stream.take(most) * (height - tall + 1))
        left = np.floor(stream.take(most) * (width - wide + 1))
        holes = np.stack([left, left + wide, top, top + tall], axis=2) * there[:, :, None]
        return np.concatenate([stream.key()[:, None], holes.reshape(len(active), -1)], axis=1)

    def apply(
        self, x: torch.Tensor, target: torch.Tensor, table: torch.Tensor, host: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = host[:, 1:].any(dim=1).nonzero()[:, 0]
        if not len(rows):
            return x, target
        here = sent(rows, x.device)
        hole = self._inside(table[here, 1:].reshape(len(rows), -1, 4))
        if self.transform.fill == "random":
            shape = (x.shape[1], *self.size)
            fill = torch.floor(levels(sent(host[rows, 0], x.device), shape) * 256)
        else:
            fill = _values(self.transform.fill, x.device)
        x[here] = torch.where(hole, fill, x[here])
        if self.transform.fill_mask is not None and target.shape[1]:
            fill = _values(self.transform.fill_mask, x.device).to(target.dtype)
            target[here] = torch.where(hole, fill, target[here])
        return x, target

    def _inside(self, holes: torch.Tensor) -> torch.Tensor:
        """(n,1,H,W) whether a pixel lies in any of the holes (n,M,4)."""
        height, width = self.size
        first, last, top, end = holes[..., None].unbind(2)
        x = torch.arange(width, device=holes.device)
        y = torch.arange(height, device=holes.device)
        columns, rows = (x >= first) & (x < last), (y >= top) & (y < end)
        inside = torch.zeros((len(holes), height, width), dtype=torch.bool, device=holes.device)
        for number in range(holes.shape[1]):
            inside |= rows[:, number, :, None] & columns[:, number, None, :]
        return inside[:, None]


_ELSEWHERE = ("random_uniform", "inpaint_telea", "inpaint_ns")


def _side(drawn: np.ndarray, given: tuple[float, float], side: int, whole: bool) -> np.ndarray:
    """Sides of holes in pixels, from numbers in [0, 1)."""
    low, high = given
    if whole:
        return np.floor(int(low) + drawn * (int(min(high, side) + 1) - int(low)))
    return np.floor(side * (low + (high - low) * drawn))


def _values(fill: float | tuple[float, ...], device: torch.device) -> torch.Tensor:
    given = np.atleast_1d(np.asarray(fill, float)).tolist()
    return sent(given, device).reshape(1, -1, 1, 1)


TOUCHES: dict[str, type[Touch]] = {"CoarseDropout": Holes}
"""Transforms by name."""
