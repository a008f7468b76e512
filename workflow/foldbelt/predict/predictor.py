"""A network that predicts images: its views averaged, whole or in windows."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional

from foldbelt import registry, runtime
from foldbelt.channels._resizing import Resizer
from foldbelt.files import InputError
from foldbelt.predict.windows import Windows

_STEP = 8  # sides of scaled images are its multiples: they halve evenly a few times
_MERGED = 512  # planes that OpenCV takes
JOINED_PIXELS = 2**22
"""Of the images that a GPU predicts at once, all views of a batch together; beyond, one by one."""


class View(NamedTuple):
    """One view of test-time augmentation.

    Parameters
    ----------
    do
        Makes the view of a batch of images (N,C,H,W).
    undo
        Brings what is predicted for the view, (N,K,H',W'), back to the batch's orientation.
    """

    do: Callable[[torch.Tensor], torch.Tensor]
    undo: Callable[[torch.Tensor], torch.Tensor]


def _flip(*axes: int) -> View:
    def flipped(batch: torch.Tensor) -> torch.Tensor:
        return batch.flip(axes) if axes else batch

    return View(flipped, flipped)


VIEWS: dict[str, View] = {
    "none": _flip(),
    "hflip": _flip(3),
    "vflip": _flip(2),
    "hvflip": _flip(2, 3),
}
"""The views by name. To add one, add an entry here, and its name to the config's schema."""


def sizes_at(
    size: Sequence[int], scales: Sequence[float], step: int = _STEP
) -> list[tuple[int, int]]:
    """Give the sizes of the network's input at several scales.

    Parameters
    ----------
    size
        (H, W) at scale 1, which is not rounded.
    scales
        Factors.
    step
        Sides at other scales are rounded to its multiples.

    Raises
    ------
    InputError
        If there is no scale, or two of them give the same size.

    Examples
    --------
    >>> sizes_at((128, 101), [1, 0.75, 1.25])
    [(128, 101), (96, 72), (160, 128)]
    """
    height, width = int(size[0]), int(size[1])
    scale_of: dict[tuple[int, int], float] = {}
    for scale in scales:
        sides = [max(1, round(side * scale / step)) * step for side in (height, width)]
        scaled = (height, width) if scale == 1 else (sides[0], sides[1])
        if scaled in scale_of:
            raise InputError(
                f"predict.scales: at {scale_of[scaled]} and {scale} the network's input of "
                f"{height}×{width} has the same size, {scaled[0]}×{scaled[1]} (sides are "
                f"multiples of {step}). Leave one out."
            )
        scale_of[scaled] = scale
    if not scale_of:
        raise InputError("predict.scales: an empty list cannot be used; [1] is the network's size.")
    return list(scale_of)


_Outputs = tuple[torch.Tensor | None, torch.Tensor | None, list[np.ndarray] | None]
"""Of a batch: probabilities of masks (N,K,H,W) and of labels (N,L), boxes of each image."""


class Predicted(NamedTuple):
    """What is predicted of N images; None where the model does not predict it.

    Attributes
    ----------
    masks
        (N,h,w,K) u8 at storage size.
    labels
        (N,L) f32.
    boxes
        N arrays (m,6) f32: class, x1, y1, x2, y2, score, in pixels of the network's input.
    """

    masks: np.ndarray | None
    labels: np.ndarray | None
    boxes: list[np.ndarray] | None


class Averaged(NamedTuple):
    """Means over the views of N images, on the device; None where the model does not predict it.

    Attributes
    ----------
    masks
        (N,K,H,W) f32 probabilities, at network size.
    labels
        (N,L) f32.
    boxes
        As in `Predicted`.
    """

    masks: torch.Tensor | None
    labels: torch.Tensor | None
    boxes: list[np.ndarray] | None


class Predictor:
    """A network as a function from u8 channels to u8 probabilities.

    It has two halves, so that one thread may do the second while another computes the first of
    other images: `average` and `finish`.

    Parameters
    ----------
    module
        The network.
    attrs
        Attributes of the channels file.
    tta
        Names in `VIEWS`.
    device
        Where to compute.
    sizes
        Sizes (H, W) at which to predict; None for the network's own alone.
    windows
        Windows in which to predict; None for whole images.
    masks
        Whether to give the network's masks, if it has any; False where they only taught.
    bfloat16
        Whether to compute in bfloat16 what may be, as validation did.
    joined
        Whether the views of a batch are one batch as long as they have few pixels; None: on a GPU.
        On a CPU the last digits of convolutions depend on the batch, and nothing is gained.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        attrs: dict,
        tta: Sequence[str],
        device: torch.device,
        sizes: Sequence[tuple[int, int]] | None = None,
        windows: Windows | None = None,
        masks: bool = True,
        bfloat16: bool = False,
        joined: bool | None = None,
    ) -> None:
        self.device, self.bfloat16 = device, bfloat16
        self.joined = device.type == "cuda" if joined is None else joined
        self.module = module.eval().to(device).to(memory_format=torch.channels_last)
        self.resizer = Resizer.of(attrs)
        self.normalise = runtime.Normaliser(attrs["scale"], attrs["offset"], device)
        self.views = {name: VIEWS[name] for name in tta}
        self.sizes = list(sizes or [self.resizer.size])
        self.windows = windows
        self.masks = masks
        self.groups = list(getattr(getattr(module, "label", None), "groups", ()))

    @property
    def kind(self) -> ModuleType:
        """What brings boxes back; found by name, so that it is upstream of detectors alone."""
        return importlib.import_module(registry.BOX_PREDICTION)

    def __call__(self, x: np.ndarray) -> Predicted:
        """Predict one batch, (N,H,W,C) u8 at network size."""
        return self.finish(self.average(torch.from_numpy(x)))

    @torch.inference_mode()
    def average(self, x: torch.Tensor) -> Averaged:
        """Predict one batch, (N,H,W,C) u8 at network size, in all views and at all sizes."""
        batch = self.normalise(x)
        total: torch.Tensor | None = None  # a sum, since every view of large images is large
        labels: list[torch.Tensor] = []
        views: list[list[np.ndarray]] = []  # of boxes
        for size in self.sizes:
            scaled = _resized(batch, size)
            for name, (mask, label, boxes) in self._in_views(scaled):
                if mask is not None:
                    mask = _resized(self.views[name].undo(mask), self.resizer.size)
                    total = mask if total is None else total.add_(mask)
                if label is not None:
                    labels.append(label)
                if boxes is not None:
                    turned = [self.kind.flipped(image, name, size) for image in boxes]
                    size_of_input = self.resizer.size
                    views.append([self.kind.rescaled(i, size, size_of_input) for i in turned])
        masks = None if total is None else total.div_(len(self.sizes) * len(self.views))
        mean_label = torch.stack(labels).mean(0) if labels else None
        return Averaged(masks, mean_label, self.kind.over_views(views) if views else None)

    @torch.inference_mode()
    def finish(self, averaged: Averaged) -> Predicted:
        """Bring means to storage size, round masks to u8, and take all to the host.

        The means are used up: of large images, room for others takes longer than the sums.
        """
        masks = None if averaged.masks is None else self._rounded(averaged.masks)
        labels = None if averaged.labels is None else averaged.labels.cpu().numpy()
        return Predicted(masks, labels, averaged.boxes)

    def _rounded(self, mean: torch.Tensor) -> np.ndarray:
        """Give (N,h,w,K) u8 at storage size of probabilities (N,K,H,W)."""
        resizer = self.resizer
        if resizer.crop is not None:  # pixels stay pixels: rounded where they are, in planes
            inside = mean[(..., *resizer.crop)]
            return _last(inside.mul_(255).round_().to(torch.uint8).cpu().numpy())
        prob = resizer.undo(mean.permute(0, 2, 3, 1).cpu().numpy())
        return np.rint(prob * 255).astype(np.uint8)

    def _in_views(self, images: torch.Tensor) -> Iterator[tuple[str, _Outputs]]:
        """Predict every view of images (N,C,H,W), all in one batch if they may be."""
        turned = {name: view.do(images) for name, view in self.views.items()}
        one_shape = len({view.shape for view in turned.values()}) == 1
        pixels = images.shape[0] * images.shape[2] * images.shape[3] * len(turned)
        if not (self.joined and one_shape and pixels <= JOINED_PIXELS):
            yield from ((name, self._predict(view)) for name, view in turned.items())
            return
        mask, label, boxes = self._predict(torch.cat(list(turned.values())))
        count = len(images)
        for place, name in enumerate(turned):
            rows = slice(place * count, (place + 1) * count)
            masks, labels = (None if part is None else part[rows] for part in (mask, label))
            yield name, (masks, labels, None if boxes is None else boxes[rows])

    def _predict(self, images: torch.Tensor) -> _Outputs:
        """Predict images (N,C,H,W): probabilities (N,K,H,W) and (N,L), boxes of each image.

        In windows, if there are any. An image shows what any of its windows shows, so a label is
        the largest over the windows.
        """
        if self.windows is None:
            return self._probabilities(images)
        total: torch.Tensor | None = None
        largest: torch.Tensor | None = None
        found: list[list[np.ndarray]] = []
        height, width = images.shape[2:]
        for rows, columns, weight in self.windows.of_image((height, width)):
            mask, label, boxes = self._probabilities(images[:, :, rows, columns])
            if boxes is not None:
                found.append([self.kind.moved(image, rows.start, columns.start) for image in boxes])
            if mask is not None:
                if total is None:
                    total = mask.new_zeros((*mask.shape[:2], height, width))
                total[:, :, rows, columns] += mask * torch.from_numpy(weight).to(mask.device)
            if label is not None:
                largest = label if largest is None else torch.maximum(largest, label)
        if largest is not None:
            for group in self.groups:  # shares of one, as those of whole images
                largest[:, group] = largest[:, group] / largest[:, group].sum(dim=1, keepdim=True)
        return total, largest, self.kind.over_windows(found) if found else None

    def _probabilities(self, images: torch.Tensor) -> _Outputs:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs = self.module(images)
        if not self.masks:
            outputs.pop("mask", None)
        logits = (outputs.get(name) for name in ("mask", "label"))
        mask, label = (None if x is None else torch.sigmoid(x.float()) for x in logits)
        size = (images.shape[2], images.shape[3])
        return mask, label, self.kind.decode(outputs["box"], size) if "box" in outputs else None


def _last(planes: np.ndarray) -> np.ndarray:
    """Bring planes (N,K,h,w) u8 to (N,h,w,K): OpenCV takes a tenth of the time to mingle them."""
    if not 1 < planes.shape[1] <= _MERGED or not len(planes):
        return np.ascontiguousarray(np.moveaxis(planes, 1, 3))
    return np.stack([cv2.merge(list(image)) for image in planes])


def _resized(batch: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring (N,C,H,W) to a size: linear interpolation up, antialiased linear interpolation down."""
    if tuple(batch.shape[2:]) == tuple(size):
        return batch
    return functional.interpolate(batch, size, mode="bilinear", antialias=True)
