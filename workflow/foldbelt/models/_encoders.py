"""Encoders by name: timm's (Wightman, pytorch-image-models), or foldbelt's own."""

import importlib
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from foldbelt import registry
from foldbelt.files import InputError
from foldbelt.models import _pretrained as files
from foldbelt.models._checkpointing import checkpoint


def make_encoder(
    name: str,
    in_channels: int,
    weights: str | None,
    stem_pool: bool,
    checkpointing: bool = False,
    drop_path: float = 0.0,
) -> nn.Module:
    """Make an encoder that gives its maps from shallow to deep.

    Parameters
    ----------
    name
        A module of `foldbelt.models.encoders`, or a timm model that works on images of any size.
    in_channels
        Channels of the image; pretrained weights of the first convolution are adapted to them.
    weights
        A file of pretrained weights, or None for random ones.
    stem_pool
        False takes the first max-pool away: every map after it is twice as high and wide.
    checkpointing
        Whether its maps are computed again in the backward pass; see
        `foldbelt.models._checkpointing`.
    drop_path
        Share of residual blocks that are skipped, image by image, in training (Huang et al. 2016);
        0 in the first block, so many in the last, and in between in a line.

    Raises
    ------
    InputError
        For models that timm does not know, that need one image size or have no max-pool to take
        away, or that cannot compute maps again or skip blocks, and for weights that do not fit.
    """
    if name in registry.known("models/encoders"):
        if weights is not None:
            raise InputError(f"encoder: {name!r} has no pretrained weights; set `weights: null`")
        encoder = importlib.import_module(f"foldbelt.models.encoders.{name}").build(in_channels)
    else:
        encoder = _from_timm(name, in_channels, weights, drop_path)
    if drop_path and not any(getattr(layer, "drop_prob", 0) for layer in encoder.modules()):
        raise InputError(
            f"drop_path: the encoder {name!r} has no blocks that can be skipped; set it to 0, or "
            "take a residual network of timm or an EfficientNet"
        )
    if not stem_pool:
        _remove_stem_pool(encoder, name)
    if checkpointing:
        checkpoint(encoder, name)
    return encoder


def levels(encoder: nn.Module) -> tuple[list[int], list[int]]:
    """Channels of an encoder's maps, and how many times smaller than the image they are."""
    info: Any = encoder.feature_info  # which torch's types take for a submodule
    return info.channels(), info.reduction()


def measured_strides(encoder: nn.Module, in_channels: int) -> list[int]:
    """Measure how many times smaller than the image an encoder's maps are.

    Its description does not know whether the first max-pool was taken away.
    """
    side = 2 * max(levels(encoder)[1])
    training = encoder.training
    encoder.eval()  # so that batch norms learn nothing of it
    with torch.no_grad():
        maps = encoder(torch.zeros(1, in_channels, side, side))
    encoder.train(training)
    return [side // int(each.shape[-1]) for each in maps]


def _from_timm(name: str, in_channels: int, weights: str | None, drop_path: float) -> nn.Module:
    """Make a timm model that gives its maps."""
    known = files.describe(name)
    if known is not None and known.fixed_input_size:
        raise InputError(
            f"encoder: {name!r} takes images of one size only; choose a convolutional network"
        )
    given = files.pretrained(name, weights) | ({"drop_path_rate": drop_path} if drop_path else {})
    try:
        encoder = timm.create_model(name, features_only=True, in_chans=in_channels, **given)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"encoder: timm cannot make {name!r} with weights {weights}: {error}"
        ) from error
    files.forget(encoder)
    if str(getattr(encoder, "output_fmt", "NCHW")).endswith("NHWC"):
        raise InputError(f"encoder: {name!r} is no convolutional network; choose one that is")
    if name.partition(".")[0] == "inception_v3":
        _pad_inception(encoder)
    return encoder


def _pad_inception(encoder: nn.Module) -> None:
    """Pad the convolutions and pools of Inception-v3 that the paper leaves unpadded.

    Unpadded, an image of 101 pixels gives maps of 48, 21, 10, 4 and 1, which lie somewhere within
    the image; padded they are 51, 26, 13, 7 and 4, as other encoders' are, and every pixel has its
    place. The weights stay.
    """
    for path, module in encoder.named_modules():
        inside = path.startswith("Mixed_")
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and not inside:
            module.padding = (1, 1)
        elif isinstance(module, nn.MaxPool2d):
            module.padding = 1
        elif path in ("Mixed_6a", "Mixed_7a"):
            # Their pools are calls, not modules. Maps are not negative: 0 is no maximum.
            module.register_forward_pre_hook(_pad_input)


def _pad_input(_: nn.Module, args: tuple[Tensor]) -> Tensor:
    return functional.pad(args[0], (1, 1, 1, 1))


def _remove_stem_pool(encoder: nn.Module, name: str) -> None:
    """Put an identity in the place of the encoder's first max-pool."""
    for path, module in encoder.named_modules():
        # In some residual networks `maxpool` is a max-pool and a blur, or a convolution.
        if path == "maxpool" or (isinstance(module, nn.MaxPool2d) and module.stride in (2, (2, 2))):
            parent, _, child = path.rpartition(".")
            setattr(encoder.get_submodule(parent), child, nn.Identity())
            return
    raise InputError(f"stem_pool: encoder {name!r} has no max-pool to remove; set it to true")
