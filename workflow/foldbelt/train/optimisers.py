"""The optimisers a stage may name: torch's own, with the settings of the config.

All run fused: a step is one kernel, not a few for every parameter, which is a sixth of the time of
a small network on a CPU.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from foldbelt.files import InputError


def _sgd(parameters: Iterable[torch.nn.Parameter], **spec: Any) -> torch.optim.Optimizer:
    """Nesterov's momentum, as in all the salt solutions that used SGD."""
    momentum = spec.get("momentum", 0.9)
    return torch.optim.SGD(
        parameters,
        lr=spec["lr"],
        momentum=momentum,
        weight_decay=spec.get("weight_decay", 0.0),
        nesterov=momentum > 0,
        fused=True,
    )


def _adaptive(kind: Callable[..., torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Adam and its kin: no momentum of their own, but betas."""

    def make(parameters: Iterable[torch.nn.Parameter], **spec: Any) -> torch.optim.Optimizer:
        settings: dict[str, Any] = {"weight_decay": spec.get("weight_decay", 0.0), "fused": True}
        if spec.get("betas") is not None:
            settings["betas"] = tuple(spec["betas"])
        return kind(parameters, lr=spec["lr"], **settings)

    return make


OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adaptive(torch.optim.Adam),
    "adamw": _adaptive(torch.optim.AdamW),
}


def build(spec: Mapping[str, Any], model: torch.nn.Module) -> torch.optim.Optimizer:
    """Build the optimiser that a stage names, over all trainable parameters of a model.

    Parameters
    ----------
    spec
        ``{name, lr, momentum, weight_decay, betas}``, as in the config; momentum is SGD's alone.
    model
        The module to train.

    Returns
    -------
    torch.optim.Optimizer
        Its rate is `lr`; a schedule multiplies it.

    Raises
    ------
    InputError
        If there is no optimiser of that name.
    """
    settings = {key: value for key, value in spec.items() if key != "name" and value is not None}
    try:
        make = OPTIMISERS[spec["name"]]
    except KeyError:
        raise InputError(
            f"optimizer: {spec['name']!r} is unknown. There are {', '.join(sorted(OPTIMISERS))}."
        ) from None
    return make([p for p in model.parameters() if p.requires_grad], **settings)
