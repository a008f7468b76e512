"""An encoder with a label head: says which classes an image shows, and nothing of where.

Such classifiers were the gate before the segmentation of the first place of Severstal Steel Defect
Detection (2019): whole images are easier to judge than pixels, and a mask where there is no defect
costs the whole score of its image and class.

A second head may learn masks from one of the encoder's maps. They are no answer, but the encoder
learns where to look: on the radiographs of SIIM-FISABIO-RSNA COVID-19 (2021) that gained .013 of
mean average precision.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.models._blocks import LateChannels
from foldbelt.models._encoders import levels, make_encoder, measured_strides
from foldbelt.models._heads import ImageHead, auxiliary_head
from foldbelt.models._network import entering

MASKS = False
"""It gives labels alone."""


class Classifier(nn.Module):
    """Encoder and label head; `build` describes the parameters."""

    def __init__(
        self,
        encoder: nn.Module,
        label: ImageHead,
        late: LateChannels | None,
        late_channels: int,
        aux: nn.Module | None = None,
        place: int = -1,
    ) -> None:
        super().__init__()
        self.encoder, self.label = encoder, label
        self.late, self.late_channels = late, late_channels
        self.aux, self.place = aux, place  # of the map from which the masks are learnt

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits "label" (N, L) of images (N, C, H, W) of any size, and perhaps "aux" (N, K, h, w).

        The masks "aux" are at the size of the encoder's map.
        """
        count = x.shape[1] - self.late_channels
        maps = self.encoder(x[:, :count])
        deepest = maps[-1]
        if self.late is not None:
            deepest = self.late(deepest, x[:, count:])
        outputs = {"label": self.label(deepest)}
        if self.aux is not None:
            outputs["aux"] = self.aux(maps[self.place])
        return outputs


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
    late_channels: int = 0,
    label_dropout: float = 0.0,
    mask_reduction: int | None = None,
    mask_width: int = 128,
) -> Classifier:
    """Make a classifier.

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C, K (which matters to masks that teach alone) and L of the data.
    encoder, weights, stem_pool, checkpointing, drop_path, late_channels
        As of `foldbelt.models.unet.build`.
    label_dropout
        Share of features dropped before the label head.
    mask_reduction
        Masks are learnt from the map so many times smaller than the image; None is without.
    mask_width
        Channels between that map and the masks, see `auxiliary_head`.

    Raises
    ------
    InputError
        If the images have no labels, or no masks to learn, or the encoder has no such map; see also
        `make_encoder` and `entering`.
    """
    if label_classes < 1:
        raise InputError(
            "architecture 'classifier' predicts image labels, and this data has none; take a "
            "network of masks, such as `unet`"
        )
    count = entering(in_channels, late_channels)
    body = make_encoder(encoder, count, weights, stem_pool, checkpointing, drop_path)
    widths = levels(body)[0]
    late = LateChannels(late_channels, widths[-1]) if late_channels else None
    joined = widths[-1] + (late.width if late is not None else 0)
    label = ImageHead(joined, label_classes, label_dropout)
    if mask_reduction is None:
        return Classifier(body, label, late, late_channels)
    if mask_channels < 1:
        raise InputError(
            f"mask_reduction: {mask_reduction} asks for masks to learn from, and this data has "
            "none; draw them from boxes (data.masks: from_boxes), or set it to null"
        )
    place = _place(measured_strides(body, count), mask_reduction, encoder)
    # Last, so that the others' weights are the same with and without.
    aux = auxiliary_head(widths[place], mask_width, mask_channels)
    return Classifier(body, label, late, late_channels, aux, place)


def _place(strides: Sequence[int], reduction: int, encoder: str) -> int:
    """Give the place of the deepest map that is so many times smaller than the image."""
    if reduction not in strides:
        raise InputError(
            f"mask_reduction: {reduction} does not fit the encoder {encoder!r}, whose maps are "
            f"{', '.join(map(str, sorted(set(strides))))} times smaller than the image; take one "
            "of these"
        )
    return max(place for place, stride in enumerate(strides) if stride == reduction)
