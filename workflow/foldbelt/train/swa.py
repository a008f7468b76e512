"""Stochastic weight averaging (Izmailov et al. 2018): the mean of the weights at epochs' ends."""

from collections.abc import Iterable

import torch
from torch.optim import swa_utils


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
            The training images as the network takes them, (N,C,H,W) each, in a fixed order.
        """
        if not self._settled:
            swa_utils.update_bn(batches, self.module)
            self.module.eval()
            self._settled = True
