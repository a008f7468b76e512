"""Learning rates over a stage: a factor on the optimiser's rate, as a function of the position.

The factor is set before every optimiser step from the position alone (in epochs, with fractions),
so a resumed run needs no memory of it. Only `plateau` looks at the validation loss, once for every
epoch that has one, and keeps three numbers of state.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from foldbelt.files import InputError


class Schedule:
    """Constant rate, after a linear warm-up; the base of the others.

    Parameters
    ----------
    epochs
        Length of the stage.
    warmup
        Epochs over which the factor rises from near 0 to 1.
    floor
        The least factor, once warm.
    """

    def __init__(self, epochs: int, warmup: float = 0, floor: float = 0, **_: Any) -> None:
        self.epochs, self.warmup, self.floor = epochs, warmup, floor

    def factor(self, position: float) -> float:
        """Give the factor at a position in epochs, taken at the middle of the step.

        Parameters
        ----------
        position
            Epochs done, in [0, epochs).

        Returns
        -------
        float
            In (0, 1].
        """
        if position < self.warmup:
            return position / self.warmup
        return max(self.floor, self.warm(position))

    def warm(self, position: float) -> float:
        """Give the factor after the warm-up, floor left aside."""
        return 1.0

    def observe(self, loss: float) -> None:
        """Take note of a validation loss."""

    def state(self) -> dict[str, float]:
        """Give what `restore` needs: numbers only."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a saved state."""


class Cosine(Schedule):
    """Half a cosine from 1 down to the floor (Loshchilov & Hutter 2017, without restarts)."""

    def warm(self, position: float) -> float:
        """Give the factor after the warm-up."""
        share = (position - self.warmup) / max(self.epochs - self.warmup, 1e-9)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


class Plateau(Schedule):
    """Multiply by `factor` whenever `patience` + 1 validation losses brought nothing better.

    As torch's ReduceLROnPlateau: better means lower by a ten-thousandth of the best.
    """

    def __init__(
        self,
        epochs: int,
        warmup: float = 0,
        floor: float = 0,
        patience: int = 3,
        factor: float = 0.5,
        **_: Any,
    ) -> None:
        super().__init__(epochs, warmup, floor)
        self.patience, self.step = patience, factor
        self.level, self.best, self.bad = 1.0, math.inf, 0

    def warm(self, position: float) -> float:
        """Give the factor after the warm-up."""
        return self.level

    def observe(self, loss: float) -> None:
        """Lower the level if the loss has stopped falling."""
        if loss < self.best - 1e-4 * abs(self.best) or self.best == math.inf:
            self.best, self.bad = loss, 0
        else:
            self.bad += 1
        if self.bad > self.patience:
            self.level, self.bad = max(self.floor, self.level * self.step), 0

    def state(self) -> dict[str, float]:
        """Give level, best loss and the count of losses that were no better."""
        return {"level": self.level, "best": self.best, "bad": self.bad}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a saved state."""
        self.level, self.best, self.bad = state["level"], state["best"], int(state["bad"])


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Schedule,
    "cosine": Cosine,
    "plateau": Plateau,
}


def build(spec: Mapping[str, Any], epochs: int) -> Schedule:
    """Build the schedule that a stage names.

    Parameters
    ----------
    spec
        ``{name, warmup, floor, patience, factor}``, as in the config; what a schedule does not use
        is ignored.
    epochs
        Length of the stage.

    Returns
    -------
    Schedule

    Raises
    ------
    InputError
        If there is no schedule of that name.
    """
    settings = {key: value for key, value in spec.items() if key != "name" and value is not None}
    try:
        kind = SCHEDULES[spec["name"]]
    except KeyError:
        raise InputError(
            f"schedule: {spec['name']!r} is unknown. There are {', '.join(sorted(SCHEDULES))}."
        ) from None
    return kind(epochs, **settings)
