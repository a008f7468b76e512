"""Connected components of masks: which there are, and masks without the small ones.

Pixels that touch by a side or a corner are connected.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np


class Components(NamedTuple):
    """The components of one mask, (n,) each.

    Parameters
    ----------
    area
        Pixels.
    inter
        Pixels that are truly on.
    peak
        Largest probability, uint8.
    mean
        Mean probability, float64 on the scale 0 … 255.
    """

    area: np.ndarray
    inter: np.ndarray
    peak: np.ndarray
    mean: np.ndarray


def without_small(mask: np.ndarray, least: float) -> np.ndarray:
    """Remove components of fewer than `least` pixels.

    Parameters
    ----------
    mask
        (h, w) bool or 0/1.
    least
        Pixels; with 0 or 1 every component stays.

    Returns
    -------
    ndarray
        (h, w) bool, a new array.

    Examples
    --------
    >>> without_small(np.array([[1, 0, 1], [0, 0, 1]]), 2).astype(int).tolist()
    [[0, 0, 1], [0, 0, 1]]
    """
    mask = np.asarray(mask)
    if least <= 1 or not mask.any():
        return mask.astype(bool)
    labels = _labels(mask)
    large = np.bincount(labels.ravel()) >= least
    large[0] = False
    kept: np.ndarray = large[labels]
    return kept


def nested(prob: np.ndarray, truth: np.ndarray, levels: Sequence[int]) -> Iterator[Components]:
    """Find the components of the pixels that are on at each level.

    What is on at a level is on at every lower one, so that only the box around the pixels of the
    lowest is looked at, and only those of the level before are gathered.

    Parameters
    ----------
    prob
        (h, w) uint8.
    truth
        (h, w) bool or 0/1.
    levels
        Rising, 0 < level ≤ 256; a pixel is on where its probability is at least that.

    Yields
    ------
    Components
        One a level, in no order that means anything.
    """
    peak = int(prob.max(initial=0))
    left, top, width, height = (0, 0, 0, 0)
    if len(levels) and levels[0] <= peak:
        left, top, width, height = cv2.boundingRect((prob >= levels[0]).view(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    values, true = np.ascontiguousarray(prob[box]).ravel(), np.asarray(truth)[box].ravel()
    on: np.ndarray = np.arange(values.size)
    for level in levels:
        if level > peak:
            none = np.zeros(0, np.int64)
            yield Components(none, none, none.astype(np.uint8), none.astype(np.float64))
            continue
        on = on[values[on] >= level]
        mask = np.zeros(values.size, np.uint8)
        mask[on] = 1
        label = _labels(mask.reshape(height, width)).ravel()[on] - 1
        area = np.bincount(label)
        inter = np.bincount(label[true[on] > 0], minlength=len(area))
        largest = np.zeros(len(area), np.uint8)
        np.maximum.at(largest, label, values[on])
        yield Components(area, inter, largest, np.bincount(label, values[on]) / area)


def _labels(mask: np.ndarray) -> np.ndarray:
    """Number the components of a mask, (h, w) int32, from 1."""
    labels: np.ndarray = cv2.connectedComponents(
        np.ascontiguousarray(mask, np.uint8), connectivity=8
    )[1]
    return labels
