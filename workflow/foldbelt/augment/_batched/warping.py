"""One resampling for all neighbouring transforms that move pixels.

Places are followed from the output back to the input, through every transform's matrix,
displacement and border, and only then is the image read, once: bilinear, and nearest for masks, as
each of albumentations' transforms does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from foldbelt.augment._batched.distortions import Distortion
from foldbelt.augment._batched.drawing import Stream
from foldbelt.augment._batched.moves import Border, Move
from foldbelt.augment._batched.sending import sent


@dataclass
class Segment:
    """What leads from the output of a transform back to its input.

    Attributes
    ----------
    move
        The transform with a border that is read here; None for turns before all of those.
    matrix, forward, window, field
        Columns of the table: from the output to the input and back, each 6; and see `Drawn`.
    """

    move: Move | None
    matrix: slice
    forward: slice
    window: slice | None = None
    field: slice | None = None


class Warping:
    """Transforms that move pixels, one after the other in a pipeline.

    Parameters
    ----------
    moves
        In the pipeline's order.
    size
        Height and width.

    Attributes
    ----------
    segments
        From the output back to the input; known once `draw` was called.
    """

    def __init__(self, moves: Sequence[Move], size: tuple[int, int]) -> None:
        self.moves, self.size = list(moves), size
        self.nearest = any(move.nearest for move in self.moves)
        self.segments: list[Segment] = []

    def draw(self, stream: Stream, active: Sequence[np.ndarray]) -> np.ndarray:
        """Draw the parameters of a batch.

        Parameters
        ----------
        stream
            Decides.
        active
            Of each move, which samples (N,) get it.

        Returns
        -------
        (N,D) array
            The first column says whether anything moves; then the columns of `segments`.
        """
        drawn = [move.draw(stream, on) for move, on in zip(self.moves, active, strict=True)]
        table = _Table(np.logical_or.reduce(active))
        here = np.tile(np.eye(3), (stream.samples, 1, 1))
        back = here
        for place, (move, what) in reversed(list(enumerate(zip(self.moves, drawn, strict=True)))):
            back = np.linalg.inv(what.matrix) @ back
            if move.border is None:
                continue
            if what.window is None and what.field is None and self._turns_before(place):
                # A turn takes a border to a border, so it may as well come after this one.
                for turn in reversed(drawn[:place]):
                    back = np.linalg.inv(turn.matrix) @ back
                table.add(move, back)
                break
            table.add(move, back, what.window, what.field)
            back = here
        else:
            if self.moves[0].border is None:
                table.add(None, back)
        self.segments = table.segments
        return table.joined()

    def _turns_before(self, place: int) -> bool:
        return all(move.border is None for move in self.moves[:place])

    def apply(
        self, x: torch.Tensor, target: torch.Tensor, table: torch.Tensor, host: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Resample a batch.

        Parameters
        ----------
        x
            (N,C,H,W) f32.
        target
            (N,P,H,W) u8.
        table, host
            (N,D) columns of `draw`, on the device, f32, and on the host.

        Returns
        -------
        x, target
        """
        rows = host[:, 0].nonzero()[:, 0]
        if not len(rows):
            return x, target
        if len(rows) == len(x):
            return self._read(x, target, table, host)
        # What stays must stay to the last digit, so that no sample depends on others of its batch.
        if selects(x.device):
            x[rows], target[rows] = self._read(x[rows], target[rows], table[rows], host[rows])
            return x, target
        moves = table[:, :1, None, None] > 0
        moved, masks = self._read(x, target, table, host)
        return torch.where(moves, moved, x), torch.where(moves, masks, target)

    def _read(
        self, x: torch.Tensor, target: torch.Tensor, table: torch.Tensor, host: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        places = _Places(self.size, x.device, self.nearest)
        for segment in self.segments[:-1]:
            self._pass(segment, places, table, host)
        last = self.segments[-1]
        border = None if last.move is None else last.move.border
        padding = _PADDINGS.get("" if border is None else border.mode)
        if last.field is None and last.window is None and padding and not _filled(border):
            places.read_at(table[:, last.matrix], padding)
        else:
            self._pass(last, places, table, host)
        return places.read(x, target)

    def _pass(
        self, segment: Segment, places: "_Places", table: torch.Tensor, host: torch.Tensor
    ) -> None:
        """Go from the output of a transform back to its input."""
        places.back(table[:, segment.matrix])
        if isinstance(segment.move, Distortion) and segment.field is not None:
            columns = (table[:, segment.field], host[:, segment.field])
            places.displace(segment.move.displacement(*columns))
        if segment.move is not None and segment.move.border is not None:
            window = None if segment.window is None else table[:, segment.window]
            places.border(segment.move.border, window)


def selects(device: torch.device) -> bool:
    """Whether to leave out samples that stay: where arithmetic takes the time, not launching it."""
    return device.type == "cpu"


_PADDINGS = {
    "": "border",
    "constant": "zeros",
    "replicate": "border",
    "reflect_101": "reflection",
}
"""Borders that torch's own reading of an image knows; without one, there is nothing beyond it."""


def _filled(border: Border | None) -> bool:
    """Whether there is something else than 0 beyond a constant border."""
    constant = border is not None and border.mode == "constant"
    return constant and border is not None and any([*border.fill, *border.fill_mask])


class _Table:
    """Columns of one pass, and where they lie."""

    def __init__(self, active: np.ndarray) -> None:
        self.parts: list[np.ndarray] = [active[:, None].astype(float)]
        self.width = 1
        self.segments: list[Segment] = []

    def add(
        self,
        move: Move | None,
        back: np.ndarray,
        window: np.ndarray | None = None,
        field: np.ndarray | None = None,
    ) -> None:
        columns = (_six(back), _six(np.linalg.inv(back)))
        segment = Segment(move, *map(self._put, columns))
        segment.window = None if window is None else self._put(window)
        segment.field = None if field is None else self._put(field)
        self.segments.append(segment)

    def _put(self, columns: np.ndarray) -> slice:
        self.parts.append(columns)
        start, self.width = self.width, self.width + columns.shape[1]
        return slice(start, self.width)

    def joined(self) -> np.ndarray:
        return np.concatenate(self.parts, axis=1)


def _six(matrix: np.ndarray) -> np.ndarray:
    return matrix[:, :2].reshape(-1, 6)


class _Places:
    """From which places of the input the output's pixels come, and what is seen of it there.

    Attributes
    ----------
    x, y
        Columns and rows; they broadcast to (N,H,W).
    seen, added
        What the image's values are multiplied by, (N,1,H,W), and what is added, (N,C,H,W); None as
        long as all is seen.
    inside, filled
        The same for the masks: whether, and which values are elsewhere.
    """

    def __init__(self, size: tuple[int, int], device: torch.device, nearest: bool) -> None:
        self.size, self.device, self.nearest = size, device, nearest
        height, width = size
        self.x = torch.arange(width, device=self.device, dtype=torch.float32).reshape(1, 1, -1)
        self.y = torch.arange(height, device=self.device, dtype=torch.float32).reshape(1, -1, 1)
        self.seen: torch.Tensor | None = None
        self.added: torch.Tensor | None = None
        self.inside: torch.Tensor | None = None
        self.filled: torch.Tensor | None = None
        self.padding = "border"
        self.last: torch.Tensor | None = None

    def back(self, matrix: torch.Tensor) -> None:
        """Go through matrices, (N,6)."""
        a, b, c, d, e, f = (column.reshape(-1, 1, 1) for column in matrix.unbind(1))
        self.x, self.y = a * self.x + (b * self.y + c), d * self.x + (e * self.y + f)

    def read_at(self, matrix: torch.Tensor, padding: str) -> None:
        """Go through the last matrices, (N,6), to where the image is read."""
        self.last, self.padding = matrix, padding

    def displace(self, displacement: torch.Tensor) -> None:
        """Go through displacements (N,2,H,W) in x and y, given at the pixels of their output."""
        field = functional.grid_sample(
            displacement, self._grid(len(displacement)), "bilinear", "border", align_corners=True
        )
        self.x, self.y = self.x + field[:, 0], self.y + field[:, 1]

    def border(self, border: Border, window: torch.Tensor | None) -> None:
        """Bring places beyond the border back into the image."""
        height, width = self.size
        right, bottom = width - 1.0, height - 1.0
        if border.mode == "constant":
            self._hide(border)
        elif border.mode == "reflect_101":
            self.x, self.y = _mirrored(self.x, right, 0), _mirrored(self.y, bottom, 0)
        elif border.mode == "reflect":
            self.x, self.y = _mirrored(self.x, right, 0.5), _mirrored(self.y, bottom, 0.5)
        if window is None:
            self.x, self.y = self.x.clamp(0, right), self.y.clamp(0, bottom)
        else:
            first, final, top, end = (column.reshape(-1, 1, 1) for column in window.unbind(1))
            self.x = torch.minimum(torch.maximum(self.x, first), final)
            self.y = torch.minimum(torch.maximum(self.y, top), end)

    def _hide(self, border: Border) -> None:
        """Count what is beyond the border as its fill, blending over the last pixel."""
        height, width = self.size
        beyond_x = torch.minimum(self.x, width - 1.0 - self.x)
        beyond_y = torch.minimum(self.y, height - 1.0 - self.y)
        inside = ((beyond_x > -0.5) & (beyond_y > -0.5))[:, None]
        share = ((1 + beyond_x).clamp(0, 1) * (1 + beyond_y).clamp(0, 1))[:, None]
        share = inside.to(share.dtype) if self.nearest else share
        seen = torch.ones_like(share) if self.seen is None else self.seen
        if any(border.fill):
            fill = sent(border.fill, self.device).reshape(1, -1, 1, 1)
            more = seen * (1 - share) * fill
            self.added = more if self.added is None else self.added + more
        before = torch.ones_like(inside) if self.inside is None else self.inside
        if any(border.fill_mask):
            fill = sent(border.fill_mask, self.device).reshape(1, -1, 1, 1)
            more = (before & ~inside) * fill
            self.filled = more if self.filled is None else self.filled + more
        self.seen, self.inside = seen * share, before & inside

    def read(self, image: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read images and masks there."""
        grid = self._grid(len(image))
        mode = "nearest" if self.nearest else "bilinear"
        out = functional.grid_sample(image, grid, mode, self.padding, align_corners=True)
        if self.seen is not None:
            out = out * self.seen
        if self.added is not None:
            out = out + self.added
        if not target.shape[1]:
            return out, target
        masks = target.to(torch.float32)
        masks = functional.grid_sample(masks, grid, "nearest", self.padding, align_corners=True)
        if self.inside is not None:
            masks = masks * self.inside
        if self.filled is not None:
            masks = masks + self.filled
        return out, masks.to(torch.uint8)

    def _grid(self, samples: int) -> torch.Tensor:
        """(N,H,W,2), -1 to 1 from the first pixel's centre to the last one's."""
        height, width = self.size
        grid = torch.empty((samples, height, width, 2), device=self.device)
        scales = [2 / max(side - 1, 1) for side in (width, height)]
        if self.last is None:
            for axis, (places, scale) in enumerate(zip((self.x, self.y), scales, strict=True)):
                torch.sub(places * scale, 1, out=grid[..., axis])
            return grid
        columns = [column.reshape(-1, 1, 1) for column in self.last.unbind(1)]
        for axis, scale in enumerate(scales):  # scaled on the way, which saves passes
            a, b, c = columns[3 * axis : 3 * axis + 3]
            rest = b * scale * self.y + (c * scale - 1)
            torch.add(a * scale * self.x, rest, out=grid[..., axis])
        return grid


def _mirrored(places: torch.Tensor, last: float, edge: float) -> torch.Tensor:
    """Mirror places at 0 and `last`, or so far beyond them; those between stay."""
    span = max(last + 2 * edge, 1.0)
    around = torch.remainder(torch.abs(places + edge), 2 * span)
    return torch.minimum(around, 2 * span - around) - edge
