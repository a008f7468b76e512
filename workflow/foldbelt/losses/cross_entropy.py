"""Cross-entropy of exclusive classes: every pixel is of one class or of the background."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.losses._exclusive import log_probabilities

EXCLUSIVE = True
"""Needs a network whose classes exclude each other."""

EXCLUSIVE_LABELS = True
"""Means something of image labels that exclude each other: none is left for the background."""


class CrossEntropy(nn.Module):
    """−Σ_c w_c t_c log p_c over the classes and the background, the mean over pixels.

    What a pixel's masks leave is background: t_0 = 1 − Σ_k t_k. Where they sum to more than 1
    (masks that overlap, smoothed labels), they are divided by their sum: a pixel of two masks is
    half of either. Ignored pixels leave the mean; without any other the loss is 0.

    Parameters
    ----------
    class_weight
        w_1 … w_K, one number a class; the background's is 1. None weighs all 1. As with
        `pos_weight` of the binary cross-entropy, the mean is over pixels, not over weights.
    """

    class_weight: Tensor | None

    def __init__(self, class_weight: Sequence[float] | None = None) -> None:
        super().__init__()
        weight = None
        if class_weight is not None:
            weight = torch.tensor([1.0, *class_weight], dtype=torch.float32)
            if not bool(((weight > 0) & weight.isfinite()).all()):
                raise InputError(
                    f"cross_entropy: class_weight must be finite and above 0, not {class_weight!r}"
                )
            weight = weight.reshape(1, -1, 1, 1)
        self.register_buffer("class_weight", weight, persistent=False)

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean cross-entropy of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        logits, target = logits.float(), target.to(logits.device, torch.float32)
        if ignore is not None:
            # Overwritten rather than multiplied by 0: 0 × NaN is NaN, in the gradient too.
            logits, target = logits.masked_fill(ignore, 0), target.masked_fill(ignore, 0)
        total = target.sum(dim=1, keepdim=True)
        truth = torch.cat([(1 - total).clamp(min=0), target], dim=1) / total.clamp(min=1)
        if self.class_weight is not None:
            given = self.class_weight.shape[1] - 1
            if given != logits.shape[1]:
                raise InputError(
                    f"cross_entropy: class_weight has {given} values for {logits.shape[1]} "
                    "classes; give one a class, in their order"
                )
            truth = truth * self.class_weight.to(logits.device)
        loss = -(truth * log_probabilities(logits)).sum(dim=1, keepdim=True)
        if ignore is None:
            return loss.mean()
        return loss.masked_fill(ignore, 0).sum() / (~ignore).sum().clamp(min=1)


def build(class_weight: Sequence[float] | None = None) -> CrossEntropy:
    """Make the loss; see `CrossEntropy`."""
    return CrossEntropy(class_weight)
