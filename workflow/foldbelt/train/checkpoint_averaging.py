"""Averages of weights at epochs' ends: of all late ones, or of those best in validation.

The former is stochastic weight averaging [1]_; the latter brought the twelfth place of Severstal
Steel Defect Detection (2019) .003 to .005.

References
----------
.. [1] P. Izmailov et al.: Averaging Weights Leads to Wider Optima and Better Generalization. UAI
   2018.
"""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim import swa_utils

from foldbelt.train.batch_norm import estimate

Weights = Mapping[str, torch.Tensor]


class EpochAverage:
    """A copy of a model that holds the mean of the weights it has been shown.

    Batch-norm statistics belong to weights and cannot be averaged: `settle` estimates them anew.

    Parameters
    ----------
    model
        What to average.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._mean = swa_utils.AveragedModel(model)
        self.module: torch.nn.Module = self._mean.module.eval().requires_grad_(False)
        self._settled = False

    @property
    def steps(self) -> int:
        """How many sets of weights the mean is of."""
        return int(self._mean.n_averaged)

    @steps.setter
    def steps(self, count: int) -> None:
        self._mean.n_averaged.fill_(count)

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Take in the model's weights at the end of an epoch."""
        self._mean.update_parameters(model)
        self._settled = False

    def settle(self, batches: Iterable[torch.Tensor]) -> None:
        """Estimate the batch-norm statistics of the mean weights, unless that has been done.

        Parameters
        ----------
        batches
            The training images as the network takes them; see
            :func:`foldbelt.train.batch_norm.estimate`.
        """
        if not self._settled:
            estimate(self.module, batches)
            self._settled = True


class BestCheckpoints:
    """Copies of the weights of the best validations, best first; of equal ones the earlier.

    Parameters
    ----------
    count
        How many to keep.

    Attributes
    ----------
    scores
        The metric and the epoch (from 1) of each.
    weights
        Its copy, under the epoch.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.scores: list[tuple[float, int]] = []
        self.weights: dict[int, Weights] = {}

    def offer(self, score: float, epoch: int, weights: Weights) -> None:
        """Keep a copy of the weights if they are among the best."""
        score = -math.inf if math.isnan(score) else score  # which has no rank
        ranked = sorted([*self.scores, (score, epoch)], key=lambda each: (-each[0], each[1]))
        self.scores = ranked[: self.count]
        if epoch in self.epochs:
            self.weights[epoch] = copy.deepcopy(weights)
        self.weights = {each: self.weights[each] for each in self.epochs}

    @property
    def epochs(self) -> list[int]:
        """The epochs of those kept, best first."""
        return [epoch for _, epoch in self.scores]

    def average(self, model: torch.nn.Module) -> EpochAverage:
        """Give the mean of those kept, whose batch-norm statistics are still to be settled.

        Parameters
        ----------
        model
            Of the same layers; it stays as it is.
        """
        checkpoint = copy.deepcopy(model)
        mean = EpochAverage(checkpoint)
        for epoch in sorted(self.weights):  # in one order, whatever came first
            checkpoint.load_state_dict(self.weights[epoch])
            mean.update(checkpoint)
        return mean

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which `restore` makes this again."""
        return {"scores": self.scores, "weights": self.weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.scores = [(float(score), int(epoch)) for score, epoch in state["scores"]]
        self.weights = dict(state["weights"])
