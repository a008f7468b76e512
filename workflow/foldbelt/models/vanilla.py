"""The plain U-Net (Ronneberger, Fischer & Brox, MICCAI 2015).

As in the paper: two 3×3 convolutions a level, 2×2 max-pool down, 2×2 transposed convolution up,
the encoder's map joined, channels doubled with every level. Unlike it: batch norm, and padded
convolutions, so that the mask has the image's size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldbelt.models.blocks import SCSE, conv_norm_act, initialise
from foldbelt.models.heads import LabelHead, mask_head


class UpBlock(nn.Module):
    """Transposed convolution to half the channels, the encoder's map joined, two convolutions."""

    def __init__(self, inputs: int, outputs: int, scse: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.convs = nn.Sequential(
            conv_norm_act(2 * outputs, outputs), conv_norm_act(outputs, outputs)
        )
        self.attention = SCSE(outputs) if scse else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Take x (N, 2C, h, w) and skip (N, C, H, W), with h = ceil(H / 2), to (N, C, H, W)."""
        x = self.up(x)[..., : skip.shape[-2], : skip.shape[-1]]
        return self.attention(self.convs(torch.cat([x, skip], dim=1)))


class Vanilla(nn.Module):
    """Plain U-Net; `build` describes the parameters."""

    def __init__(
        self,
        in_channels: int,
        mask_channels: int,
        label_classes: int,
        width: int,
        depth: int,
        scse: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_act(before, after), conv_norm_act(after, after))
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            UpBlock(2 * channels, channels, scse) for channels in reversed(widths[:-1])
        )
        initialise(self)
        self.mask = mask_head(width, mask_channels)
        self.label = LabelHead(widths[-1], label_classes, dropout) if label_classes else None

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits "mask" (N, K, H, W) of images (N, C, H, W) and, with the head, "label" (N, L)."""
        skips: list[Tensor] = []
        for level, convs in enumerate(self.down):
            if level:
                # Rounding the size up, a last odd row is not lost.
                x = functional.max_pool2d(x, 2, ceil_mode=True)
            x = convs(x)
            skips.append(x)
        deep = skips.pop()
        x = deep
        for block in self.up:
            x = block(x, skips.pop())
        outputs = {"mask": self.mask(x)}
        if self.label is not None:
            outputs["label"] = self.label(deep)
        return outputs


def build(
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    *,
    width: int = 16,
    depth: int = 4,
    scse: bool = False,
    label_head: bool = False,
    dropout: float = 0.0,
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
    scse
        Whether `SCSE` ends every block of the decoder.
    label_head
        Whether the image's labels are predicted too, where there are any.
    dropout
        Share of features dropped before the label head.
    """
    labels = label_classes if label_head else 0
    return Vanilla(in_channels, mask_channels, labels, width, depth, scse, dropout)
