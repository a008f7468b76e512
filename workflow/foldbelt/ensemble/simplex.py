"""Weights of a few members by any score: every point of a grid, or one member more at a time.

As `weighing` does for masks, for scores that are no sums over images.
"""

from collections.abc import Callable, Sequence
from math import comb

import numpy as np

from foldbelt.ensemble.weighing import Parts, Weights, compositions
from foldbelt.files import InputError
from foldbelt.search.space import EQUAL

CANDIDATES = 60  # above, weights are selected greedily


def fitted(number: int, step: float, score: Callable[[Weights], float]) -> Weights:
    """Find the weights with the highest score.

    Parameters
    ----------
    number
        Of members.
    step
        Of the grid over the simplex; it divides 1.
    score
        What to maximise; NaN counts as the worst. Called once for each candidate.

    Returns
    -------
    tuple
        One a member, which sum to 1. Equal scores go to the weights closest to equal ones, then to
        the first of the grid. Where the grid has more than `CANDIDATES` points: the best on the
        way of forward selection with replacement (Caruana et al., ICML 2004), and equal ones.

    Raises
    ------
    InputError
        If the step does not divide 1.

    Examples
    --------
    >>> fitted(2, 0.25, lambda weights: -abs(weights[0] - 0.7))
    (0.75, 0.25)
    """
    steps = round(1 / step)
    if abs(steps * step - 1) > 1e-6:
        raise InputError(f"the step of weights is {step}; it must divide 1, as .25 or .1 do.")
    seen: dict[Weights, float] = {}

    def best(candidates: Sequence[Parts]) -> Parts:
        scores = []
        for parts in candidates:
            weights = _weights(parts)
            if weights not in seen:
                made = score(weights)
                seen[weights] = -np.inf if np.isnan(made) else made
            scores.append(seen[weights])
        equals = [p for p, s in zip(candidates, scores, strict=True) if s >= max(scores) - EQUAL]
        spread = [round(float(np.var(_weights(parts))), 12) for parts in equals]
        return equals[spread.index(min(spread))]

    equal = (1,) * number
    if comb(steps + number - 1, number - 1) <= CANDIDATES:
        return _weights(best([*compositions(steps, number), equal]))
    path, parts = [equal], (0,) * number
    for _ in range(steps):
        more = [tuple(p + (i == j) for j, p in enumerate(parts)) for i in range(number)]
        parts = best(more)
        path.append(parts)
    return _weights(best(path))


def _weights(parts: Parts) -> Weights:
    return tuple(part / sum(parts) for part in parts)
