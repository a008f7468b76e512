"""What a mask must pass to stay: levels of uint8 probabilities, gates and smallest areas."""

from typing import Any

import numpy as np

from foldbelt.files import InputError

#: What a gate does with the label probability p (without one, the largest pixel probability).
#: veto: the mask becomes empty unless p exceeds the gate. product: a pixel is on where prob · p
#: exceeds the threshold. area: the smallest area is 2 (1 - p) times `min_area`. expected: a veto
#: whose gate is no value of the grid but follows from the masks: a mask that scores d where the
#: class is there, and costs a whole 1 where it is not, is worth p · d against (1 - p), so it stays
#: where p > 1/(1 + d). d is the mean score of the masks that are not empty, neither themselves nor
#: in truth, of the class among the images fitted on, at the point of the grid without its gate.
MODES = ("veto", "product", "area", "expected")


def keeps(area: np.ndarray, p: np.ndarray, min_area: Any, gate: Any, mode: str) -> np.ndarray:
    """Tell which masks are large and likely enough to stay; see :data:`MODES`.

    Parameters
    ----------
    area
        Pixels that are on.
    p
        What the gate looks at; it must broadcast with `area`.
    min_area, gate, mode
        The parameters.
    """
    if mode == "area":
        return area >= min_area * 2 * (1 - p)
    large = area >= min_area
    return large & (p > gate) if mode in ("veto", "expected") and gate > 0 else large


LEVELS = 257  # one more than uint8 has: at level 256 no pixel is on


def level(threshold: float | np.ndarray) -> np.ndarray:
    """Give the smallest uint8 value v with v/255 > threshold in float64, 256 if there is none.

    Parameters
    ----------
    threshold
        Fractions, any shape.

    Returns
    -------
    ndarray
        int64, 0 … 256, of that shape.
    """
    return np.searchsorted(np.arange(256) / 255, threshold, side="right")


def product_level(threshold: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Give the smallest uint8 value v with v/255 · p > threshold, 256 if there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(p > 0, threshold / p, np.inf)
    return level(needed)


def gate_values(peak: np.ndarray, label_prob: np.ndarray | None) -> np.ndarray:
    """Give what a gate is compared with, (N, K) float64.

    Parameters
    ----------
    peak
        (N, K) largest pixel probability.
    label_prob
        (N,), (N, 1) or (N, K), or None: then `peak` it is.
    """
    if label_prob is None:
        return np.asarray(peak, np.float64)
    label = np.asarray(label_prob, np.float64)
    label = label[:, None] if label.ndim == 1 else label
    if label.ndim != 2 or len(label) != len(peak) or label.shape[1] not in (1, peak.shape[1]):
        raise InputError(
            f"label probabilities have shape {label.shape}; {len(peak)} images of {peak.shape[1]} "
            f"classes need ({len(peak)}, {peak.shape[1]})."
        )
    if not np.isfinite(label).all():
        raise InputError("label probabilities hold numbers that are not finite.")
    return np.broadcast_to(label, peak.shape).copy()
