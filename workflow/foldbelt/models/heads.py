"""What a network says: a mask, and labels of the image."""

import torch
from torch import Tensor, nn


def mask_head(channels: int, classes: int) -> nn.Conv2d:
    """1×1 convolution to mask logits, initialised so that every pixel starts near p = 0.5.

    The bias is 0 and the weights are small: with a quarter of the pixels positive, as in salt, a
    prior in the bias is learnt in a few steps, and a wrong one would hide the first of them.
    """
    head = nn.Conv2d(channels, classes, 1)
    nn.init.normal_(head.weight, std=0.01)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
    return head


class LabelHead(nn.Module):
    """Image labels from the deepest map: mean and maximum over pixels, dropout, one linear layer.

    The maximum is there for small objects, which a mean over the whole image washes out.

    Parameters
    ----------
    channels
        Of the deepest map.
    labels
        Number of labels, L.
    dropout
        Share of features dropped in training.
    """

    def __init__(self, channels: int, labels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * channels, labels)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, deep: Tensor) -> Tensor:
        """Logits (N, L) of maps (N, C, h, w)."""
        pooled = torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))], dim=1)
        return self.linear(self.dropout(pooled))
