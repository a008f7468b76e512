"""Soft Dice loss (Milletari et al. 2016, V-Net), of each image by itself."""

import torch
from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.losses._means import Empty, check, mean_over


class Dice(nn.Module):
    """1 − (2 Σpy + s) / (Σp + Σy + s), the mean over images and classes.

    The sums run over the pixels of one class of one image, not over the batch, so that an image's
    loss does not depend on its neighbours and small masks weigh as much as large ones. On an empty
    mask the loss is Σp / (Σp + s): 0 where nothing is predicted. Images of which every pixel is
    ignored leave the mean. Targets between 0 and 1 are allowed.

    Parameters
    ----------
    smooth
        s, in pixels, above 0.
    empty
        "score" takes empty masks as above; "skip" leaves them out of the mean, as in the paper,
        where every image has its object. A mask is empty that nowhere exceeds 0.5.
    """

    def __init__(self, smooth: float = 1.0, empty: Empty = "score") -> None:
        super().__init__()
        if not 0 < smooth < float("inf"):
            raise InputError(f"dice: smooth must be finite and above 0, not {smooth!r}")
        check("dice", empty)
        self.smooth, self.empty = smooth, empty

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean loss of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        logits, target = logits.float(), target.to(logits.device, torch.float32)
        if ignore is not None:
            # A logit of -∞ is a probability of 0, and passes no gradient on.
            logits, target = logits.masked_fill(ignore, -torch.inf), target.masked_fill(ignore, 0)
        probability = logits.sigmoid()
        both = (probability * target).sum(dim=(2, 3))
        each = probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
        loss = 1 - (2 * both + self.smooth) / (each + self.smooth)
        if self.empty == "skip":
            return mean_over(loss, (target > 0.5).flatten(2).any(dim=2))
        loss = loss.mean(dim=1)
        if ignore is None:
            return loss.mean()
        return mean_over(loss, (~ignore).flatten(1).any(dim=1))


def build(smooth: float = 1.0, empty: Empty = "score") -> Dice:
    """Make the loss; see `Dice`."""
    return Dice(smooth, empty)
