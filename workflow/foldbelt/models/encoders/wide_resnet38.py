"""WideResNet38 (Wu, Shen & van den Hengel, Pattern Recognition 2019, arXiv:1611.10080, model A).

Shallower and wider than other residual networks: 17 units of pre-activation (He et al. 2016) in six
groups. The winners of 2018 used it with in-place batch norm, which spares memory and computes the
same as the batch norm and ReLU here.
"""

from collections.abc import Sequence

from timm.models import FeatureInfo
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from foldbelt.models._blocks import initialise

_STEM = 64
# Number of units, channels of a unit's convolutions, stride: the paper's B2 to B7. The first two
# groups are made smaller by a max-pool before them.
_GROUPS = (
    (3, (128, 128), 1),
    (3, (256, 256), 1),
    (6, (512, 512), 2),
    (3, (512, 1024), 2),
    (1, (512, 1024, 2048), 2),
    (1, (1024, 2048, 4096), 1),
)


class Unit(nn.Module):
    """Residual unit: batch norm and ReLU before every convolution, and none after the sum.

    Parameters
    ----------
    inputs
        Channels of the map.
    widths
        Channels of the convolutions: two of 3×3, or three of 1×1, 3×3, 1×1.
    stride
        Of the first 3×3 convolution.
    """

    def __init__(self, inputs: int, widths: Sequence[int], stride: int) -> None:
        super().__init__()
        kernels = (3, 3) if len(widths) == 2 else (1, 3, 1)
        strides = [stride if place == kernels.index(3) else 1 for place in range(len(kernels))]
        self.first = _norm_relu(inputs)
        layers: list[nn.Module] = []
        before = inputs
        for width, kernel, step in zip(widths, kernels, strides, strict=True):
            if layers:
                layers.append(_norm_relu(before))
            layers.append(nn.Conv2d(before, width, kernel, step, kernel // 2, bias=False))
            before = width
        self.rest = nn.Sequential(*layers)
        changes = stride != 1 or inputs != before
        self.shortcut = nn.Conv2d(inputs, before, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Take x (N, inputs, H, W) to (N, widths[-1], ceil(H / stride), ceil(W / stride))."""
        active = self.first(x)
        return self.rest(active) + (x if self.shortcut is None else self.shortcut(active))


class WideResNet38(nn.Module):
    """The network without its classifier; gives the maps of the stem and of every group.

    The last two groups have one size, and of these only the second's map is given, after the batch
    norm and ReLU that end the network.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, _STEM, 3, padding=1, bias=False)
        self.pool2 = nn.MaxPool2d(3, 2, padding=1)
        self.pool3 = nn.MaxPool2d(3, 2, padding=1)
        groups, before = [], _STEM
        for count, widths, stride in _GROUPS:
            units = [Unit(before, widths, stride)]
            units += [Unit(widths[-1], widths, 1) for _ in range(count - 1)]
            groups.append(nn.Sequential(*units))
            before = widths[-1]
        self.group2, self.group3, self.group4, self.group5, self.group6, self.group7 = groups
        self.last = _norm_relu(before)
        self.grad_checkpointing = False
        initialise(self)
        channels = (_STEM, 128, 256, 512, 1024, 4096)
        places = ("stem", "group2", "group3", "group4", "group5", "last")
        described = [
            {"num_chs": each, "reduction": 2**level, "module": place}
            for level, (each, place) in enumerate(zip(channels, places, strict=True))
        ]
        self.feature_info = FeatureInfo(described, tuple(range(len(described))))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of images (N, C, H, W): 64, 128, 256, 512, 1024 and 4096 channels, each halved."""
        maps = [self.stem(x)]
        maps.append(self._through(self.group2, self.pool2(maps[-1])))
        maps.append(self._through(self.group3, self.pool3(maps[-1])))
        maps.append(self._through(self.group4, maps[-1]))
        maps.append(self._through(self.group5, maps[-1]))
        deepest = self._through(self.group7, self._through(self.group6, maps[-1]))
        maps.append(self.last(deepest))
        return maps

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Say whether the groups' maps are computed again in the backward pass, as timm's are."""
        self.grad_checkpointing = enable

    def _through(self, group: nn.Module, x: Tensor) -> Tensor:
        if not self.grad_checkpointing:
            return group(x)
        found: Tensor = checkpoint(group, x, use_reentrant=False)
        return found


def _norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def build(in_channels: int) -> WideResNet38:
    """Make the encoder with random weights; `in_channels` are the image's."""
    return WideResNet38(in_channels)
