"""Parts that the architectures share.

Everything here is deterministic on CPU and GPU alike: maps are enlarged by repeating pixels, since
PyTorch has no deterministic gradient of bilinear interpolation on CUDA that is also fast, and
pooled by plain means and maxima, since it has none of the adaptive pools at all.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_norm_act(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution that keeps the size, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SCSE(nn.Module):
    """Concurrent spatial and channel squeeze-and-excitation (Roy, Navab & Wachinger, MICCAI 2018).

    The map is scaled by a gate for each channel and, apart, by a gate for each pixel; the two are
    added, as in the paper (its journal version found the maximum a little better on brain scans).
    It has 2 C (C/r) + C/r + C parameters for the channels' gate and C + 1 for the pixels'.

    Parameters
    ----------
    channels
        C.
    reduction
        r, of the channel gate's hidden layer; the paper found 2 to be best.
    """

    def __init__(self, channels: int, reduction: int = 2) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Gate x (N, C, H, W); the shape stays."""
        # One product: x · channel + x · spatial.
        return x * (self.channel(x.mean(dim=(2, 3)))[:, :, None, None] + self.spatial(x))


def upsample_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps (N, C, h, w) to a size (H, W) by repeating pixels.

    A convolution of stride s makes ceil(H / s) rows of H, whose i-th stands for rows s i onwards:
    repeating each s times and cutting the excess puts them back exactly. Sizes that did not come
    about so (unpadded convolutions) are interpolated to the nearest pixel.
    """
    height, width = x.shape[-2:]
    down, right = math.ceil(size[0] / height), math.ceil(size[1] / width)
    if down * height - size[0] >= down or right * width - size[1] >= right:
        return functional.interpolate(x, size=size, mode="nearest")
    if (down, right) != (1, 1):
        x = functional.interpolate(x, size=(down * height, right * width), mode="nearest")
    return x[..., : size[0], : size[1]]


class DecoderBlock(nn.Module):
    """Enlarge, join the encoder's map of that size, two convolutions, scSE if asked for.

    Parameters
    ----------
    inputs, skip, outputs
        Channels of the deeper map, of the encoder's map (0: none is joined), and of the result.
    scse
        Whether an `SCSE` ends the block.
    """

    def __init__(self, inputs: int, skip: int, outputs: int, scse: bool = False) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            conv_norm_act(inputs + skip, outputs), conv_norm_act(outputs, outputs)
        )
        self.attention = SCSE(outputs) if scse else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Take x (N, inputs, h, w) and skip (N, skip, *size) to (N, outputs, *size)."""
        x = upsample_to(x, size)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        return self.attention(self.convs(x))


def initialise(module: nn.Module) -> None:
    """Draw the convolutions' weights as He et al. (2015), for ReLU; batch norms start as identity.

    Draws from torch's global generator: seed it first.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
