"""The config's ``decision``, read once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from foldbelt.search.space import Grid


@dataclass(frozen=True)
class DecisionSettings:
    """What is searched, by which metric, and how sure its score is said to be.

    Parameters
    ----------
    metric
        Name of a function in :mod:`foldbelt.metrics`.
    grid
        The values to try.
    steps
        Name → options (None: its defaults) of the steps to try after the grid, in this order.
    draws
        Of the bootstrap.
    forced
        Axes of the grid and steps that are kept whatever they bring; see
        :meth:`foldbelt.config.plan.Plan.forced`.
    """

    metric: str
    grid: Grid
    steps: Mapping[str, Mapping[str, Any] | None]
    draws: int
    forced: frozenset[str] = frozenset()

    @classmethod
    def of(cls, decision: Mapping[str, Any], forced: Iterable[str] = ()) -> "DecisionSettings":
        """Read them from the resolved config's ``decision``.

        Raises
        ------
        InputError
            If a value of the space is out of range.
        """
        return cls(
            metric=decision["metric"],
            grid=Grid.of(decision["space"]),
            steps=decision["steps"],
            draws=decision["bootstrap"],
            forced=frozenset(forced),
        )
