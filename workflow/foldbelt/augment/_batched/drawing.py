"""Random numbers of samples, by counting: on the host of each seed, on the device of each key."""

from collections.abc import Sequence

import numpy as np
import torch

_STEP = -7046029254386353131  # 2**64 over the golden ratio, as int64: SplitMix64's increment
_MIX = (-4658895280553007687, -7723592293110705685)  # and the factors of its mixing
_BITS = 24  # of a float32 between 0 and 1


def uniforms(seeds: Sequence[int], count: int) -> np.ndarray:
    """Draw numbers for samples.

    Parameters
    ----------
    seeds
        In [0, 2**63).
    count
        So many a sample.

    Returns
    -------
    (N,count) float64 array
        In [0, 1), each row from its seed alone.
    """
    bits = _bits(torch.tensor(list(seeds), dtype=torch.int64), count)
    numbers: np.ndarray = (_shifted(bits, 11).to(torch.float64) * 2.0**-53).numpy()
    return numbers


class Stream:
    """Hands out numbers column by column, one for each sample.

    What a transform takes is always as much, so that no parameter depends on what else was drawn.

    Parameters
    ----------
    numbers
        (N,D) float64, from `uniforms`. None only counts what is taken, for one sample.

    Attributes
    ----------
    samples, taken
        N, and how many columns were handed out.
    """

    def __init__(self, numbers: np.ndarray | None = None) -> None:
        self._numbers = numbers
        self.samples = 1 if numbers is None else len(numbers)
        self.taken = 0

    def take(self, count: int) -> np.ndarray:
        """Give (N,count) numbers in [0, 1)."""
        start, self.taken = self.taken, self.taken + count
        if self._numbers is None:
            return np.zeros((1, count))
        return self._numbers[:, start : self.taken]

    def between(self, low: float, high: float) -> np.ndarray:
        """Give (N,) numbers, equally likely from `low` to `high`."""
        return low + (high - low) * self.take(1)[:, 0]

    def whole(self, low: int, high: int) -> np.ndarray:
        """Give (N,) whole numbers, equally likely from `low` to `high`, as int64."""
        return low + (self.take(1)[:, 0] * (high - low + 1)).astype(np.int64)

    def key(self) -> np.ndarray:
        """Give (N,) keys of `normals` and `levels`: whole numbers below 2**53, as float64."""
        return np.floor(self.take(1)[:, 0] * 2.0**53)


def _bits(keys: torch.Tensor, count: int) -> torch.Tensor:
    """(n,count) int64 of random bits: SplitMix64 from each key (Steele et al., OOPSLA 2014).

    Its n-th number is a function of n, so that all are had at once, in any order.
    """
    counter = torch.arange(1, count + 1, device=keys.device, dtype=torch.int64)
    mixed = keys[:, None] * _MIX[0] + counter * _STEP  # neighbouring keys start far apart
    for shift, factor in zip((30, 27), _MIX, strict=True):
        mixed = (mixed ^ _shifted(mixed, shift)) * factor
    return mixed ^ _shifted(mixed, 31)


def _shifted(bits: torch.Tensor, by: int) -> torch.Tensor:
    """Shift to the right, with zeros from the left."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def normals(keys: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Draw standard normal numbers on the device (Box and Muller 1958).

    Parameters
    ----------
    keys
        (n,) float64, from `Stream.key`.
    shape
        Of what each key gives.

    Returns
    -------
    (n,*shape) float32 tensor
        Each key's numbers depend on that key alone.
    """
    count = int(np.prod(shape))
    bits = _bits(keys.to(torch.int64), (count + 1) // 2)
    first = (_shifted(bits, 64 - _BITS) + 1).to(torch.float32) * 2.0**-_BITS
    second = ((bits >> 8) & ((1 << _BITS) - 1)).to(torch.float32) * (2 * np.pi * 2.0**-_BITS)
    radius = torch.sqrt(-2 * torch.log(first))
    pairs = torch.cat([radius * torch.cos(second), radius * torch.sin(second)], dim=1)
    return pairs[:, :count].reshape(len(keys), *shape)


def levels(keys: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Draw numbers in [0, 1) on the device, otherwise as `normals` does."""
    bits = _bits(keys.to(torch.int64), int(np.prod(shape)))
    return (_shifted(bits, 64 - _BITS).to(torch.float32) * 2.0**-_BITS).reshape(len(keys), *shape)
