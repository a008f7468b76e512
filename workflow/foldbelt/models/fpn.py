"""Feature pyramid (Lin et al., CVPR 2017) with a branch for masks (Kirillov et al., CVPR 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foldbelt.models._blocks import (
    SCSE,
    LateChannels,
    conv_norm_act,
    initialise,
    upsample_linear,
    upsample_to,
)
from foldbelt.models._encoders import levels, make_encoder
from foldbelt.models._network import Network, entering

_LEVELS = 4  # the deepest maps, C2 to C5 of a residual network


class Pyramid(nn.Module):
    """Maps of one width: 1×1 convolutions of the encoder's, the deeper added, one 3×3 each.

    Parameters
    ----------
    channels
        Channels of the encoder's maps, shallow to deep.
    width
        Channels of the pyramid's maps.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(each, width, 1) for each in reversed(channels))
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Take maps, shallow to deep, to as many (N, width, h, w), deep to shallow."""
        merged: list[Tensor] = []
        for lateral, x in zip(self.lateral, reversed(features), strict=True):
            x = lateral(x)
            if merged:
                x = x + upsample_to(merged[-1], (x.shape[-2], x.shape[-1]))
            merged.append(x)
        return [smooth(x) for smooth, x in zip(self.smooth, merged, strict=True)]


class MaskBranch(nn.Module):
    """Every map of the pyramid, convolved and doubled up to the largest one's size, summed.

    Parameters
    ----------
    count
        Number of maps.
    width
        Their channels.
    scse
        Whether an `SCSE` ends every path.
    norm
        See `norm_act`; the paper has group.
    """

    def __init__(self, count: int, width: int, scse: bool, norm: str) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.ModuleList(conv_norm_act(width, width, norm=norm) for _ in range(max(doublings, 1)))
            for doublings in reversed(range(count))
        )
        self.attention = nn.ModuleList(SCSE(width) if scse else nn.Identity() for _ in self.paths)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Take maps (N, width, h, w), deep to shallow, to one of the last one's size."""
        sizes = [(x.shape[-2], x.shape[-1]) for x in pyramid]
        ends = []
        for level, (path, x) in enumerate(zip(self.paths, pyramid, strict=True)):
            for step, conv in enumerate(path.children()):
                target = sizes[min(level + step + 1, len(sizes) - 1)]
                x = upsample_linear(conv(x), target)
            ends.append(self.attention[level](x))
        return torch.stack(ends).sum(dim=0)


class FPN(Network):
    """Encoder, pyramid and mask branch; `build` describes the parameters."""

    def __init__(
        self,
        encoder: nn.Module,
        pyramid: Pyramid,
        branch: MaskBranch,
        late: LateChannels | None,
        late_channels: int,
    ) -> None:
        super().__init__(late, late_channels)
        self.encoder, self.pyramid, self.branch = encoder, pyramid, branch

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Maps of an image (N, C, H, W), shallow to deep."""
        return self.encoder(image)[-_LEVELS:]

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Sequence[Tensor]:
        """Maps of the pyramid, deep to shallow, and the mask branch's."""
        pyramid = self.pyramid(features)
        return [*pyramid, self.branch(pyramid)]


def build(
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    *,
    encoder: str = "resnet34",
    weights: str | None = None,
    stem_pool: bool = True,
    checkpointing: bool = False,
    drop_path: float = 0.0,
    pyramid_channels: int = 128,
    norm: str = "batch",
    deep_supervision: bool = False,
    late_channels: int = 0,
    scse: bool = False,
    exclusive: bool = False,
    prior: float | None = None,
    label_head: bool = False,
    depth_head: bool = False,
    label_dropout: float = 0.0,
    mask_dropout: float = 0.0,
) -> FPN:
    """Make a feature pyramid network for masks.

    It reads the encoder's four deepest maps. The mask is predicted at the largest one's size (a
    quarter of the image's in residual networks, half without `stem_pool`) and enlarged bilinearly.
    It has no option `hypercolumn`: the mask is read from all levels as it is.

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C, K and L of the data.
    encoder, weights, stem_pool, checkpointing, drop_path, late_channels, exclusive, prior
        As of `foldbelt.models.unet.build`.
    label_head, depth_head, label_dropout, mask_dropout
        As of `foldbelt.models.unet.build`.
    pyramid_channels
        Channels of the pyramid and of the mask branch (in the papers 256 and 128).
    norm
        Normalisation in the mask branch: batch, group or none.
    deep_supervision
        Whether, in training, the mask is predicted from every map of the pyramid alone, too.
    scse
        Whether `SCSE` ends every path of the mask branch.

    Raises
    ------
    InputError
        See `make_encoder` and `entering`.
    """
    count = entering(in_channels, late_channels)
    body = make_encoder(encoder, count, weights, stem_pool, checkpointing, drop_path)
    channels = levels(body)[0][-_LEVELS:]
    late = LateChannels(late_channels, channels[-1]) if late_channels else None
    joined = channels[-1] + (late.width if late is not None else 0)
    pyramid = Pyramid([*channels[:-1], joined], pyramid_channels)
    branch = MaskBranch(len(channels), pyramid_channels, scse, norm)
    initialise(pyramid)
    initialise(branch)
    network = FPN(body, pyramid, branch, late, late_channels)
    network.add_heads(
        channels[-1],
        [pyramid_channels] * (len(channels) + 1),
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
