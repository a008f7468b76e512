"""Near copies of an image: the same picture encoded again, or shifted by a few pixels.

There are two tests. The first is a perceptual hash of 64 bits: which of the lowest frequencies of
the image are stronger than their median (Zauner, *Implementation and Benchmarking of Perceptual
Image Hash Functions*, 2010). It finds pictures that look alike, but all sheets of clean steel look
alike. So the second compares the grain: thumbnails without slow changes of brightness must
correlate. What many images of the set have in common (one machine part before one camera) is
removed first, as the leading principal components: what all images share is no evidence of a copy.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

ALIKE = 0.6
"""Least correlation of the thumbnails of copies."""

PIXELS = 4096  # of a thumbnail
COMMON = 0.02  # share of the remaining variance from which a component is common to many images
SAMPLED = 1000  # images from which common components are computed

_BLOCK = 256  # images compared with all others at a time
_LEAST = 0.01  # share of its grain that an image must not share with others
_SMOOTH = 5  # pixels of a thumbnail over which brightness is levelled


class CopyFinder:
    """Collects images one by one, then finds copies among them.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> images = random.integers(0, 255, (8, 40, 60)).astype(np.uint8)
    >>> images[5] = images[2]
    >>> finder = CopyFinder()
    >>> for image in images:
    ...     finder.add(image)
    >>> list(finder.pairs(4))
    [(2, 5)]
    """

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._thumbs: list[np.ndarray] = []
        self._rows: list[int] = []
        self._count = 0

    def add(self, image: np.ndarray) -> None:
        """Take an image (h, w) or (h, w, 3) uint8; one of a single grey level has no copies."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self._count += 1
        if (grey == grey[0, 0]).all():
            return
        self._rows.append(self._count - 1)
        self._hashes.append(perceptual_hash(grey))
        self._thumbs.append(_thumbnail(grey))

    def pairs(self, most: int) -> Iterator[tuple[int, int]]:
        """Give the pairs of copies, by their places in the order of `add`.

        Parameters
        ----------
        most
            Bits in which their hashes may differ.

        Yields
        ------
        (int, int)
            The first smaller than the second.
        """
        hashes = np.array(self._hashes, np.uint64)
        grain = _without_common(self._thumbs)
        for start in range(0, len(hashes), _BLOCK):
            part = slice(start, start + _BLOCK)
            near = np.bitwise_count(hashes[part, None] ^ hashes[None]) <= most
            near &= np.arange(len(hashes))[None] > np.arange(len(hashes))[part, None]
            columns = np.flatnonzero(near.any(axis=0))
            alike = (grain[part] @ grain[columns].T > ALIKE) & near[:, columns]
            for row, column in np.argwhere(alike).tolist():
                yield self._rows[start + row], self._rows[int(columns[column])]

    def groups(self, most: int) -> list[int | None]:
        """Number the groups of copies, also of copies of copies; None for an image without a copy.

        Parameters
        ----------
        most
            As for `pairs`.

        Returns
        -------
        list of int or None
            One an image, in the order of `add`.
        """
        pairs = np.array(list(self.pairs(most)), np.int64).reshape(-1, 2)
        shape = (self._count, self._count)
        links = sparse.coo_array((np.ones(len(pairs), np.int8), tuple(pairs.T)), shape=shape)
        _, labels = csgraph.connected_components(links, directed=False)
        copied = set(pairs.ravel().tolist())
        numbers: dict[int, int] = {}
        return [
            numbers.setdefault(label, len(numbers)) if place in copied else None
            for place, label in enumerate(labels.tolist())
        ]


def perceptual_hash(grey: np.ndarray) -> int:
    """Hash an image (h, w) uint8 to 64 bits; images that look alike differ in few of them."""
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])  # the first is the mean brightness
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _thumbnail(grey: np.ndarray) -> np.ndarray:
    """Shrink to about `PIXELS`, level the brightness, and scale; float32 (h, w)."""
    height, width = grey.shape
    factor = min(1.0, (PIXELS / (height * width)) ** 0.5)
    size = max(8, round(width * factor)), max(8, round(height * factor))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= cv2.blur(small, (_SMOOTH, _SMOOTH))
    return small.ravel() / max(float(small.std()), 1e-6)


def _without_common(thumbs: Sequence[np.ndarray]) -> np.ndarray:
    """Remove what many thumbnails have in common; rows (N, pixels) float32 of unit length."""
    grain = np.array(thumbs, np.float32).reshape(len(thumbs), -1 if thumbs else 0)
    if not thumbs:
        return grain
    sample = grain[np.linspace(0, len(grain) - 1, min(len(grain), SAMPLED)).astype(int)]
    # not centred: the mean image, if there is one, is the first component
    strengths, vectors = np.linalg.eigh(sample.astype(np.float64) @ sample.T)
    strengths, vectors = np.maximum(strengths[::-1], 0), vectors[:, ::-1]
    left = np.cumsum(strengths[::-1])[::-1]  # without the components before it
    # in a small set, an image and its copies are one component, which must stay
    common = strengths > max(COMMON, 4 / len(sample)) * left
    first = int(np.argmin(common)) if not common.all() else len(common)
    if first:
        scaled = vectors[:, :first] / np.sqrt(strengths[:first])
        basis = (sample.T @ scaled).astype(np.float32)
        grain -= (grain @ basis) @ basis.T
    lengths = np.linalg.norm(grain, axis=1, keepdims=True)
    whole = grain.shape[1] ** 0.5  # of a thumbnail, which has unit variance
    # an image that has only what many share leaves no grain, only rounding errors
    grain *= np.where(lengths > _LEAST * whole, 1 / np.maximum(lengths, 1e-6), 0)
    return grain
