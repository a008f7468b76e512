"""U-Net on any convolutional timm encoder (Ronneberger et al. 2015; encoders: Wightman, timm)."""

import math
from collections.abc import Sequence
from typing import Any

import timm
from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.models import weights as files
from foldbelt.models.blocks import DecoderBlock, initialise
from foldbelt.models.heads import LabelHead, mask_head


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
    scse
        Whether `SCSE` ends every block.
    """

    def __init__(
        self, channels: Sequence[int], reduction: int, widths: Sequence[int], scse: bool
    ) -> None:
        super().__init__()
        skips = [*reversed(channels[:-1])] + [0] * math.ceil(math.log2(reduction))
        if len(widths) < len(skips):
            raise InputError(
                f"decoder_channels: {list(widths)} has {len(widths)} numbers, and this encoder "
                f"needs {len(skips)}, one for each doubling of the size"
            )
        widths = list(widths)[len(widths) - len(skips) :]
        inputs = [channels[-1], *widths]
        self.blocks = nn.ModuleList(
            DecoderBlock(inputs[level], skip, widths[level], scse)
            for level, skip in enumerate(skips)
        )
        self.channels = inputs[-1]

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


class UNet(nn.Module):
    """U-Net of an encoder that gives a list of maps; `build` describes the parameters."""

    def __init__(
        self, encoder: nn.Module, decoder: Decoder, mask: nn.Module, label: nn.Module | None
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.mask, self.label = encoder, decoder, mask, label

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits "mask" (N, K, H, W) of images (N, C, H, W) and, with the head, "label" (N, L)."""
        features = self.encoder(x)
        maps = self.decoder(features, (x.shape[-2], x.shape[-1]))
        outputs = {"mask": self.mask(maps[-1])}
        if self.label is not None:
            outputs["label"] = self.label(features[-1])
        return outputs


def make_encoder(name: str, in_channels: int, weights: str | None, stem_pool: bool) -> nn.Module:
    """Make a timm encoder that gives its maps from shallow to deep.

    Parameters
    ----------
    name
        A timm model that works on images of any size.
    in_channels
        Channels of the image; pretrained weights of the first convolution are adapted to them.
    weights
        A file of pretrained weights, or None for random ones.
    stem_pool
        False takes the first max-pool away: every map after it is twice as high and wide.

    Raises
    ------
    InputError
        For models that timm does not know, that need one image size or have no max-pool to take
        away, and for weights that do not fit.
    """
    known = files.describe(name)
    if known is not None and known.fixed_input_size:
        raise InputError(
            f"encoder: {name!r} takes images of one size only; choose a convolutional network"
        )
    try:
        encoder = timm.create_model(
            name, features_only=True, in_chans=in_channels, **files.pretrained(name, weights)
        )
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"encoder: timm cannot make {name!r} with weights {weights}: {error}"
        ) from error
    files.forget(encoder)
    if str(getattr(encoder, "output_fmt", "NCHW")).endswith("NHWC"):
        raise InputError(f"encoder: {name!r} is no convolutional network; choose one that is")
    if not stem_pool:
        _remove_stem_pool(encoder, name)
    return encoder


def _remove_stem_pool(encoder: nn.Module, name: str) -> None:
    """Put an identity in the place of the encoder's first max-pool."""
    for path, module in encoder.named_modules():
        # In some residual networks `maxpool` is a max-pool and a blur, or a convolution.
        if path == "maxpool" or (isinstance(module, nn.MaxPool2d) and module.stride in (2, (2, 2))):
            parent, _, child = path.rpartition(".")
            setattr(encoder.get_submodule(parent), child, nn.Identity())
            return
    raise InputError(f"stem_pool: encoder {name!r} has no max-pool to remove; set it to true")


def build(
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    *,
    encoder: str = "resnet34",
    weights: str | None = None,
    stem_pool: bool = True,
    decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
    scse: bool = False,
    label_head: bool = False,
    dropout: float = 0.0,
) -> UNet:
    """Make a U-Net.

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C, K and L of the data.
    encoder
        Name of a timm model.
    weights
        File of pretrained weights of the encoder, as `foldbelt.models.weights.fetch` writes it.
        Leave it out where trained weights are loaded afterwards.
    stem_pool
        Whether the encoder keeps its first max-pool. Going without gained .010 in all five folds of
        one author on the 101-pixel tiles of TGS, for about four times the computing.
    decoder_channels
        Channels of the decoder's blocks, deep to shallow. An encoder with fewer levels takes the
        last of them.
    scse
        Whether `SCSE` ends every block of the decoder.
    label_head
        Whether the image's labels are predicted too, where there are any.
    dropout
        Share of features dropped before the label head.

    Raises
    ------
    InputError
        See `make_encoder` and `Decoder`.
    """
    body = make_encoder(encoder, in_channels, weights, stem_pool)
    info: Any = body.feature_info  # which torch's types take for a submodule
    channels, reductions = info.channels(), info.reduction()
    decoder = Decoder(channels, reductions[0], decoder_channels, scse)
    initialise(decoder)
    mask = mask_head(decoder.channels, mask_channels)
    labels = label_classes if label_head else 0
    label = LabelHead(channels[-1], labels, dropout) if labels else None
    return UNet(body, decoder, mask, label)
