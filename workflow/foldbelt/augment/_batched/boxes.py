"""Boxes go along with what moves pixels: corners are moved, and the box around them is kept."""

import torch
from torch.nn import functional

from foldbelt.augment._batched.distortions import Distortion
from foldbelt.augment._batched.sending import sent
from foldbelt.augment._batched.warping import Segment, Warping

NOTHING = -1
"""Class of a row that is no box; less stands for boxes that nobody knows, and stays."""
_ROUNDS = 4  # of looking for the place that a displacement brings to a given one
_BETWEEN = 4  # pieces of a side, whose ends are followed through a displacement


def moved(
    boxes: torch.Tensor,
    warping: Warping,
    table: torch.Tensor,
    host: torch.Tensor,
    visible: float,
) -> torch.Tensor:
    """Move boxes as `Warping.apply` moves images.

    Parameters
    ----------
    boxes
        (N,M,5) f32: class, x1, y1, x2, y2; rows with a class below 0 are none.
    warping, table, host
        The transforms, and the columns that were drawn for them, on the device and on the host.
    visible
        Least share of a box that must be left after each transform.

    Returns
    -------
    (N,M,5) f32 tensor
        Boxes of which less is left have the class `NOTHING`.
    """
    if not bool(host[:, 0].any()):
        return boxes
    for segment in reversed(warping.segments):
        points = _corners(boxes)
        if isinstance(segment.move, Distortion) and segment.field is not None:
            columns = (table[:, segment.field], host[:, segment.field])
            points = _undone(_sides(boxes), segment.move.displacement(*columns))
        boxes = _kept(boxes, _around(points, segment, table), warping.size, visible)
    return boxes


def _corners(boxes: torch.Tensor) -> torch.Tensor:
    """(N,M,4,2) the corners."""
    x1, y1, x2, y2 = boxes[..., 1:].unbind(2)
    return torch.stack([x1, y1, x2, y1, x1, y2, x2, y2], dim=2).unflatten(2, (4, 2))


def _sides(boxes: torch.Tensor) -> torch.Tensor:
    """(N,M,P,2) the corners, and places on the sides between them."""
    shares = torch.linspace(0, 1, _BETWEEN + 1, device=boxes.device)
    x1, y1, x2, y2 = (value[..., None] for value in boxes[..., 1:].unbind(2))
    x, y = x1 + (x2 - x1) * shares, y1 + (y2 - y1) * shares
    rims = [(x, y1.expand_as(x)), (x, y2.expand_as(x)), (x1.expand_as(y), y), (x2.expand_as(y), y)]
    return torch.cat([torch.stack(pair, dim=3) for pair in rims], dim=2)


def _undone(points: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Find the places of the output that are read from places (N,M,P,2) of the input."""
    height, width = field.shape[2:]
    scale = sent([2 / width, 2 / height], field.device)
    places = points
    for _ in range(_ROUNDS):
        grid = places.flatten(1, 2)[:, :, None] * scale - 1  # pixels' edges at -1 and 1
        moved = functional.grid_sample(field, grid, "bilinear", "border", align_corners=False)
        places = points - moved[..., 0].transpose(1, 2).reshape(points.shape)
    return places


def _around(points: torch.Tensor, segment: Segment, table: torch.Tensor) -> torch.Tensor:
    """(N,M,4) the boxes around points, moved by matrices of pixels' centres."""
    matrix = table[:, segment.forward].reshape(-1, 1, 1, 2, 3)
    centred = (points - 0.5)[..., None, :]
    places = (matrix[..., :2] * centred).sum(dim=4) + matrix[..., 2] + 0.5
    return torch.cat([places.amin(dim=2), places.amax(dim=2)], dim=2)


def _kept(
    boxes: torch.Tensor, around: torch.Tensor, size: tuple[int, int], visible: float
) -> torch.Tensor:
    """Cut boxes at the border, and drop those of which too little is left."""
    height, width = size
    most = sent([float(width), float(height)] * 2, boxes.device)
    cut = torch.minimum(around.clamp(min=0), most)
    area, left = _areas(around), _areas(cut)
    gone = (left <= 0) | (left < visible * area)
    is_box = boxes[..., 0] >= 0
    kinds = torch.where(is_box & gone, NOTHING, boxes[..., 0])
    places = torch.where(is_box[..., None], cut, boxes[..., 1:])
    return torch.cat([kinds[..., None], places], dim=2)


def _areas(boxes: torch.Tensor) -> torch.Tensor:
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]
