"""What losses of regions share: soft counts of pixels, and means over images and classes."""

from typing import NamedTuple

import torch
from torch import Tensor

from foldbelt.files import InputError
from foldbelt.losses._means import Empty, mean_over


class Regions(NamedTuple):
    """Sums over the pixels of one class of one image, each (N, K) float32.

    Attributes
    ----------
    both, wrong, missed
        Σpy, Σp(1 − y) and Σ(1 − p)y: what is right, found in vain, and not found. Summed as they
        stand, rather than as differences of sums, so that none is ever below 0.
    present
        Bool: whether the mask exceeds 0.5 anywhere.
    """

    both: Tensor
    wrong: Tensor
    missed: Tensor
    present: Tensor


def count(logits: Tensor, target: Tensor, ignore: Tensor | None) -> Regions:
    """Count pixels of logits and target (N, K, H, W), less the ignored ones (N, 1, H, W)."""
    logits, target = logits.float(), target.to(logits.device, torch.float32)
    if ignore is not None:
        # A logit of -∞ is a probability of 0, and passes no gradient on.
        logits, target = logits.masked_fill(ignore, -torch.inf), target.masked_fill(ignore, 0)
    probability = logits.sigmoid()
    return Regions(
        (probability * target).sum(dim=(2, 3)),
        (probability * (1 - target)).sum(dim=(2, 3)),
        ((1 - probability) * target).sum(dim=(2, 3)),
        (target > 0.5).flatten(2).any(dim=2),
    )


def mean(loss: Tensor, present: Tensor, ignore: Tensor | None, empty: Empty) -> Tensor:
    """Mean of losses (N, K) of images' classes, a scalar.

    Parameters
    ----------
    loss
        (N, K) float32.
    present
        From `count`.
    ignore
        Images of which every pixel is ignored leave the mean.
    empty
        "score" takes the mean over all masks, "skip" over those that are not empty.
    """
    if empty == "skip":
        return mean_over(loss, present)
    if ignore is None:
        return loss.mean()
    return mean_over(loss.mean(dim=1), (~ignore).flatten(1).any(dim=1))


def check_factors(loss: str, alpha: float, beta: float, smooth: float) -> None:
    """Refuse factors of errors, and numbers of pixels, that make no loss.

    Raises
    ------
    InputError
        Naming the loss and the value.
    """
    if not (0 <= alpha < float("inf") and 0 <= beta < float("inf") and alpha + beta > 0):
        raise InputError(
            f"{loss}: alpha and beta must be finite, not negative and not both 0, not {alpha!r} "
            f"and {beta!r}"
        )
    if not 0 < smooth < float("inf"):
        raise InputError(f"{loss}: smooth must be finite and above 0, not {smooth!r}")
