"""Dense conditional random field: masks follow the edges of the image.

Every pixel is coupled with all others near it, the more so the closer they are and the more alike
they look. The marginals are found by mean-field iteration [1]_, and the Gaussian kernels are cut
off at a radius, so that every pair within it counts exactly once [2]_. Each class is a field of its
own with two labels, and the coupling is Potts': unlike labels cost, like ones do not.

References
----------
.. [1] P. Krähenbühl, V. Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge
   Potentials. NeurIPS 2011.
.. [2] M. Teichmann, R. Cipolla: Convolutional CRFs for Semantic Segmentation. BMVC 2019,
   arXiv:1805.04777.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from foldbelt.decide.steps import Step, Tile
from foldbelt.files import InputError

NEEDS = ("image",)

_PIXELS = 2**17  # of a strip: memory is some 500 bytes a pixel at the default radius

_CLIP = 1 / 510  # half a uint8 step: certainty that float32 can hold


def build(
    weight: Sequence[float] = (1, 3),
    smooth: Sequence[float] = (1,),
    spatial: Sequence[float] = (3,),
    intensity: Sequence[float] = (10, 25),
    iterations: int = 5,
    radius: int = 5,
) -> Step:
    """Make the step.

    Parameters
    ----------
    weight
        Of the kernel of places and grey values, in units of the logit: the values to try.
    smooth
        Of the kernel of places alone, with a standard deviation of 1 pixel: the values to try.
    spatial
        Standard deviations in pixels of the first kernel: the values to try.
    intensity
        Its standard deviations in grey values (0 to 255): the values to try.
    iterations
        Of the mean field.
    radius
        Pixels further apart in either direction are not coupled.

    Raises
    ------
    InputError
        If a value is of the wrong type or out of range; all are listed.
    """
    grid = {"weight": weight, "smooth": smooth, "spatial": spatial, "intensity": intensity}
    wrong = [
        f"{name} takes a list of numbers above 0{' or 0' if least else ''}, not {values!r}"
        for (name, values), least in zip(grid.items(), (True, True, False, False), strict=True)
        if not _numbers(values, bool(least))
    ]
    counts = {"iterations": iterations, "radius": radius}
    wrong += [
        f"{n} takes an integer above 0, not {v!r}" for n, v in counts.items() if not _count(v)
    ]
    if wrong:
        raise InputError(f"decision.steps.crf: {'; '.join(wrong)}.")
    return DenseCRF(grid, iterations, radius)


def _numbers(values: object, zero: bool) -> bool:
    """Tell whether these are a list of finite numbers above 0, or from 0 on."""
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
        and all(math.isfinite(v) and (v > 0 or (zero and v == 0)) for v in values)
    )


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class DenseCRF:
    """See :func:`build`."""

    needs: frozenset[str] = frozenset(NEEDS)

    def __init__(self, grid: Mapping[str, Sequence[float]], iterations: int, radius: int) -> None:
        self.grid, self.iterations, self.radius = grid, iterations, radius

    def candidates(self) -> list[dict[str, Any]]:
        """Weak couplings first."""
        values = itertools.product(*(sorted(values) for values in self.grid.values()))
        return [dict(zip(self.grid, map(float, one), strict=True)) for one in values]

    def __call__(self, tile: Tile, params: Mapping[str, Any]) -> np.ndarray:
        """Give the mask (h, w, K); a class that was empty stays so."""
        mask = np.zeros_like(tile.mask)
        there = np.flatnonzero(tile.mask.any(axis=(0, 1)))
        if not len(there) or tile.image is None:
            return mask
        field = unary(tile.prob[..., there], tile.mask[..., there], tile.threshold[there])
        refined = mean_field(
            np.moveaxis(field, 2, 0),
            tile.image,
            iterations=self.iterations,
            radius=self.radius,
            **{name: params[name] for name in self.grid},
        )
        mask[..., there] = np.moveaxis(refined > 0, 0, 2)
        return mask


def unary(prob: np.ndarray, mask: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Give how sure each pixel is of its label, in logits from the threshold.

    Parameters
    ----------
    prob
        (h, w, K) uint8.
    mask
        (h, w, K) bool: the sign. Steps before may have gone against the probabilities.
    threshold
        (K,) fractions.

    Returns
    -------
    ndarray
        (h, w, K) float32.
    """
    p, t = np.clip(prob / 255, _CLIP, 1 - _CLIP), np.clip(threshold, _CLIP, 1 - _CLIP)
    far = np.abs(np.log(p / (1 - p)) - np.log(t / (1 - t)))
    return np.where(mask, far, -far).astype(np.float32)


def mean_field(
    field: np.ndarray,
    image: np.ndarray,
    *,
    weight: float,
    smooth: float,
    spatial: float,
    intensity: float,
    iterations: int = 5,
    radius: int = 5,
) -> np.ndarray:
    """Find the marginals of fields with two labels.

    With m = 2 Q(on) - 1, an iteration sets logit Q(on) of a pixel to its unary plus the sum of
    k m over its neighbours. Kernels are normalised as in the authors' code, k(i, j) / √(n(i) n(j))
    with n(i) = Σ k(i, j), so that weights are in units of the logit and borders are no weaker.

    Parameters
    ----------
    field
        (K, h, w) float, unary logits of "on".
    image
        (h, w) or (h, w, 3) uint8.
    weight, smooth, spatial, intensity, iterations, radius
        See :func:`build`; one value each.

    Returns
    -------
    ndarray
        (K, h, w) float32, logits of the marginals.
    """
    height, width = field.shape[1:]
    rows = max(_PIXELS // width, 1)
    settings = (weight, smooth, spatial, intensity, iterations, radius)
    if rows >= height:
        return _iterated(field, image, *settings)
    # An iteration carries what a pixel knows by one radius, and so does the normalisation.
    halo, out = radius * (iterations + 1), np.empty(field.shape, np.float32)
    for top in range(0, height, rows):
        first, last = max(0, top - halo), min(height, top + rows + halo)
        part = _iterated(field[:, first:last], image[first:last], *settings)
        out[:, top : top + rows] = part[:, top - first : top - first + rows]
    return out


def _iterated(
    field: np.ndarray,
    image: np.ndarray,
    weight: float,
    smooth: float,
    spatial: float,
    intensity: float,
    iterations: int,
    radius: int,
) -> np.ndarray:
    """Do what :func:`mean_field` says, of a whole image at once."""
    height, width = field.shape[1:]
    pairs = list(_pairs(height, width, radius))
    features = image.reshape(height, width, -1).astype(np.float32)
    parts = []
    for (dy, dx), here, there in pairs:
        place = float(dy * dy + dx * dx)
        grey = ((features[here] - features[there]) ** 2).sum(axis=2)
        alike = np.exp(-place / (2 * spatial**2) - grey / (2 * intensity**2))
        parts.append((alike, np.full_like(alike, np.exp(-place / 2))))
    kernels = _normalised(parts, pairs, (height, width), (weight, smooth))
    start = field.astype(np.float32)
    logits = start
    for _ in range(iterations):
        m = np.tanh(logits / 2)  # 2 σ(x) - 1
        logits = start.copy()
        for kernel, (_, here, there) in zip(kernels, pairs, strict=True):
            logits[(slice(None), *here)] += kernel * m[(slice(None), *there)]
            logits[(slice(None), *there)] += kernel * m[(slice(None), *here)]
    return logits


_Slices = tuple[slice, slice]


def _pairs(
    height: int, width: int, radius: int
) -> Iterator[tuple[tuple[int, int], _Slices, _Slices]]:
    """Give each offset of a half-plane, and the windows of the pixels that it pairs."""
    for dy, dx in itertools.product(range(radius + 1), range(-radius, radius + 1)):
        if (dy == 0 and dx <= 0) or dy >= height or abs(dx) >= width:
            continue
        left, right = max(0, -dx), width - max(0, dx)
        here = (slice(0, height - dy), slice(left, right))
        yield (dy, dx), here, (slice(dy, height), slice(left + dx, right + dx))


def _normalised(
    parts: list[tuple[np.ndarray, np.ndarray]],
    pairs: list[tuple[tuple[int, int], _Slices, _Slices]],
    size: tuple[int, int],
    weights: tuple[float, float],
) -> list[np.ndarray]:
    """Normalise both kernels, and add them up with their weights, offset by offset."""
    total = [np.zeros_like(alike) for alike, _ in parts]
    for number, weight in enumerate(weights):
        mass = np.zeros(size, np.float32)
        for kernel, (_, here, there) in zip(parts, pairs, strict=True):
            mass[here] += kernel[number]
            mass[there] += kernel[number]
        scale = 1 / np.sqrt(np.maximum(mass, 1e-20))
        for place, (kernel, (_, here, there)) in enumerate(zip(parts, pairs, strict=True)):
            total[place] += np.float32(weight) * kernel[number] * scale[here] * scale[there]
    return total
