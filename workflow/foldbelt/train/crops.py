"""Random windows of a sample: training on crops, so that images may be larger than a batch bears.

Small objects are rare in random windows, and some windows show nothing at all. Hence a share of the
windows can be made to hold a pixel of a mask, as nnU-Net does [1]_ (of a class drawn among those
present, so that rare classes come as often as common ones), and windows that are nearly black can
be drawn again (14th place of Severstal Steel Defect Detection, 2019).

References
----------
.. [1] F. Isensee et al.: nnU-Net: a self-configuring method for deep learning-based biomedical
   image segmentation. Nature Methods 18, 2021.
"""

import numpy as np

from foldbelt.config.stage_settings import CropSettings

BLACK = 12
"""Grey values up to this are nearly black: JPEG does not leave 0 at 0."""
TRIES = 10
"""So often a dark window is drawn again; the last one is taken as it is."""


class Crop:
    """Draw windows as a stage's `crop` says.

    Parameters
    ----------
    settings
        Size, share of windows with a mask, largest share of dark pixels.
    classes
        Number of mask classes; a further plane of the targets marks ignored pixels.
    grey
        The channel whose values tell how dark a window is.

    Examples
    --------
    >>> crop = Crop(CropSettings(size=(2, 4), positive=1, dark=1), classes=1)
    >>> target = np.zeros((8, 8, 1), np.uint8)
    >>> target[7, 0] = 1
    >>> crop.window(np.zeros((8, 8, 1), np.uint8), target, np.random.default_rng(0))
    (6, 0)
    """

    def __init__(self, settings: CropSettings, classes: int, grey: int = 0) -> None:
        self.size, self.positive, self.dark = settings.size, settings.positive, settings.dark
        self.classes, self.grey = classes, grey

    def window(
        self, image: np.ndarray, target: np.ndarray, random: np.random.Generator
    ) -> tuple[int, int]:
        """Draw the top and left of a window.

        Parameters
        ----------
        image
            (H,W,C) u8.
        target
            (H,W,P) u8 of 0/1: the classes, then the ignored pixels if P > K.
        random
            Decides.

        Returns
        -------
        top, left
            Whether the window must hold a positive pixel is drawn once; every new draw for a dark
            window has a pixel of its own.
        """
        inside = None
        if self.positive and random.random() < self.positive:
            inside = seen(target, self.classes)
        for _ in range(1 + TRIES):
            top, left = self._draw(image.shape[:2], inside, random)
            if self.dark >= 1 or self._darkness(image, top, left) <= self.dark:
                break
        return top, left

    def cut(self, array: np.ndarray, window: tuple[int, int]) -> np.ndarray:
        """Cut a window out of (H,W,…); a view."""
        top, left = window
        return array[top : top + self.size[0], left : left + self.size[1]]

    def _draw(
        self, whole: tuple[int, ...], inside: np.ndarray | None, random: np.random.Generator
    ) -> tuple[int, int]:
        """Draw one window, each equally likely that holds the pixel it must hold, if any."""
        lowest, highest = [0, 0], [whole[axis] - self.size[axis] for axis in (0, 1)]
        classes = () if inside is None else np.flatnonzero(shown(inside))
        if inside is not None and len(classes):
            places = np.argwhere(inside[..., classes[random.integers(len(classes))]])
            pixel = places[random.integers(len(places))]
            for axis in (0, 1):
                lowest[axis] = max(0, int(pixel[axis]) - self.size[axis] + 1)
                highest[axis] = min(highest[axis], int(pixel[axis]))
        top, left = (int(random.integers(lowest[axis], highest[axis] + 1)) for axis in (0, 1))
        return top, left

    def _darkness(self, image: np.ndarray, top: int, left: int) -> float:
        """Share of nearly black pixels in a window."""
        return float((self.cut(image[..., self.grey], (top, left)) <= BLACK).mean())


def seen(target: np.ndarray, classes: int) -> np.ndarray:
    """Give what a sample shows of every class.

    Parameters
    ----------
    target
        (H,W,P) u8: the classes, then the ignored pixels if P > K.
    classes
        K.

    Returns
    -------
    (H,W,K) bool array
        Less the ignored pixels.
    """
    mask = target[..., :classes] > 0
    return mask & (target[..., -1:] == 0) if target.shape[-1] > classes else mask


def shown(masks: np.ndarray) -> np.ndarray:
    """Tell (K,) which of the masks (H,W,K) have any pixel.

    Plane by plane, this takes a hundredth of the time that `any` over both axes does.
    """
    return np.array([masks[..., plane].any() for plane in range(masks.shape[-1])], bool)
