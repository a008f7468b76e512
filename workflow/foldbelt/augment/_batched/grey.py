"""Transforms of grey values and colours: brightness and contrast, gamma, noise."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from foldbelt.augment._batched.drawing import Stream, normals
from foldbelt.augment._batched.sending import sent


class Touch(ABC):
    """A transform that leaves pixels where they are.

    Parameters
    ----------
    transform
        Albumentations', with its arguments checked.
    size
        Height and width.
    images
        Channels that are grey values or colours.
    """

    def __init__(self, transform: Any, size: tuple[int, int], images: Sequence[int]) -> None:
        self.transform, self.size, self.images = transform, size, list(images)

    def unusable(self) -> str:
        """Say what of the transform has no batched form; empty if all has."""
        return ""

    @abstractmethod
    def draw(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        """Draw (N,D) columns; samples that are not `active` (N,) stay as they are."""

    @abstractmethod
    def apply(
        self, x: torch.Tensor, target: torch.Tensor, table: torch.Tensor, host: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Change a batch, in place where that serves.

        Parameters
        ----------
        x
            (N,C,H,W) f32, 0 to 255.
        target
            (N,P,H,W) u8.
        table, host
            (N,D) columns of `draw`, on the device, f32, and on the host, f64.

        Returns
        -------
        x, target
        """


class Grey(Touch):
    """A transform of grey values and colours alone; masks stay."""

    def apply(
        self, x: torch.Tensor, target: torch.Tensor, table: torch.Tensor, host: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Change the channels that are grey values or colours."""
        if x.shape[1] == len(self.images):
            return self.changed(x, table, host), target
        images = sent(self.images, x.device)
        x.index_copy_(1, images, self.changed(x.index_select(1, images), table, host))
        return x, target

    @abstractmethod
    def changed(self, grey: torch.Tensor, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        """Change (N,C,H,W) f32 channels that are grey values or colours; may be in place."""


class BrightnessContrast(Grey):
    """RandomBrightnessContrast."""

    def unusable(self) -> str:
        return "ensure_safe_range: true" if self.transform.ensure_safe_range else ""

    def draw(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        factor = 1 + stream.between(*self.transform.contrast_limit)
        more = stream.between(*self.transform.brightness_limit)
        return np.stack([np.where(active, factor, 1), np.where(active, more, 0)], axis=1)

    def changed(self, grey: torch.Tensor, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        if not bool((host != host.new_tensor([1, 0])).any()):
            return grey
        factor, more = (column.reshape(-1, 1, 1, 1) for column in table.unbind(1))
        if self.transform.brightness_by_max:
            more = more * 255
        else:
            more = more * grey.mean(dim=(1, 2, 3), keepdim=True)
        return grey.mul_(factor).add_(more).clamp_(0, 255)


class Gamma(Grey):
    """RandomGamma."""

    def draw(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        exponent = stream.between(*self.transform.gamma_limit) / 100
        return np.where(active, exponent, 1)[:, None]

    def changed(self, grey: torch.Tensor, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        if not bool((host != 1).any()):
            return grey
        exponent = table.reshape(-1, 1, 1, 1)
        # To the power of one, and there and back, is not the same to the last digit.
        return torch.where(exponent == 1, grey, (grey / 255).pow_(exponent).mul_(255))


class Noise(Grey):
    """GaussNoise. It is drawn on the device, from a key a sample."""

    def unusable(self) -> str:
        factor = self.transform.noise_scale_factor
        return "" if factor == 1 else f"noise_scale_factor: {factor} (1 has one)"

    def draw(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        spread = stream.between(*self.transform.std_range) * 255
        mean = stream.between(*self.transform.mean_range) * 255
        return np.stack([active.astype(float), stream.key(), spread, mean], axis=1)

    def changed(self, grey: torch.Tensor, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        rows = host[:, 0].nonzero()[:, 0]
        if not len(rows):
            return grey
        keys, here = sent(host[rows, 1], grey.device), sent(rows, grey.device)
        channels = grey.shape[1] if self.transform.per_channel else 1
        spread, mean = (table[here, column].reshape(-1, 1, 1, 1) for column in (2, 3))
        noise = normals(keys, (channels, *self.size)) * spread + mean
        grey[here] = (grey[here] + noise).clamp_(0, 255)
        return grey


TOUCHES: dict[str, type[Touch]] = {
    "RandomBrightnessContrast": BrightnessContrast,
    "RandomGamma": Gamma,
    "GaussNoise": Noise,
}
"""Transforms by name."""
