"""What a stage minimises: its mask loss, and what the model's heads add."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from foldbelt import losses
from foldbelt.files import InputError


class Objective:
    """Mask loss, plus the weighted losses of the heads that the model has.

    These are the cross-entropy of the image's labels, the mask loss at every deeper scale (Lee et
    al. 2015) and the smooth L1 loss of the image's depth (Girshick 2015). Of a model without masks,
    the stage's loss is that of the labels, each of them a mask of one pixel.

    Parameters
    ----------
    stage
        The stage's config: `loss`, `label_weight`, `depth_weight`, `deep_weight`, `deep_images`.
    classes
        Number of mask classes; a further plane of the target marks ignored pixels.
    """

    def __init__(self, stage: Mapping[str, Any], classes: int) -> None:
        self.mask = losses.build(stage["loss"])
        self.label_weight = float(stage.get("label_weight") or 0.0)
        self.depth_weight = float(stage.get("depth_weight") or 0.0)
        self.deep_weight = float(stage.get("deep_weight") or 0.0)
        self.deep_nonempty = stage.get("deep_images", "all") == "nonempty"
        self.classes = classes

    def __call__(
        self,
        outputs: Mapping[str, Any],
        target: torch.Tensor,
        label: torch.Tensor,
        depth: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute the loss of one batch.

        Parameters
        ----------
        outputs
            What the model gives: ``mask`` (N,K,H,W) logits, perhaps ``label`` (N,L) logits,
            ``deep``, a list of (N,K,H,W) logits, and ``depth`` (N,1); or ``label`` alone.
        target
            (N,P,H,W), u8 or floating, 0 to 1: the classes, then the ignored pixels if P > K.
        label
            (N,L) f32.
        depth
            (N,1) f32, standardised, NaN where not known; needed where the model predicts it.

        Returns
        -------
        scalar f32 tensor

        Raises
        ------
        InputError
            If the model predicts a depth and there is none to compare it with.
        """
        if "mask" not in outputs:
            logits, truth = (one[..., None, None] for one in (outputs["label"].float(), label))
            unknown = torch.isnan(truth).any(dim=1, keepdim=True)
            return self.mask(logits, truth.nan_to_num(), unknown if unknown.any() else None)
        ignore = target[:, self.classes :].bool() if target.shape[1] > self.classes else None
        truth = target[:, : self.classes].to(torch.float32)
        total = self.mask(outputs["mask"].float(), truth, ignore)
        if "label" in outputs and self.label_weight:
            total = total + self.label_weight * _label_loss(outputs["label"].float(), label)
        if "deep" in outputs and self.deep_weight:
            total = total + self.deep_weight * self._deep(outputs["deep"], truth, ignore)
        if "depth" in outputs and self.depth_weight:
            if depth is None:
                raise InputError("depth_head: the images have no depth; set it to false")
            total = total + self.depth_weight * _depth_loss(outputs["depth"].float(), depth)
        return total

    def _deep(
        self, scales: list[torch.Tensor], truth: torch.Tensor, ignore: torch.Tensor | None
    ) -> torch.Tensor:
        """Sum of the mask losses at the deeper scales, of the images that are to teach them."""
        if self.deep_nonempty:
            seen = truth if ignore is None else truth.masked_fill(ignore, 0)
            some = (seen > 0.5).flatten(1).any(dim=1)
            truth, ignore = truth[some], None if ignore is None else ignore[some]
            scales = [logits[some] for logits in scales]
        total = torch.zeros((), device=truth.device)
        for logits in scales if len(truth) else ():
            total = total + self.mask(logits.float(), truth, ignore)
        return total


def _label_loss(predicted: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, a mean over the labels that are known."""
    known = torch.isfinite(label).float()
    total = functional.binary_cross_entropy_with_logits(predicted, label.nan_to_num(), known)
    return total / known.mean().clamp(min=1e-6)


def _depth_loss(predicted: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Smooth L1 loss, a mean over the images whose depth is known."""
    known = torch.isfinite(depth)
    losses = functional.smooth_l1_loss(predicted, torch.nan_to_num(depth), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)
