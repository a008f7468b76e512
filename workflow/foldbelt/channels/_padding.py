"""How the border around a padded image is filled: one entry of a table for every kind of padding.

To add a kind, add an entry to `PADDINGS`, and its name to the config's schema.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

_HALF = 0.5 + 1e-6  # rounds as usual, but leaves no exact tie for the last bit of a sum to decide


class Padding(NamedTuple):
    """One kind of padding.

    Parameters
    ----------
    repeated
        Which pixel of the image each pixel of the border repeats, as a mode of `numpy.pad`. This is
        the border of masks, and of images unless `fill` replaces it.
    fill
        Replaces the border of images: a function of padded images (N, H, W) uint8 and of the size
        (h, w) and the place (top, left) of the image within them, which gives images of the same
        shape and dtype. None keeps the repeated pixels.
    """

    repeated: Literal["reflect", "edge", "symmetric", "wrap"]
    fill: Callable[[np.ndarray, tuple[int, int], tuple[int, int]], np.ndarray] | None = None


def sources(padding: Padding, inner: int, outer: int, start: int) -> np.ndarray:
    """Tell which pixel along one side of the image each pixel of the padded side repeats.

    Parameters
    ----------
    padding
        A value of `PADDINGS`.
    inner, outer
        Length of the side before and after.
    start
        Where the image begins on the padded side.

    Returns
    -------
    (outer,) int

    Examples
    --------
    >>> sources(PADDINGS["pad-reflect"], 3, 6, 1).tolist()
    [1, 0, 1, 2, 1, 0]
    """
    return np.pad(np.arange(inner), (start, outer - inner - start), mode=padding.repeated)


def _fill_smoothly(padded: np.ndarray, size: tuple[int, int], start: tuple[int, int]) -> np.ndarray:
    """Continue images (N, H, W) uint8 by the biharmonic surface."""
    height, width = padded.shape[1:]
    return _frame(size, (height, width), start).fill(padded)


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


PADDINGS: dict[str, Padding] = {
    "pad-reflect": Padding("reflect"),
    "pad-edge": Padding("edge"),
    "pad-biharmonic": Padding("edge", _fill_smoothly),
}
"""Padding for each resize mode that pads."""
