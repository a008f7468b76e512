"""Focal loss (Lin et al. 2017): cross-entropy in which easy pixels count for little."""

from torch import Tensor, nn
from torch.nn import functional

from foldbelt.files import InputError
from foldbelt.losses._means import mean_over_pixels

LABELS = True
"""Means something of image labels, too: every number stands by itself."""


class Focal(nn.Module):
    """Mean of −α (1 − p)^γ log p over positive and −(1 − α) p^γ log(1 − p) over negative pixels.

    All pixels and classes count that are not ignored (the paper divides by the number of objects,
    which masks do not have). A target between 0 and 1 has that share of the positive and
    the rest of the negative term. A batch of which every pixel is ignored has the loss 0.

    Parameters
    ----------
    gamma
        γ: 0 is cross-entropy, more gives easy pixels less weight.
    alpha
        α, between 0 and 1; None weighs both terms 1.
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = 0.25) -> None:
        super().__init__()
        if not 0 <= gamma < float("inf"):
            raise InputError(f"focal: gamma must be finite and not negative, not {gamma!r}")
        if alpha is not None and not 0 < alpha < 1:
            raise InputError(f"focal: alpha must lie between 0 and 1, or be null, not {alpha!r}")
        self.gamma = gamma
        self.factors = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Mean focal loss of logits (N, K, H, W) against target (N, K, H, W), a scalar."""
        logits, target = logits.float(), target.to(logits.device).float()
        if ignore is not None:
            # Overwritten rather than multiplied by 0: 0 × NaN is NaN, in the gradient too.
            logits, target = logits.masked_fill(ignore, 0), target.masked_fill(ignore, 0)
        yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        # Powers as exponentials of logarithms: their gradient is finite where p is 0 or 1.
        positive = -self.factors[0] * (self.gamma * no).exp() * yes
        negative = -self.factors[1] * (self.gamma * yes).exp() * no
        return mean_over_pixels(target * positive + (1 - target) * negative, ignore)


def build(gamma: float = 2.0, alpha: float | None = 0.25) -> Focal:
    """Make the loss; see `Focal`."""
    return Focal(gamma, alpha)
