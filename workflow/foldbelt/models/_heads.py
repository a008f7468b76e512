"""What a network says: a mask, and numbers of the image (its labels, its depth)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foldbelt.models._blocks import conv_norm_act, initialise


def mask_head(channels: int, classes: int, prior: float | None = None) -> nn.Conv2d:
    """1×1 convolution to mask logits: weights as torch draws them, bias 0 or that of a prior.

    The weights must not start near 0. Background prevails, so the first steps would make all of
    them negative, and as the features are not negative either, no logit would ever rise above the
    bias: on short schedules every probability then ends below one half.

    Parameters
    ----------
    channels, classes
        Channels in, and K.
    prior
        Probability with which every pixel starts, above 0 and below 1. Where few pixels are of a
        class, the network need not spend its first epochs on learning that (Lin et al. 2017, Focal
        loss for dense object detection: .01). None: one half.
    """
    head = nn.Conv2d(channels, classes, 1)
    if head.bias is not None:
        nn.init.constant_(head.bias, 0.0 if prior is None else math.log(prior / (1 - prior)))
    return head


def exclusive(logits: Tensor) -> Tensor:
    """Make logits of K exclusive classes such that a sigmoid of each is a softmax of them all.

    The background is a class more, of logit 0: p_k = e^(z_k) / (1 + Σ_j e^(z_j)), and the logit of
    p_k is z_k − log(1 + Σ_(j≠k) e^(z_j)). So whatever takes a sigmoid, downstream, is right.

    Parameters
    ----------
    logits
        (N, K, H, W), any floating dtype; computed in float32. Each sum is taken without its own
        class, rather than by a difference, so that nothing is lost where a p_k is nearly 1; sums
        over the classes before and after it make that K steps, not K².

    Returns
    -------
    (N, K, H, W) float32 tensor

    Examples
    --------
    >>> logits = torch.tensor([1.0, 2.0, -1.0]).reshape(1, 3, 1, 1)
    >>> probability = exclusive(logits).sigmoid()
    >>> with_background = torch.cat([torch.zeros(1, 1, 1, 1), logits], dim=1)
    >>> torch.allclose(probability, with_background.softmax(dim=1)[:, 1:])
    True
    """
    if logits.shape[1] == 1:
        return logits.float()
    # Planes of channels-last logits have gaps, and a CPU takes ten times as long over those.
    planes = logits.float().contiguous().unbind(dim=1)
    # log Σ of the background and of the classes before each, then with those after it.
    before = [torch.zeros_like(planes[0])]
    for plane in planes[:-1]:
        before.append(torch.logaddexp(before[-1], plane))
    rests, after = [before[-1]], planes[-1]
    for plane, sum_before in zip(reversed(planes[:-1]), reversed(before[:-1]), strict=True):
        rests.append(torch.logaddexp(sum_before, after))
        after = torch.logaddexp(after, plane)
    return torch.stack([z - rest for z, rest in zip(planes, reversed(rests), strict=True)], dim=1)


def shares(logits: Tensor) -> Tensor:
    """Make logits of labels that exclude each other such that a sigmoid of each is their softmax.

    One of them holds, so there is no background: the logit of p_k is z_k − log Σ_(j≠k) e^(z_j).

    Parameters
    ----------
    logits
        (N, L), any floating dtype; computed in float32. A single label stays what it is.

    Returns
    -------
    (N, L) float32 tensor

    Examples
    --------
    >>> logits = torch.tensor([[1.0, 2.0, -1.0]])
    >>> torch.allclose(shares(logits).sigmoid(), logits.softmax(dim=1))
    True
    """
    logits = logits.float()
    count = logits.shape[1]
    if count == 1:
        return logits
    each = []
    for own in range(count):
        rest = logits[:, [k for k in range(count) if k != own]].logsumexp(dim=1, keepdim=True)
        each.append(logits[:, own : own + 1] - rest)
    return torch.cat(each, dim=1)


def within(numbers: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Make logits such that sigmoids of each group's are their softmax; the others stay.

    Parameters
    ----------
    numbers
        (N, L), any floating dtype; computed in float32.
    groups
        Places among the L of labels that exclude each other; none is in two groups.

    Returns
    -------
    (N, L) float32 tensor

    Examples
    --------
    >>> numbers = torch.tensor([[1.0, 3.0, 2.0]])
    >>> probability = within(numbers, [[0, 2]]).sigmoid()
    >>> torch.allclose(probability[:, [0, 2]], numbers[:, [0, 2]].softmax(dim=1))
    True
    >>> torch.allclose(probability[:, 1], numbers[:, 1].sigmoid())
    True
    """
    columns = list(numbers.float().unbind(dim=1))
    for group in groups:
        for place, column in zip(group, shares(numbers[:, group]).unbind(dim=1), strict=True):
            columns[place] = column
    return torch.stack(columns, dim=1)


def auxiliary_head(channels: int, width: int, classes: int) -> nn.Sequential:
    """Masks from a map of an encoder, at its size: (3×3 convolution, batch norm, ReLU) twice, 1×1.

    So the sixth place of SIIM-FISABIO-RSNA COVID-19 (Heng) taught classifiers where to look.
    """
    convs = nn.Sequential(conv_norm_act(channels, width), conv_norm_act(width, width))
    initialise(convs)
    return nn.Sequential(*convs, mask_head(width, classes))


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

    Attributes
    ----------
    groups
        Places of numbers that are logits of labels of which one holds; see `within`.
    """

    groups: Sequence[Sequence[int]] = ()

    def __init__(self, channels: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * channels, outputs)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, deep: Tensor) -> Tensor:
        """Numbers (N, outputs) of maps (N, C, h, w)."""
        pooled = torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))], dim=1)
        numbers = self.linear(self.dropout(pooled))
        if not self.groups:
            return numbers
        if list(self.groups) == [list(range(numbers.shape[1]))]:
            return shares(numbers)
        return within(numbers, self.groups)
