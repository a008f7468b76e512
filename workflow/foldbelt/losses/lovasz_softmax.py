"""Lovász-Softmax (Berman, Triki & Blaschko, CVPR 2018): the Jaccard loss of exclusive classes.

For each class c, the background included, the errors of an image's pixels are m = |[truth is c] −
p_c|, and the loss is the Lovász extension of the class's Jaccard loss at m (see
`foldbelt.losses.lovasz`). The mean is over an image's classes, and then over images, as it is in
the paper's `per_image` form.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.losses._exclusive import log_probabilities
from foldbelt.losses._jaccard import gains
from foldbelt.losses._means import mean_over

EXCLUSIVE = True
"""Needs a network whose classes exclude each other."""

Classes = Literal["present", "all"]


class LovaszSoftmax(nn.Module):
    """Mean over images and classes; see the module's docstring.

    The loss is one of sets: targets between 0 and 1, as from label smoothing, are rounded. A pixel
    of two masks is a pixel of either class, and one of no mask is background. Images of which every
    pixel is ignored leave the mean.

    Parameters
    ----------
    classes
        "present" takes the mean over the classes that an image shows, as the paper advises; "all"
        over all, where the worst pixel alone counts of a class that is not there.
    """

    def __init__(self, classes: Classes = "present") -> None:
        super().__init__()
        if classes not in ("present", "all"):
            raise InputError(f"lovasz_softmax: classes is 'present' or 'all', not {classes!r}")
        self.classes = classes

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean loss of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        if ignore is not None:
            logits = logits.masked_fill(ignore, 0)
        probability = log_probabilities(logits.float()).exp()
        masks = target.to(logits.device) > 0.5
        truth = torch.cat([~masks.any(dim=1, keepdim=True), masks], dim=1)
        count, classes = truth.shape[:2]
        truth = truth.reshape(count * classes, -1)
        errors = (truth.float() - probability.reshape(count * classes, -1)).abs()
        if ignore is not None:
            # Sorted behind all others as no positives, ignored pixels change no other's weight.
            hidden = ignore.expand(-1, classes, -1, -1).reshape(count * classes, -1)
            errors, truth = errors.masked_fill(hidden, -1), truth & ~hidden
        with torch.no_grad():
            order = torch.sort(errors, dim=1, descending=True, stable=True).indices
            added = gains(truth.gather(1, order))
            weights = torch.empty_like(added).scatter_(1, order, added)
            if ignore is not None:
                weights = weights.masked_fill(hidden, 0)
        loss = (errors * weights).sum(dim=1)
        counted = truth.any(dim=1)
        if self.classes == "all":
            counted = torch.ones_like(counted)
            if ignore is not None:
                counted = (~hidden).any(dim=1)
        # First over an image's classes: images weigh alike, however many classes they show.
        loss, counted = loss.reshape(count, classes), counted.reshape(count, classes)
        each = loss.masked_fill(~counted, 0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        return mean_over(each, counted.any(dim=1))


def build(classes: Classes = "present") -> LovaszSoftmax:
    """Make the loss; see `LovaszSoftmax`."""
    return LovaszSoftmax(classes)
