"""Jigsaw rules: what the true mask of the training tile above says of a tile.

Tiles were cut from larger sections, and a neighbour's mask is known where it is a training tile.
Copying masks in general is right in four of five cases only; three rules of the TGS competition are
safe. They rest on how its masks were drawn: bodies of salt go on downwards, the approximate masks
are vertical, and tiles below salt are labelled empty.

``below-full``
    Below a bottom row that is all salt, the tile is empty.
``vertical``
    Below a mask whose rows are all alike, neither empty nor full, the columns go on.
``half``
    Below a mask of which at least the lower half of the rows are alike, neither empty nor full,
    the columns go on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt.decide.steps import Step, Tile
from foldbelt.files import InputError

NEEDS = ("neighbours",)

RULES = ("below-full", "vertical", "half")


def build(rules: Sequence[str] = RULES) -> Step:
    """Make the step.

    Parameters
    ----------
    rules
        Which to try: the first alone, then the first two, and so on.

    Raises
    ------
    InputError
        If they are no list, one is unknown or none is given.
    """
    listed = isinstance(rules, list | tuple)  # text would be taken letter by letter
    wrong = [rule for rule in rules if rule not in RULES] if listed else rules
    if wrong or not rules:
        raise InputError(
            f"decision.steps.jigsaw.rules: {wrong or 'none'}; "
            f"it takes a list of some of {', '.join(RULES)}."
        )
    return Jigsaw(list(dict.fromkeys(rules)))


class Jigsaw:
    """See :func:`build`."""

    needs: frozenset[str] = frozenset(NEEDS)

    def __init__(self, rules: Sequence[str]) -> None:
        self.rules = list(rules)

    def candidates(self) -> list[dict[str, Any]]:
        """The fewest rules first."""
        return [{"rules": self.rules[: number + 1]} for number in range(len(self.rules))]

    def __call__(self, tile: Tile, params: Mapping[str, Any]) -> np.ndarray:
        """Give the mask (h, w, K), where a rule applies the one that it prescribes."""
        above = tile.neighbours.get("above")
        if above is None:
            return tile.mask
        mask = tile.mask.copy()
        for k in range(mask.shape[2]):
            row = continued(above[..., k], params["rules"])
            if row is not None:
                mask[..., k] = row
        return mask


def continued(above: np.ndarray, rules: Iterable[str]) -> np.ndarray | None:
    """Give the row that goes on below a mask, (w,) bool, or None where no rule applies.

    Parameters
    ----------
    above
        (h, w) bool, the true mask of the tile above.
    rules
        Names of rules.
    """
    last = above[-1]
    if last.all():
        return np.zeros_like(last) if "below-full" in rules else None
    if not last.any():
        return None
    alike = int((above != last).any(axis=1)[::-1].argmax()) if (above != last).any() else len(above)
    if alike == len(above):
        return last if "vertical" in rules else None
    return last if "half" in rules and alike >= len(above) / 2 else None


def precision(
    masks: Mapping[str, np.ndarray], neighbours: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[int, int]]:
    """Count how often each rule applies to tiles with known truth, and how often it is right.

    Parameters
    ----------
    masks
        id → (h, w) bool.
    neighbours
        From :func:`foldbelt.folds.mosaic.neighbours`.

    Returns
    -------
    dict
        Rule → how often it is right (both empty, or an intersection over union above .9), and how
        often it applies.
    """
    counted = {rule: (0, 0) for rule in RULES}
    for name, sides in neighbours.items():
        if name not in masks or sides.get("above") not in masks:
            continue
        truth, above = masks[name], masks[sides["above"]]
        for rule in RULES:
            row = continued(above, [rule])
            if row is not None:
                found = np.broadcast_to(row, truth.shape)
                union = np.count_nonzero(found | truth)
                right = not union or bool(np.count_nonzero(found & truth) / union > 0.9)
                hits, cases = counted[rule]
                counted[rule] = hits + right, cases + 1
    return counted
