"""The plain U-Net (Ronneberger, Fischer & Brox, MICCAI 2015).

As in the paper: two 3×3 convolutions a level, 2×2 max-pool down, 2×2 transposed convolution up,
the encoder's map joined, channels doubled with every level. Unlike it: batch norm, and padded
convolutions, so that the mask has the image's size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from foldbelt.models._blocks import SCSE, LateChannels, conv_norm_act, initialise
from foldbelt.models._checkpointing import count_once
from foldbelt.models._network import Network, entering


class UpBlock(nn.Module):
    """Transposed convolution to fewer channels, the encoder's map joined, two convolutions."""

    def __init__(self, inputs: int, outputs: int, scse: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.convs = nn.Sequential(
            conv_norm_act(2 * outputs, outputs), conv_norm_act(outputs, outputs)
        )
        self.attention = SCSE(outputs) if scse else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Take x (N, inputs, h, w) and skip (N, C, H, W), with h = ceil(H / 2), to (N, C, H, W)."""
        x = self.up(x)[..., : skip.shape[-2], : skip.shape[-1]]
        return self.attention(self.convs(torch.cat([x, skip], dim=1)))


class Vanilla(Network):
    """Plain U-Net; `build` describes the parameters."""

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        scse: bool,
        late: LateChannels | None,
        late_channels: int,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(late, late_channels)
        self.checkpointing = checkpointing
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_act(before, after), conv_norm_act(after, after))
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        deeper = [*widths[1:-1], widths[-1] + (late.width if late is not None else 0)]
        self.up = nn.ModuleList(
            UpBlock(below, channels, scse)
            for below, channels in zip(reversed(deeper), reversed(widths[:-1]), strict=True)
        )
        initialise(self)
        if checkpointing:
            count_once(self, self.down)

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Maps of an image (N, C, H, W) at every level, shallow to deep."""
        maps: list[Tensor] = []
        x = image
        for level, convs in enumerate(self.down):
            if level:
                # Rounding the size up, a last odd row is not lost.
                x = functional.max_pool2d(x, 2, ceil_mode=True)
            again = self.checkpointing and torch.is_grad_enabled()
            x = checkpoint(convs, x, use_reentrant=False) if again else convs(x)
            maps.append(x)
        return maps

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Sequence[Tensor]:
        """Maps after every block up, deep to shallow."""
        maps: list[Tensor] = []
        x = features[-1]
        for block, skip in zip(self.up, reversed(features[:-1]), strict=True):
            x = block(x, skip)
            maps.append(x)
        return maps


def build(
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    *,
    width: int = 16,
    depth: int = 4,
    checkpointing: bool = False,
    deep_supervision: bool = False,
    late_channels: int = 0,
    scse: bool = False,
    exclusive: bool = False,
    prior: float | None = None,
    label_head: bool = False,
    depth_head: bool = False,
    label_dropout: float = 0.0,
    mask_dropout: float = 0.0,
) -> Vanilla:
    """Make a plain U-Net.

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C, K and L of the data.
    width
        Channels of the first level (64 in the paper).
    depth
        Number of down-samplings (4 in the paper).
    checkpointing
        Whether the maps on the way down are computed again in the backward pass instead of being
        kept; see `foldbelt.models._checkpointing`.
    deep_supervision
        Whether, in training, the mask is predicted after every block up (Lee et al. 2015).
    late_channels
        So many last channels join at the deepest level only; see `LateChannels`.
    scse
        Whether `SCSE` ends every block of the decoder.
    exclusive
        Whether no pixel is of two classes; see `foldbelt.models._heads.exclusive`.
    prior
        Probability with which every pixel starts; see `foldbelt.models._heads.mask_head`.
    label_head
        Whether the image's labels are predicted too, where there are any.
    depth_head
        Whether the image's depth is predicted too.
    label_dropout
        Share of features dropped before the label head.
    mask_dropout
        Share of channels dropped before the mask head; see `Network.add_heads`.

    Raises
    ------
    InputError
        If no channel is left that is not late.
    """
    widths = [width * 2**level for level in range(depth + 1)]
    images = entering(in_channels, late_channels)
    late = LateChannels(late_channels, widths[-1]) if late_channels else None
    network = Vanilla(images, widths, scse, late, late_channels, checkpointing)
    network.add_heads(
        widths[-1],
        widths[-2::-1],
        mask_channels,
        label_classes if label_head else 0,
        label_dropout,
        depth_head,
        deep_supervision,
        exclusive=exclusive,
        prior=prior,
        mask_dropout=mask_dropout,
    )
    return network
