"""A detector of boxes: FCOS on an encoder's feature pyramid (Tian et al., ICCV 2019, TPAMI 2020).

Every pixel of the pyramid's maps (an *anchor*) says which class it is in the middle of, how far off
the four sides of the box are, and how near the middle it is. There are no shapes of boxes to
choose beforehand. Pyramid and head are torchvision's; encoder, normalisation and sizes of images
are the project's, so torchvision's own model, which resizes and normalises images once more, is
not used.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops.feature_pyramid_network import (
    ExtraFPNBlock,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from foldbelt.files import InputError
from foldbelt.models._blocks import LateChannels
from foldbelt.models._encoders import levels as described
from foldbelt.models._encoders import make_encoder, measured_strides
from foldbelt.models._network import entering

MASKS = False
"""It gives boxes alone."""

BOXES = True
"""It needs `box_classes`."""

_GROUPS = 32  # of the head's group normalisation, which torchvision fixes
_START = 2.0  # strides from an anchor to each side of its box, before anything is learned
_EXTRA = 2  # so many levels the pyramid may have below the encoder's deepest map


class Detector(nn.Module):
    """Encoder, pyramid and head; `build` describes the parameters.

    Parameters
    ----------
    encoder
        Gives maps from shallow to deep.
    pyramid
        Makes the maps of all levels from the encoder's maps `used`.
    head
        What every pixel of a level says.
    used
        Which of the encoder's maps enter the pyramid.
    strides
        How many times smaller than the image the map of each level is.
    late, late_channels
        What joins the last channels at the deepest map that is used, and how many these are.
    """

    def __init__(
        self,
        encoder: nn.Module,
        pyramid: FeaturePyramidNetwork,
        head: FCOSHead,
        used: Sequence[int],
        strides: Sequence[int],
        late: LateChannels | None = None,
        late_channels: int = 0,
    ) -> None:
        super().__init__()
        self.encoder, self.pyramid, self.head = encoder, pyramid, head
        self.used, self.strides = list(used), list(strides)
        self.late, self.late_channels = late, late_channels

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Say what every anchor sees, in training and in evaluation alike.

        Parameters
        ----------
        x
            Images (N, C, H, W) of any size.

        Returns
        -------
        dict
            "box": a dict of the tensors

            - "logits" (N, A, classes);
            - "offsets" (N, A, 4): how far left, top, right and bottom are from the anchor's middle,
              in strides of its level, from 0;
            - "centreness" (N, A, 1), logits: how near the middle of the box the anchor is;
            - "anchors" (A, 4) f32: x1, y1, x2, y2 in pixels of x, a square of one stride each;
            - "levels" (L,) int64, on the CPU: how many anchors each level has, in their order.
        """
        maps = self.features(x)
        said = self.head(maps)
        sizes = [(each.shape[-2], each.shape[-1]) for each in maps]
        box = {
            "logits": said["cls_logits"],
            "offsets": said["bbox_regression"],
            "centreness": said["bbox_ctrness"],
            "anchors": anchors(sizes, self.strides, x.device),
            "levels": torch.tensor([height * width for height, width in sizes]),
        }
        return {"box": box}

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps (N, width, h, w) of all levels of images (N, C, H, W), shallow to deep.

        The images are padded with zeros, to the right and below, until every map that is used has
        whole pixels: else its stride would be no whole number, and its anchors lay a little off.
        """
        entering = x.shape[1] - self.late_channels
        step = self.strides[len(self.used) - 1]
        down, right = -x.shape[-2] % step, -x.shape[-1] % step
        maps = self.encoder(functional.pad(x[:, :entering], (0, right, 0, down)))
        maps = [maps[number] for number in self.used]
        if self.late is not None:
            maps[-1] = self.late(maps[-1], x[:, entering:])
        return list(self.pyramid(OrderedDict(zip(map(str, self.used), maps, strict=True))).values())


def anchors(
    sizes: Sequence[tuple[int, int]], strides: Sequence[int], device: torch.device | None = None
) -> Tensor:
    """Give the anchors of maps of some sizes (h, w), (A, 4) f32: squares of a stride.

    A map's pixel (row i, column j) looks at the image around (i s, j s), s its stride: there lies
    the middle of its anchor. torchvision's `AnchorGenerator` has the same where the sides of an
    image are multiples of all strides; elsewhere it divides sides by sides, and is off.

    Examples
    --------
    >>> anchors([(1, 2)], [8]).tolist()
    [[-4.0, -4.0, 4.0, 4.0], [4.0, -4.0, 12.0, 4.0]]
    """
    levels = []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y = torch.arange(height, dtype=torch.float32, device=device) * stride
        x = torch.arange(width, dtype=torch.float32, device=device) * stride
        middle = torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1)
        levels.append(torch.cat([middle - stride / 2, middle + stride / 2], dim=1))
    return torch.cat(levels)


def build(
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    *,
    box_classes: int,
    encoder: str = "resnet34",
    weights: str | None = None,
    stem_pool: bool = True,
    checkpointing: bool = False,
    drop_path: float = 0.0,
    pyramid_channels: int = 128,
    levels: Sequence[int] = (8, 16, 32, 64),
    head_convs: int = 4,
    late_channels: int = 0,
) -> Detector:
    """Make a detector.

    Every anchor starts with the probability .01 of each class (Lin et al. 2017, Focal loss for
    dense object detection).

    Parameters
    ----------
    in_channels, mask_channels, label_classes
        C of the data; the other two change nothing.
    box_classes
        Classes of the boxes.
    encoder, weights, stem_pool, checkpointing, drop_path, late_channels
        As of `foldbelt.models.unet.build`.
    pyramid_channels
        Channels of the pyramid and the head, a multiple of 32 from 64 on (in the paper 256).
    levels
        How many times smaller than the image the maps are that look for boxes, each twice the one
        before. A level of stride s finds boxes of which a side lies up to 8 s from the middle, and
        the first one all that are smaller, down to about 2 s; the last one all that are larger.
        Strides beyond the encoder's deepest map: one more is that map, thinned out (Lin et al.
        2017, Feature pyramid networks), two more are convolved (Tian et al.).
    head_convs
        Convolutions in each of the head's two branches.

    Raises
    ------
    InputError
        If the encoder has no map of such a stride, or a number is not one of those above; see also
        `make_encoder` and `entering`.
    """
    _check(pyramid_channels, head_convs)
    count = entering(in_channels, late_channels)
    body = make_encoder(encoder, count, weights, stem_pool, checkpointing, drop_path)
    used, extra = _choose(levels, measured_strides(body, count), encoder)
    channels = [described(body)[0][number] for number in used]
    late = LateChannels(late_channels, channels[-1]) if late_channels else None
    channels[-1] += late.width if late is not None else 0
    deeper: ExtraFPNBlock | None = None
    if extra:
        wide = pyramid_channels
        deeper = LastLevelMaxPool() if extra == 1 else LastLevelP6P7(wide, wide)
    pyramid = FeaturePyramidNetwork(channels, pyramid_channels, deeper)
    head = FCOSHead(pyramid_channels, 1, box_classes, head_convs)
    # torchvision takes the ReLU of offsets that start around 0. From random weights, the first
    # steps then often make all of them negative: no gradient brings them back, and no box is found.
    nn.init.constant_(head.regression_head.bbox_reg.bias, _START)
    return Detector(body, pyramid, head, used, levels, late, late_channels)


def _check(pyramid_channels: int, head_convs: int) -> None:
    # A group of one channel has nothing to normalise where a map is a single pixel.
    if pyramid_channels < 2 * _GROUPS or pyramid_channels % _GROUPS:
        raise InputError(
            f"pyramid_channels: a detector's are a multiple of {_GROUPS} from {2 * _GROUPS} on, "
            f"for they are normalised in {_GROUPS} groups, and {pyramid_channels} is none; take "
            "128 or 256"
        )
    if head_convs < 0:
        raise InputError(f"head_convs: {head_convs} is no number of convolutions; take 0 to 4")


def _choose(levels: Sequence[int], strides: Sequence[int], encoder: str) -> tuple[list[int], int]:
    """Give which of the encoder's maps are levels, and how many levels follow after them."""
    used = [
        # Without its pool, an encoder may have two maps of one stride: the deeper one is better.
        max(number for number, each in enumerate(strides) if each == stride)
        for stride in levels
        if stride in strides
    ]
    extra = len(levels) - len(used)
    deepest = strides[used[-1]] if used else 0
    doubled = [deepest * 2**number for number in range(1, extra + 1)]
    # A level of stride s takes sides from 4 s to 8 s; between strides that do not double, boxes
    # would belong to no level, and be learnt as background.
    doubling = all(2 * low == high for low, high in pairwise(levels))
    if not used or not doubling or extra > _EXTRA or list(levels)[len(used) :] != doubled:
        raise InputError(
            f"levels: {list(levels)} does not fit the encoder {encoder!r}, whose maps are "
            f"{', '.join(map(str, sorted(set(strides))))} times smaller than the image; take some "
            f"of these and after them at most {_EXTRA} more, each twice the one before"
        )
    return used, extra
