"""Bring images from storage size to the network's input size, and predictions back exactly.

Networks want sides divisible by 32, tiles have 101 pixels. Padding keeps the pixels as they are and
is undone by a crop; resizing uses the whole input. Padding was worth 0 to .004 on salt. Several of
its best solutions enlarge first, 101 → 202 → 256, so that the network's coarsest maps see more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbelt.channels._padding import PADDINGS, sources
from foldbelt.files import InputError
from foldbelt.store.geometry import each_plane, linear, scaled, shown

MODES = (*PADDINGS, "resize")
OFFSETS = ("centre", "random")


@dataclass(frozen=True)
class Resizer:
    """The way from storage size to network size and back.

    Parameters
    ----------
    mode
        - ``pad-reflect``: mirrored about the border pixels, which are not repeated;
        - ``pad-edge``: the border pixels repeated;
        - ``pad-biharmonic``: the smooth surface Δ²u = 0 that continues the image, as
          `skimage.restoration.inpaint_biharmonic` computes it [1]_;
        - ``resize``: to the network size, area means down, linear interpolation up.

        Padding is centred; of an odd number of pixels the last side gets one more.
    source : (h, w)
        Storage size.
    size : (H, W)
        Network size; equal to `source` it is the identity.
    scale
        Enlarge images so many times, by linear interpolation, before they are padded.
    offset
        ``centre``, or ``random``: images are padded to a larger `canvas`, from which training cuts
        a window of network size anywhere around the image. The window of prediction is the central
        one, in which the image lies as it would without.

    Raises
    ------
    InputError
        If mode or offset are unknown, an image to be padded is larger than the network size, or
        settings exclude each other.

    References
    ----------
    .. [1] S. B. Damelin, N. S. Hoang: On Surface Completion and Image Inpainting by Biharmonic
       Functions: Numerical Aspects. Int. J. Math. Math. Sci. 2018.

    Examples
    --------
    >>> resizer = Resizer("pad-reflect", (101, 101), (128, 128))
    >>> resizer.images(np.zeros((4, 101, 101), np.uint8)).shape
    (4, 128, 128)
    """

    mode: str
    source: tuple[int, int]
    size: tuple[int, int]
    scale: int = 1
    offset: str = "centre"

    @classmethod
    def of(cls, attrs: Mapping[str, Any]) -> "Resizer":
        """Make the resizer of a channels file from the file's attributes."""
        scale, offset = attrs.get("enlarge", 1), "random" if "canvas" in attrs else "centre"
        source, size = tuple(attrs["source"]), tuple(attrs["size"])
        return cls(attrs["resize_mode"], source, size, scale, offset)

    def attrs(self) -> dict[str, Any]:
        """Give the attributes of a channels file, from which `of` makes an equal resizer."""
        attrs: dict[str, Any] = {"resize_mode": self.mode}
        attrs |= {"size": list(self.size), "source": list(self.source)}
        attrs |= {"enlarge": self.scale} if self.scale > 1 else {}
        return attrs | ({"canvas": list(self.canvas)} if self.offset == "random" else {})

    def __post_init__(self) -> None:
        for name in ("source", "size"):
            height, width = getattr(self, name)
            object.__setattr__(self, name, (int(height), int(width)))
        if self.mode not in MODES:
            raise InputError(
                f"resize mode '{self.mode}' is unknown; choose one of {', '.join(MODES)}."
            )
        if min(*self.source, *self.size) < 1:
            raise InputError(
                f"channels: sizes must be positive, not {self.source} and {self.size}."
            )
        if self.scale < 1 or self.offset not in OFFSETS:
            raise InputError(
                f"channels: scale is a whole number from 1 and offset one of {', '.join(OFFSETS)}, "
                f"not {self.scale} and '{self.offset}'."
            )
        if self.mode == "resize":
            self._check_resize()
        elif any(np.less(self.size, self.tile)):
            enlarged = f", enlarged to {shown(self.tile)}," if self.scale > 1 else ""
            raise InputError(
                f"channels: images of {shown(self.source)} pixels{enlarged} cannot be padded to "
                f"{shown(self.size)}; raise the network size or choose the mode 'resize'."
            )
        elif self.offset == "random" and self.size == self.tile:
            raise InputError(
                f"offset: random moves images within the network's input, but those of "
                f"{shown(self.tile)} fill it; raise the network size or set offset: centre."
            )

    def _check_resize(self) -> None:
        wrong = [f"scale: {self.scale}"] if self.scale > 1 else []
        wrong += ["offset: random"] if self.offset == "random" else []
        if wrong:
            raise InputError(
                f"channels: resizing fills the whole input, so {' and '.join(wrong)} have no "
                "effect; leave them out, or choose a mode that pads."
            )

    @property
    def tile(self) -> tuple[int, int]:
        """Size of an enlarged image, before it is padded; of a resized one the network size."""
        height, width = self.source
        return self.size if self.mode == "resize" else (height * self.scale, width * self.scale)

    @property
    def canvas(self) -> tuple[int, int]:
        """Size to which images are padded: that of the network, or larger for a random offset."""
        if self.offset == "centre":
            return self.size
        (height, width), tile = self.size, self.tile
        return 2 * height - tile[0], 2 * width - tile[1]

    def padding(self) -> np.ndarray:
        """Tell (bool) which pixels of the canvas are no pixels of the image."""
        beyond = np.ones(self.canvas, bool)
        top, left = self._start
        beyond[top : top + self.tile[0], left : left + self.tile[1]] = False
        return beyond

    def window(self, random: np.random.Generator) -> tuple[int, int]:
        """Draw the top and left of a window on the canvas, each equally likely.

        It has network size and holds the whole image.
        """
        (height, width), (top, left) = self.size, self.canvas
        return int(random.integers(top - height + 1)), int(random.integers(left - width + 1))

    def images(self, images: np.ndarray) -> np.ndarray:
        """Bring images to network size, or that of the canvas.

        Parameters
        ----------
        images : (N, h, w) or (N, h, w, C) uint8
            In any memory layout.

        Returns
        -------
        (N, H, W) or (N, H, W, C) uint8
        """
        images = self._checked(images, self.source)
        if images.dtype != np.uint8:
            raise ValueError(f"images must be uint8, not {images.dtype}.")
        if self.source == self.canvas:
            return images.copy()
        if self.source != self.tile:
            images = each_plane(images, self.tile, lambda plane: scaled(plane, self.tile))
        if self.tile == self.canvas:
            return images
        padded = images[self._repeated]
        fill = PADDINGS[self.mode].fill
        if fill is not None and len(images):
            planes = np.moveaxis(padded, 3, 1) if padded.ndim == 4 else padded
            filled = fill(planes.reshape(-1, *self.canvas), self.tile, self._start)
            filled = filled.reshape(planes.shape)
            padded = np.moveaxis(filled, 1, 3) if padded.ndim == 4 else filled
        return np.ascontiguousarray(padded)

    def masks(self, masks: np.ndarray) -> np.ndarray:
        """Bring masks to the size of images; the padded border continues as theirs does.

        Parameters
        ----------
        masks : (N, h, w) or (N, h, w, K) bool or 0/1
            Biharmonic padding repeats the border of a mask. Resizing and enlarging interpolate as
            they do for images; a pixel is on where more than half of it is.

        Returns
        -------
        (N, H, W) or (N, H, W, K) uint8
            0 and 1.
        """
        masks = self._checked(masks, self.source).astype(np.uint8)
        if self.source != self.tile:
            masks = each_plane(
                masks, self.tile, lambda plane: scaled(plane.astype(np.float32), self.tile) > 0.5
            )
        return masks if self.tile == self.canvas else np.ascontiguousarray(masks[self._repeated])

    def undo(self, prob: np.ndarray) -> np.ndarray:
        """Bring predictions back to storage size.

        Padding is undone by an exact crop, enlarging by the mean of the pixels that a pixel became,
        resizing by linear interpolation.

        Parameters
        ----------
        prob : (N, H, W) or (N, H, W, K) uint8 or float
            At network size; where there is a canvas, of its central window.

        Returns
        -------
        (N, h, w) or (N, h, w, K)
            Of the same dtype.
        """
        prob = self._checked(prob, self.size)
        if self.source == self.size:
            return prob.copy()
        if self.mode == "resize":
            return each_plane(prob, self.source, lambda plane: linear(plane, self.source))
        prob = np.ascontiguousarray(prob[:, *self._inside])
        if self.scale == 1:
            return prob
        return each_plane(prob, self.source, lambda plane: scaled(plane, self.source))

    @property
    def crop(self) -> tuple[slice, slice] | None:
        """Rows and columns of the network's input that are the image, pixel by pixel.

        None where images are resized or enlarged, so that predictions are interpolated on their way
        back.
        """
        resized = self.mode == "resize" and self.source != self.size
        return None if resized or self.scale > 1 else self._inside

    @property
    def _inside(self) -> tuple[slice, slice]:
        """Rows and columns at which the enlarged image lies in the central window."""
        (height, width), (tall, wide) = self.tile, self.size
        top, left = (tall - height) // 2, (wide - width) // 2
        return slice(top, top + height), slice(left, left + width)

    def _checked(self, array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        array = np.asarray(array)
        if array.ndim not in (3, 4) or array.shape[1:3] != size:
            raise ValueError(
                f"expected an array (N, {size[0]}, {size[1]}[, C]), not {array.shape}."
            )
        return array

    @property
    def _start(self) -> tuple[int, int]:
        """Row and column at which the image begins within the padded one."""
        return (self.canvas[0] - self.tile[0]) // 2, (self.canvas[1] - self.tile[1]) // 2

    @property
    def _repeated(self) -> tuple[slice, np.ndarray, np.ndarray]:
        """Index of the source row and column that each padded pixel repeats."""
        padding = PADDINGS[self.mode]
        rows, columns = (
            sources(padding, inner, outer, start)
            for inner, outer, start in zip(self.tile, self.canvas, self._start, strict=True)
        )
        return slice(None), rows[:, None], columns[None, :]


def centre(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Give the central window of images on a canvas.

    Where it cannot lie in the middle, it lies half a pixel lower and to the right: so the image in
    it lies half a pixel higher and to the left, as without a canvas.

    Parameters
    ----------
    x : (N, h, w) or (N, h, w, C)
        At canvas size; at network size already, it is given back.
    size : (H, W)
        Network size.

    Returns
    -------
    (N, H, W) or (N, H, W, C)
        A view.
    """
    height, width = (int(side) for side in size)
    top, left = (x.shape[1] - height + 1) // 2, (x.shape[2] - width + 1) // 2
    return x[:, top : top + height, left : left + width]
