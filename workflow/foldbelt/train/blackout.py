"""Blackout: hide all that a sample shows of one class, and what was said of it.

A classifier that looks at a steel sheet's rolling marks, or at how it was photographed, instead of
the defect is told so: without the defect's pixels, the same sheet has no defect (first place of
Severstal Steel Defect Detection, 2019). Segmentation learns from it the same.
"""

import cv2
import numpy as np

from foldbelt.train.crops import seen, shown

MARGIN = 3
"""Pixels around a mask that are blackened, too: outlines are drawn roughly, and edges betray."""


def blacken(
    image: np.ndarray,
    target: np.ndarray,
    classes: int,
    random: np.random.Generator,
    channels: list[int] | None = None,
) -> bool:
    """Blacken one class of those that a sample shows, in place.

    Pixels of other classes in the margin stay as they are; those that belong to the class itself
    become black whatever else they are, and then belong to no class.

    Parameters
    ----------
    image
        (H,W,C) u8.
    target
        (H,W,P) u8 of 0/1: the classes, then the ignored pixels if P > K.
    classes
        K.
    random
        Draws the class.
    channels
        Which channels are the image's grey values or colours; None: all are.

    Returns
    -------
    bool
        Whether there was anything to blacken.
    """
    present = np.flatnonzero(shown(seen(target, classes)))
    if not len(present):
        return False
    masks = target[..., :classes] > 0
    chosen = masks[..., present[random.integers(len(present))]]
    labelled = np.logical_or.reduce([masks[..., plane] for plane in range(classes)])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    around = cv2.dilate(chosen.astype(np.uint8), kernel) > 0
    black = chosen | (around & ~labelled)
    for channel in range(image.shape[2]) if channels is None else channels:
        image[..., channel][black] = 0
    target[..., :classes][black] = 0
    return True
