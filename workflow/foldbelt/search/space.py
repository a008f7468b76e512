"""The values that a search of decision parameters tries, checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.files import InputError
from foldbelt.search.gates import LEVELS, MODES, level

#: What a search may vary, in the order of the grid, with the value that leaves it out.
NEUTRAL = {"threshold": 0.5, "min_area": 0.0, "min_component": 0.0, "gate": 0.0}

#: A threshold that no probability exceeds.
EMPTY = 1.0

#: Means that differ by less are equal: the same scores summed in another order.
EQUAL = 1e-12

#: Upper bounds of fractions; sizes in pixels have none.
_HIGH = {"threshold": 1, "gate": 1}


@dataclass(frozen=True)
class Grid:
    """The values to try: threshold (T,), min_area (M,), min_component (C,), gate (G,), float64.

    `mode` says of each gate what it does; modes other than "veto" have no value.
    """

    threshold: np.ndarray
    min_area: np.ndarray
    min_component: np.ndarray
    gate: np.ndarray
    mode: tuple[str, ...]

    @classmethod
    def of(cls, space: Mapping[str, Any]) -> "Grid":
        """Check a search space and fill in what it leaves out.

        Parameters
        ----------
        space
            threshold and gate (fractions), min_area and min_component (pixels): lists of numbers,
            or one number. Missing ones are .5, 0, 0 and 0. gate_mode: a list of veto, product,
            area, expected (see :data:`foldbelt.search.gates.MODES`); by default veto, the only one
            that `gate` is of.

        Raises
        ------
        InputError
            If a name is unknown, a list is empty or a value is out of range (all are listed).
        """
        wrong = [f"{name} is unknown" for name in space if name not in {*NEUTRAL, "gate_mode"}]
        values = {}
        for name, default in NEUTRAL.items():
            array = np.atleast_1d(np.asarray(space.get(name, default)))
            if array.dtype.kind not in "iuf" or array.ndim != 1 or not array.size:
                wrong.append(f"{name} must be a list of numbers, not {space[name]!r}")
                continue
            high = _HIGH.get(name, np.inf)
            bad = array[~((array >= 0) & (array <= high) & np.isfinite(array))]
            if bad.size:
                bounds = "fractions, 0 to 1" if name in _HIGH else "pixels, 0 or more"
                wrong.append(f"{name} takes {bounds}, not {', '.join(map(str, bad.tolist()))}")
            values[name] = array.astype(np.float64)
        modes = list(space.get("gate_mode", ["veto"]))
        wrong += [f"gate_mode {mode!r} is unknown" for mode in modes if mode not in MODES]
        if wrong or not modes:
            wrong += [] if modes else ["gate_mode must hold a mode"]
            raise InputError(
                f"decision space: {'; '.join(wrong)}. It may hold {', '.join(NEUTRAL)}, and "
                f"gate_mode of {', '.join(MODES)}."
            )
        veto = values["gate"] if "veto" in modes else values["gate"][:0]
        others = [mode for mode in MODES if mode in modes and mode != "veto"]
        values["gate"] = np.concatenate([veto, np.zeros(len(others))])
        return cls(**values, mode=("veto",) * len(veto) + tuple(others))

    def with_empty(self) -> "Grid":
        """Add the threshold that no probability exceeds: all masks empty is a decision, too."""
        if self.threshold.max() >= EMPTY:
            return self
        return dataclasses.replace(self, threshold=np.append(self.threshold, EMPTY))

    def forced(self, axis: str) -> "Grid":
        """Take from one axis the value that leaves it out, unless it is the only one."""
        values = getattr(self, axis)
        on = values != NEUTRAL[axis] if axis in NEUTRAL else np.ones(len(values), bool)
        if axis == "gate":
            on |= np.array([mode != "veto" for mode in self.mode])
        if not on.any():
            return self
        mode = tuple(np.array(self.mode)[on]) if axis == "gate" else self.mode
        return dataclasses.replace(self, mode=tuple(map(str, mode)), **{axis: values[on]})

    def held(self, axis: str) -> "Grid":
        """Hold one axis at its first value; a gate without a veto has none and stays as it is.

        Parameters
        ----------
        axis
            A name in :data:`NEUTRAL`.
        """
        if axis == "gate":
            number = 1 if "veto" in self.mode else len(self.mode)
            return dataclasses.replace(self, gate=self.gate[:number], mode=self.mode[:number])
        return dataclasses.replace(self, **{axis: getattr(self, axis)[:1]})

    def freed(self, axis: str, whole: "Grid") -> "Grid":
        """Take one axis from a whole grid."""
        mode = whole.mode if axis == "gate" else self.mode
        return dataclasses.replace(self, mode=mode, **{axis: getattr(whole, axis)})

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """T, M, C, G."""
        return len(self.threshold), len(self.min_area), len(self.min_component), len(self.gate)

    @property
    def by_component(self) -> bool:
        """Whether any component may go, so that counts of pixels do not suffice."""
        return bool((self.min_component > 0).any())

    @property
    def levels(self) -> np.ndarray:
        """The uint8 level of each threshold (T,), or all that a product with p may need."""
        return np.arange(LEVELS) if "product" in self.mode else level(self.threshold)

    def params(
        self, chosen: Sequence[tuple[int, ...]], gates: Sequence[float] | None = None
    ) -> dict[str, Any]:
        """Name the values of one point a class: floats for one class, else lists.

        Parameters
        ----------
        chosen
            Of each class the places in the grid, (t, m, c, g).
        gates
            The gate of each class, where it is not that of the grid.
        """
        values_of: dict[str, list[Any]] = {
            name: [float(getattr(self, name)[point[axis]]) for point in chosen]
            for axis, name in enumerate(NEUTRAL)
        }
        if gates is not None:
            values_of["gate"] = list(map(float, gates))
        if set(self.mode) != {"veto"}:
            values_of["gate_mode"] = [self.mode[point[3]] for point in chosen]
        if not self.by_component:
            del values_of["min_component"]
        return {name: v[0] if len(v) == 1 else v for name, v in values_of.items()}

    def space(self) -> dict[str, Any]:
        """Give what :meth:`of` made it of."""
        veto = self.gate[[mode == "veto" for mode in self.mode]].tolist()
        values: dict[str, Any] = {name: getattr(self, name).tolist() for name in NEUTRAL}
        values["gate"] = veto
        if not self.by_component:
            del values["min_component"]
        modes = list(dict.fromkeys(self.mode))
        return values if modes == ["veto"] else {**values, "gate_mode": modes}
