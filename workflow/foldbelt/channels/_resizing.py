"""Fit images of one storage size to the network, and take predictions back exactly.

Networks want sides divisible by 32, tiles have 101 pixels. Padding keeps the pixels as they are and
is undone by a crop; resizing uses the whole input. Padding was worth 0 to .004 on salt. Several of
its best solutions enlarge first, 101 → 202 → 256, so that the network's coarsest maps see more.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbelt.files import InputError
from foldbelt.store.geometry import each_plane, linear, scaled, shown

if TYPE_CHECKING:
    from scipy import sparse

METHODS = ("pad-reflect", "pad-edge", "pad-biharmonic", "resize")
OFFSETS = ("centre", "random")

_HALF = 0.5 + 1e-6  # rounds as usual, but leaves no exact tie for the last bit of a sum to decide


@dataclass(frozen=True)
class Fit:
    """The way from storage size to network size and back.

    Parameters
    ----------
    method
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
        If method or offset are unknown, an image to be padded is larger than the network size, or
        settings exclude each other.

    References
    ----------
    .. [1] S. B. Damelin, N. S. Hoang: On Surface Completion and Image Inpainting by Biharmonic
       Functions: Numerical Aspects. Int. J. Math. Math. Sci. 2018.

    Examples
    --------
    >>> fit = Fit("pad-reflect", (101, 101), (128, 128))
    >>> fit.images(np.zeros((4, 101, 101), np.uint8)).shape
    (4, 128, 128)
    """

    method: str
    source: tuple[int, int]
    size: tuple[int, int]
    scale: int = 1
    offset: str = "centre"

    @classmethod
    def of(cls, attrs: Mapping[str, Any]) -> "Fit":
        """Give the fit of a channels file from its attributes."""
        scale, offset = attrs.get("enlarge", 1), "random" if "canvas" in attrs else "centre"
        return cls(attrs["fit"], tuple(attrs["source"]), tuple(attrs["size"]), scale, offset)

    def attrs(self) -> dict[str, Any]:
        """Attributes of a channels file from which `of` makes this again."""
        attrs: dict[str, Any] = {"fit": self.method}
        attrs |= {"size": list(self.size), "source": list(self.source)}
        attrs |= {"enlarge": self.scale} if self.scale > 1 else {}
        return attrs | ({"canvas": list(self.canvas)} if self.offset == "random" else {})

    def __post_init__(self) -> None:
        for name in ("source", "size"):
            height, width = getattr(self, name)
            object.__setattr__(self, name, (int(height), int(width)))
        if self.method not in METHODS:
            raise InputError(
                f"fit: '{self.method}' is unknown; choose one of {', '.join(METHODS)}."
            )
        if min(*self.source, *self.size) < 1:
            raise InputError(f"fit: sizes must be positive, not {self.source} and {self.size}.")
        if self.scale < 1 or self.offset not in OFFSETS:
            raise InputError(
                f"fit: scale is a whole number from 1 and offset one of {', '.join(OFFSETS)}, not "
                f"{self.scale} and '{self.offset}'."
            )
        if self.method == "resize":
            self._check_resize()
        elif any(np.less(self.size, self.tile)):
            enlarged = f", enlarged to {shown(self.tile)}," if self.scale > 1 else ""
            raise InputError(
                f"fit: images of {shown(self.source)} pixels{enlarged} cannot be padded to "
                f"{shown(self.size)}; raise the network size or set fit: resize."
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
                f"fit: resize fills the whole input, so {' and '.join(wrong)} mean nothing; leave "
                "them out or pad."
            )

    @property
    def tile(self) -> tuple[int, int]:
        """Size of an enlarged image, before it is padded; of a resized one the network size."""
        height, width = self.source
        return self.size if self.method == "resize" else (height * self.scale, width * self.scale)

    @property
    def canvas(self) -> tuple[int, int]:
        """Size to which images are fitted: that of the network, or larger for a random offset."""
        if self.offset == "centre":
            return self.size
        (height, width), tile = self.size, self.tile
        return 2 * height - tile[0], 2 * width - tile[1]

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
            raise ValueError(f"images to fit are uint8, not {images.dtype}.")
        if self.source == self.canvas:
            return images.copy()
        if self.source != self.tile:
            images = each_plane(images, self.tile, lambda plane: scaled(plane, self.tile))
        if self.tile == self.canvas:
            return images
        padded = images[self._taken]
        if self.method == "pad-biharmonic" and len(images):
            planes = np.moveaxis(padded, 3, 1) if padded.ndim == 4 else padded
            smooth = self._frame.fill(planes.reshape(-1, *self.canvas)).reshape(planes.shape)
            padded = np.moveaxis(smooth, 1, 3) if padded.ndim == 4 else smooth
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
        return masks if self.tile == self.canvas else np.ascontiguousarray(masks[self._taken])

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
        if self.method == "resize":
            return each_plane(prob, self.source, lambda plane: linear(plane, self.source))
        (height, width), (tall, wide) = self.tile, self.size
        top, left = (tall - height) // 2, (wide - width) // 2
        prob = np.ascontiguousarray(prob[:, top : top + height, left : left + width])
        if self.scale == 1:
            return prob
        return each_plane(prob, self.source, lambda plane: scaled(plane, self.source))

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
    def _taken(self) -> tuple[slice, np.ndarray, np.ndarray]:
        """Index of the source row and column that each padded pixel repeats."""
        mode = "reflect" if self.method == "pad-reflect" else "edge"
        rows, columns = (
            np.pad(np.arange(inner), (start, outer - inner - start), mode=mode)  # type: ignore[call-overload]
            for inner, outer, start in zip(self.tile, self.canvas, self._start, strict=True)
        )
        return slice(None), rows[:, None], columns[None, :]

    @property
    def _frame(self) -> "_Frame":
        return _frame(self.tile, self.canvas, self._start)


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


class _Frame:
    """The biharmonic border: a linear function of the tile, so one factorisation serves all tiles.

    The equations are those of scikit-image: at each unknown pixel the Laplacian of the Laplacian is
    zero, both with mirrored image borders.
    """

    def __init__(
        self, source: tuple[int, int], size: tuple[int, int], start: tuple[int, int]
    ) -> None:
        from scipy import sparse  # slow to import, and few recipes come here
        from scipy.sparse import linalg

        known = np.zeros(size, dtype=bool)
        known[start[0] : start[0] + source[0], start[1] : start[1] + source[1]] = True
        rows, columns = (_second_difference(side) for side in size)
        laplace = sparse.kronsum(columns, rows, format="csr")
        equations = (laplace @ laplace)[np.flatnonzero(~known)]
        self.known = known
        self.solver = linalg.splu(
            equations[:, np.flatnonzero(~known)].tocsc(), permc_spec="MMD_ATA"
        )
        self.right = -equations[:, np.flatnonzero(known)].tocsr()

    def fill(self, padded: np.ndarray) -> np.ndarray:
        """Replace the borders of (N, H, W) uint8 tiles; values stay within each tile's range."""
        out = padded.copy()
        for start in range(0, len(padded), 64):  # bounds the float64 copies
            tiles = out[start : start + 64]
            inside = tiles[:, self.known]
            border = self.solver.solve(self.right @ inside.T.astype(float)).T
            low, high = inside.min(axis=1, keepdims=True), inside.max(axis=1, keepdims=True)
            tiles[:, ~self.known] = np.floor(np.clip(border, low, high) + _HALF)
        return out


@functools.lru_cache(maxsize=4)
def _frame(source: tuple[int, int], size: tuple[int, int], start: tuple[int, int]) -> _Frame:
    return _Frame(source, size, start)


def _second_difference(side: int) -> "sparse.csr_array":
    from scipy import sparse

    middle = np.full(side, -2.0)
    middle[0] += 1  # mirrored border: the outer neighbour equals the pixel itself
    middle[-1] += 1
    beside = np.ones(side - 1)
    return sparse.diags_array([beside, middle, beside], offsets=[-1, 0, 1], format="csr")
