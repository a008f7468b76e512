"""Flips, quarter turns and transpositions alone: pixels change places, and none is computed."""

from collections.abc import Sequence

import numpy as np
import torch

from foldbelt.augment._batched.drawing import Stream
from foldbelt.augment._batched.moves import Move
from foldbelt.augment._batched.sending import sent


class Turning:
    """Turns, one after the other in a pipeline.

    Columns: whether rows and columns are exchanged, and then mirrored from left to right, and from
    top to bottom.

    Parameters
    ----------
    moves
        In the pipeline's order.
    size
        Height and width.
    """

    def __init__(self, moves: Sequence[Move], size: tuple[int, int]) -> None:
        self.moves, self.size = list(moves), size

    def draw(self, stream: Stream, active: Sequence[np.ndarray]) -> np.ndarray:
        """Draw (N,3) columns; `active` are those (N,) that get each of the moves."""
        whole = np.tile(np.eye(3), (stream.samples, 1, 1))
        for move, on in zip(self.moves, active, strict=True):
            whole = move.draw(stream, on).matrix @ whole
        exchanged = whole[:, 0, 0] == 0
        flips = whole[:, :2, :2].sum(axis=2) < 0
        return np.column_stack([exchanged, flips]).astype(float)

    def apply(
        self, x: torch.Tensor, target: torch.Tensor, table: torch.Tensor, host: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn images (N,C,H,W) and masks (N,P,H,W) of any type."""
        for column, used in enumerate(host.any(dim=0).tolist()):
            if used:
                places = torch.arange(len(x)) + len(x) * host[:, column].to(torch.int64)
                rows = sent(places, x.device)
                x, target = (torch.cat([y, _turn(y, column)])[rows] for y in (x, target))
        return x, target

    def boxes(self, boxes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Turn boxes (N,M,5)."""
        height, width = self.size
        exchanged, across, down = (column.reshape(-1, 1) > 0 for column in table.unbind(1))
        kinds, x1, y1, x2, y2 = boxes.unbind(2)
        x1, y1 = torch.where(exchanged, y1, x1), torch.where(exchanged, x1, y1)
        x2, y2 = torch.where(exchanged, y2, x2), torch.where(exchanged, x2, y2)
        x1, x2 = torch.where(across, width - x2, x1), torch.where(across, width - x1, x2)
        y1, y2 = torch.where(down, height - y2, y1), torch.where(down, height - y1, y2)
        turned = torch.stack([kinds, x1, y1, x2, y2], dim=2)
        return torch.where(kinds[..., None] >= 0, turned, boxes)


def _turn(y: torch.Tensor, column: int) -> torch.Tensor:
    return y.mT if column == 0 else y.flip(4 - column)
