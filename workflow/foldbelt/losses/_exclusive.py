"""What losses of exclusive classes share: the background's probability."""

import torch
from torch import Tensor
from torch.nn import functional

_LEAST = 1e-6


def log_probabilities(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities of the background and of K exclusive classes.

    With m the likeliest class, log p_0 = log(1 − p_m) + log(1 − Σ_(j≠m) p_j / (1 − p_m)). The first
    term is exact however small p_0 is beside p_m, which is the usual way to be small. The second
    loses its last digits where two classes share all there is, and is bounded from below by
    log 10⁻⁶ there; the first still tells the network which way to go.

    Parameters
    ----------
    logits
        (N, K, H, W) float32, as `foldbelt.models._heads.exclusive` gives them: their sigmoids are
        p_1 … p_K, which sum to less than 1.

    Returns
    -------
    (N, 1 + K, H, W) float32 tensor
        log p_0, the background's, first.
    """
    own = functional.logsigmoid(logits)
    # The first of equals, as argmax has it, which takes four times as long on a CPU.
    likeliest = logits.detach().max(dim=1, keepdim=True).indices
    rest = functional.logsigmoid(-logits.gather(1, likeliest))  # log(1 − p_m)
    first = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, likeliest, True)
    # Hidden before the exponential: beyond 88 it overflows, and infinity times 0 is NaN.
    shares = (own - rest).masked_fill(first, float("-inf")).exp()
    left = 1 - shares.sum(dim=1, keepdim=True)
    return torch.cat([rest + left.clamp(min=_LEAST).log(), own], dim=1)
