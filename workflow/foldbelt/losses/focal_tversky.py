"""Focal Tversky loss (Abraham & Khan 2019): a root of the Tversky loss, of each image by itself."""

from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.losses import _regions
from foldbelt.losses._means import Empty, check

_LEAST = 1e-6
"""Loss below which a mask teaches nothing more: there, roots have no finite gradient."""


class FocalTversky(nn.Module):
    """(1 − T)^(1/γ), T the Tversky index, the mean over images and classes.

    T = (Σpy + s) / (Σpy + α Σp(1 − y) + β Σ(1 − p)y + s), as in `foldbelt.losses.tversky`; the
    paper exchanges the names of α and β. Ignored pixels, images and soft targets are as there.

    Parameters
    ----------
    alpha
        α, factor on pixels found in vain.
    beta
        β, factor on pixels missed.
    gamma
        γ, above 0; the paper takes 4/3. 1 is the Tversky loss. Above 1, masks that are nearly right
        keep a larger gradient, and below 1 a smaller one.
    smooth
        s, in pixels, above 0.
    empty
        "score" or "skip", as of the Tversky loss.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 4 / 3,
        smooth: float = 1.0,
        empty: Empty = "score",
    ) -> None:
        super().__init__()
        _regions.check_factors("focal_tversky", alpha, beta, smooth)
        if not 0 < gamma < float("inf"):
            raise InputError(f"focal_tversky: gamma must be finite and above 0, not {gamma!r}")
        check("focal_tversky", empty)
        self.alpha, self.beta, self.smooth, self.empty = alpha, beta, smooth, empty
        self.exponent = 1 / gamma

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean loss of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        both, wrong, missed, present = _regions.count(logits, target, ignore)
        errors = self.alpha * wrong + self.beta * missed
        loss = (errors / (both + errors + self.smooth)).clamp(min=_LEAST) ** self.exponent
        return _regions.mean(loss, present, ignore, self.empty)


def build(
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    smooth: float = 1.0,
    empty: Empty = "score",
) -> FocalTversky:
    """Make the loss; see `FocalTversky`."""
    return FocalTversky(alpha, beta, gamma, smooth, empty)
