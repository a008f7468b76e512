"""Whitening: make channels, neighbouring pixels or frequencies comparable.

none
    Nothing.
standard
    Mean 0 and standard deviation 1 over the data set, per channel.
imagenet
    Mean and standard deviation of ImageNet's colours, per colour, as weights that were trained on
    ImageNet expect it [4]_. Grey images take the mean of the three. Needs no fitting.
zca
    Neighbouring pixels (and colours) decorrelated, with as little change to the image as possible.
    ZCA of small patches [1]_ [2]_, applied as a convolution: the filter is the row of the whitening
    matrix that makes the patch's centre. Fitted on the training images.
spectral
    What geophysicists call whitening or spectral balancing [3]_: each tile's amplitude spectrum is
    flattened, its phases are kept. Needs no fitting.

References
----------
.. [1] A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009, appendix A.
.. [2] A. Coates, A. Ng, H. Lee: An Analysis of Single-Layer Networks in Unsupervised Feature
   Learning. AISTATS 2011.
.. [3] Ö. Yilmaz: Seismic Data Analysis. SEG 2001, section 1.4 on frequency-domain deconvolution and
   time-variant spectral whitening.
.. [4] torchvision: ``Normalize`` of its pretrained models; timm: ``IMAGENET_DEFAULT_MEAN``.
"""

from typing import Any, Literal

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from foldbelt.files import InputError

SPREAD = 5.0
"""Standard deviations kept on either side of the mean; what lies beyond is clipped."""

_PATCH = 7
_STRIDE = 3  # patches overlap so much that every ninth serves
_EPSILON = 0.001  # of the mean eigenvalue: keeps noise from being blown up (as in [2])
_MARGIN = 16  # pixels, mirrored and faded out: the Fourier transform takes the image as periodic
_SMOOTH = 3.0  # bins; the trend of the spectrum is divided out, its fine structure stays
_WATER = 0.05  # of the mean amplitude: frequencies below it hold noise
_BLOCK = 64


def whiten(
    images: np.ndarray, method: str, fitted: dict[str, Any] | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Whiten images.

    Parameters
    ----------
    images : (N, H, W) or (N, H, W, C)
        uint8 or float.
    method
        One of `METHODS`.
    fitted : dict, optional
        What an earlier call (on the training images) gave; by default fitted on `images`.

    Returns
    -------
    float32, of the same shape
        The whitened images.
    dict
        What was fitted, as plain numbers.

    Raises
    ------
    InputError
        If the method is unknown, there is nothing to fit on, or the images are too small.
    ValueError
        If `fitted` belongs to another method or number of channels.

    Examples
    --------
    >>> train = np.random.default_rng(0).integers(0, 255, (8, 32, 32), dtype=np.uint8)
    >>> white, fitted = whiten(train, "standard")
    >>> test, _ = whiten(train[:2], "standard", fitted)
    """
    planes = np.asarray(images)
    if planes.ndim not in (3, 4):
        raise ValueError(f"expected images (N, H, W[, C]), not {planes.shape}.")
    planes = planes if planes.ndim == 4 else planes[..., None]
    if fitted is None:
        whitening = method_of(method)()
        for start in range(0, len(planes), _BLOCK):
            whitening.add(planes[start : start + _BLOCK])
        fitted = whitening.result()
    elif fitted.get("method") != method:
        raise ValueError(f"fitted for '{fitted.get('method')}', not for '{method}'.")
    return apply(planes, fitted).reshape(np.shape(images)), fitted


class Moments:
    """Mean, standard deviation and extremes of channels, over any number of blocks."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = self.squares = np.zeros(0)
        self.low = self.high = np.zeros(0)

    def add(self, planes: np.ndarray) -> None:
        """Count in planes (N, H, W, C)."""
        if not planes.size:
            return
        # channels first: NumPy is slow at sums over long strided axes
        values = np.array(planes.reshape(-1, planes.shape[-1]).T, dtype=np.float64, order="C")
        low, high = values.min(axis=1), values.max(axis=1)
        sums, squares = values.sum(axis=1), np.square(values, out=values).sum(axis=1)
        if self.count:
            self.sums, self.squares = self.sums + sums, self.squares + squares
            self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        else:
            self.sums, self.squares, self.low, self.high = sums, squares, low, high
        self.count += values.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """Mean per channel, (C,)."""
        return self.sums / self.count

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation per channel, (C,)."""
        return np.sqrt(np.maximum(self.squares / self.count - self.mean**2, 0))


class Whitening:
    """One method of whitening: fit it block by block, then apply what was fitted.

    A method is a subclass and an entry of `METHODS`. Of an instance, `add` gets every block of the
    training images, then `result` gives the fitted numbers; `apply` needs no instance.
    """

    NAME = "none"
    PLANES: Literal["none", "images", "all"] = "none"
    """Which planes are whitened; "images" are those of channels that say they are `FILTERED`."""
    FITTED = False
    """Whether training images are needed to fit it."""

    def add(self, planes: np.ndarray) -> None:
        """Count in planes (N, H, W, C), uint8 or float."""

    def result(self) -> dict[str, Any]:
        """Give what `apply` needs as plain numbers, which JSON can hold.

        Raises
        ------
        InputError
            If the method needs images to be fitted on, and there were none.
        """
        return {"method": self.NAME}

    @staticmethod
    def apply(planes: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        """Whiten planes (N, H, W, C), uint8 or float, with what was fitted; float32."""
        return planes.astype(np.float32)

    @staticmethod
    def limits(limits: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        """Give the range (C, 2) of whitened planes, from that of the planes before."""
        spread = SPREAD * np.array(fitted.get("sd", [1.0] * len(limits)))
        return np.stack([-spread, spread], axis=1)


class _Standard(Whitening):
    NAME = "standard"
    PLANES = "all"
    FITTED = True

    def __init__(self) -> None:
        self._moments = Moments()

    def add(self, planes: np.ndarray) -> None:
        self._moments.add(planes)

    def result(self) -> dict[str, Any]:
        if not self._moments.count:
            raise InputError(f"whiten: {self.NAME} has no images to be fitted on.")
        sd = self._moments.sd
        return {
            "method": self.NAME,
            "mean": self._moments.mean.tolist(),
            "sd": np.where(sd > 1e-9, sd, 1.0).tolist(),
        }

    @staticmethod
    def apply(planes: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        out = planes - np.array(fitted["mean"])
        out /= fitted["sd"]
        return out.astype(np.float32)

    @staticmethod
    def limits(limits: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        mean, sd = np.array(fitted["mean"]), np.array(fitted["sd"])
        return (limits - mean[:, None]) / sd[:, None]


class _ImageNet(Whitening):
    NAME = "imagenet"
    PLANES = "images"

    MEAN = (0.485, 0.456, 0.406)
    SD = (0.229, 0.224, 0.225)

    @staticmethod
    def apply(planes: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        mean, sd = _ImageNet._of(planes.shape[-1])
        out: np.ndarray = ((planes - mean) / sd).astype(np.float32)
        return out

    @staticmethod
    def limits(limits: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        mean, sd = _ImageNet._of(len(limits))
        return (limits - mean[:, None]) / sd[:, None]

    @classmethod
    def _of(cls, colours: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of one grey value or three colours, from 0 to 1."""
        mean, sd = np.array(cls.MEAN), np.array(cls.SD)
        if colours == 1:
            return mean.mean(keepdims=True), sd.mean(keepdims=True)
        if colours != len(mean):
            raise InputError(
                f"whiten: {cls.NAME} is made for grey or RGB images, and these have {colours} "
                "bands; take standard."
            )
        return mean, sd


class _Zca(Whitening):
    NAME = "zca"
    PLANES = "images"
    FITTED = True

    def __init__(self) -> None:
        self._patches = 0
        self._sums: Any = 0.0
        self._products: Any = 0.0

    def add(self, planes: np.ndarray) -> None:
        if not len(planes):
            return
        if min(planes.shape[1:3]) < _PATCH:
            raise InputError(f"whiten: zca needs images of {_PATCH}×{_PATCH} pixels or more.")
        from threadpoolctl import threadpool_limits

        windows = sliding_window_view(planes, (_PATCH, _PATCH), axis=(1, 2))
        windows = windows[:, ::_STRIDE, ::_STRIDE]
        values = windows.reshape(-1, planes.shape[-1] * _PATCH**2).astype(np.float64)
        # One thread: the order of a sum, hence its last bits, must not depend on the cores.
        with threadpool_limits(1):
            self._products = self._products + values.T @ values
        self._sums = self._sums + values.sum(axis=0)
        self._patches += len(values)

    def result(self) -> dict[str, Any]:
        if not self._patches:
            raise InputError(f"whiten: {self.NAME} has no images to be fitted on.")
        from threadpoolctl import threadpool_limits

        size = _PATCH**2
        mean = self._sums / self._patches
        covariance = self._products / self._patches - np.outer(mean, mean)
        with threadpool_limits(1):
            values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values, 0)
        # constant images leave rounding errors only, which are nothing to whiten
        epsilon = _EPSILON * values.mean() if values.mean() > 1e-9 else 1.0
        matrix = (vectors / np.sqrt(values + epsilon)) @ vectors.T
        filters = matrix[size // 2 :: size]  # rows that make the centre of each channel
        variance = np.einsum("ij,jk,ik->i", filters, covariance, filters)
        colours = len(filters)
        return {
            "method": self.NAME,
            "mean": mean.reshape(colours, size).mean(axis=1).tolist(),
            "epsilon": float(epsilon),
            "filters": filters.reshape(colours, colours, _PATCH, _PATCH).tolist(),
            "sd": np.sqrt(np.maximum(variance, 0)).tolist(),
        }

    @staticmethod
    def apply(planes: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        return _convolve(planes, np.array(fitted["mean"]), np.array(fitted["filters"]))


class _Spectral(Whitening):
    NAME = "spectral"
    PLANES = "images"

    @staticmethod
    def apply(planes: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
        out = np.empty(planes.shape, dtype=np.float32)
        for start in range(0, len(planes), _BLOCK):
            part = np.moveaxis(planes[start : start + _BLOCK], 3, 1)
            out[start : start + _BLOCK] = np.moveaxis(_flatten(part), 1, 3)
        return out


METHODS: dict[str, type[Whitening]] = {
    method.NAME: method for method in (Whitening, _Standard, _ImageNet, _Zca, _Spectral)
}
"""The methods by name. To add one, add it here, and its name to the config's schema."""


def method_of(name: str) -> type[Whitening]:
    """Give a method by its name; an unknown name raises InputError."""
    if name not in METHODS:
        raise InputError(f"whiten: '{name}' is unknown; choose one of {', '.join(METHODS)}.")
    return METHODS[name]


def apply(planes: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
    """Whiten planes.

    Parameters
    ----------
    planes : (N, H, W, C)
        uint8 or float.
    fitted
        What `Whitening.result` gave.

    Returns
    -------
    (N, H, W, C) float32

    Raises
    ------
    ValueError
        If `fitted` belongs to another number of channels.
    """
    channels = planes.shape[-1]
    if len(fitted.get("mean", [0] * channels)) != channels:
        raise ValueError(f"fitted on {len(fitted['mean'])} channels, applied to {channels}.")
    return method_of(fitted["method"]).apply(planes, fitted)


def _convolve(planes: np.ndarray, mean: np.ndarray, filters: np.ndarray) -> np.ndarray:
    out = np.zeros(planes.shape, dtype=np.float32)
    for row, raw in enumerate(planes):
        image = (raw - mean).astype(np.float32)
        for target, kernels in enumerate(filters):
            for source, kernel in enumerate(kernels):
                plane = np.ascontiguousarray(image[..., source])
                out[row, ..., target] += cv2.filter2D(
                    plane, cv2.CV_32F, kernel.astype(np.float32), borderType=cv2.BORDER_REFLECT_101
                )
    return out


def _flatten(planes: np.ndarray) -> np.ndarray:
    """Flatten the spectra of (N, C, H, W); each plane gets mean 0, and deviation 1 or, empty, 0."""
    import scipy.fft  # no other whitening needs it where images are predicted
    import scipy.ndimage

    centred = planes - planes.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    centred = centred.astype(np.float32)
    before, weights, inner = [], [], []
    for side in planes.shape[2:]:
        outer = scipy.fft.next_fast_len(side + 2 * _MARGIN)
        start = (outer - side) // 2
        before.append((start, outer - side - start))
        rise = np.sin(np.linspace(0, np.pi / 2, start + 1)[:-1]) ** 2
        fall = np.sin(np.linspace(np.pi / 2, 0, outer - side - start + 1)[1:]) ** 2
        weights.append(np.concatenate([rise, np.ones(side), fall]).astype(np.float32))
        inner.append(slice(start, start + side))
    padded = np.pad(centred, [(0, 0), (0, 0), *before], mode="reflect")
    spectrum = scipy.fft.fft2(padded * weights[0][:, None] * weights[1])
    trend = scipy.ndimage.gaussian_filter(
        np.abs(spectrum), (0, 0, _SMOOTH, _SMOOTH), mode="wrap", truncate=2
    )
    water = _WATER * trend.mean(axis=(2, 3), keepdims=True)
    flat = scipy.fft.ifft2(spectrum / np.maximum(trend + water, 1e-12)).real
    flat = flat[(..., *inner)]
    flat = flat - flat.mean(axis=(2, 3), keepdims=True)
    sd = flat.std(axis=(2, 3), keepdims=True)
    return np.where(np.ptp(planes, axis=(2, 3), keepdims=True) > 0, flat / np.maximum(sd, 1e-12), 0)
