"""Augmentation on the device: drawn where batches are made, computed where a stage trains.

What a sample is drawn depends on the seed, the epoch and its id alone, as on the host, where its
pixels would be moved by albumentations before the batch is put together.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from foldbelt import registry
from foldbelt.config.stage_settings import StageSettings
from foldbelt.train.data import Batch, Item, Samples

DRAWN = "drawn"
"""Name of the parameters in a batch."""


class DrawnSamples(Samples):
    """Batches of samples that are not augmented yet, with the parameters to augment them by.

    Parameters
    ----------
    batched
        From `build`.
    *given
        As for `Samples`.
    """

    def __init__(self, batched: Any, *given: Any) -> None:
        super().__init__(*given)
        self.batched = batched

    def __getitems__(self, items: Sequence[Item]) -> Batch:
        """Make one batch, with ``drawn`` (N,D) f64 besides what `Samples` gives."""
        batch = super().__getitems__(items)
        seeds = [self._seed("augment", item, self._name(item[1])) for item in items]
        return {**batch, DRAWN: torch.from_numpy(self.batched.draw(seeds))}

    def _name(self, row: int) -> str:
        place = int(np.searchsorted(self.starts, row, side="right")) - 1
        return str(self.sets[place].ids[row - int(self.starts[place])])


class DeviceAugment:
    """Augment batches of `DrawnSamples` on a device.

    Parameters
    ----------
    samples
        Where the batches come from.
    device
        Where they are augmented, and then are.
    """

    def __init__(self, samples: DrawnSamples, device: torch.device) -> None:
        self.batched, self.device = samples.batched, device
        self.classes, self.derived = samples.sets[0].classes, samples.derived

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, torch.Tensor]) -> Batch:
        """Give a batch with images, masks, labels and boxes augmented; all else stays."""
        names = [name for name in ("x", "target", "label", "box") if name in batch]
        here = {name: batch[name].to(self.device, non_blocking=True) for name in names}
        x, target, box = self.batched(batch[DRAWN], here["x"], here["target"], here.get("box"))
        label = here["label"]
        if self.derived and label.shape[1]:
            label = self._left(label, self._shown(here["target"]), self._shown(target))
        moved = {"x": x, "target": target, "label": label}
        return {**batch, **moved, **({} if box is None else {"box": box})}

    def _shown(self, target: torch.Tensor) -> torch.Tensor:
        """(N,K) which classes show in masks (N,H,W,P), less the ignored pixels."""
        masks = target[..., : self.classes] > 0
        if target.shape[3] > self.classes:
            masks = masks & (target[..., -1:] == 0)
        return masks.any(dim=2).any(dim=1)

    @staticmethod
    def _left(label: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Give labels (N,L) less those of what is no longer in the picture."""
        if label.shape[1] == 1:
            before, after = before.any(dim=1, keepdim=True), after.any(dim=1, keepdim=True)
        return torch.where(before & ~after, 0, label)


def build(
    stage: StageSettings, size: tuple[int, int], names: Sequence[str], visible: float | None
) -> Any:
    """Build the batched form of a stage's pipeline.

    Parameters
    ----------
    stage
        With `augment`.
    size, names, visible
        Of what is augmented, as for :class:`foldbelt.augment.Augment`.

    Returns
    -------
    foldbelt.augment._batched.pipeline.BatchedAugment
        Imported here alone, so that its code counts for stages that ask for it.

    Raises
    ------
    InputError
        If something in the pipeline has no batched form.
    """
    pipeline = importlib.import_module(registry.BATCHED_AUGMENT)
    return pipeline.BatchedAugment(stage.augment, size, names, visible)
