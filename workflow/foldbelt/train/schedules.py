"""Learning rates over a stage: a factor on the optimiser's rate, as a function of the position.

The factor is set before every optimiser step from the position alone (in epochs, with fractions),
so a resumed run needs no memory of it. Only `plateau` looks at the validation, its loss or metric,
once for every epoch that has one, and keeps three numbers of state.
"""

import math
from collections.abc import Mapping

from foldbelt import registry
from foldbelt.config.stage_settings import ScheduleSettings
from foldbelt.files import InputError


class Schedule:
    """Constant rate, after a linear warm-up; the base of the others.

    Parameters
    ----------
    settings
        `warmup`, epochs over which the factor rises from near 0 to 1; `floor`, the least factor,
        once warm; and what a schedule has of its own.
    epochs
        Length of the stage.
    """

    def __init__(self, settings: ScheduleSettings, epochs: int) -> None:
        self.settings, self.epochs = settings, epochs
        self.warmup, self.floor = settings.warmup, settings.floor

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

    def share(self, position: float) -> float:
        """Give the share done of what follows the warm-up."""
        return (position - self.warmup) / max(self.epochs - self.warmup, 1e-9)

    def cycle(self, position: float) -> int:
        """Give the number of the cycle that a position lies in, from 0; there may be but one."""
        return 0

    def snapshot(self, cycle: int) -> int:
        """Give the number of the snapshot that the end of a cycle leaves, from 1; 0 is none."""
        return 0

    def observe(self, loss: float) -> None:
        """Take note of a validation's loss, or of its metric times −1."""

    def state(self) -> dict[str, float]:
        """Give what `restore` needs: numbers only."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a saved state."""


def _ease(share: float, start: float, end: float) -> float:
    """Half a cosine from `start`, at a share of 0, to `end`, at 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


class Cosine(Schedule):
    """Half a cosine from 1 down to the floor (Loshchilov & Hutter 2017, without restarts)."""

    def warm(self, position: float) -> float:
        """Give the factor after the warm-up."""
        return _ease(self.share(position), 1.0, self.floor)


class Polynomial(Schedule):
    """(1 − share of the stage done) to the power of `power`, as for DeepLab (Chen et al. 2017).

    A power of 1 falls in a line; less stays high for longer.
    """

    def warm(self, position: float) -> float:
        """Give the factor after the warm-up."""
        return (1 - min(self.share(position), 1.0)) ** self.settings.power


class OneCycle(Schedule):
    """From a 25th up to 1 and down to the floor (Smith & Topin 2018), both as half a cosine.

    As torch's OneCycleLR, but for the momentum, which stays as it is. The way up takes the share
    `rise` of the stage.
    """

    START = 1 / 25

    def warm(self, position: float) -> float:
        """Give the factor; the rise is the warm-up."""
        share, rise = self.share(position), self.settings.rise
        if share < rise:
            return _ease(share / rise, max(self.START, self.floor), 1.0)
        return _ease((share - rise) / (1 - rise), 1.0, self.floor)


class Cyclic(Schedule):
    """Cosines from 1 to the floor, one after the other (Loshchilov & Hutter 2017, SGDR).

    There are `cycles` of equal length. The weights at the ends of the last `snapshots` of them make
    members of an ensemble (Huang et al. 2017).
    """

    def cycle(self, position: float) -> int:
        """Give the number of the cycle, from 0; the warm-up belongs to the first."""
        cycles = self.settings.cycles
        return min(max(int(self.share(position) * cycles), 0), cycles - 1)

    def snapshot(self, cycle: int) -> int:
        """Give the number of the snapshot that the end of a cycle leaves, from 1; 0 is none."""
        return max(0, cycle + 1 - (self.settings.cycles - self.settings.snapshots))

    def warm(self, position: float) -> float:
        """Give the factor after the warm-up."""
        share = self.share(position) * self.settings.cycles
        return _ease(share - self.cycle(position), 1.0, self.floor)


class Plateau(Schedule):
    """Multiply by `factor` whenever `patience` + 1 validations brought nothing better.

    As torch's ReduceLROnPlateau: better means by a ten-thousandth of the best. What has no value (a
    metric of images without any positive) is not better.
    """

    def __init__(self, settings: ScheduleSettings, epochs: int) -> None:
        super().__init__(settings, epochs)
        self.level, self.best, self.bad = 1.0, math.inf, 0

    def warm(self, position: float) -> float:
        """Give the factor after the warm-up."""
        return self.level

    def observe(self, loss: float) -> None:
        """Lower the level if the loss has stopped falling."""
        first = self.best == math.inf and not math.isnan(loss)
        if first or loss < self.best - 1e-4 * abs(self.best):
            self.best, self.bad = loss, 0
        else:
            self.bad += 1
        if self.bad > self.settings.patience:
            self.level, self.bad = max(self.floor, self.level * self.settings.factor), 0

    def state(self) -> dict[str, float]:
        """Give level, best loss and the count of losses that were no better."""
        return {"level": self.level, "best": self.best, "bad": self.bad}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a saved state."""
        self.level, self.best, self.bad = state["level"], state["best"], int(state["bad"])


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Schedule,
    "cosine": Cosine,
    "plateau": Plateau,
    "onecycle": OneCycle,
    "polynomial": Polynomial,
    "cyclic": Cyclic,
}


def build(settings: ScheduleSettings, epochs: int) -> Schedule:
    """Build the schedule that a stage names.

    Parameters
    ----------
    settings
        Name, warm-up and the rest; what a schedule does not use is ignored.
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
    if settings.name not in SCHEDULES:
        raise InputError(registry.unknown_names("schedule", [settings.name], SCHEDULES))
    return SCHEDULES[settings.name](settings, epochs)
