"""Blurs: each sample's own kernel, over channels that are grey values or colours."""

import random
from abc import abstractmethod

import numpy as np
import torch
from albumentations.augmentations.blur import functional as kernels
from torch.nn import functional

from foldbelt.augment._batched.drawing import Stream
from foldbelt.augment._batched.grey import Grey
from foldbelt.augment._batched.sending import sent


class Blurring(Grey):
    """A transform that blurs along rows and columns with the same kernel.

    Columns: whether it is applied, then the kernel, with zeros around shorter ones.
    """

    def longest(self) -> int:
        """Give the length of the longest kernel, which is odd."""
        return max(_odd(*self.transform.blur_limit))

    @abstractmethod
    def kernel(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        """Draw (N,T) kernels of `longest` taps."""

    def unusable(self) -> str:
        side = min(self.size)
        if self.longest() // 2 < side:
            return ""
        return f"a kernel of {self.longest()} pixels on images of {side}"

    def draw(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        drawn = self.kernel(stream, active)
        return np.concatenate([active[:, None].astype(float), drawn], axis=1)

    def changed(self, grey: torch.Tensor, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        rows = sent(host[:, 0].nonzero()[:, 0], grey.device)
        if len(rows):
            grey[rows] = self._blurred(grey[rows], table[rows, 1:])
        return grey

    def _blurred(self, grey: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        taps = kernel.shape[1]
        rows = _convolved(grey, kernel.reshape(-1, 1, taps))
        return _convolved(rows, kernel.reshape(-1, taps, 1))


class Box(Blurring):
    """Blur: the mean over a square."""

    def kernel(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        low, high = _odd(*self.transform.blur_limit)
        lengths = low + 2 * stream.whole(0, (high - low) // 2)
        return _middle(lengths, high) / lengths[:, None]


class Gaussian(Blurring):
    """GaussianBlur."""

    def longest(self) -> int:
        lowest, highest = self.transform.blur_limit
        lengths = [_automatic(self.transform.sigma_limit[1])] if lowest == 0 else []
        return max([*lengths, highest | 1])

    def kernel(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        sigma = stream.between(*self.transform.sigma_limit)
        lengths = stream.whole(*self.transform.blur_limit)
        lengths = np.where(lengths == 0, _automatic(sigma), lengths)  # even: one more, in `_middle`
        taps = self.longest()
        places = np.arange(taps) - taps // 2
        weights = np.exp(-0.5 * (places / np.maximum(sigma, 1e-6)[:, None]) ** 2)
        weights *= _middle(lengths, taps)
        return weights / weights.sum(axis=1, keepdims=True)


class Motion(Blurring):
    """MotionBlur: the mean along a line, whose kernel albumentations draws."""

    def kernel(self, stream: Stream, active: np.ndarray) -> np.ndarray:
        low, high = _odd(*self.transform.blur_limit)
        lengths = low + 2 * stream.whole(0, (high - low) // 2)
        angles = stream.between(*self.transform.angle_range)
        directions = stream.between(*self.transform.direction_range)
        keys = stream.key()
        out = np.zeros((len(active), high, high))
        for row in np.flatnonzero(active):
            length, edge = int(lengths[row]), (high - int(lengths[row])) // 2
            line = kernels.create_motion_kernel(
                length,
                float(angles[row]),
                float(directions[row]),
                self.transform.allow_shifted,
                random.Random(int(keys[row])),
            )
            out[row, edge : edge + length, edge : edge + length] = line / line.sum()
        return out.reshape(len(active), -1)

    def _blurred(self, grey: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        taps = self.longest()
        return _convolved(grey, kernel.reshape(-1, taps, taps))


def _odd(low: int, high: int) -> tuple[int, int]:
    """Odd lengths of at least 3 between which albumentations draws."""
    low = max(3, low + (low % 2 == 0))
    return low, max(low, 3, high + (high % 2 == 0))


def _automatic(sigma: np.ndarray | float) -> np.ndarray | int:
    """Length of a kernel where none is given."""
    if isinstance(sigma, float):
        return int(sigma * 3.5) * 2 + 1
    return (sigma * 3.5).astype(np.int64) * 2 + 1


def _middle(lengths: np.ndarray, taps: int) -> np.ndarray:
    """(N,taps) ones in the middle, as many as the lengths say, and zeros around."""
    return (np.abs(np.arange(taps) - taps // 2) <= (lengths // 2)[:, None]).astype(float)


def _convolved(grey: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Convolve (n,C,H,W) with a kernel (n,h,w) for each; beyond the border, images are mirrored."""
    samples, channels, height, width = grey.shape
    down, across = kernel.shape[1] // 2, kernel.shape[2] // 2
    padded = functional.pad(grey, (across, across, down, down), mode="reflect")
    planes = padded.reshape(1, samples * channels, *padded.shape[2:])
    each = kernel.to(grey.dtype).repeat_interleave(channels, dim=0)[:, None]
    out = functional.conv2d(planes, each, groups=samples * channels)
    return out.reshape(samples, channels, height, width)


TOUCHES: dict[str, type[Grey]] = {"Blur": Box, "GaussianBlur": Gaussian, "MotionBlur": Motion}
"""Transforms by name."""
