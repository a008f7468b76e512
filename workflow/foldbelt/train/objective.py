"""What a stage minimises: its mask loss, and what the model's heads add."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from foldbelt import losses


class Objective:
    """Mask loss, plus the weighted cross-entropy of the label head where the model has one.

    Parameters
    ----------
    stage
        The stage's config: `loss`, `label_weight`.
    classes
        Number of mask classes; a further plane of the target marks ignored pixels.
    """

    def __init__(self, stage: Mapping[str, Any], classes: int) -> None:
        self.mask = losses.build(stage["loss"])
        self.label_weight = float(stage.get("label_weight") or 0.0)
        self.classes = classes

    def __call__(
        self, outputs: Mapping[str, torch.Tensor], target: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        """Compute the loss of one batch.

        Parameters
        ----------
        outputs
            What the model gives: ``mask`` (N,K,H,W) logits, perhaps ``label`` (N,L) logits.
        target
            (N,H,W,P) u8: the classes, then the ignored pixels if P > K.
        label
            (N,L) f32.

        Returns
        -------
        scalar f32 tensor
        """
        planes = target.permute(0, 3, 1, 2)
        ignore = planes[:, self.classes :].bool() if planes.shape[1] > self.classes else None
        truth = planes[:, : self.classes].to(torch.float32)
        total = self.mask(outputs["mask"].float(), truth, ignore)
        if "label" in outputs and self.label_weight:
            total = total + self.label_weight * functional.binary_cross_entropy_with_logits(
                outputs["label"].float(), label
            )
        return total
