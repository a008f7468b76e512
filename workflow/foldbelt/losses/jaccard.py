"""Soft Jaccard loss, or one minus intersection over union (Rahman & Wang 2016), of each image."""

from torch import Tensor, nn

from foldbelt.losses import _regions
from foldbelt.losses._means import Empty, check


class Jaccard(nn.Module):
    """1 − (Σpy + s) / (Σp + Σy − Σpy + s), the mean over images and classes.

    The sums run over the pixels of one class of one image. On an empty mask the loss is
    Σp / (Σp + s): 0 where nothing is predicted. Images of which every pixel is ignored leave the
    mean. Targets between 0 and 1 are allowed; with them, the loss does not reach 0. For a convex
    loss of the same index see `foldbelt.losses.lovasz`.

    Parameters
    ----------
    smooth
        s, in pixels, above 0.
    empty
        "score" takes empty masks as above; "skip" leaves them out of the mean. A mask is empty that
        nowhere exceeds 0.5.
    """

    def __init__(self, smooth: float = 1.0, empty: Empty = "score") -> None:
        super().__init__()
        _regions.check_factors("jaccard", 1, 1, smooth)
        check("jaccard", empty)
        self.smooth, self.empty = smooth, empty

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean loss of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        both, wrong, missed, present = _regions.count(logits, target, ignore)
        # The union is what is right, found in vain or missed.
        loss = (wrong + missed) / (both + wrong + missed + self.smooth)
        return _regions.mean(loss, present, ignore, self.empty)


def build(smooth: float = 1.0, empty: Empty = "score") -> Jaccard:
    """Make the loss; see `Jaccard`."""
    return Jaccard(smooth, empty)
