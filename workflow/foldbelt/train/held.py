"""Images and masks on the device that trains: a batch is rows, and pixels are gathered there.

Nothing of an image passes from memory to the device while a stage trains. Which pixels a sample
has, and what is drawn for it, is as if they did.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from foldbelt.train.augmenting import DeviceAugment, DrawnSamples
from foldbelt.train.data import Batch, ImageSet, Item, middle_of

START = "start"
"""Name of the windows' tops and lefts in a batch."""


class HeldSamples(DrawnSamples):
    """Batches without pixels: ``x`` and ``target`` are empty, ``start`` (N,2) int64 is where the
    window of each sample lies on its canvas. For whole images that are held in memory, without
    blackout."""

    def __getitems__(self, items: Sequence[Item]) -> Batch:
        """Make one batch."""
        batch = super().__getitems__(items)
        starts = np.empty((len(items), 2), np.int64)
        for number, item in enumerate(items):
            place = int(np.searchsorted(self.starts, item[1], side="right")) - 1
            image_set, row = self.sets[place], item[1] - int(self.starts[place])
            drawn = self._windows(image_set, np.array([row]), [item])
            starts[number] = middle_of(image_set.resizer) if drawn is None else drawn[0]
        return {**batch, START: torch.from_numpy(starts)}

    def _taken(
        self, image_set: ImageSet, rows: np.ndarray, items: Sequence[Item]
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray] | None]:
        # Windows are told with the batch; here they matter to boxes alone.
        starts = None if image_set.boxes is None else self._windows(image_set, rows, items)
        boxes = self._boxes_in(image_set, rows, starts)
        nothing: np.ndarray = np.zeros((len(rows), 0, 0, 0), np.uint8)
        return nothing, nothing, boxes

    def _change(
        self,
        x: np.ndarray,
        target: np.ndarray,
        label: np.ndarray,
        box: np.ndarray | None,
        item: Item,
        name: str,
    ) -> np.ndarray | None:
        return box


class HeldAugment(DeviceAugment):
    """Gather the pixels of batches of `HeldSamples` on the device that holds them, and augment.

    Parameters
    ----------
    samples
        Where the batches come from; images and masks of their sets are copied to the device.
    device
        That device.
    """

    def __init__(self, samples: HeldSamples, device: torch.device) -> None:
        super().__init__(samples, device)
        resizer = samples.sets[0].resizer
        self.window, self.canvas = resizer.size, resizer.canvas
        self.planes = samples.sets[0].planes
        self.x = self._copied([image_set.x.array for image_set in samples.sets])
        self.bits = self._copied(
            [image_set.target.packed for image_set in samples.sets if image_set.target]
        )
        self.shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> Batch:
        """Give a batch as `DeviceAugment` does of one with pixels."""
        rows, start = batch["row"].to(self.device), batch[START].to(self.device)
        pixels = {"x": self.x[rows], "target": self._planes(rows)}
        cut = {name: self._windows(value, start) for name, value in pixels.items()}
        return super().__call__({**batch, **cut})

    def _planes(self, rows: torch.Tensor) -> torch.Tensor:
        """(n,H,W,P) u8 of 0 and 1, at the size of the canvas."""
        flat = (self.bits[rows][:, :, None] >> self.shifts & 1).flatten(1)
        height, width = self.canvas
        flat = flat[:, : height * width * self.planes]
        return flat.view(len(rows), height, width, self.planes)  # perhaps without a plane

    def _windows(self, x: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """(n,H,W,…) of network size, each from its own place."""
        height, width = self.window
        if self.canvas == self.window:
            return x
        down = start[:, :1] + torch.arange(height, device=self.device)
        right = start[:, 1:] + torch.arange(width, device=self.device)
        number = torch.arange(len(x), device=self.device)
        return x[number[:, None, None], down[:, :, None], right[:, None, :]]

    def _copied(self, arrays: Sequence[Any]) -> torch.Tensor:
        """Copy arrays to the device, one after the other."""
        whole = torch.empty(
            (sum(map(len, arrays)), *arrays[0].shape[1:]), dtype=torch.uint8, device=self.device
        )
        done = 0
        for array in arrays:
            whole[done : done + len(array)] = torch.from_numpy(array)
            done += len(array)
        return whole


def augment_of(samples: Any, device: torch.device) -> DeviceAugment | None:
    """Build what augments batches of these samples on a device; None if nothing does."""
    if isinstance(samples, HeldSamples):
        return HeldAugment(samples, device)
    return DeviceAugment(samples, device) if isinstance(samples, DrawnSamples) else None
