"""One synthetic seismic section: strata, faults, salt, and what is easily taken for salt.

The model is the convolutional one of the textbooks (Yilmaz, *Seismic Data Analysis*, 2001, ch. 1):
log-impedance on a grid, its vertical derivative as reflectivity, a Ricker wavelet, noise. Salt is
a hard body, so that its top is a strong peak and its steep flanks hardly reflect; inside there is
no layering. Amplitude gives nothing away: dim shale, bright spots, gas chimneys, noise and
mass-transport deposits make loud, quiet and chaotic zones outside of salt as well.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Random = np.random.Generator

BODIES = ("ridges", "diapir", "wall", "ridges", "overhang", "diapir", "pillow")
"""Shapes of salt, in the order in which a data set deals them out."""


@dataclass(frozen=True)
class Section:
    """A section of the subsurface.

    Attributes
    ----------
    image
        u8 (H, W): amplitudes, 128 is about zero.
    salt
        bool (H, W): where there is salt (the whole truth, not yet what an interpreter labels).
    """

    image: NDArray[np.uint8]
    salt: NDArray[np.bool_]


def section(height: int, width: int, body: str | None, random: Random) -> Section:
    """Make one section.

    Parameters
    ----------
    height, width
        Size in pixels.
    body
        One of `BODIES`, or None for a section without salt.
    random
        The only source of chance.

    Returns
    -------
    Section
        Image and salt, both (height, width).

    Raises
    ------
    ValueError
        If `body` is not known.
    """
    if body is not None and body not in _SHAPES:
        raise ValueError(f"body is {body!r}: take one of {', '.join(sorted(_SHAPES))}, or None")
    shape = (height, width)
    inside = _distance(_SHAPES[body](shape, random)) if body else np.full(shape, -1e3)
    older, younger, above = _structure(shape, inside, random)
    salt = inside > 0

    contrast = random.uniform(3.2, 4.4) if body else 0.0
    period = random.uniform(10.0, 14.0)
    beds = above * _impedance(younger, random) + (1 - above) * _impedance(older, random)
    layered = _reflections(beds, period)
    layered = _deposits(layered, older, random) * _gain(shape, random)
    top = _reflections(_soft(inside, 0.8), period, unit=False)
    top *= contrast * np.exp(0.25 * field(shape, 60, random))

    core = _soft(inside - 1.5, 1.0)
    loud = random.uniform(0.45, 0.85) * np.exp(0.3 * field(shape, 50, random))
    amplitude = (1 - core) * layered + core * loud * chaos(shape, random) + top
    amplitude += random.uniform(0.08, 0.18) * chaos(shape, random, grain=(1.2, 1.2))
    return Section(_quantise(amplitude, random), salt)


def field(shape: tuple[int, int], wavelength: float, random: Random) -> Array:
    """Draw a smooth random field of about unit variance that varies over `wavelength` pixels."""
    height, width = shape
    knots = random.standard_normal([int(np.ceil(side / wavelength)) + 3 for side in shape])
    size = (int(knots.shape[1] * wavelength), int(knots.shape[0] * wavelength))
    fine = np.asarray(cv2.resize(knots, size, interpolation=cv2.INTER_CUBIC), dtype=np.float64)
    top = int(random.integers(fine.shape[0] - height))
    left = int(random.integers(fine.shape[1] - width))
    return fine[top : top + height, left : left + width] * 1.3


def chaos(shape: tuple[int, int], random: Random, grain: tuple[float, float] = (2.0, 3.2)) -> Array:
    """Draw noise without layering, of unit variance and with a `grain` (down, across) in pixels."""
    noise = random.standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, grain) - ndimage.gaussian_filter(
        noise, (2.2 * grain[0], 2.2 * grain[1])
    )
    return noise / noise.std()


# --- salt -------------------------------------------------------------------------------------


def _warped(shape: tuple[int, int], random: Random) -> tuple[Array, Array]:
    """Coordinates (down, across) bent by smooth fields, so that no outline is a formula."""
    down, across = np.mgrid[: shape[0], : shape[1]].astype(float)
    return down + 9 * field(shape, 90, random), across + 11 * field(shape, 80, random)


def _diapir(shape: tuple[int, int], random: Random, overhang: float = 0.0) -> NDArray[np.bool_]:
    """Rooted plugs side by side, wider downwards; with `overhang`, bulbs over necks."""
    height, width = shape
    down, across = _warped(shape, random)
    count = max(1, round(width / random.uniform(230, 330)))
    salt = np.zeros(shape, dtype=bool)
    for number in range(count):
        below = np.maximum(down - random.uniform(0.08, 0.4) * height, 0)
        reach = random.uniform(50, 85) * np.sqrt(1 - np.exp(-below / random.uniform(15, 50)))
        reach *= 1 + random.uniform(0.1, 0.8) * below / height
        neck = np.exp(-(((down / height - random.uniform(0.65, 0.8)) / 0.2) ** 2))
        reach *= 1 - overhang * neck
        axis = (number + random.uniform(0.25, 0.75)) * width / count
        off = across - axis - random.uniform(-0.35, 0.35) * below
        salt |= (below > 0) & (np.abs(off) < reach)
    return salt


def _overhang(shape: tuple[int, int], random: Random) -> NDArray[np.bool_]:
    return _diapir(shape, random, overhang=random.uniform(0.35, 0.6))


def _wall(shape: tuple[int, int], random: Random) -> NDArray[np.bool_]:
    """Flanks of bodies whose other halves lie outside of the section, left and right."""
    height, width = shape
    down, across = _warped(shape, random)
    salt = np.zeros(shape, dtype=bool)
    for away in (across, width - 1 - across):
        below = np.maximum(down - random.uniform(-0.2, 0.25) * height, 0)
        reach = random.uniform(20, 90) + random.uniform(0.2, 0.8) * below
        salt |= (below > 0) & (away < reach * np.sqrt(1 - np.exp(-below / 25)))
    return salt


def _ridges(shape: tuple[int, int], random: Random) -> NDArray[np.bool_]:
    """The top of a salt layer that rises in ridges between small basins."""
    height = shape[0]
    down, across = _warped(shape, random)
    wave = np.cos(2 * np.pi * (across / random.uniform(190, 300) + random.random()))
    crest = np.exp(random.uniform(0.2, 1.2) * (wave - 1))  # narrower ridges than basins
    crest = (crest - crest.min()) / (crest.max() - crest.min())
    relief = random.uniform(0.6, 0.9) * height * (1 + 0.25 * field(shape, 200, random))
    return down > random.uniform(0.92, 1.05) * height - relief * crest


def _pillow(shape: tuple[int, int], random: Random) -> NDArray[np.bool_]:
    """Detached lenses with a base: squeezed out of their roots."""
    height, width = shape
    down, across = _warped(shape, random)
    count = max(1, round(width / random.uniform(220, 330)))
    salt = np.zeros(shape, dtype=bool)
    for number in range(count):
        along = across - (number + random.uniform(0.35, 0.65)) * width / count
        deep = down - random.uniform(0.35, 0.65) * height - random.uniform(-0.3, 0.3) * along
        long, thick = random.uniform(80, 130), random.uniform(40, 65)
        salt |= np.abs(along / long) ** 2.5 + np.abs(deep / thick) ** 2 < 1
    return salt


_SHAPES: dict[str, Callable[[tuple[int, int], Random], NDArray[np.bool_]]] = {
    "diapir": _diapir,
    "overhang": _overhang,
    "wall": _wall,
    "ridges": _ridges,
    "pillow": _pillow,
}


def _distance(salt: NDArray[np.bool_]) -> Array:
    """Signed distance to the outline in pixels, positive inside; far away if there is none."""
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (salt, ~salt)
    )
    signed = np.clip(inside, 0, 1e3).astype(float) - np.clip(outside, 0, 1e3)
    return ndimage.gaussian_filter(signed, 1.5)


# --- strata -----------------------------------------------------------------------------------


def _structure(shape: tuple[int, int], inside: Array, random: Random) -> tuple[Array, Array, Array]:
    """Ages of an older and a younger series of beds, and where the younger lies (0 … 1).

    Age is in pixels of undisturbed thickness and grows downwards. The younger beds are flatter and
    lie on the eroded older ones; often that contact is outside of the section.
    """
    down, across = np.mgrid[: shape[0], : shape[1]].astype(float)
    older = down + random.uniform(-0.4, 0.4) * across + _folds(across, random)
    younger = down + random.uniform(-0.12, 0.12) * across + 0.4 * _folds(across, random)
    for _ in range(int(random.integers(0, 4))):
        older += _fault(down, across, random)
    # Rising salt drags the beds at its flanks upwards.
    drag = random.uniform(15, 45) * np.exp(np.minimum(inside, 0) / random.uniform(25, 60))
    drag += 2.5 * field(shape, 45, random)
    contact = younger + drag - random.uniform(-0.4, 0.6) * shape[0] - 6 * field(shape, 120, random)
    return older + drag, younger + drag, _soft(-contact, 0.8)


def _folds(across: Array, random: Random) -> Array:
    total = np.zeros_like(across)
    for _ in range(2):
        length, height = random.uniform(160, 520), random.uniform(3, 16)
        total += height * np.sin(2 * np.pi * (across / length + random.random()))
    return total


def _fault(down: Array, across: Array, random: Random) -> Array:
    """Throw along a steep normal fault: age jumps over about three pixels."""
    slope = random.choice([-1, 1]) / np.tan(np.radians(random.uniform(55, 80)))
    line = random.uniform(0, across.shape[1])
    side = across - line - slope * (down - down.shape[0] / 2)
    return random.uniform(5, 24) * random.choice([-1, 1]) * _soft(side, 1.0)


def _impedance(age: Array, random: Random) -> Array:
    """Log-impedance: layers of random thickness and hardness that change slowly along the bed."""
    first, last = age.min() - 2, age.max() + 2
    total = np.zeros_like(age)
    for weight in (1.0, 0.6, 0.6):
        thickness = random.gamma(2.0, random.uniform(2.0, 4.0), int((last - first) / 3) + 8) + 2
        edges = np.cumsum(thickness)
        hard = random.standard_normal(len(edges)) * random.choice([0.7, 1, 1, 1.7], len(edges))
        grid = np.arange(first, last, 0.25)
        column = hard[np.minimum(np.searchsorted(edges, grid - first), len(edges) - 1)]
        column = ndimage.gaussian_filter1d(column, 3.0)
        lateral = 1.0 if weight == 1 else field(age.shape, 110, random)
        total += weight * lateral * np.interp(age, grid, column)
    return total


def _reflections(impedance: Array, period: float, unit: bool = True) -> Array:
    """Vertical derivative convolved with a Ricker wavelet; `unit` scales to unit variance."""
    time = np.arange(-int(1.5 * period), int(1.5 * period) + 1) / period
    squared = (np.pi * time) ** 2
    wavelet = (1 - 2 * squared) * np.exp(-squared)
    reflectivity = np.gradient(impedance, axis=0)
    trace = ndimage.convolve1d(reflectivity, wavelet, axis=0, mode="nearest")
    trace = ndimage.gaussian_filter1d(trace, 1.2, axis=1)  # what migration cannot resolve
    return trace / max(float(trace.std()), 1e-9) if unit else trace


# --- decoys -----------------------------------------------------------------------------------


def _deposits(layered: Array, age: Array, random: Random) -> Array:
    """Put chaotic and noisy zones between the beds: nothing here is salt."""
    shape = layered.shape
    down, across = np.mgrid[: shape[0], : shape[1]].astype(float)
    result = layered
    if random.random() < 0.5:  # a mass-transport deposit: slumped beds in a lens along the bedding
        base = np.quantile(age, random.uniform(0.2, 0.9))
        thick = random.uniform(22, 45) * np.clip(0.6 + 0.7 * field(shape, 150, random), 0, 1.4)
        zone = _soft(base - age, 2) * _soft(age - base + thick, 2)
        slumped = ndimage.map_coordinates(
            layered,
            [down + 4.5 * field(shape, 18, random), across + 12 * field(shape, 20, random)],
            order=1,
            mode="nearest",
        )
        result = (1 - zone) * result + zone * slumped * random.uniform(0.5, 1.3)
    if random.random() < 0.35:  # a gas chimney: dimmed, noisy, but the beds go through
        axis = random.uniform(0, shape[1]) + 0.2 * down + 8 * field(shape, 60, random)
        zone = _soft(random.uniform(14, 40) - np.abs(across - axis), 5)
        result = result * (1 - 0.45 * zone) + 0.4 * zone * chaos(shape, random)
    if random.random() < 0.2:  # a band of noise along the section
        level = random.uniform(0, shape[0]) + 0.1 * across
        zone = _soft(random.uniform(10, 30) - np.abs(down - level), 6)
        result = result * (1 - 0.4 * zone) + 0.35 * zone * chaos(shape, random)
    return result


def _gain(shape: tuple[int, int], random: Random) -> Array:
    """Loud and quiet zones: shale, bright spots, and windows of the automatic gain."""
    gain = np.exp(0.4 * field(shape, 85, random) - 0.15)
    down, across = np.mgrid[: shape[0], : shape[1]].astype(float)
    for strength in random.choice([0.4, 0.45, 2.2, 2.5], int(random.integers(1, 4))):
        middle = random.uniform(0, 1, 2) * shape
        reach = random.uniform(12, 45), random.uniform(35, 130)
        spot = ((down - middle[0]) / reach[0]) ** 2 + ((across - middle[1]) / reach[1]) ** 2
        gain *= strength ** np.exp(-(spot**2))
    return gain


def _soft(value: Array, width: float) -> Array:
    """0 … 1 as `value` goes from below to above zero."""
    return 1 / (1 + np.exp(-np.clip(value / width, -60, 60)))


def _quantise(amplitude: Array, random: Random) -> NDArray[np.uint8]:
    """Amplitudes as u8, each section with its own brightness and gain."""
    scale = random.uniform(30, 46)
    level = random.uniform(108, 142)
    return np.clip(np.rint(level + scale * amplitude), 0, 255).astype(np.uint8)
