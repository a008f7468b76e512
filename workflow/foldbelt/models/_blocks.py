"""Parts that the architectures share.

Everything here is deterministic on CPU and GPU alike: maps are enlarged by repeating pixels or by
matrix products, since PyTorch has no deterministic gradient of bilinear interpolation on CUDA that
is also fast, and pooled by plain means and maxima, since it has none of the adaptive pools at all.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldbelt.files import InputError


def conv_norm_act(inputs: int, outputs: int, kernel: int = 3, norm: str = "batch") -> nn.Sequential:
    """Convolution that keeps the size, normalisation, ReLU.

    Without normalisation the convolution has a bias in its place.
    """
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=norm == "none")
    return nn.Sequential(conv, *norm_act(outputs, norm))


def norm_act(channels: int, norm: str) -> list[nn.Module]:
    """Normalisation, unless it is to be none, and ReLU.

    Parameters
    ----------
    channels
        Of the maps.
    norm
        "batch" (Ioffe & Szegedy, ICML 2015), "group" (Wu & He, ECCV 2018; with 16 channels to a
        group as far as they divide the channels, so that a group has something to average where
        maps are few pixels) or "none".

    Raises
    ------
    InputError
        For any other name.
    """
    if norm == "batch":
        return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    if norm == "group":
        groups = math.gcd(channels, max(1, channels // 16))
        return [nn.GroupNorm(groups, channels), nn.ReLU(inplace=True)]
    if norm == "none":
        return [nn.ReLU(inplace=True)]
    raise InputError(f"norm: {norm!r} is unknown; take batch, group or none")


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


class AttentionGate(nn.Module):
    """Additive attention gate on a skip connection (Oktay et al., MIDL 2018, equations 1 and 2).

    Every pixel of the encoder's map x is scaled by a coefficient between 0 and 1,
    σ(ψ·ReLU(W_x x + W_g g + b_g) + b_ψ), where g is the deeper map, which has seen more of the
    image. The three linear maps are 1×1 convolutions with F_x F + F_g F + F + F + 1 parameters in
    all, F = F_x / 2. Here g is brought to the pixels of x; the paper's code computes coefficients
    at the pixels of g and interpolates them.

    Parameters
    ----------
    skip, deeper
        Channels F_x of the encoder's map, and F_g of the deeper one.
    """

    def __init__(self, skip: int, deeper: int) -> None:
        super().__init__()
        hidden = max(1, skip // 2)
        self.of_skip = nn.Conv2d(skip, hidden, 1, bias=False)
        self.of_deeper = nn.Conv2d(deeper, hidden, 1)
        self.psi = nn.Conv2d(hidden, 1, 1)

    def coefficients(self, skip: Tensor, deeper: Tensor) -> Tensor:
        """Coefficients (N, 1, H, W) of maps (N, F_x, H, W) and (N, F_g, h, w)."""
        context = upsample_to(self.of_deeper(deeper), (skip.shape[-2], skip.shape[-1]))
        return torch.sigmoid(self.psi(torch.relu(self.of_skip(skip) + context)))

    def forward(self, skip: Tensor, deeper: Tensor) -> Tensor:
        """Scale the encoder's map (N, F_x, H, W); the shape stays."""
        return skip * self.coefficients(skip, deeper)


class Hypercolumn(nn.Module):
    """Join the maps of all levels at every pixel (Hariharan et al., CVPR 2015).

    A 1×1 convolution of the enlarged and concatenated maps, then normalisation and ReLU. As in the
    paper, each map is convolved at its own size, enlarged and added, which is the same and cheaper.

    Parameters
    ----------
    channels
        Of the maps.
    width
        Channels of the result.
    norm
        See `norm_act`.
    """

    def __init__(self, channels: Sequence[int], width: int, norm: str) -> None:
        super().__init__()
        self.width = width
        last = len(channels) - 1
        self.convs = nn.ModuleList(
            nn.Conv2d(each, width, 1, bias=norm == "none" and level == last)
            for level, each in enumerate(channels)
        )
        self.norm_act = nn.Sequential(*norm_act(width, norm))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Take maps (N, C, h, w), the last being the largest, to (N, width, H, W) of its size."""
        size = (maps[-1].shape[-2], maps[-1].shape[-1])
        column = self.convs[-1](maps[-1])
        for conv, x in zip(self.convs[:-1], maps[:-1], strict=True):
            column = column + upsample_to(conv(x), size)
        return self.norm_act(column)


class LateChannels(nn.Module):
    """Join numbers of the whole image to the deepest map, as constant planes.

    The numbers (the means of the image's last channels) pass through a linear layer and SiLU, to an
    eighth of the map's channels: alone they would drown in it.

    Parameters
    ----------
    late
        How many numbers.
    channels
        Of the deepest map.
    """

    def __init__(self, late: int, channels: int) -> None:
        super().__init__()
        self.width = max(late, channels // 8)
        self.embed = nn.Sequential(nn.Linear(late, self.width), nn.SiLU())

    def forward(self, deep: Tensor, planes: Tensor) -> Tensor:
        """Take maps (N, C, h, w) and planes (N, late, H, W) to (N, C + width, h, w)."""
        values = self.embed(planes.mean(dim=(2, 3)))[:, :, None, None]
        return torch.cat([deep, values.expand(-1, -1, *deep.shape[-2:])], dim=1)


def upsample_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps (N, C, h, w) to a size (H, W) by repeating pixels.

    A convolution of stride s makes ceil(H / s) rows of H, whose i-th stands for rows s i onwards:
    repeating each s times and cutting the excess puts them back exactly. Sizes that did not come
    about so (unpadded convolutions) are interpolated to the nearest pixel.
    """
    whole = _uncut(x, size)
    if whole != x.shape[-2:]:
        x = functional.interpolate(x, size=whole, mode="nearest")
    return x[..., : size[0], : size[1]]


def upsample_linear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps (N, C, h, w) to a size (H, W) by bilinear interpolation, excess cut as above."""
    height, width = _uncut(x, size)
    if (height, width) != x.shape[-2:]:
        x = _weights(x.shape[-2], height, x).mT @ (x @ _weights(x.shape[-1], width, x))
    return x[..., : size[0], : size[1]]


def _uncut(x: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after enlarging by whole factors, or `size` where none would fit."""
    height, width = x.shape[-2:]
    down, right = math.ceil(size[0] / height), math.ceil(size[1] / width)
    if down * height - size[0] >= down or right * width - size[1] >= right:
        return size
    return down * height, right * width


def _weights(have: int, want: int, like: Tensor) -> Tensor:
    """Matrix (have, want) that interpolates a row of pixels."""
    unit = torch.eye(have, device=like.device)[None]
    return functional.interpolate(unit, size=want, mode="linear")[0].to(like.dtype)


class DecoderBlock(nn.Module):
    """Enlarge, join the encoder's map of that size, two convolutions, scSE if asked for.

    Parameters
    ----------
    inputs, skip, outputs
        Channels of the deeper map, of the encoder's map (0: none is joined), and of the result.
    scse
        Whether an `SCSE` ends the block.
    norm
        See `norm_act`.
    attention
        Whether an `AttentionGate` scales the encoder's map before it is joined.
    """

    def __init__(
        self,
        inputs: int,
        skip: int,
        outputs: int,
        scse: bool = False,
        norm: str = "batch",
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            conv_norm_act(inputs + skip, outputs, norm=norm),
            conv_norm_act(outputs, outputs, norm=norm),
        )
        self.attention = SCSE(outputs) if scse else nn.Identity()
        self.gate = AttentionGate(skip, inputs) if attention and skip else None

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Take x (N, inputs, h, w) and skip (N, skip, *size) to (N, outputs, *size)."""
        if skip is not None and self.gate is not None:
            skip = self.gate(skip, x)
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
