"""Statistics estimated anew are those of all images together, whatever the batch size."""

import pytest
import torch
from torch import nn

from foldbelt import models
from foldbelt.train.batch_norm import estimate


def network() -> nn.Module:
    torch.manual_seed(0)
    spec = {"name": "vanilla", "width": 4, "depth": 2, "weights": None}
    module = models.build(spec, 2, 1, 0)
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.4)
        elif "bias" in name:
            nn.init.normal_(parameter)
    return module


def images(number: int = 24) -> torch.Tensor:
    """Images that differ from each other more than within."""
    torch.manual_seed(1)
    return torch.randn(number, 2, 16, 16) * 0.3 + 2 * torch.randn(number, 1, 1, 1)


def settled(size: int, module: nn.Module | None = None) -> nn.Module:
    module = network() if module is None else module
    estimate(module, images().split(size))
    return module


def layers(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize("size", [1, 2, 5, 24])
def test_the_first_layer_gets_the_moments_of_one_batch_of_everything(size):
    module = settled(size)
    seen = []
    hook = layers(module)[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module(images())
    hook.remove()
    variance, mean = torch.var_mean(seen[0], (0, 2, 3))
    assert torch.allclose(layers(module)[0].running_mean, mean, atol=1e-4)
    assert torch.allclose(layers(module)[0].running_var, variance, rtol=1e-4)


def test_predictions_hardly_depend_on_the_batch_size():
    whole = settled(24)(images())["mask"]
    spread = whole.std()
    for size, most in ((12, 0.1), (6, 0.15), (1, 0.3)):
        assert (settled(size)(images())["mask"] - whole).abs().mean() < most * spread
    plain = network()
    torch.optim.swa_utils.update_bn(images().split(1), plain)
    lost = (plain.eval()(images())["mask"] - whole).abs().mean()
    assert lost > 0.5 * spread, "with a mean of the batches' variances they do"


def test_it_leaves_layers_as_they_were_and_the_network_in_evaluation():
    module = network()
    layers(module)[0].momentum = 0.3
    settled(4, module)
    assert layers(module)[0].momentum == 0.3
    assert not any(part.training for part in module.modules())
    assert not layers(module)[0]._forward_pre_hooks


def test_without_batch_norm_there_is_nothing_to_do():
    module = nn.Sequential(nn.Conv2d(2, 1, 1)).train()
    estimate(module, [])
    assert not module.training
