"""What a stage minimises: the losses of a model's outputs, and what its other heads add."""

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from foldbelt import registry
from foldbelt.config.stage_settings import StageSettings
from foldbelt.files import InputError
from foldbelt.train.labels import LabelLoss
from foldbelt.train.masks import MaskLoss


class Objective(nn.Module):
    """Losses of the outputs that the model has, plus the weighted losses of its other heads.

    These are the mask loss at every deeper scale, the smooth L1 loss of the image's depth
    (Girshick 2015), and the loss of masks that only teach: of a network with masks that the run
    does not decide on, or of a classifier, at the size of one of its maps.

    Parameters
    ----------
    stage
        Its settings: `loss`, `depth_weight`, `deep_weight`, `deep_images`.
    classes
        Number of mask classes; a further plane of the target marks ignored pixels.
    main
        The model's main output: ``mask``, or ``label`` or ``box`` where it predicts them alone.
    """

    def __init__(self, stage: StageSettings, classes: int, main: str = "mask") -> None:
        super().__init__()
        masks = stage.loss.terms("mask", main) if main == "mask" else stage.loss.auxiliary
        self.mask = MaskLoss(masks, classes) if main == "mask" or (masks and classes) else None
        self.label = LabelLoss(stage.loss.terms("label", main), main == "label")
        # Found by name, so that other models are not trained again when it changes.
        boxes = importlib.import_module(registry.BOX_LEARNING[0]) if main == "box" else None
        self.box = boxes.BoxLoss(stage.loss.box) if boxes else None
        self.depth_weight, self.deep_weight = stage.depth_weight, stage.deep_weight
        self.deep_nonempty = stage.deep_images == "nonempty"

    def forward(
        self,
        outputs: Mapping[str, Any],
        target: torch.Tensor,
        label: torch.Tensor,
        depth: torch.Tensor | None = None,
        box: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute the loss of one batch.

        Parameters
        ----------
        outputs
            What the model gives: ``mask`` (N,K,H,W) logits, perhaps ``label`` (N,L) logits,
            ``deep``, a list of (N,K,H,W) logits, and ``depth`` (N,1); or ``label`` and perhaps
            ``aux`` (N,K,h,w) logits; or ``box`` (see `foldbelt.models.detector`) alone.
        target
            (N,P,H,W), u8 or floating, 0 to 1: the classes, then the ignored pixels if P > K.
        label
            (N,L) f32, NaN where not known.
        depth
            (N,1) f32, standardised, NaN where not known; needed where the model predicts it.
        box
            (N,M,5) f32, see `foldbelt.train.boxes`; needed where the model predicts boxes.

        Returns
        -------
        scalar f32 tensor

        Raises
        ------
        InputError
            If the model predicts a depth and there is none to compare it with.
        """
        terms: list[torch.Tensor] = []
        if self.mask is not None and "mask" in outputs:
            terms.append(self.mask(outputs["mask"], target))
        if "label" in outputs and self.label.taught:
            terms.append(self.label(outputs["label"], label))
        if self.box is not None:
            terms.append(self.box(outputs["box"], box))
        if self.mask is not None and "deep" in outputs and self.deep_weight:
            deep = self.mask.deep(outputs["deep"], target, self.deep_nonempty)
            terms.append(self.deep_weight * deep)
        if self.mask is not None and "aux" in outputs:
            terms.append(self.mask.of_map(outputs["aux"], target))
        total = sum(terms[1:], terms[0])
        if "depth" in outputs and self.depth_weight:
            if depth is None:
                raise InputError("depth_head: the images have no depth; set it to false")
            total = total + self.depth_weight * _depth_loss(outputs["depth"].float(), depth)
        return total


def _depth_loss(predicted: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Smooth L1 loss, a mean over the images whose depth is known."""
    known = torch.isfinite(depth)
    losses = functional.smooth_l1_loss(predicted, torch.nan_to_num(depth), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)
