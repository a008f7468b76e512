"""Boxes: what they add to the loss."""

from collections.abc import Mapping

import torch
from torch import nn
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.models.detection.fcos import FCOS, FCOSHead

from foldbelt.train.box_targets import PADDING as PADDING
from foldbelt.train.box_targets import UNKNOWN as UNKNOWN

_RADIUS = 1.5  # strides around a box's middle within which anchors are to find it (Tian et al.)
_MADE = ("logits", "offsets", "centreness")


class BoxLoss(nn.Module):
    """The losses of FCOS, over the images whose boxes are known.

    The sum of the focal loss of the classes (Lin et al., ICCV 2017), the GIoU loss of the boxes
    (Rezatofighi et al., CVPR 2019) and the cross-entropy of the centreness (Tian et al., ICCV
    2019), each divided by the number of anchors of the batch that are to find a box. Which these
    are, and the losses, is torchvision's computation.

    Parameters
    ----------
    weight
        What the sum is multiplied by.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.matched = _Matched()

    def forward(self, outputs: Mapping[str, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of one batch, in float32.

        Parameters
        ----------
        outputs
            What a detector gives as "box"; see `foldbelt.models.detector.Detector.forward`.
        target
            (N, M, 5) f32: class, x1, y1, x2, y2 in pixels of the network's input. Rows of class
            `PADDING` are none, and boxes without an area are left aside; an image without boxes
            teaches that nothing is there. An image whose first row is of class `UNKNOWN` counts
            for nothing. M may be 0.

        Returns
        -------
        scalar f32 tensor
            0 if no image is known; its gradients are 0 then, too.
        """
        logits, offsets, centreness = (outputs[name].float() for name in _MADE)
        if target.shape[1]:
            known = target[:, 0, 0] != UNKNOWN
            logits, offsets, centreness = logits[known], offsets[known], centreness[known]
            target = target[known]
        if not len(target):
            return logits.sum() + offsets.sum() + centreness.sum()  # of nothing, but with gradients
        anchors = outputs["anchors"].float()
        losses = self.matched.compute_loss(
            [_target(rows) for rows in target],
            {"cls_logits": logits, "bbox_regression": offsets, "bbox_ctrness": centreness},
            [anchors] * len(target),
            outputs["levels"].tolist(),
        )
        total: torch.Tensor = self.weight * torch.stack(list(losses.values())).sum()
        return total


def _target(rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Give rows (M, 5) as torchvision takes them.

    Rows that are no boxes need not be dropped (which would wait for the device): no anchor lies
    inside a box without an area, and only such anchors are to find it.
    """
    is_box = rows[:, :1] >= 0
    return {"boxes": rows[:, 1:].float() * is_box, "labels": rows[:, 0].long()}


class _Matched(FCOS):
    """torchvision's matching of anchors and boxes, without a network."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.center_sampling_radius = _RADIUS
        self.head = _Losses()


class _Losses(FCOSHead):
    """torchvision's losses of matched anchors, without a network."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.box_coder = BoxLinearCoder(normalize_by_size=True)
