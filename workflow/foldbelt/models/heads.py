"""What a network says: a mask, and numbers of the image (its labels, its depth)."""

import torch
from torch import Tensor, nn


def mask_head(channels: int, classes: int) -> nn.Conv2d:
    """1×1 convolution to mask logits: weights as torch draws them, bias 0.

    The weights must not start near 0. Background prevails, so the first steps would make all of
    them negative, and as the features are not negative either, no logit would ever rise above the
    bias: on short schedules every probability then ends below one half.
    """
    head = nn.Conv2d(channels, classes, 1)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
    return head


class ImageHead(nn.Module):
    """Numbers from the deepest map: mean and maximum over pixels, dropout, one linear layer.

    The maximum is there for small objects, which a mean over the whole image washes out.

    Parameters
    ----------
    channels
        Of the deepest map.
    outputs
        How many numbers: one a label, or one for the depth.
    dropout
        Share of features dropped in training.
    """

    def __init__(self, channels: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * channels, outputs)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, deep: Tensor) -> Tensor:
        """Numbers (N, outputs) of maps (N, C, h, w)."""
        pooled = torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))], dim=1)
        return self.linear(self.dropout(pooled))
