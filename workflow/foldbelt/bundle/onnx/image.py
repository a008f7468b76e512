"""From an image to the channels that a network sees, as operations of torch.

Only where these give the very bytes that the workflow makes: of channels whose value at a pixel
follows from the pixel and its row, and of images that keep their pixels on the way to network size.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foldbelt.channels._building import quantise
from foldbelt.channels._padding import PADDINGS, sources
from foldbelt.channels._resizing import Resizer, centre
from foldbelt.channels._whitening import apply

POINTWISE = ("image", "row", "image_row")
"""Channels whose value at a pixel follows from the pixel's value and its row alone."""
WHITENED = ("none", "standard", "imagenet")
"""Whitenings that take each plane by itself, pixel by pixel."""

_LEVELS = 256


class Channels(nn.Module):
    """Makes channels of images.

    Parameters
    ----------
    levels : (256, h, P) uint8
        Value of each plane by a pixel's value and row.
    bands
        Which band of the image each plane is made of.
    indices
        Row and column of the image that each row and column of the network's input repeats; None
        where these are the same.

    Attributes
    ----------
    plain
        Whether the channels are the bands of the image themselves, in their order.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        levels: np.ndarray,
        bands: list[int],
        indices: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        super().__init__()
        self.bands, self.height = bands, levels.shape[1]
        same = np.arange(_LEVELS, dtype=np.uint8)[:, None]
        self.kinds = []
        for plane in range(levels.shape[2]):
            table = levels[..., plane]
            if (table == same).all():
                self.kinds.append("band")
            elif (table == table[:1]).all():
                self.kinds.append("constant")
                table = table[0].reshape(1, self.height, 1, 1)
            else:
                self.kinds.append("table")
            self.register_buffer(f"table{plane}", torch.from_numpy(table.copy()))
        self.register_buffer("starts", torch.arange(self.height).reshape(1, -1, 1))
        self.padded = indices is not None
        for name, index in zip(("rows", "columns"), indices or (), strict=False):
            self.register_buffer(name, torch.from_numpy(index.astype(np.int64)))

    @property
    def plain(self) -> bool:
        return set(self.kinds) == {"band"} and self.bands == list(range(len(self.bands)))

    def forward(self, image: Tensor) -> Tensor:
        """Take images (N, h, w, C) u8 to channels (N, H, W, P) u8."""
        x = image if self.plain else torch.cat(
            [self._plane(image, place) for place in range(len(self.bands))], dim=3
        )  # fmt: skip
        if self.padded:
            x = x.index_select(1, self.rows).index_select(2, self.columns)
        return x

    def _plane(self, image: Tensor, place: int) -> Tensor:
        band = image[..., self.bands[place] : self.bands[place] + 1]
        table = getattr(self, f"table{place}")
        if self.kinds[place] == "band":
            return band
        if self.kinds[place] == "constant":
            return table.expand(image.shape[0], self.height, image.shape[2], 1)
        index = band[..., 0].to(torch.int64) * self.height + self.starts
        made: Tensor = table.reshape(-1)[index][..., None]
        return made


def channels_of(
    content: Mapping[str, Any], colours: int
) -> tuple[Channels, tuple[int, int]] | None:
    """Give what makes a recipe's channels, and the size of the images that it takes.

    Parameters
    ----------
    content
        A bundle's ``recipe`` of channels and the ``attrs`` of what was fitted for it.
    colours
        Bands of the images.

    Returns
    -------
    module, size
        (h, w) is the storage size; where images are resized to network size, that, for then the
        resized image has the very values of the channels. None where the channels cannot be made.
    """
    attrs = content["attrs"]
    resizer = Resizer.of(attrs)
    whitened = attrs["whiten"]["planes"]
    if set(attrs["use"]) - set(POINTWISE) or resizer.scale > 1:
        return None
    if whitened and attrs["whiten"]["method"] not in WHITENED:
        return None
    resized = resizer.mode == "resize" and resizer.source != resizer.size
    padded = not resized and resizer.source != resizer.size
    if padded and PADDINGS[resizer.mode].fill is not None:
        return None
    bands: list[int] = []
    for name in attrs["use"]:
        count = len(importlib.import_module(f"foldbelt.channels.{name}").names(colours))
        bands += range(colours) if count == colours else [0] * count
    values = np.arange(_LEVELS, dtype=np.uint8).reshape(-1, 1, 1, 1)
    height = (resizer.size if resized else resizer.source)[0]
    levels = planes(np.broadcast_to(values, (_LEVELS, height, 1, colours)), attrs)[:, :, 0]
    module = Channels(levels, bands, _indices(resizer) if padded else None)
    if resized and not module.plain:
        return None
    return module, resizer.size if resized else resizer.source


def planes(images: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Make channels before they come to network size, as the workflow does.

    Parameters
    ----------
    images : (N, h, w, C) uint8
    attrs
        Of the channels file.

    Returns
    -------
    (N, h, w, P) uint8
    """
    given = images if images.shape[3] > 1 else images[..., 0]
    modules = [importlib.import_module(f"foldbelt.channels.{name}") for name in attrs["use"]]
    made = np.concatenate([module.planes(given, {}) for module in modules], axis=3)
    whitened = [list(attrs["names"]).index(name) for name in attrs["whiten"]["planes"]]
    if whitened:
        made[..., whitened] = apply(made[..., whitened], attrs["whiten"])
    return quantise(made, np.array(attrs["scale"]), np.array(attrs["offset"]))


def at_network_size(made: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Bring channels to what a network predicts from, unless they have network size."""
    resizer = Resizer.of(attrs)
    if made.shape[1:3] == resizer.size:
        return made
    return np.ascontiguousarray(centre(resizer.images(made), resizer.size))


def _indices(resizer: Resizer) -> tuple[np.ndarray, np.ndarray]:
    """Give the row and column of the image that each of the network's input repeats."""
    every = []
    for inner, outer, size in zip(resizer.tile, resizer.canvas, resizer.size, strict=True):
        repeated = sources(PADDINGS[resizer.mode], inner, outer, (outer - inner) // 2)
        first = (outer - size + 1) // 2  # as `centre` has it
        every.append(repeated[first : first + size])
    rows, columns = every
    return rows, columns
