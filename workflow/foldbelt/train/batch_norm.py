"""Batch-norm statistics estimated anew, of all images together.

Statistics belong to weights, so those of averaged weights have to be found by a pass over the
images. A mean over batches of their variances, as torch's `update_bn` takes it, loses the variance
between batches: at batch size 2 the validation loss rose by 27 % where a batch of 16 changed
nothing. Here moments are pooled, so that the statistics of the first layer are those of one batch
of everything, whatever the batch size ("precise batch norm", Wu and Johnson, 2021).

What deeper layers see depends on how the layers before them normalise: here by the batch, as in
training. So batches should be large and mixed; :func:`foldbelt.train.evaluation.settle` sees to it,
for a pass without gradients needs little memory.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Moments:
    """Pooled moments of what one layer is given."""

    def __init__(self, layer: _BatchNorm) -> None:
        self.layer = layer
        self.number = 0.0
        assert layer.running_mean is not None
        self.sum = torch.zeros_like(layer.running_mean, dtype=torch.float64)
        self.square = torch.zeros_like(self.sum)

    def add(self, layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        """Take in one batch (N,C,…); a forward hook."""
        x = given[0].float()
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance, mean = (part.double() for part in torch.var_mean(x, axes, correction=0))
        number = x.numel() / x.shape[1]
        self.number += number
        self.sum += number * mean
        self.square += number * (variance + mean**2)

    def store(self) -> None:
        """Give the layer the mean and the unbiased variance, as torch keeps it."""
        mean = self.sum / self.number
        variance = (self.square / self.number - mean**2).clamp(min=0)
        variance *= self.number / max(self.number - 1, 1)
        assert self.layer.running_mean is not None
        assert self.layer.running_var is not None
        self.layer.running_mean.copy_(mean)
        self.layer.running_var.copy_(variance)


@torch.no_grad()
def estimate(module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Estimate the statistics of all batch-norm layers of a network, which is left in evaluation.

    Parameters
    ----------
    module
        The network.
    batches
        The images as the network takes them, (N,C,H,W) each, in a fixed order.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    if not layers:
        module.eval()
        return
    module.eval()  # nothing else behaves as in training
    for layer in layers:
        layer.train()
    momenta = [layer.momentum for layer in layers]
    moments = [_Moments(layer) for layer in layers]
    hooks = [
        layer.register_forward_pre_hook(moment.add)
        for layer, moment in zip(layers, moments, strict=True)
    ]
    try:
        for layer in layers:
            layer.momentum = 0.0  # what torch itself would keep is not wanted
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.zero_()
        for x in batches:
            module(x)
    finally:
        for layer, momentum, hook in zip(layers, momenta, hooks, strict=True):
            layer.momentum = momentum
            hook.remove()
    for moment in moments:
        if moment.number:
            moment.store()
    module.eval()
