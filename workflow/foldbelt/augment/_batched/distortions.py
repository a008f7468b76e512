"""Displacements: elastic deformation (Simard et al. 2003) and distortion of a grid."""

from abc import abstractmethod

import cv2
import numpy as np
import torch

from foldbelt.augment._batched import moves
from foldbelt.augment._batched.drawing import Stream, levels, normals
from foldbelt.augment._batched.moves import Drawn, Move
from foldbelt.augment._batched.sending import sent


class Distortion(Move):
    """A transform that moves each pixel by a displacement of its own."""

    def __init__(self, transform: object, size: tuple[int, int]) -> None:
        super().__init__(transform, size)
        self.border = moves.border_of(transform)

    def unusable(self) -> str:
        return ", ".join(moves.unusable_sampling(self.transform))

    @abstractmethod
    def displacement(self, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        """Make the displacements of a batch.

        Parameters
        ----------
        table, host
            (N,D) what `draw` gives as `field`, on the device and on the host.

        Returns
        -------
        (N,2,H,W) f32 tensor
            In x and y, at each pixel of the output; added to its place, it is one of the input.
        """


class Elastic(Distortion):
    """ElasticTransform: blurred noise. Its field is drawn on the device, from a key a sample.

    Albumentations blurs the two directions of a field as one image, one above the other, so that
    they run into each other where they meet. Here they are blurred apart.
    """

    def __init__(self, transform: object, size: tuple[int, int]) -> None:
        super().__init__(transform, size)
        length = 17 if self.transform.approximate else _taps(self.transform.sigma)
        kernel = cv2.getGaussianKernel(length, self.transform.sigma, cv2.CV_64F)[:, 0]
        self.blurs = [torch.from_numpy(_blurring(kernel, side)).float() for side in size]

    def draw(self, stream: Stream, active: np.ndarray) -> Drawn:
        matrix = np.tile(np.eye(3), (len(active), 1, 1))
        return Drawn(matrix, field=np.stack([active.astype(float), stream.key()], axis=1))

    def displacement(self, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        device, (height, width) = table.device, self.size
        out = torch.zeros((len(table), 2, height, width), device=device)
        rows = host[:, 0].nonzero()[:, 0]
        if not len(rows):
            return out
        keys = sent(host[rows, 1], device)  # not of `table`, whose numbers have no 53 bits
        planes = 1 if self.transform.same_dxdy else 2
        if self.transform.noise_distribution == "gaussian":
            noise = normals(keys, (planes, height, width))
            noise = noise / noise.abs().amax(dim=(1, 2, 3), keepdim=True)
        else:
            noise = 2 * levels(keys, (planes, height, width)) - 1
        down, across = (sent(blur, device) for blur in self.blurs)
        blurred = [down @ plane @ across.T for plane in noise.flatten(0, 1)]
        field = torch.stack(blurred).reshape(noise.shape) * self.transform.alpha
        out[sent(rows, device)] = field.expand(-1, 2, -1, -1)
        return out


def _taps(sigma: float) -> int:
    """Length of OpenCV's kernel of a float image."""
    return round(sigma * 8 + 1) | 1


def _blurring(kernel: np.ndarray, side: int) -> np.ndarray:
    """(side,side): the matrix that blurs a line whose ends go on beyond it."""
    out = np.zeros((side, side))
    rows, reach = np.arange(side), len(kernel) // 2
    for offset, weight in enumerate(kernel, start=-reach):
        out[rows, (rows + offset).clip(0, side - 1)] += weight
    return out


class Grid(Distortion):
    """GridDistortion: columns and rows that are wider here and narrower there."""

    def draw(self, stream: Stream, active: np.ndarray) -> Drawn:
        count = self.transform.num_steps
        low, high = self.transform.distort_limit
        steps = [1 + low + (high - low) * stream.take(count + 1) for _ in "xy"]
        fields = []
        for side, given in zip(reversed(self.size), steps, strict=True):
            places = _stretched(side, count, given, self.transform.normalized)
            fields.append(np.where(active[:, None], places - np.arange(side), 0))
        matrix = np.tile(np.eye(3), (len(active), 1, 1))
        return Drawn(matrix, field=np.concatenate(fields, axis=1))

    def unusable(self) -> str:
        found = moves.unusable_sampling(self.transform)
        if min(self.size) < self.transform.num_steps:
            found.append(f"num_steps: {self.transform.num_steps} on {min(self.size)} pixels")
        return ", ".join(found)

    def displacement(self, table: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
        height, width = self.size
        across, down = table[:, None, :width], table[:, width:, None]
        shape = (len(table), height, width)
        return torch.stack([across.expand(shape), down.expand(shape)], dim=1)


def _stretched(side: int, count: int, steps: np.ndarray, normalized: bool) -> np.ndarray:
    """(N,side) the place each pixel is read from, by (N,count+1) steps; albumentations' way."""
    step = side // count
    if normalized:
        steps = steps.copy()
        steps[:, -1] *= (min(side, (count + 1) * step) - count * step) / step
        steps = steps * (side / step / steps.sum(axis=1, keepdims=True))
    places = np.zeros((len(steps), side))
    before = np.zeros(len(steps))
    for number in range(count + 1):
        start, end = number * step, min((number + 1) * step, side)
        after = before + step * steps[:, number]
        if end > start:
            places[:, start:end] = np.linspace(before, after, end - start, axis=1)
        before = after
    return places


MOVES: dict[str, type[Move]] = {
    **moves.MOVES,
    "ElasticTransform": Elastic,
    "GridDistortion": Grid,
}
"""All transforms that move pixels, by name."""
