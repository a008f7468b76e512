"""A bundle as a function from an image to its masks, for notebooks and services."""

from pathlib import Path
from typing import cast

import numpy as np

from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.reading import Bundle
from foldbelt.competitions import Item, Listing, Prediction, Reader, Sample
from foldbelt.files import InputError, PathLike
from foldbelt.formats import image_files
from foldbelt.formats.findings import Finding, UnusableImage

_NAME = "image"


class Model:
    """A bundle's networks and decision. Threads may share it.

    Networks are loaded when the first image comes, and kept.

    Parameters
    ----------
    path
        The zip file.
    device, cpu_threads
        As for `Pipeline`.

    Attributes
    ----------
    classes
        Names of the K classes.
    """

    def __init__(
        self, path: PathLike, device: str | None = None, cpu_threads: int | None = None
    ) -> None:
        self._pipeline = Pipeline(Bundle(path), device, cpu_threads)
        self.classes = list(self._pipeline.classes)

    def __call__(self, image: PathLike | np.ndarray) -> np.ndarray:
        """Predict one image.

        Parameters
        ----------
        image
            A file, or an array (h, w) or (h, w, C) u8, colours as RGB.

        Returns
        -------
        (h, w, K) u8 array
            0 and 1, at the size of the image.

        Raises
        ------
        InputError
            If the image cannot be read.
        """
        given: list[Prediction | Finding] = []
        if isinstance(image, np.ndarray):
            if image.ndim not in (2, 3):
                raise InputError(f"an image is (h, w) or (h, w, C), not {image.shape}.")
            item, reader = _item(Path(_NAME), image.shape), cast(Reader, _Array(image))
            given += self._pipeline([item], Path(), reader)
        else:
            path = Path(image)
            sizes, broken = image_files.measure({_NAME: path}, path.parent)
            given += broken
            for size in sizes.values():
                given += self._pipeline([_item(path, size)], path.parent)
        for one in given:
            if isinstance(one, Prediction):
                return one.mask
        reasons = "; ".join(one.reason for one in given if isinstance(one, Finding))
        raise InputError(f"{image if isinstance(image, str | Path) else 'the array'} {reasons}.")


def load(path: PathLike, device: str | None = None, cpu_threads: int | None = None) -> Model:
    """Load a bundle.

    Parameters
    ----------
    path
        The zip file.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    cpu_threads
        Compute threads; None: as many as the run had.

    Raises
    ------
    InputError
        If the bundle cannot be used.

    Examples
    --------
    >>> masks = load("results/mine/bundle.zip")("scan.png")  # doctest: +SKIP
    """
    return Model(path, device, cpu_threads)


class _Array:
    """Reads an image that is in memory already."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def read(self, item: Item, listing: Listing) -> Sample:
        """Give the array as ingest would have decoded it."""
        if self.image.dtype != np.uint8:
            reason = f"is {self.image.dtype}; give uint8, or the file, whose range is known"
            raise UnusableImage([Finding(item.id, reason, item.id)])
        try:
            return Sample(image_files.to_u8(self.image, listing.channels))
        except image_files.Undecodable as error:
            raise UnusableImage([Finding(item.id, str(error), item.id)]) from error


def _item(path: Path, shape: tuple[int, ...]) -> Item:
    height, width = int(shape[0]), int(shape[1])
    return Item(_NAME, path, (height, width), None, {"height": height, "width": width})
