"""Scores of boxes made chances, so that those of several members may be averaged.

A member's scores rank its own boxes, but .5 of one may mean what .2 of another does. Platt:
Probabilistic outputs for support vector machines, in Advances in Large Margin Classifiers, 1999: a
logistic curve through whether boxes were right, here over the logit of the score. It keeps the
order of scores and has two parameters; isotonic regression would make ties of many of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LEAST = 1e-7  # scores count as at least so far from 0 and 1, which float32 can still tell
FLATTEST = 0.01  # a slope of 0 or less would lose the order
ROUNDS = 50


@dataclass(frozen=True)
class Calibration:
    """The chance that a box is right: σ(slope · logit(score) + shift); the slope is positive."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Map scores in [0, 1] to chances, float32 of the same shape."""
        z = self.slope * _logit(scores) + self.shift
        return (1 / (1 + np.exp(-z))).astype(np.float32)

    def to_dict(self) -> dict[str, float]:
        """Give what JSON can hold."""
        return {"slope": self.slope, "shift": self.shift}

    @classmethod
    def of(cls, content: Mapping[str, float]) -> "Calibration":
        """Undo `to_dict`."""
        return cls(content["slope"], content["shift"])


def calibrate(scores: np.ndarray, hits: np.ndarray) -> Calibration:
    """Fit a calibration by Newton's method.

    Parameters
    ----------
    scores
        (M,) of boxes, in [0, 1].
    hits
        (M,) bool, which of them are right. The aims are Platt's, (h + 1)/(h + 2) and 1/(m + 2) for
        h hits and m others, so that curves stay finite.

    Returns
    -------
    Calibration
        Scores as they are where all boxes are right, or none is.

    Examples
    --------
    >>> scores = np.tile([0.2, 0.8], 500)
    >>> made = calibrate(scores, np.arange(1000) % 10 == 1)
    >>> made(np.array([0.2, 0.8])).round(2)  # of those at .8 a fifth is right
    array([0. , 0.2], dtype=float32)
    """
    hits = np.asarray(hits, bool)
    right, wrong = int(hits.sum()), int((~hits).sum())
    if not right or not wrong:
        return Calibration()
    z = _logit(scores)
    aim = np.where(hits, (right + 1) / (right + 2), 1 / (wrong + 2))
    slope, shift = _fitted(z, aim, None)
    if slope < FLATTEST:
        slope, shift = _fitted(z, aim, FLATTEST)
    return Calibration(round(slope, 9), round(shift, 9))  # the last bits differ between machines


def _fitted(z: np.ndarray, aim: np.ndarray, slope: float | None) -> tuple[float, float]:
    """Give the slope, unless it is fixed, and the shift of the least cross-entropy."""
    columns = np.stack([z, np.ones_like(z)]) if slope is None else np.ones((1, len(z)))
    fixed = 0.0 if slope is None else slope * z
    middle = aim.mean()
    theta = np.zeros(len(columns))
    theta[-1] = np.log(middle / (1 - middle)) - np.mean(fixed)
    loss = _loss(columns, theta, fixed, aim)
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-((columns * theta[:, None]).sum(axis=0) + fixed)))
        slopes = (columns * (p - aim)).sum(axis=1)
        curve = (columns[:, None] * columns * (p * (1 - p))).sum(axis=2)
        step = np.linalg.solve(curve + 1e-9 * np.eye(len(theta)), slopes)
        while (less := _loss(columns, theta - step, fixed, aim)) > loss and np.abs(
            step
        ).max() > 1e-9:
            step = step / 2
        if less > loss or np.abs(step).max() <= 1e-9:
            break
        theta, loss = theta - step, less
    return (float(theta[0]) if slope is None else slope), float(theta[-1])


def _loss(
    columns: np.ndarray, theta: np.ndarray, fixed: np.ndarray | float, aim: np.ndarray
) -> float:
    z = (columns * theta[:, None]).sum(axis=0) + fixed
    return float((np.logaddexp(0, z) - aim * z).sum())


def _logit(scores: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(scores, np.float64), LEAST, 1 - LEAST)
    return np.log(p) - np.log1p(-p)
