"""The Jaccard loss pixel by pixel, of which Lovász extensions are made."""

import torch
from torch import Tensor


def gains(positive: Tensor) -> Tensor:
    """What each pixel adds to the Jaccard loss of those before it, (R, P) float32.

    Over the pixels `positive` (R, P) in the order of falling errors, I positives are still right
    and U is the union. A positive takes 1 from I and adds 1/U; a negative adds 1 to U and
    I/(U (U − 1)): written so, without the difference of two nearly equal Jaccard losses, and with
    whole numbers in the cumulative sum (exact, and deterministic on a GPU).
    """
    total = positive.sum(dim=1, keepdim=True)
    passed = positive.cumsum(dim=1)
    rank = torch.arange(1, positive.shape[1] + 1, device=positive.device)
    right = (total - passed).float()
    union = (total + rank - passed).float()
    added = torch.where(positive, 1 / union, right / (union * (union - 1).clamp(min=1)))
    # No positives: the first pixel takes the Jaccard loss from 0 to 1, all others change nothing.
    added[:, :1] += (total == 0).float()
    return added
