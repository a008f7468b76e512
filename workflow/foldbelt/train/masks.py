"""Masks: what they add to the loss, and what a model errs in where there is nothing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from foldbelt.config.stage_settings import Terms
from foldbelt.losses import build
from foldbelt.metrics import score_images
from foldbelt.train.data import ImageSet


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
            truth, ignore = truth[shows], None if ignore is None else ignore[shows]
            scales = [logits[shows] for logits in scales]
        total = torch.zeros((), device=truth.device)
        for logits in scales if len(truth) else ():
            total = total + self.terms(logits.float(), truth, ignore)
        return total

    def _split(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Give the classes as floats, and the ignored pixels, if they have a plane."""
        ignored = target[:, self.classes :].bool() if target.shape[1] > self.classes else None
        return target[:, : self.classes].to(torch.float32), ignored


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


def false_positives(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Share of pixels found of classes that are not there: logits (1,K,H,W), target (1,H,W,P)."""
    classes = logits.shape[1]
    labelled = torch.ones(target.shape[1:3], dtype=torch.bool)
    if target.shape[3] > classes:
        labelled = target[0, :, :, -1] == 0
    truth = target[0, :, :, :classes].bool() & labelled[..., None]
    empty = ~truth.flatten(0, 1).any(dim=0)
    false = (logits[0] > 0) & labelled & empty[:, None, None]
    return float(false.sum()) / max(int(labelled.sum()) * classes, 1)


class MaskJudge:
    """Score masks at storage size and threshold .5 by a metric, batch by batch."""

    def __init__(self, valid: ImageSet, metric: str) -> None:
        self.valid, self.metric = valid, metric
        self.scores: list[np.ndarray] = []
        self.empty: list[np.ndarray] = []

    def add(self, rows: np.ndarray, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> None:
        """Score the masks predicted for some rows of the validation images."""
        logits = outputs["mask"].float().permute(0, 2, 3, 1)
        prob = self.valid.resizer.undo(torch.sigmoid(logits).cpu().numpy())
        truth, ignore = self.valid.truth(rows)
        self.scores.append(score_images(self.metric, truth, prob > 0.5, ignore))
        self.empty.append(score_images(self.metric, truth, np.zeros(prob.shape, bool), ignore))

    def score(self) -> float:
        """Give the mean over the images."""
        return float(np.concatenate(self.scores).mean())

    def constant(self) -> float:
        """Give the mean over the images of empty masks."""
        return float(np.concatenate(self.empty).mean())
