"""Masks: what they add to the loss, and what a model errs in where there is nothing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from foldbelt.config.stage_settings import Terms
from foldbelt.losses import build
from foldbelt.metrics import from_counts
from foldbelt.train.data import ImageSet

AT_ONCE = 2**21
"""Pixels of all classes that are counted at once: what is made of them stays in a CPU's cache."""


class MaskLoss(nn.Module):
    """The losses of masks, over the pixels that are not ignored.

    Parameters
    ----------
    terms
        Losses by name, as in the config.
    classes
        K, the number of mask classes; a further plane of the target marks ignored pixels.
    """

    def __init__(self, terms: Terms, classes: int) -> None:
        super().__init__()
        self.terms = build(terms)
        self.classes = classes

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss of logits (N,K,H,W) against a target (N,P,H,W), P ≥ K; a scalar."""
        loss: torch.Tensor = self.terms(logits.float(), *self._split(target))
        return loss

    def of_map(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss of logits (N,K,h,w) of a smaller map against a target (N,P,H,W); a scalar.

        See `at_map` for the target at the map's size.
        """
        size = (logits.shape[2], logits.shape[3])
        loss: torch.Tensor = self.terms(logits.float(), *at_map(*self._split(target), size))
        return loss

    def deep(
        self, scales: list[torch.Tensor], target: torch.Tensor, nonempty: bool
    ) -> torch.Tensor:
        """Sum of the losses at the deeper scales (Lee et al. 2015).

        Parameters
        ----------
        scales
            Logits (N,K,H,W) each.
        target
            (N,P,H,W).
        nonempty
            Whether only images that show a mask teach them.
        """
        truth, ignore = self._split(target)
        if nonempty:
            labelled = truth if ignore is None else truth.masked_fill(ignore, 0)
            shows = (labelled > 0.5).flatten(1).any(dim=1)
            leave = picked if truth.device.type == "cpu" else hidden
            scales, truth, ignore = leave(scales, truth, ignore, shows)
        total = torch.zeros((), device=truth.device)
        for logits in scales if len(truth) else ():
            total = total + self.terms(logits.float(), truth, ignore)
        return total

    def _split(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Give the classes as floats, and the ignored pixels, if they have a plane."""
        ignored = target[:, self.classes :].bool() if target.shape[1] > self.classes else None
        return target[:, : self.classes].to(torch.float32), ignored


Taken = tuple[list[torch.Tensor], torch.Tensor, torch.Tensor | None]
"""Logits (N,K,H,W) of some scales, their truth (N,K,H,W), and ignored pixels (N,1,H,W) or None."""


def picked(
    scales: list[torch.Tensor],
    truth: torch.Tensor,
    ignore: torch.Tensor | None,
    images: torch.Tensor,
) -> Taken:
    """Take some images, those that `images` (N,) bool tells, and compute nothing for the others.

    How many there are is asked: on a GPU the host would wait for all that it was given to do.
    """
    chosen = [logits[images] for logits in scales]
    return chosen, truth[images], None if ignore is None else ignore[images]


def hidden(
    scales: list[torch.Tensor],
    truth: torch.Tensor,
    ignore: torch.Tensor | None,
    images: torch.Tensor,
) -> Taken:
    """Ignore all pixels of the other images, which losses leave out of their means, then.

    The same losses as of `picked`, but for the last digits, without a question to the device.
    """
    others = ~images[:, None, None, None].expand_as(truth[:, :1])
    return scales, truth, others if ignore is None else ignore | others


def at_map(
    truth: torch.Tensor, ignore: torch.Tensor | None, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Bring masks to the size of a smaller map: of each cell the share that is of a class.

    Parameters
    ----------
    truth
        (N,K,H,W) f32, 0 to 1.
    ignore
        (N,1,H,W) bool, the ignored pixels (padding among them), or None.
    size
        (h, w) of the map.

    Returns
    -------
    truth, ignore
        (N,K,h,w) f32 and (N,1,h,w) bool or None. A share is one of the pixels that are not ignored,
        however few: a cell is ignored where there are none.

    Examples
    --------
    >>> truth = torch.tensor([[[[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]]])
    >>> ignore = torch.tensor([[[[False, True, True, True], [False, True, True, True]]]])
    >>> at_map(truth, None, (1, 2))[0].tolist()
    [[[[0.25, 1.0]]]]
    >>> [part.tolist() for part in at_map(truth, ignore, (1, 2))]
    [[[[[0.5, 0.0]]]], [[[[False, True]]]]]
    """
    if ignore is None:
        return functional.adaptive_avg_pool2d(truth, size), None
    known = (~ignore).to(torch.float32)
    share = functional.adaptive_avg_pool2d(known, size)
    shown = functional.adaptive_avg_pool2d(truth.masked_fill(ignore, 0), size)
    hidden = share == 0
    return shown / share.masked_fill(hidden, 1), hidden


def false_positives(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Share of pixels found of classes that are not there.

    Parameters
    ----------
    logits
        (1,K,H,W).
    target
        (1,H,W,P) u8, on any device.

    Returns
    -------
    scalar f64 tensor
        On the device of the logits, for which nobody waits.
    """
    classes, target = logits.shape[1], target.to(logits.device, non_blocking=True)
    labelled = torch.ones(target.shape[1:3], dtype=torch.bool, device=logits.device)
    if target.shape[3] > classes:
        labelled = target[0, :, :, -1] == 0
    truth = target[0, :, :, :classes].bool() & labelled[..., None]
    empty = ~truth.flatten(0, 1).any(dim=0)
    false = (logits[0] > 0) & labelled & empty[:, None, None]
    return false.sum().double() / (labelled.sum() * classes).clamp(min=1)


def count(
    found: torch.Tensor, truth: torch.Tensor, ignore: torch.Tensor | None = None
) -> torch.Tensor:
    """Count the pixels of masks, image by image and class by class, where they are.

    Parameters
    ----------
    found, truth
        (N,K,H,W) bool, on one device, fastest where each plane is contiguous.
    ignore
        (N,1,H,W) bool, pixels that count nowhere, or None.

    Returns
    -------
    (3,N,K) int32 tensor
        Pixels in the intersection, found, and in the truth: what `foldbelt.metrics.from_counts`
        scores.
    """
    if ignore is not None:
        found, truth = found & ~ignore, truth & ~ignore
    parts = (found & truth, found, truth)
    return torch.stack([_pixels(part) for part in parts])


def _pixels(planes: torch.Tensor) -> torch.Tensor:
    """Sums (N,K) int32 of planes (N,K,H,W) bool."""
    if planes.device.type != "cpu":
        return planes.flatten(2).sum(dim=2, dtype=torch.int32)
    # On a CPU torch makes integers of what it sums beforehand, and takes four times as long.
    each = [[np.count_nonzero(plane) for plane in image] for image in planes.numpy()]
    return torch.tensor(each, dtype=torch.int32)


class MaskJudge:
    """Score masks at storage size and threshold .5 by a metric that needs counts of pixels alone.

    They are counted on the device where the logits are, and stay there until they are scored.
    Only predictions that are resized or enlarged come to the host, since it is OpenCV that brings
    them back.
    """

    def __init__(self, valid: ImageSet, metric: str) -> None:
        self.valid, self.metric = valid, from_counts(metric)
        self.counts: list[torch.Tensor] = []

    def add(self, rows: np.ndarray, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> None:
        """Count the masks predicted for some rows of the validation images."""
        logits, crop = outputs["mask"], self.valid.resizer.crop
        classes = self.valid.classes
        if crop is None:
            given, level, truth = self._interpolated(logits), 0.5, self._stored(rows)
        else:
            given, level = logits[..., *crop], 0.0  # a probability of .5
            truth = batch["target"].to(logits.device, non_blocking=True)[:, *crop]
        size = max(AT_ONCE // given[0].numel(), 1)
        for some, true in zip(given.split(size), truth.split(size), strict=True):
            # Planes first: so summed, masks of several classes take a tenth of the time.
            planes = true.permute(0, 3, 1, 2).contiguous().view(torch.bool)
            ignore = planes[:, classes:] if planes.shape[1] > classes else None
            found = (some > level).contiguous()
            self.counts.append(count(found, planes[:, :classes], ignore))

    def score(self) -> float:
        """Give the mean over the images."""
        return self._mean(*self._counted())

    def constant(self) -> float:
        """Give the mean over the images of empty masks."""
        inter, found, truth = self._counted()
        return self._mean(np.zeros_like(inter), np.zeros_like(found), truth)

    def _mean(self, inter: np.ndarray, found: np.ndarray, truth: np.ndarray) -> float:
        return float(self.metric(inter, found, truth).mean(axis=1).mean())

    def _counted(self) -> np.ndarray:
        return torch.cat(self.counts, dim=1).cpu().numpy()

    def _interpolated(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities (n,K,h,w) at storage size, on the host, of logits at network size."""
        prob = torch.sigmoid(logits.float()).cpu().numpy()
        planes = self.valid.resizer.undo(prob.reshape(-1, *prob.shape[2:]))
        return torch.from_numpy(planes).unflatten(0, prob.shape[:2])

    def _stored(self, rows: np.ndarray) -> torch.Tensor:
        """Masks and ignored pixels (n,h,w,P) u8 as they are stored."""
        truth, ignore = self.valid.truth(rows)
        planes = [truth] if ignore is None else [truth, ignore[..., None]]
        return torch.from_numpy(np.concatenate(planes, axis=3))
