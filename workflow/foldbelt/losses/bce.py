"""Binary cross-entropy of every pixel."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldbelt.files import InputError
from foldbelt.losses._means import mean_over_pixels

LABELS = True
"""Means something of image labels, too: every number stands by itself."""


class BCE(nn.Module):
    """Cross-entropy with logits, the mean over all pixels and classes that are not ignored.

    Targets between 0 and 1 are allowed. A batch of which every pixel is ignored has the loss 0.

    Parameters
    ----------
    pos_weight
        Factor on the positive term of every class (a number) or of each (K numbers).
    """

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Sequence[float] | float | None = None) -> None:
        super().__init__()
        weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32)
        if weight is not None and not bool(((weight > 0) & weight.isfinite()).all()):
            raise InputError(f"bce: pos_weight must be finite and above 0, not {pos_weight!r}")
        shaped = None if weight is None else weight.reshape(1, -1, 1, 1)
        self.register_buffer("pos_weight", shaped, persistent=False)

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean cross-entropy of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        logits, target = logits.float(), target.to(logits.device, torch.float32)
        weight = self.pos_weight
        if weight is not None:
            if weight.shape[1] not in (1, logits.shape[1]):
                raise InputError(
                    f"bce: pos_weight has {weight.shape[1]} values for {logits.shape[1]} "
                    "classes; give one a class, in their order, or one number for all"
                )
            weight = weight.to(logits.device)
        if ignore is not None:
            # Overwritten rather than multiplied by 0: 0 × NaN is NaN, in the gradient too.
            logits, target = logits.masked_fill(ignore, 0), target.masked_fill(ignore, 0)
        loss = functional.binary_cross_entropy_with_logits(
            logits, target, reduction="none", pos_weight=weight
        )
        return mean_over_pixels(loss, ignore)


def build(pos_weight: Sequence[float] | float | None = None) -> BCE:
    """Make the loss; see `BCE`."""
    return BCE(pos_weight)
