"""The weighted sum of losses that a stage's config asks for, of one output."""

import importlib
import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from foldbelt import registry
from foldbelt.files import InputError


class WeightedSum(nn.Module):
    """Sum of losses, each times its weight; those of weight 0 are left out.

    Parameters
    ----------
    terms
        Loss modules by name.
    weights
        Their factors, under the same names.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.weights = dict(weights)

    def forward(self, logits: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Sum the losses of logits (N, K, H, W) to a scalar; see :mod:`foldbelt.losses`."""
        if logits.ndim != 4 or logits.shape != target.shape:
            raise ValueError(
                f"logits and target must both be (N, K, H, W), not {tuple(logits.shape)} and "
                f"{tuple(target.shape)}"
            )
        if ignore is not None:
            ignore = ignore.to(logits.device, torch.bool)
        total = torch.zeros((), device=logits.device)
        for name, term in self.terms.items():
            total = total + self.weights[name] * term(logits, target, ignore)
        return total


def build(spec: Mapping[str, Any]) -> WeightedSum:
    """Make the loss of one output, as a stage's config describes it.

    Parameters
    ----------
    spec
        ``{name: weight, …}``, or with options ``{name: {weight: 1, option: value, …}, …}``.

    Returns
    -------
    WeightedSum
        ``forward(logits, target, ignore=None)`` gives a scalar.

    Raises
    ------
    InputError
        For unknown losses or options, and weights that are negative, not finite or all 0.

    Examples
    --------
    >>> loss = build({"bce": 0.5, "lovasz": {"weight": 2, "margin": "elu"}})
    >>> loss.weights
    {'bce': 0.5, 'lovasz': 2.0}
    """
    if not isinstance(spec, Mapping) or not spec:
        raise InputError(
            f"a loss is given as {{name: weight, …}} with at least one name, not {spec!r}"
        )
    modules = dict(zip(sorted(spec), registry.modules("losses", spec, "loss"), strict=True))
    terms, weights = {}, {}
    for name in spec:
        given = dict(spec[name]) if isinstance(spec[name], Mapping) else {"weight": spec[name]}
        weight = given.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InputError(f"loss {name!r}: the weight must be a number, not {weight!r}")
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"loss {name!r}: the weight must be finite and not negative: {weight}")
        make = importlib.import_module(modules[name]).build
        allowed = list(inspect.signature(make).parameters)
        unknown = [option for option in given if option not in allowed]
        if unknown:
            raise InputError(
                registry.unknown_names(f"option of loss {name!r}", unknown, ["weight", *allowed])
            )
        if weight > 0:
            try:
                terms[name], weights[name] = make(**given), float(weight)
            except TypeError as error:  # text where a number should be
                raise InputError(f"loss {name!r}: {given} cannot be used: {error}") from error
    if not terms:
        raise InputError(
            f"every loss has the weight 0, so that nothing would be learnt: {dict(spec)}"
        )
    return WeightedSum(terms, weights)
