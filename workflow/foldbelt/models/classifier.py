"""An encoder with a label head: says which classes an image shows, and nothing of where.

Such classifiers were the gate before the segmentation of the first place of Severstal Steel Defect
Detection (2019): whole images are easier to judge than pixels, and a mask where there is no defect
costs the whole score of its image and class.
"""

from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.models._blocks import LateChannels
from foldbelt.models._encoders import levels, make_encoder
from foldbelt.models._heads import ImageHead
from foldbelt.models._network import entering

MASKS = False
"""It gives labels alone."""


class Classifier(nn.Module):
    """Encoder and label head; `build` describes the parameters."""

    def __init__(
        self, encoder: nn.Module, label: ImageHead, late: LateChannels | None, late_channels: int
    ) -> None:
        super().__init__()
        self.encoder, self.label = encoder, label
        self.late, self.late_channels = late, late_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits "label" (N, L) of images (N, C, H, W) of any size."""
        count = x.shape[1] - self.late_channels
        deepest = self.encoder(x[:, :count])[-1]
        if self.late is not None:
            deepest = self.late(deepest, x[:, count:])
        return {"label": self.label(deepest)}


def build(
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    *,
    encoder: str = "resnet34",
    weights: str | None = None,
    stem_pool: bool = True,
    late_channels: int = 0,
    label_dropout: float = 0.0,
) -> Classifier:
    """Make a classifier.

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C, K (which changes nothing) and L of the data.
    encoder, weights, stem_pool, late_channels
        As of `foldbelt.models.unet.build`.
    label_dropout
        Share of features dropped before the label head.

    Raises
    ------
    InputError
        If the images have no labels; see also `make_encoder` and `entering`.
    """
    if label_classes < 1:
        raise InputError(
            "architecture 'classifier' predicts image labels, and this data has none; take a "
            "network of masks, such as `unet`"
        )
    body = make_encoder(encoder, entering(in_channels, late_channels), weights, stem_pool)
    deepest = levels(body)[0][-1]
    late = LateChannels(late_channels, deepest) if late_channels else None
    width = deepest + (late.width if late is not None else 0)
    return Classifier(body, ImageHead(width, label_classes, label_dropout), late, late_channels)
