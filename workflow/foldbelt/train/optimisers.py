"""The optimisers a stage may name: torch's own, with the settings of the config.

Where torch has a fused form it is used: a step is one kernel, not a few for every parameter, which
is a sixth of the time of a small network on a CPU.
"""

from typing import Any

import torch

from foldbelt import registry
from foldbelt.config.stage_settings import OptimizerSettings
from foldbelt.files import InputError

OPTIMISERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    # name: class, and what it is always given
    "sgd": (torch.optim.SGD, {"fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
    # Liu et al. 2020; their own code decays the weights apart from the gradient, as AdamW does.
    "radam": (torch.optim.RAdam, {"decoupled_weight_decay": True}),
}


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
        Its rate is `lr`; a schedule multiplies it. With an `encoder_factor` other than 1 the
        encoder's parameters are a second group, at so much of the rate.

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
    rate, factor = settings.lr, settings.encoder_factor
    parameters = [p for p in model.parameters() if p.requires_grad]
    if factor == 1:
        return kind(parameters, lr=rate, **given)  # type: ignore[call-arg]
    encoder = list(encoder_of(model, "optimizer.encoder_factor").parameters())
    pretrained = {id(p) for p in encoder}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if id(p) not in pretrained]},
        {"params": [p for p in encoder if p.requires_grad], "lr": rate * factor},
    ]
    return kind(groups, lr=rate, **given)  # type: ignore[call-arg]
