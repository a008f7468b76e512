"""From what a detector says to boxes."""

from collections.abc import Mapping

import numpy as np
import torch
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.ops import clip_boxes_to_image, nms

_LEAST = 0.01  # score: what is less sure is not worth its bytes
MOST = 300  # boxes of an image
_IOU = 0.6  # above which, of two boxes of a class, the surer one stays
_CANDIDATES = 2000  # boxes of an image that are compared with each other


@torch.no_grad()
def decode(
    outputs: Mapping[str, torch.Tensor],
    size: tuple[int, int],
    least: float = _LEAST,
    most: int = MOST,
    iou: float = _IOU,
    candidates: int = _CANDIDATES,
) -> list[np.ndarray]:
    """Give the boxes that a detector sees, each once.

    An anchor's score is √(p c), p the probability of the class and c the centreness, as in
    torchvision: anchors far from the middle of a box know its sides less well (Tian et al.). Of
    boxes of one class that overlap, the one of the highest score stays.

    Parameters
    ----------
    outputs
        What a detector gives as "box"; see `foldbelt.models.detector.Detector.forward`.
    size
        (H, W) of the images that it was shown.
    least
        Score that a box has to exceed.
    most
        At most so many boxes an image are given.
    iou
        Intersection over union above which two boxes of a class are one.
    candidates
        So many boxes of an image, those of the highest scores, are compared at all.

    Returns
    -------
    list of (m, 6) float32
        One an image: class, x1, y1, x2, y2, score, in pixels of the images shown and clipped to
        them, by falling score; equal scores in the order of anchors and classes.
    """
    classes = outputs["logits"].shape[2]
    scores = (outputs["logits"].float().sigmoid() * outputs["centreness"].float().sigmoid()).sqrt()
    boxes = BoxLinearCoder().decode(outputs["offsets"].float(), outputs["anchors"].float()[None])
    boxes = clip_boxes_to_image(boxes, size)
    solid = (boxes[..., 2:] > boxes[..., :2]).all(dim=2, keepdim=True)
    scores = torch.where(solid & (scores > least), scores, -1.0).flatten(1)
    scores, place = _highest(scores, candidates)
    anchor = torch.div(place, classes, rounding_mode="floor")
    boxes = boxes.gather(1, anchor[..., None].expand(-1, -1, 4))
    parts = [(place % classes)[..., None].float(), boxes, scores[..., None]]
    rows = torch.cat(parts, dim=2).cpu()
    return [_suppressed(image[image[:, 5] >= 0], iou)[:most].numpy() for image in rows]


def _highest(scores: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the highest scores of (N, A), falling, and where they are; equal ones in their order."""
    place = scores.topk(min(most, scores.shape[1]), dim=1).indices.sort(dim=1).values
    best, order = scores.gather(1, place).sort(dim=1, descending=True, stable=True)
    return best, place.gather(1, order)


def _suppressed(rows: torch.Tensor, iou: float) -> torch.Tensor:
    """Leave out rows (m, 6), by falling score, that overlap a surer one of their class."""
    stays = torch.zeros(len(rows), dtype=torch.bool)
    for number in rows[:, 0].unique():
        mine = torch.nonzero(rows[:, 0] == number)[:, 0]
        stays[mine[nms(rows[mine, 1:5], rows[mine, 5], iou)]] = True
    return rows[stays]
