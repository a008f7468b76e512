"""The optimisers a stage may name: torch's own, with the settings of the config.

Where torch has a fused form it is used: a step is one kernel, not a few for every parameter, which
is a sixth of the time of a small network on a CPU.
"""

from collections.abc import Mapping
from typing import Any

import torch

from foldbelt.files import InputError
from foldbelt.train.named import look_up

OPTIMISERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any], tuple[str, ...]]] = {
    # name: class, what it is always given, which settings of the config it takes besides the rate
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "fused": True}, ("momentum", "weight_decay")),
    "adam": (torch.optim.Adam, {"fused": True}, ("betas", "weight_decay")),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0, "fused": True}, ("betas", "weight_decay")),
    # Liu et al. 2020; their own code decays the weights apart from the gradient, as AdamW does.
    "radam": (torch.optim.RAdam, {"decoupled_weight_decay": True}, ("betas", "weight_decay")),
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


def build(spec: Mapping[str, Any], model: torch.nn.Module) -> torch.optim.Optimizer:
    """Build the optimiser that a stage names, over all trainable parameters of a model.

    Parameters
    ----------
    spec
        ``{name, lr, encoder_factor, momentum, weight_decay, betas}``, as in the config; what an
        optimiser does not use is ignored.
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
    (kind, given, takes), settings = look_up("optimizer", OPTIMISERS, spec)
    given = {**given, **{key: settings[key] for key in takes if key in settings}}
    if "betas" in given:
        given["betas"] = tuple(given["betas"])
    if kind is torch.optim.SGD:
        # Nesterov's, as in all the salt solutions that used SGD.
        given["nesterov"] = given["momentum"] > 0
    rate, factor = settings["lr"], settings.get("encoder_factor", 1)
    parameters = [p for p in model.parameters() if p.requires_grad]
    if factor == 1:
        return kind(parameters, lr=rate, **given)  # type: ignore[call-arg]
    encoder = list(encoder_of(model, "optimizer.encoder_factor").parameters())
    own = {id(p) for p in encoder}
    groups = [
        {"params": [p for p in parameters if id(p) not in own]},
        {"params": [p for p in encoder if p.requires_grad], "lr": rate * factor},
    ]
    return kind(groups, lr=rate, **given)  # type: ignore[call-arg]
