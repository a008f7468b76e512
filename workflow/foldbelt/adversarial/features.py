"""An image described by a few dozen numbers, each of which has a name that a reader knows.

Masks are not used. The numbers are cheap (a few ms for 256 × 1600 pixels) and are meant for
finding differences between sets of images: brightness, contrast, detail by direction and size,
lighting, noise, and traces of JPEG.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

QUANTILES = (1, 5, 25, 50, 75, 95, 99)
SCALES = (1, 2, 4, 8, 16)
_BLACK, _WHITE = 8, 247  # JPEG leaves no part of an image at one level exactly
_SIDE = 32  # of the thumbnail
_WAVES = 4
_JPEG = 8  # side of its blocks
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)

_MEANING = {
    "mean": "mean grey value",
    "sd": "contrast (sd of the grey values)",
    "black": "share of nearly black pixels",
    "white": "share of nearly white pixels",
    "levels": "number of grey levels that occur",
    "entropy": "entropy of the grey values",
    "direction": "detail across over detail down",
    "right_minus_left": "right half brighter than left",
    "bottom_minus_top": "lower half brighter than upper",
    "middle_minus_border": "middle brighter than border",
    "noise": "noise",
    "blockiness": "JPEG blocks",
    "red_minus_green": "red above green",
    "blue_minus_green": "blue above green",
    "colourfulness": "colourfulness",
    "height": "original height",
    "width": "original width",
}


def meaning(name: str) -> str:
    """Say in words what a number is; a column of the table stands for itself.

    Examples
    --------
    >>> meaning("q05"), meaning("detail_down_4px"), meaning("wave_1_2")
    ('5 % quantile of the grey values', 'detail down, 4 px', 'waves: 1 down, 2 across')
    """
    if name in _MEANING:
        return _MEANING[name]
    if name.startswith("q") and name[1:].isdigit():
        return f"{int(name[1:])} % quantile of the grey values"
    kind, *parts = name.split("_")
    if kind == "detail" and len(parts) == 2:
        return f"detail {parts[0]}, {parts[1].removesuffix('px')} px"
    if kind == "wave" and len(parts) == 2:
        return f"waves: {parts[0]} down, {parts[1]} across"
    return name


def describe(image: np.ndarray) -> dict[str, float]:
    """Describe one image.

    Parameters
    ----------
    image
        (H, W) or (H, W, 3) uint8.

    Returns
    -------
    dict
        Name → number; :func:`meaning` explains the names. The same for images of one shape, and of
        all shapes from 64 × 64 pixels: smaller ones lack the coarse ``detail``.
    """
    colour = image.ndim == 3
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if colour else np.ascontiguousarray(image)
    numbers = _levels(grey) | _detail(grey) | _light(grey)
    numbers["noise"] = _noise(grey)
    numbers["blockiness"] = (_blocks(grey) + _blocks(grey.T)) / 2
    return numbers | (_colours(image) if colour else {})


def of_images(images: Iterable[np.ndarray], threads: int = 1) -> list[dict[str, float]]:
    """Describe images in order, on several threads (OpenCV releases the interpreter's lock)."""
    if threads <= 1:
        return [describe(image) for image in images]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(describe, images))


def _levels(grey: np.ndarray) -> dict[str, float]:
    """Numbers of the histogram."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    share, level = counts / counts.sum(), np.arange(256)
    mean = float(share @ level)
    below = np.cumsum(share)
    seen = share[share > 0]
    quantiles = np.searchsorted(below, np.array(QUANTILES) / 100 - 1e-12)
    return {
        "mean": mean,
        "sd": float(np.sqrt(share @ (level - mean) ** 2)),
        **{f"q{q:02d}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)},
        "black": float(share[: _BLACK + 1].sum()),
        "white": float(share[_WHITE:].sum()),
        "levels": float(len(seen)),
        "entropy": float(-(seen * np.log2(seen)).sum()),
    }


def _detail(grey: np.ndarray) -> dict[str, float]:
    """Differences of neighbours (root mean square) at halved and halved sizes: octaves of a
    spectrum, by direction."""
    detail = {}
    image: np.ndarray = grey.astype(np.float32)
    for scale in SCALES:
        if min(image.shape) < 4:
            break
        for name, first, second in (
            ("across", image[:, 1:], image[:, :-1]),
            ("down", image[1:], image[:-1]),
        ):
            squares = cv2.norm(first, second, cv2.NORM_L2SQR)
            detail[f"detail_{name}_{scale}px"] = float(np.sqrt(squares / first.size))
        height, width = (side // 2 * 2 for side in image.shape)
        half = (width // 2, height // 2)
        image = cv2.resize(image[:height, :width], half, interpolation=cv2.INTER_AREA)
    if detail:
        across, down = detail["detail_across_1px"], detail["detail_down_1px"]
        detail["direction"] = float(np.log2((across + 0.1) / (down + 0.1)))
    return detail


def _light(grey: np.ndarray) -> dict[str, float]:
    """Where a thumbnail is bright, and its lowest cosine waves."""
    small = cv2.resize(grey.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    half, edge = _SIDE // 2, _SIDE // 4
    middle = small[edge:-edge, edge:-edge]
    border = (small.sum() - middle.sum()) / (small.size - middle.size)
    waves = cv2.dct(small) / _SIDE
    return {
        "right_minus_left": float(small[:, half:].mean() - small[:, :half].mean()),
        "bottom_minus_top": float(small[half:].mean() - small[:half].mean()),
        "middle_minus_border": float(middle.mean() - border),
        **{
            f"wave_{row}_{column}": float(waves[row, column])
            for row in range(_WAVES)
            for column in range(_WAVES)
            if row or column
        },
    }


def _noise(grey: np.ndarray) -> float:
    """Standard deviation of noise after Immerkær (1996): what a local plane does not explain."""
    if min(grey.shape) < 3:
        return 0.0
    residual = cv2.filter2D(grey, cv2.CV_16S, _NOISE)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) / 6 * cv2.norm(residual, cv2.NORM_L1) / residual.size)


def _blocks(grey: np.ndarray) -> float:
    """How much more neighbours differ between JPEG's blocks than within, as a share."""
    if grey.shape[1] < 2 * _JPEG:
        return 0.0
    steps = cv2.absdiff(grey[:, 1:], grey[:, :-1])
    by_column = cv2.reduce(steps, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel().astype(np.float64)
    between = np.arange(len(by_column)) % _JPEG == _JPEG - 1
    return float((by_column[between].mean() + 0.1) / (by_column[~between].mean() + 0.1) - 1)


def _colours(image: np.ndarray) -> dict[str, float]:
    """Cast and strength of colour; the strength after Hasler and Süsstrunk (2003)."""
    (red, green, blue), _ = cv2.meanStdDev(image)
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    red_green = small[..., 0] - small[..., 1]
    yellow_blue = (small[..., 0] + small[..., 1]) / 2 - small[..., 2]
    strength = np.hypot(red_green.std(), yellow_blue.std())
    strength += 0.3 * np.hypot(red_green.mean(), yellow_blue.mean())
    return {
        "red_minus_green": float(red[0] - green[0]),
        "blue_minus_green": float(blue[0] - green[0]),
        "colourfulness": float(strength),
    }
