"""Architectures of segmentation-models-pytorch (Iakubovskii), by name: `smp/UnetPlusPlus`, …

The package's own encoders, decoders and mask heads, with weights drawn at random, or from a file of
an encoder's or of a whole network's, which the package can write or has published. Images whose
sides its networks cannot halve often enough are padded, and the masks cut back.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from foldbelt import registry
from foldbelt.files import InputError
from foldbelt.models._checkpointing import checkpoint
from foldbelt.models._network import Network
from foldbelt.models._pretrained import load
from foldbelt.models._starting import fill_whole


class Packaged(Network):
    """A network of the package with foldbelt's outputs; `build` describes the parameters."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.encoder: nn.Module = network.encoder
        self.decoder: nn.Module = network.decoder
        self.stride = int(network.encoder.output_stride)

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Maps of an image (N, C, H, W), shallow to deep."""
        return self.encoder(image)

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Sequence[Tensor]:
        """The one map that the package's mask head reads."""
        return [self.decoder(features)]

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Logits "mask" (N, K, H, W) of images (N, C, H, W), and what the heads add."""
        height, width = x.shape[-2:]
        below, right = -height % self.stride, -width % self.stride
        top, left = below // 2, right // 2
        if below or right:
            sides = (left, right - left, top, below - top)
            x = functional.pad(x, sides, mode="replicate")
        outputs = super().forward(x)
        outputs["mask"] = outputs["mask"][..., top : top + height, left : left + width]
        return outputs


def build(
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    *,
    variant: str,
    encoder: str = "resnet34",
    weights: str | None = None,
    checkpointing: bool = False,
    exclusive: bool = False,
    label_head: bool = False,
    depth_head: bool = False,
    label_dropout: float = 0.0,
    mask_dropout: float = 0.0,
) -> Packaged:
    """Make a network of segmentation-models-pytorch, with the package's defaults.

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C, K and L of the data.
    variant
        Name of an architecture: UnetPlusPlus, FPN, DeepLabV3Plus, MAnet, Linknet, PAN, …
    encoder
        Name of an encoder of the package; its `tu-…` are timm's.
    weights
        File of pretrained weights: all of the encoder, and what else fits of the network. A first
        convolution of three colours is adapted to the images' channels.
    checkpointing
        Whether the encoder's maps are computed again in the backward pass instead of being kept;
        of the package's encoders, those of timm (`tu-…`) can.
    exclusive, label_head
        As of `foldbelt.models.unet.build`.
    depth_head, label_dropout, mask_dropout
        As of `foldbelt.models.unet.build`.

    Raises
    ------
    InputError
        If the package is not installed, has no such architecture or encoder, they do not go
        together, or the file is of another encoder.
    """
    package = _package()
    known = {each.__name__: each for each in package.MODEL_ARCHITECTURES_MAPPING.values()}
    # One of them works differently inside (DPT, on transformers of one image size).
    usual = package.base.SegmentationModel.forward
    known = {name: each for name, each in known.items() if each.forward is usual}
    if variant not in known:
        raise InputError(registry.unknown_names("architecture smp/", [variant], known))
    try:
        network = known[variant](
            encoder_name=encoder,
            encoder_weights=None,
            in_channels=in_channels,
            classes=mask_channels,
        )
    except (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"architecture 'smp/{variant}' cannot be made with encoder {encoder!r}: {error}"
        ) from error
    if weights is not None:
        fill_whole(network, "encoder", load(weights), weights)
    if checkpointing:
        checkpoint(getattr(network.encoder, "model", network.encoder), encoder)
    wrapped = Packaged(network)
    wrapped.add_heads(
        network.encoder.out_channels[-1],
        [1],
        mask_channels,
        label_classes if label_head else 0,
        label_dropout,
        depth_head,
        exclusive=exclusive,
        mask_dropout=mask_dropout,
    )
    wrapped.mask = network.segmentation_head
    return wrapped


def _package() -> ModuleType:
    """Import segmentation-models-pytorch, which takes a second that other networks need not."""
    try:
        import segmentation_models_pytorch
    except ImportError as error:
        raise InputError(
            "architectures `smp/…` need the package segmentation-models-pytorch, and it cannot be "
            f"imported ({error}): install it as in envs/requirements.lock, or take `unet` or `fpn`"
        ) from error
    return segmentation_models_pytorch
