"""Weighted means of probabilities: of themselves, their logits, their logarithms or their powers.

The geometric mean lets one member that is sure of "no" prevail, the logit mean whoever is sure. A
power below 1 leans to the members that say no, as the temperature sharpening of the Severstal
solutions (mean of p^½; 2019) does, one above 1 to those that say yes (root mean square: 2). The
mean is brought back to the scale of probabilities, so that thresholds keep their meaning.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foldbelt.files import InputError, PathLike
from foldbelt.store.predictions import same_shapes

MEANS = ("probability", "logit", "geometric", "power")

_PIECE = 2**18  # pixels averaged at a time: float64 copies of them stay in the cache
_LEAST = 0.5  # of 255: levels 0 and 255 are counted as half a step off, where logarithms end
LEAST_LABEL = 1e-6  # the same for label probabilities, which are not in steps
_TIE = 1e-6  # of the way from the middle: leaves no tie for the last bit of a sum to decide


class Mean(NamedTuple):
    """Which mean: its name, one of `MEANS`, and the exponent of "power"."""

    mean: str = "probability"
    power: float = 0.5

    def to_dict(self) -> dict[str, Any]:
        """Give what `mean_of` reads, without a power that means nothing."""
        return self._asdict() if self.mean == "power" else {"mean": self.mean}


PLAIN = Mean()
"""The mean of probabilities."""


class Vector(NamedTuple):
    """The members' weights, of their masks and of their labels; each sum to 1.

    A member without one or the other weighs 0 there; where no member has labels, their weights are
    those of the masks, and mean nothing.
    """

    masks: tuple[float, ...]
    labels: tuple[float, ...]

    @classmethod
    def of(
        cls, weights: Sequence[float], masked: Sequence[bool], labelled: Sequence[bool]
    ) -> "Vector":
        """Share weights out among the members with masks, and among those with labels.

        Parameters
        ----------
        weights
            One a member, 0 or more.
        masked, labelled
            Which members have masks, and labels.

        Raises
        ------
        InputError
            If all members with masks, or all with labels, weigh 0.

        Examples
        --------
        >>> Vector.of([1, 1, 2], [True, True, False], [False, True, True])
        Vector(masks=(0.5, 0.5, 0.0), labels=(0.0, 0.3333333333333333, 0.6666666666666666))
        """
        masks = _shares(weights, masked, "masks")
        return cls(masks, _shares(weights, labelled, "labels") if any(labelled) else masks)


def _shares(weights: Sequence[float], has: Sequence[bool], what: str) -> tuple[float, ...]:
    """Divide the weights of those that have something by their sum; the others get 0."""
    counted = [weight if one else 0.0 for weight, one in zip(weights, has, strict=True)]
    total = sum(counted)
    if not total > 0:
        raise InputError(
            f"blend.weights: no model that predicts {what} weighs more than 0; raise one, or leave "
            "the models out."
        )
    return tuple(weight / total for weight in counted)


def mean_of(content: Mapping[str, Any]) -> Mean:
    """Read the mean from the config's ``blend`` or from ``weights.json``.

    Raises
    ------
    InputError
        If the mean is unknown or the power is not positive.
    """
    mean = Mean(**{name: content[name] for name in Mean._fields if name in content})
    if mean.mean not in MEANS:
        raise InputError(f"blend.mean is {mean.mean!r}; choose one of {', '.join(MEANS)}.")
    if mean.mean == "power" and not mean.power > 0:
        raise InputError(f"blend.power is {mean.power}; it must be above 0.")
    return mean


def read_mean(path: PathLike) -> Mean:
    """Read the mean that a ``weights.json`` is for."""
    return mean_of(json.loads(Path(path).read_text(encoding="utf-8")))


def mix(
    probs: Sequence[np.ndarray | None],
    weights: Sequence[float],
    mean: str = "probability",
    power: float = 0.5,
) -> np.ndarray:
    """Average probabilities and round to uint8.

    Probabilities are averaged in float32, all else in float64: logarithms have no exact sums, and
    so the last bit, which differs between machines, decides nothing. For logits levels 0 and 255
    are counted as .5 and 254.5, for logarithms 0 as .5; they come back where all members agree.

    Parameters
    ----------
    probs
        Of each member, uint8 or float32 on the scale 0 … 255, of one shape; None of one that
        predicts no masks.
    weights
        Their weights, which sum to 1. Where those of the members with masks do not, they are
        divided by their sum, or count equally if it is 0.
    mean, power
        See :class:`Mean`; the power mean with exponent 1 is that of probabilities.

    Returns
    -------
    ndarray
        uint8.

    Raises
    ------
    InputError
        If no member has masks.

    Examples
    --------
    >>> low, high = np.array([64], np.uint8), np.array([225], np.uint8)
    >>> [mix([low, high], [0.5, 0.5], mean).item() for mean in MEANS]
    [144, 156, 120, 132]
    """
    used = _used(probs, weights)
    if len(used) == 1 and used[0][0].dtype == np.uint8:
        return used[0][0]
    if mean == "probability" or (mean == "power" and power == 1) or len(used) == 1:
        plain = used[0][0] * np.float32(used[0][1])
        for prob, weight in used[1:]:
            plain += prob * np.float32(weight)
        return np.rint(plain, out=plain).astype(np.uint8)
    levels = _forward(np.arange(256.0) / 255, mean, power, _LEAST / 255)
    out = np.empty(used[0][0].shape, np.uint8)
    step = max(1, _PIECE // max(1, int(np.prod(out.shape[1:]))))
    for start in range(0, len(out), step):
        piece = slice(start, start + step)
        total = np.zeros(out[piece].shape)
        for prob, weight in used:
            part = prob[piece]
            if part.dtype == np.uint8:
                total += (levels * weight)[part]
            else:
                total += _forward(part / np.float64(255), mean, power, _LEAST / 255) * weight
        out[piece] = _rounded(_back(total, mean, power))
    return out


def _used(
    probs: Sequence[np.ndarray | None], weights: Sequence[float]
) -> list[tuple[np.ndarray, float]]:
    """Pair masks with their weights, less those that are not there or do not count."""
    given = [(p, w) for p, w in zip(probs, weights, strict=True) if p is not None]
    if not given:
        raise InputError("blend: no member predicts masks, so there is nothing to blend.")
    total = sum(w for _, w in given)
    if total <= 0:
        return [(p, 1 / len(given)) for p, _ in given]
    # Weights are divided only where some are lost: division would change their last bits.
    lost = any(w > 0 for p, w in zip(probs, weights, strict=True) if p is None)
    return [(p, w / total if lost else w) for p, w in given if w > 0]


def mix_labels(
    labels: Sequence[np.ndarray | None],
    weights: Sequence[float],
    mean: str = "probability",
    power: float = 0.5,
) -> np.ndarray | None:
    """Average label probabilities over the members that have them, by the mean of the masks.

    Parameters
    ----------
    labels
        Of each member (n, L) float32, or None. For logits they are counted as at least a millionth
        from 0 and 1, for logarithms from 0.
    weights
        Their weights. Where those of the members with labels sum to 0 these count equally.
    mean, power
        See :class:`Mean`.

    Returns
    -------
    ndarray or None
        (n, L) float32; None if no member has labels.
    """
    used = [(p, w) for p, w in zip(labels, weights, strict=True) if p is not None]
    if not used:
        return None
    same_shapes([p for p, _ in used], ["label_prob"] * len(used))
    share = np.array([w for _, w in used], np.float64)
    share = share / share.sum() if share.sum() > 0 else np.full(len(used), 1 / len(used))
    if mean == "probability" or (mean == "power" and power == 1) or (share > 0).sum() == 1:
        total = np.sum([p * w for (p, _), w in zip(used, share, strict=True)], axis=0)
        return total.astype(np.float32)
    parts = [
        _forward(p.astype(np.float64), mean, power, LEAST_LABEL) * w
        for (p, _), w in zip(used, share, strict=True)
        if w > 0
    ]
    return _back(np.sum(parts, axis=0), mean, power).astype(np.float32)


def _forward(prob: np.ndarray, mean: str, power: float, least: float) -> np.ndarray:
    """Bring probabilities (float64, 0 … 1) to where they are averaged."""
    if mean == "power":
        return prob**power
    if mean == "geometric":
        return np.log(np.maximum(prob, least))
    prob = np.clip(prob, least, 1 - least)
    return np.log(prob) - np.log(1 - prob)


def _back(value: np.ndarray, mean: str, power: float) -> np.ndarray:
    """Undo `_forward`; the argument is lost."""
    if mean == "power":
        return np.power(value, 1 / power, out=value)
    if mean == "geometric":
        return np.exp(value, out=value)
    np.exp(np.negative(value, out=value), out=value)
    value += 1
    return np.reciprocal(value, out=value)


def _rounded(prob: np.ndarray) -> np.ndarray:
    """Round probabilities to levels, ties away from the middle; the argument is lost.

    So complements round to complements, and the half step that keeps logarithms finite rounds back
    to 0 and 255.
    """
    prob *= 255 * (1 + _TIE)
    prob -= 127.5 * _TIE - _TIE / 10  # the middle itself, 127.5, goes up
    return np.rint(prob, out=prob).astype(np.uint8)
