"""The optimisers a stage may name: torch's own, with the settings of the config.

Where torch has a fused form it is used: a step is one kernel, not a few for every parameter, which
is a sixth of the time of a small network on a CPU.
"""

from typing import Any

import torch

from foldbelt import registry
from foldbelt.config.stage_settings import OptimizerSettings
from foldbelt.files import InputError
from foldbelt.runtime import without_compiler

OPTIMISERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    # name: class, and what it is always given
    "sgd": (torch.optim.SGD, {"fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
    # Liu et al. 2020; their own code decays the weights apart from the gradient, as AdamW does.
    "radam": (torch.optim.RAdam, {"decoupled_weight_decay": True}),
}

_SIDE = 64  # pixels of the image on which an encoder's levels are looked up


def encoder_of(model: torch.nn.Module, key: str) -> torch.nn.Module:
    """Give the part of a network that may be pretrained.

    Parameters
    ----------
    model
        A network of `foldbelt.models`.
    key
        The key of the config that asks for it.

    Raises
    ------
    InputError
        If the network has no encoder of its own.
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, torch.nn.Module):
        name = type(model).__module__.rpartition(".")[2]
        raise InputError(
            f"{key}: the architecture {name!r} has no encoder apart from its decoder. Leave the "
            "key out, or choose another architecture, such as unet."
        )
    return encoder


def levels_of(encoder: torch.nn.Module) -> list[list[torch.nn.Parameter]]:
    """Give an encoder's parameters by level, shallow to deep.

    A parameter is of the shallowest map that depends on it, which holds for encoders of any make.
    Those of no map are of the deepest.

    Parameters
    ----------
    encoder
        Gives a list of maps, shallow to deep; its first convolution has as many channels as images
        have. It stays as it is.
    """
    parameters = list(encoder.parameters())
    weight = next(each for each in parameters if each.ndim == 4)
    image = weight.new_zeros(1, weight.shape[1], _SIDE, _SIDE)
    training = encoder.training
    with torch.enable_grad():
        maps = [each for each in encoder.eval()(image) if each.requires_grad]
    levels: list[list[torch.nn.Parameter]] = []
    for level, each in enumerate(maps):
        last = level == len(maps) - 1
        gradients = torch.autograd.grad(
            each.sum(), parameters, allow_unused=True, retain_graph=True
        )
        used = [gradient is not None or last for gradient in gradients]
        levels.append([one for one, own in zip(parameters, used, strict=True) if own])
        parameters = [one for one, own in zip(parameters, used, strict=True) if not own]
        if not parameters:
            break
    encoder.train(training)  # not before: what is computed again has to be computed alike
    return levels


def build(settings: OptimizerSettings, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Build the optimiser that a stage names, over all trainable parameters of a model.

    Parameters
    ----------
    settings
        Name, rate and the rest; what an optimiser does not use is ignored.
    model
        The module to train.

    Returns
    -------
    torch.optim.Optimizer
        Its rate is `lr`; a schedule multiplies it. Parameters of other rates, and those that do
        not decay, are groups of their own; the first group has the full rate.

    Raises
    ------
    InputError
        If there is no optimiser of that name, or no encoder to have a rate of its own.
    """
    if settings.name not in OPTIMISERS:
        raise InputError(registry.unknown_names("optimizer", [settings.name], OPTIMISERS))
    kind, always = OPTIMISERS[settings.name]
    given = {**always, "weight_decay": settings.weight_decay}
    if kind is torch.optim.SGD:
        # Nesterov's, as in all the salt solutions that used SGD.
        given |= {"momentum": settings.momentum, "nesterov": settings.momentum > 0}
    groups: list[dict[str, Any]] = []
    for factor, parameters in _rates(settings, model):
        rate = {} if factor == 1 else {"lr": settings.lr * factor}
        trained = [each for each in parameters if each.requires_grad]
        if settings.decay_norms:
            groups.append({"params": trained, **rate})
            continue
        vectors = [each for each in trained if each.ndim <= 1]
        groups.append({"params": [each for each in trained if each.ndim > 1], **rate})
        groups.append({"params": vectors, **rate, "weight_decay": 0.0})
    optimiser = without_compiler(kind)
    return optimiser(groups, lr=settings.lr, **given)  # type: ignore[call-arg]


def _rates(
    settings: OptimizerSettings, model: torch.nn.Module
) -> list[tuple[float, list[torch.nn.Parameter]]]:
    """Give a model's parameters by what their rate is multiplied by, those of factor 1 first."""
    factor, decay = settings.encoder_factor, settings.layer_decay
    if factor == decay == 1:
        return [(1.0, list(model.parameters()))]
    key = "optimizer.encoder_factor" if decay == 1 else "optimizer.layer_decay"
    encoder = encoder_of(model, key)
    levels = [list(encoder.parameters())] if decay == 1 else levels_of(encoder)
    inside = {id(each) for each in encoder.parameters()}
    rest = [each for each in model.parameters() if id(each) not in inside]
    deep_first = enumerate(reversed(levels))
    return [(1.0, rest), *((factor * decay**above, level) for above, level in deep_first)]
