"""Masks at their original size, for images stored at another: one small PNG a row."""

from typing import Any

import cv2
import numpy as np

_CLASSES_PER_PLANE = 15  # of a 16-bit PNG; its highest bit marks ignored pixels


def encode_original(mask: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Compress a mask at its original size, for the dataset ``original``.

    Parameters
    ----------
    mask : (h, w) or (h, w, K) bool or 0/1
    ignore : (h, w) bool or 0/1, optional

    Returns
    -------
    (n,) uint8
        A PNG file: bit k of a pixel is class k, the highest bit an ignored pixel. 8 bits up to
        7 classes, else 16 bits; every further 15 classes lie in one more plane below.
    """
    mask = np.asarray(mask)
    mask = (mask if mask.ndim == 3 else mask[..., None]).astype(bool)
    dtype: Any = np.uint8 if mask.shape[2] <= 7 else np.uint16
    planes = []
    for first in range(0, mask.shape[2], _CLASSES_PER_PLANE):
        part = mask[..., first : first + _CLASSES_PER_PLANE]
        values = np.array([1 << bit for bit in range(part.shape[2])], dtype=dtype)
        planes.append((part * values).sum(axis=2, dtype=dtype))
    if ignore is not None:
        highest = dtype(1 << (8 * np.dtype(dtype).itemsize - 1))
        planes[0] |= highest * np.asarray(ignore).astype(bool)
    done, data = cv2.imencode(".png", np.concatenate(planes))
    if not done:
        raise ValueError(f"a mask of shape {mask.shape} cannot be written as PNG.")
    return data.ravel()


def decode_original(data: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Undo `encode_original`: mask (h, w, classes) uint8, ignored pixels (h, w) bool or None."""
    pixels: Any = cv2.imdecode(np.asarray(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("a stored original mask is not a PNG image; run the ingest again.")
    planes: list[Any] = np.split(pixels, -(-classes // _CLASSES_PER_PLANE))
    ignore = planes[0] >> (8 * pixels.itemsize - 1) > 0
    planes = [
        planes[k // _CLASSES_PER_PLANE] >> (k % _CLASSES_PER_PLANE) & 1 for k in range(classes)
    ]
    return np.stack(planes, axis=-1).astype(np.uint8), (ignore if ignore.any() else None)
