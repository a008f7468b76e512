"""Exponential moving average of weights, which evens out the last steps of a stage."""

import copy

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """A copy of a model that follows it slowly, batch-norm statistics included.

    The decay rises as (1 + n) / (10 + n) to its final value, so that the first, random weights are
    soon forgotten, however short the stage (as in TensorFlow's ExponentialMovingAverage).

    Parameters
    ----------
    model
        What to follow.
    decay
        The final share of the old average in the new one.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0
        # The tensors themselves, which training changes in place; gathering them costs more than
        # averaging them.
        averages, current = self.module.state_dict().values(), model.state_dict().values()
        pairs = list(zip(averages, current, strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's weights after an optimiser step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        averages, current = zip(*self._floats, strict=True)
        get_ema_multi_avg_fn(decay)(averages, current, 0)
        for counter, value in self._counters:
            counter.copy_(value)
