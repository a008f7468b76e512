"""Augmentation by albumentations, named and parametrised in the config, seeded per sample.

A pipeline is a list of ``{Name: {argument: value}}``, names and arguments as in albumentations
2.0.8; ``OneOf``, ``SomeOf`` and ``Sequential`` take their members under ``transforms``. Images stay
u8, and what moves out of the frame's border is background unless the transform's arguments say so.

Not every channel is an image. Transforms that change grey values (brightness, gamma, blur, noise …)
are given the image channels only; the others move with the image where it moves, but a channel that
is constant over an image, such as its depth, stays what it is: no border, no hole.

What albumentations gets wrong is mended here: its random state repeats in every worker and epoch,
and ``Compose.set_random_seed`` gives every transform the *same* stream, so that two flips of
probability one half always come together or not at all. One generator, seeded per sample, goes
through the whole pipeline instead.
"""

import os
import random
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would ask a package index at import

import albumentations
import cv2
import numpy as np

from foldbelt.files import InputError

cv2.setNumThreads(0)  # threads for tiles of a hundred pixels cost more than they bring


class Augment:
    """A pipeline for one image and its mask planes.

    Parameters
    ----------
    spec
        ``[{HorizontalFlip: {p: 0.5}}, …]``; may be empty.
    size
        Height and width of the images; the pipeline must return them unchanged.
    channels, planes
        Numbers of image channels and of mask planes, to try the pipeline on.
    names
        Names of the channels: ``image``, or ``image0`` and so on for colours, are images, others
        are not. None: all are.
    visible
        Least share of a box that must be left; None where images have no boxes.

    Raises
    ------
    InputError
        If a name or an argument is unknown, or if the pipeline does not run on such images. All
        offenders are listed.
    """

    def __init__(
        self,
        spec: Sequence[Mapping[str, Any]],
        size: tuple[int, int],
        channels: int,
        planes: int,
        names: Sequence[str] | None = None,
        visible: float | None = None,
    ) -> None:
        images = images_of(names or ())
        self.others = [c for c in range(len(names or ())) if c not in images]
        transforms = build(spec, images if self.others else None)
        self.boxed = visible is not None
        self.compose = _composed(transforms, visible) if transforms else None
        _try(transforms, size, channels, planes, visible)

    def __bool__(self) -> bool:
        return self.compose is not None

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment one sample.

        Parameters
        ----------
        image
            (H,W,C) u8.
        mask
            (H,W,P) u8 of 0/1, all planes moved alike (classes, ignored pixels).
        seed
            The same seed gives the same sample, whatever was augmented before.

        Returns
        -------
        image, mask
            As they came in, shapes included.
        """
        if self.compose is None:
            return image, mask
        nothing = {"bboxes": np.zeros((0, 4)), "classes": np.zeros(0)} if self.boxed else {}
        return self._moved(image, mask, seed, **nothing)[:2]

    def with_boxes(
        self, image: np.ndarray, mask: np.ndarray, boxes: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Augment one sample with its boxes.

        Parameters
        ----------
        image, mask, seed
            As for a call; image and mask come out as they do from a call.
        boxes
            (m,5): class, x1, y1, x2, y2, within the image.

        Returns
        -------
        image, mask, boxes
            The boxes (k,5) float32 around what is left of those that came in. Where an image is
            turned, a box is the one around the turned box, and so larger than its object.
        """
        if self.compose is None:
            return image, mask, boxes
        given = {"bboxes": boxes[:, 1:], "classes": boxes[:, 0]}
        moved, moved_mask, out = self._moved(image, mask, seed, **given)
        left = np.asarray(out["bboxes"], np.float32).reshape(-1, 4)
        classes = np.asarray(out["classes"], np.float32).reshape(-1, 1)
        return moved, moved_mask, np.concatenate([classes, left], axis=1)

    def _moved(
        self, image: np.ndarray, mask: np.ndarray, seed: int, **boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
        """Augment image and mask, and give all that albumentations does."""
        assert self.compose is not None
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        planes = {"mask": mask} if mask.shape[-1] else {}
        out = self.compose(image=image, **planes, **boxes)
        moved = out["image"].reshape(image.shape)
        moved_mask = out["mask"].reshape(mask.shape) if planes else mask
        for channel in self.others:
            plane = image[..., channel]
            if (plane == plane[:1, :1]).all():
                moved[..., channel] = plane
        return moved, moved_mask, out


def images_of(names: Sequence[str]) -> list[int]:
    """Which channels are grey values or colours of the image, by their names.

    Examples
    --------
    >>> images_of(["depth", "image"]), images_of(["image0", "image1", "image_row"])
    ([1], [0, 1])
    """
    return [place for place, name in enumerate(names) if re.fullmatch(r"image\d*", name)]


def build(spec: Sequence[Mapping[str, Any]], images: Sequence[int] | None = None) -> list[Any]:
    """Build albumentations' transforms.

    Parameters
    ----------
    spec
        As for `Augment`.
    images
        Channels to which transforms of grey values are limited; None limits none.

    Raises
    ------
    InputError
        If a name or an argument is unknown. All offenders are listed.
    """
    problems: list[str] = []
    transforms = _transforms(spec, images, problems)
    if problems:
        raise InputError("\n".join(["augment: these transforms cannot be built:", *problems]))
    return transforms


def _transforms(
    spec: Sequence[Mapping[str, Any]], images: Sequence[int] | None, problems: list[str]
) -> list[Any]:
    """Build the members of a pipeline; what cannot be built goes to `problems`.

    Where `images` lists channels, transforms of grey values are limited to them.
    """
    built = []
    for entry in spec:
        for name, arguments in entry.items():
            kind = getattr(albumentations, name, None)
            if not (isinstance(kind, type) and hasattr(kind, "set_random_state")):
                problems.append(
                    f"  {name}: albumentations {albumentations.__version__} has no such"
                )
                continue
            settings = dict(arguments or {})
            selective = kind is albumentations.SelectiveChannelTransform
            if "transforms" in settings:
                inside = None if selective else images  # the config says itself which channels
                settings["transforms"] = _transforms(settings["transforms"], inside, problems)
            try:
                transform = _strict(kind, settings)
            except Exception as error:  # pydantic's and albumentations' own
                reason = " ".join(str(error).split())
                problems.append(f"  {name}: {reason}")
                continue
            if images is not None and isinstance(transform, albumentations.ImageOnlyTransform):
                if not images:
                    problems.append(f"  {name}: changes images only, and no channel is an image")
                chance, transform.p = transform.p, 1.0
                transform = albumentations.SelectiveChannelTransform([transform], images, chance)
            built.append(transform)
    return built


def _strict(kind: type, settings: dict[str, Any]) -> Any:
    """Build one transform; albumentations only warns of arguments that it does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*not valid for transform.*")
        return kind(**settings)


def _composed(transforms: Sequence[Any], visible: float | None) -> Any:
    """Join transforms; boxes go along where `visible` says how much of one has to be left."""
    if visible is None:
        return albumentations.Compose(transforms)
    boxes = albumentations.BboxParams(
        format="pascal_voc", label_fields=["classes"], min_visibility=visible, clip=True
    )
    with warnings.catch_warnings():  # of transforms that move no box, which is no mistake
        warnings.filterwarnings("ignore", "Got processor for bboxes")
        return albumentations.Compose(transforms, bbox_params=boxes)


def _try(
    transforms: Sequence[Any],
    size: tuple[int, int],
    channels: int,
    planes: int,
    visible: float | None = None,
) -> None:
    """Run every transform once on an empty sample, so that nothing fails an hour later."""
    mask = np.zeros((*size, planes), np.uint8)
    given: dict[str, Any] = {"mask": mask} if planes else {}
    if visible is not None:
        given |= {"bboxes": np.array([[0.0, 0, size[1] / 2, size[0] / 2]]), "classes": [0.0]}
    problems = []
    for transform, count in _units(transforms, channels):
        name = type(transform).__name__
        image = np.zeros((*size, count), np.uint8)
        single = _composed([transform], visible)
        chance, transform.p = transform.p, 1.0
        single.set_random_state(np.random.default_rng(0), random.Random(0))
        try:
            out = single(image=image, **given)["image"]
        except Exception as error:  # albumentations raises all kinds
            problems.append(f"  {name}: {error}")
        else:
            if out.shape[:2] != size or out.dtype != np.uint8 or out.size != image.size:
                problems.append(
                    f"  {name}: gives {out.shape[0]}×{out.shape[1]} {out.dtype}; the network "
                    f"takes {size[0]}×{size[1]} uint8 (crops take `size`: {list(size)})"
                )
        transform.p = chance
    if problems:
        title = f"augment: not usable on u8 images of {channels} channels:"
        raise InputError("\n".join([title, *problems]))


def _units(transforms: Sequence[Any], channels: int) -> Iterator[tuple[Any, int]]:
    """Give what must keep size and type of an image, each with the channels that it sees.

    A choice (OneOf, SomeOf …) may take any of its members, a sequence takes them all.
    """
    whole = (albumentations.BasicTransform, albumentations.Sequential, albumentations.Compose)
    for transform in transforms:
        if isinstance(transform, whole):
            yield transform, channels
        elif isinstance(transform, albumentations.SelectiveChannelTransform):
            yield from _units(transform.transforms, len(transform.channels))
        else:
            yield from _units(transform.transforms, channels)
