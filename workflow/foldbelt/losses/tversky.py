"""Tversky loss (Salehi, Erdogmus & Gholipour 2017), of each image by itself."""

from torch import Tensor, nn

from foldbelt.losses import _regions
from foldbelt.losses._means import Empty, check


class Tversky(nn.Module):
    """1 − (Σpy + s) / (Σpy + α Σp(1 − y) + β Σ(1 − p)y + s), the mean over images and classes.

    More weight on what is missed (β above α) finds small objects at the price of false ones. With
    α = β = ½ it is the Dice loss (of half the s), with α = β = 1 the Jaccard loss. The sums run
    over the pixels of one class of one image; on an empty mask the loss is αΣp / (αΣp + s).
    Images of which every pixel is ignored leave the mean. Targets between 0 and 1 are allowed.

    Parameters
    ----------
    alpha
        α, factor on pixels found in vain.
    beta
        β, factor on pixels missed. The paper found α = .3 and β = .7 to be best on lesions.
    smooth
        s, in pixels, above 0.
    empty
        "score" takes empty masks as above; "skip" leaves them out of the mean. A mask is empty that
        nowhere exceeds 0.5.
    """

    def __init__(
        self, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0, empty: Empty = "score"
    ) -> None:
        super().__init__()
        _regions.check_factors("tversky", alpha, beta, smooth)
        check("tversky", empty)
        self.alpha, self.beta, self.smooth, self.empty = alpha, beta, smooth, empty

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean loss of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        both, wrong, missed, present = _regions.count(logits, target, ignore)
        errors = self.alpha * wrong + self.beta * missed
        # The same as above, without the difference of two numbers that may be nearly equal.
        loss = errors / (both + errors + self.smooth)
        return _regions.mean(loss, present, ignore, self.empty)


def build(
    alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0, empty: Empty = "score"
) -> Tversky:
    """Make the loss; see `Tversky`."""
    return Tversky(alpha, beta, smooth, empty)
