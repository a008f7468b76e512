"""U-Net on any convolutional encoder (Ronneberger, Fischer & Brox, MICCAI 2015)."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.models._blocks import DecoderBlock, LateChannels, initialise
from foldbelt.models._encoders import levels, make_encoder
from foldbelt.models._network import Network, entering


class Decoder(nn.Module):
    """Joins the encoder's maps from deep to shallow, then doubles up to the image's size.

    Parameters
    ----------
    channels
        Channels of the encoder's maps, shallow to deep.
    reduction
        How many times smaller than the image the shallowest map is.
    widths
        Channels of the blocks, deep to shallow. If there are more than blocks, the last are taken.
    scse, norm, attention
        See `DecoderBlock`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        reduction: int,
        widths: Sequence[int],
        scse: bool,
        norm: str = "batch",
        attention: bool = False,
    ) -> None:
        super().__init__()
        skips = [*reversed(channels[:-1])] + [0] * math.ceil(math.log2(reduction))
        if len(widths) < len(skips):
            raise InputError(
                f"decoder_channels: {list(widths)} has {len(widths)} numbers, and this encoder "
                f"needs {len(skips)}, one for each doubling of the size"
            )
        self.widths = list(widths)[len(widths) - len(skips) :]
        inputs = [channels[-1], *self.widths]
        self.blocks = nn.ModuleList(
            DecoderBlock(inputs[level], skip, self.widths[level], scse, norm, attention)
            for level, skip in enumerate(skips)
        )

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """Maps after every block, deep to shallow; the last is (N, channels, *size)."""
        x, skips = features[-1], [*reversed(features[:-1])]
        maps = []
        for level, block in enumerate(self.blocks):
            skip = skips[level] if level < len(skips) else None
            if level == len(self.blocks) - 1:
                target = size
            elif skip is not None:
                target = (skip.shape[-2], skip.shape[-1])
            else:
                target = (min(2 * x.shape[-2], size[0]), min(2 * x.shape[-1], size[1]))
            x = block(x, skip, target)
            maps.append(x)
        return maps


class UNet(Network):
    """U-Net of an encoder that gives a list of maps; `build` describes the parameters."""

    def __init__(
        self, encoder: nn.Module, decoder: Decoder, late: LateChannels | None, late_channels: int
    ) -> None:
        super().__init__(late, late_channels)
        self.encoder, self.decoder = encoder, decoder

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Maps of an image (N, C, H, W), shallow to deep."""
        return self.encoder(image)

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Sequence[Tensor]:
        """Maps after every block of the decoder, deep to shallow."""
        return self.decoder(features, size)


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
    decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
    norm: str = "batch",
    attention: bool = False,
    hypercolumn: bool = False,
    deep_supervision: bool = False,
    late_channels: int = 0,
    scse: bool = False,
    exclusive: bool = False,
    prior: float | None = None,
    label_head: bool = False,
    depth_head: bool = False,
    label_dropout: float = 0.0,
    mask_dropout: float = 0.0,
) -> UNet:
    """Make a U-Net.

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C, K and L of the data.
    encoder
        Name of a timm model, or of a module of `foldbelt.models.encoders`.
    weights
        File of pretrained weights of the encoder, as `foldbelt.models._pretrained.fetch` writes it.
        Leave it out where trained weights are loaded afterwards.
    stem_pool
        Whether the encoder keeps its first max-pool. Going without gained .010 in all five folds of
        one author on the 101-pixel tiles of TGS, for about four times the computing.
    checkpointing
        Whether the encoder's maps are computed again in the backward pass instead of being kept;
        see `foldbelt.models._checkpointing`.
    drop_path
        Share of the encoder's residual blocks that are skipped in training; see `make_encoder`.
    decoder_channels
        Channels of the decoder's blocks, deep to shallow. An encoder with fewer levels takes the
        last of them.
    norm
        Normalisation in the decoder: batch, group or none.
    attention
        Whether an `AttentionGate` scales every map of the encoder that is joined.
    hypercolumn
        Whether the mask is read from the maps of all blocks, see `Hypercolumn`.
    deep_supervision
        Whether, in training, the mask is predicted from the map of every block (Lee et al. 2015).
    late_channels
        So many last channels do not enter the encoder; see `LateChannels`.
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
        See `make_encoder`, `Decoder` and `entering`.
    """
    count = entering(in_channels, late_channels)
    body = make_encoder(encoder, count, weights, stem_pool, checkpointing, drop_path)
    channels, reductions = levels(body)
    late = LateChannels(late_channels, channels[-1]) if late_channels else None
    joined = channels[-1] + (late.width if late is not None else 0)
    decoder = Decoder(
        [*channels[:-1], joined], reductions[0], decoder_channels, scse, norm, attention
    )
    initialise(decoder)
    network = UNet(body, decoder, late, late_channels)
    network.add_heads(
        channels[-1],
        decoder.widths,
        mask_channels,
        label_classes if label_head else 0,
        label_dropout,
        depth_head,
        deep_supervision,
        norm if hypercolumn else None,
        exclusive=exclusive,
        prior=prior,
        mask_dropout=mask_dropout,
    )
    return network
