"""A bundle as a function from an image to what it shows, for notebooks and services."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from foldbelt.bundle import columns
from foldbelt.bundle.answers import Answer
from foldbelt.bundle.listing import about
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.reading import Bundle
from foldbelt.competitions import Item, Listing, Reader, Sample
from foldbelt.files import InputError, PathLike
from foldbelt.formats import image_files
from foldbelt.formats.findings import Finding, UnusableImage

_NAME = "image"


class Model:
    """A bundle's networks and decision. Threads may share it.

    Networks are loaded when the first image comes, and kept until `close`, or the end of a `with`
    block. Between calls torch has the settings that it had before.

    Parameters
    ----------
    path
        The zip file.
    device, cpu_threads
        As for `load`.

    Attributes
    ----------
    classes, labels, boxes
        Names of the K classes of masks, of the L labels, and of the classes of boxes; empty where
        the run does not decide on them.
    """

    def __init__(
        self, path: PathLike, device: str | None = None, cpu_threads: int | None = None
    ) -> None:
        self._bundle = Bundle(path)
        try:
            self._pipeline: Pipeline | None = Pipeline(self._bundle, device, cpu_threads)
        except BaseException:
            self._bundle.close()
            raise
        self.classes = list(self._pipeline.classes)
        self.labels = list(self._pipeline.labels)
        self.boxes = list(self._pipeline.boxes)

    def __call__(
        self, image: PathLike | np.ndarray, known: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Predict one image.

        Parameters
        ----------
        image
            A file, or an array (h, w) or (h, w, C) u8, colours as RGB.
        known
            What the channels need to know of it, by name: ``{"depth": 300}``.

        Returns
        -------
        dict
            What the run decides on: ``mask``, (h, w, K) u8 of 0 and 1, at the size of the image;
            ``label``, (L,) float32, the probabilities of `labels`, NaN where no model predicts one;
            ``box``, (m, 6) float32: place in `boxes`, x1, y1, x2, y2 at the size of the image,
            score. The image is a unit of its own, where labels are of units of images.

        Raises
        ------
        InputError
            If the image cannot be read, or something that channels need is not known.
        """
        pipeline = self._pipeline
        if pipeline is None:
            raise InputError(f"{self._bundle.path} is closed; load it again.")
        given = list(_predicted(pipeline, image, known))
        for one in given:
            if isinstance(one, Answer):
                return _final(pipeline.bundle, one)
        reasons = "; ".join(one.reason for one in given if isinstance(one, Finding))
        raise InputError(f"{'the array' if isinstance(image, np.ndarray) else image} {reasons}.")

    def close(self) -> None:
        """Let the networks go, and delete what was unpacked. Nothing is predicted any more."""
        self._pipeline = None
        self._bundle.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(path: PathLike, device: str | None = None, cpu_threads: int | None = None) -> Model:
    """Load a bundle.

    Parameters
    ----------
    path
        The zip file.
    device
        ``"cpu"``, ``"cuda"`` (or ``"gpu"``), or None for CUDA where torch sees it.
    cpu_threads
        Compute threads; None: as many as the run had.

    Raises
    ------
    InputError
        If the bundle cannot be used.

    Examples
    --------
    >>> masks = load("results/mine/bundle.zip")("scan.png")["mask"]  # doctest: +SKIP
    """
    return Model(path, device, cpu_threads)


def _predicted(
    pipeline: Pipeline, image: PathLike | np.ndarray, known: Mapping[str, Any] | None
) -> Iterator[Answer | Finding]:
    if known is not None and not isinstance(known, Mapping):
        raise InputError(f"what is known of an image is given by name, not as {known!r}.")
    about_it = pipeline.levels, columns.of_one(pipeline.bundle, known)
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or not image.size:
            raise InputError(f"an image is (h, w) or (h, w, C), not {image.shape}.")
        pixels = image[..., 0] if image.shape[2:] == (1,) else image
        item = _item(Path(_NAME), image.shape, *about_it)
        yield from pipeline([item], Path(), cast(Reader, _Array(pixels)))
        return
    if not isinstance(image, str | os.PathLike):
        raise InputError(f"an image is a file or an array, not {type(image).__name__}.")
    path = Path(image)
    sizes, broken = image_files.measure({_NAME: path}, path.parent)
    yield from broken
    for size in sizes.values():
        yield from pipeline([_item(path, size, *about_it)], path.parent)


def _final(bundle: Bundle, answer: Answer) -> dict[str, np.ndarray]:
    found = {} if answer.mask is None else {"mask": answer.mask}
    if answer.labels is None and answer.boxes is None:
        return found
    from foldbelt.bundle.finishing import finish  # which masks alone do not need

    final = finish(bundle, [answer])
    labels, boxes = final.labels(), final.boxes()
    found |= {} if labels is None else {"label": labels[0]}
    return found | ({} if boxes is None else {"box": boxes.image(0)})


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


def _item(
    path: Path, shape: tuple[int, ...], levels: Sequence[str], known: Mapping[str, Any]
) -> Item:
    size = int(shape[0]), int(shape[1])
    return Item(_NAME, path, size, None, about(size, levels, known))
