"""A network that predicts images: its views averaged, whole or in windows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from foldbelt import runtime
from foldbelt.channels._resizing import Resizer
from foldbelt.files import InputError
from foldbelt.predict.windows import Tiles

_STEP = 8  # sides of scaled images are its multiples: they halve evenly a few times


def sizes_at(
    size: Sequence[int], scales: Sequence[float], step: int = _STEP
) -> list[tuple[int, int]]:
    """Give the sizes of the network's input at some scales.

    Parameters
    ----------
    size
        (H, W) at scale 1, which is not rounded.
    scales
        Factors.
    step
        Sides at other scales are rounded to its multiples.

    Raises
    ------
    InputError
        If there is no scale, or two of them give the same size.

    Examples
    --------
    >>> sizes_at((128, 101), [1, 0.75, 1.25])
    [(128, 101), (96, 72), (160, 128)]
    """
    height, width = int(size[0]), int(size[1])
    found: dict[tuple[int, int], float] = {}
    for scale in scales:
        sides = [max(1, round(side * scale / step)) * step for side in (height, width)]
        scaled = (height, width) if scale == 1 else (sides[0], sides[1])
        if scaled in found:
            raise InputError(
                f"predict.scales: at {found[scaled]} and {scale} the network's input of "
                f"{height}×{width} has one size, {scaled[0]}×{scaled[1]} (sides are multiples of "
                f"{step}). Leave one out."
            )
        found[scaled] = scale
    if not found:
        raise InputError("predict.scales: an empty list cannot be used; [1] is the network's size.")
    return list(found)


class Predictor:
    """A network as a function from u8 channels to u8 probabilities.

    Parameters
    ----------
    module
        The network.
    attrs
        Attributes of the channels file.
    tta
        Names in `FLIPS`.
    device
        Where to compute.
    sizes
        Sizes (H, W) at which to predict; None for the network's own alone.
    tiles
        Windows in which to predict; None for whole images.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        attrs: dict,
        tta: Sequence[str],
        device: torch.device,
        sizes: Sequence[tuple[int, int]] | None = None,
        tiles: Tiles | None = None,
    ) -> None:
        self.module = module.eval().to(device)
        if device.type == "cuda":
            self.module = self.module.to(memory_format=torch.channels_last)
        self.resizer = Resizer.of(attrs)
        self.normalise = runtime.Normaliser(attrs["scale"], attrs["offset"], device)
        self.views = [FLIPS[name] for name in tta]
        self.sizes = list(sizes or [self.resizer.size])
        self.tiles = tiles

    @torch.inference_mode()
    def __call__(self, x: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Predict one batch.

        Parameters
        ----------
        x
            (N,H,W,C) u8 at network size.

        Returns
        -------
        prob, labels
            (N,h,w,K) u8 at storage size, None of a model without masks; (N,L) f32, None without a
            label head.
        """
        batch = self.normalise(torch.from_numpy(x))
        total: torch.Tensor | None = None  # a sum, since every view of large images is large
        labels: list[torch.Tensor] = []
        for size in self.sizes:
            scaled = _resized(batch, size)
            for axes in self.views:
                mask, label = self._view(scaled.flip(axes) if axes else scaled)
                if mask is not None:
                    mask = _resized(mask.flip(axes) if axes else mask, self.resizer.size)
                    total = mask if total is None else total.add_(mask)
                if label is not None:
                    labels.append(label)
        known = torch.stack(labels).mean(0).cpu().numpy() if labels else None
        if total is None:
            return None, known
        mean = total.div_(len(self.sizes) * len(self.views)).permute(0, 2, 3, 1).cpu().numpy()
        return np.rint(self.resizer.undo(mean) * 255).astype(np.uint8), known

    def _view(self, images: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Predict images (N,C,H,W): probabilities (N,K,H,W) and (N,L), in windows if need be.

        An image shows what any of its windows shows: a label is the largest over them.
        """
        if self.tiles is None:
            return self._probabilities(images)
        total: torch.Tensor | None = None
        largest: torch.Tensor | None = None
        height, width = images.shape[2:]
        for rows, columns, weight in self.tiles.windows((height, width)):
            mask, label = self._probabilities(images[:, :, rows, columns])
            if mask is not None:
                if total is None:
                    total = mask.new_zeros((*mask.shape[:2], height, width))
                total[:, :, rows, columns] += mask * torch.from_numpy(weight).to(mask.device)
            if label is not None:
                largest = label if largest is None else torch.maximum(largest, label)
        return total, largest

    def _probabilities(
        self, images: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        outputs = self.module(images)
        found = (outputs.get(name) for name in ("mask", "label"))
        mask, label = (None if one is None else torch.sigmoid(one.float()) for one in found)
        return mask, label


def _resized(batch: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring (N,C,H,W) to a size: linear up, area-weighted linear down, as a camera would see it."""
    if tuple(batch.shape[2:]) == tuple(size):
        return batch
    return functional.interpolate(batch, size, mode="bilinear", antialias=True)


FLIPS: dict[str, tuple[int, ...]] = {"none": (), "hflip": (3,), "vflip": (2,), "hvflip": (2, 3)}
"""Axes of an (N,C,H,W) batch that each view turns."""
