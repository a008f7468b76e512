"""What all architectures have in common: channels that come late, and the heads."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from foldbelt.files import InputError
from foldbelt.models._blocks import Hypercolumn, LateChannels, upsample_linear
from foldbelt.models._heads import ImageHead, exclusive, mask_head


class Network(nn.Module):
    """Base of the architectures, which say how an image becomes maps and these become others.

    A subclass makes its layers, calls `add_heads`, and defines `encode` and `decode`.

    Parameters
    ----------
    late
        What joins the last channels at the deepest map, or None: all enter the encoder.
    late_channels
        How many these are.
    """

    mask: nn.Module
    mask_dropout: nn.Module
    label: nn.Module | None
    depth: nn.Module | None
    deep: nn.ModuleList | None
    hypercolumn: Hypercolumn | None

    def __init__(self, late: LateChannels | None = None, late_channels: int = 0) -> None:
        super().__init__()
        self.late, self.late_channels = late, late_channels
        self.exclusive = False

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Maps of an image (N, C, H, W), shallow to deep."""
        raise NotImplementedError

    def decode(self, features: Sequence[Tensor], size: tuple[int, int]) -> Sequence[Tensor]:
        """Maps (N, C, h, w), deep to shallow; the mask is read from the last."""
        raise NotImplementedError

    def add_heads(
        self,
        encoded: int,
        decoded: Sequence[int],
        mask_channels: int,
        labels: int = 0,
        dropout: float = 0.0,
        depth: bool = False,
        deep: bool = False,
        hypercolumn: str | None = None,
        exclusive: bool = False,
        prior: float | None = None,
        mask_dropout: float = 0.0,
    ) -> None:
        """Make the heads.

        Parameters
        ----------
        encoded
            Channels of the encoder's deepest map.
        decoded
            Channels of the maps that `decode` gives.
        mask_channels, labels
            Classes of the mask, and labels of an image; may be 0.
        dropout
            Before the labels.
        depth
            Whether the depth is predicted, from the map that the late channels (maybe the depth
            itself) have not joined yet.
        deep
            Whether the mask is predicted from every map but the last, too.
        hypercolumn
            Normalisation of a `Hypercolumn` of all maps, from which the mask is then read; None is
            without.
        exclusive
            Whether no pixel is of two classes; see `foldbelt.models._heads.exclusive`.
        prior
            Probability with which every pixel starts; see `foldbelt.models._heads.mask_head`.
        mask_dropout
            Share of the channels from which the mask is read that are dropped in training, each as
            a whole: what a pixel has lost, its neighbours would tell (Tompson et al. 2015).
        """
        self.exclusive = exclusive
        self.hypercolumn, channels = None, decoded[-1]
        if hypercolumn is not None:
            channels = 2 * decoded[-1]
            self.hypercolumn = Hypercolumn(decoded, channels, hypercolumn)
        self.mask_dropout = nn.Dropout2d(mask_dropout) if mask_dropout else nn.Identity()
        self.mask = mask_head(channels, mask_channels, prior)
        joined = encoded + (self.late.width if self.late is not None else 0)
        self.label = ImageHead(joined, labels, dropout) if labels else None
        self.depth = ImageHead(encoded, 1) if depth else None
        # Last, so that the others' weights are the same with and without.
        self.deep = (
            nn.ModuleList(mask_head(each, mask_channels, prior) for each in decoded[:-1])
            if deep
            else None
        )

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Logits "mask" (N, K, H, W) of images (N, C, H, W), and what the heads add.

        These are "label" (N, L), "depth" (N, 1) and, in training, "deep": a list of (N, K, H, W).
        """
        size = (x.shape[-2], x.shape[-1])
        entering = x.shape[1] - self.late_channels
        features = self.encode(x[:, :entering])
        deepest = features[-1]
        if self.late is not None:
            features = [*features[:-1], self.late(deepest, x[:, entering:])]
        maps = self.decode(features, size)
        last = maps[-1] if self.hypercolumn is None else self.hypercolumn(maps)
        outputs: dict[str, Any] = {"mask": self._logits(self.mask(self.mask_dropout(last)), size)}
        if self.label is not None:
            outputs["label"] = self.label(features[-1])
        if self.depth is not None:
            outputs["depth"] = self.depth(deepest)
        if self.deep is not None and self.training:
            outputs["deep"] = [
                self._logits(head(each), size)
                for head, each in zip(self.deep, maps[:-1], strict=True)
            ]
        return outputs

    def _logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarge what a head gives, and then make its classes exclusive, where they are to be."""
        enlarged = upsample_linear(logits, size)
        return exclusive(enlarged) if self.exclusive else enlarged


def entering(in_channels: int, late_channels: int) -> int:
    """Channels that enter the encoder, where the last `late_channels` do not.

    Raises
    ------
    InputError
        If none are left.
    """
    if not 0 <= late_channels < in_channels:
        raise InputError(
            f"late_channels: {late_channels} of {in_channels} channels leave none for the encoder; "
            f"take at most {in_channels - 1}"
        )
    return in_channels - late_channels
