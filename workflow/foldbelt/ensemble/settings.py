"""The config's ``blend``, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foldbelt.search.means import Mean, mean_of


@dataclass(frozen=True)
class BlendSettings:
    """How members are blended.

    Parameters
    ----------
    search
        Whether weights are searched; else they are equal.
    weights
        Fixed weights by model; with any, none are searched.
    mean
        What is averaged.
    step
        Of the grid of weights.
    """

    search: bool
    weights: Mapping[str, float]
    mean: Mean
    step: float

    @classmethod
    def of(cls, blend: Mapping[str, Any]) -> "BlendSettings":
        """Read them from the resolved config's ``blend``.

        Raises
        ------
        InputError
            If the mean is unknown or the power is not positive.
        """
        return cls(blend["search"], blend["weights"], mean_of(blend), blend["step"])
