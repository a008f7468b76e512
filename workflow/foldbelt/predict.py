"""Probabilities of a trained model for images, with flips and scales at test time, in blocks.

Images are predicted whole, or in overlapping windows (:mod:`foldbelt.windows`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from foldbelt import runtime, store
from foldbelt.files import InputError
from foldbelt.geometry import Fit, centre
from foldbelt.weights import load_model
from foldbelt.windows import Tiles

FLIPS: dict[str, tuple[int, ...]] = {"none": (), "hflip": (3,), "vflip": (2,), "hvflip": (2, 3)}
"""Axes of an (N,C,H,W) batch that each view turns."""

_STEP = 8  # sides of scaled images are its multiples: they halve evenly a few times


def run(
    *,
    channels: str,
    data: str,
    ids: Sequence[str] | None,
    weights: str,
    tta: Sequence[str],
    batch_size: int,
    out: str,
    cpu_threads: int,
    device: str | None = None,
    scales: Sequence[float] = (1,),
    snapshot: int | None = None,
    tiles: Mapping[str, Any] | None = None,
) -> None:
    """Predict images and write their probabilities at storage size.

    Every view is predicted at every scale. The mean over them is taken of probabilities, brought
    back to storage size in floating point, and only then rounded to u8. Memory is bounded by a
    block, whatever the number of images. A model whose metadata says ``"masks": false`` gives label
    probabilities alone.

    Parameters
    ----------
    channels, data
        Channels and ingested data of the images.
    ids
        Which images, in this order; None for all.
    weights
        A file that training has written; the architecture comes with it.
    tta
        Views to average: ``none``, ``hflip``, ``vflip``, ``hvflip``.
    batch_size
        Images at a time.
    out
        The file to write: `id`, `prob` u8 (N,h,w) or (N,h,w,K) if the model predicts masks, and
        `label_prob` f32 (N,L) if it has a label head.
    cpu_threads
        Compute threads.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    scales
        Sizes of the network's input, as factors of the one that it was trained with.
    snapshot
        Which of the weights that a cyclic schedule has left, from 1; None for the final ones.
    tiles
        The config's ``predict.tiles``: size and overlap of windows, at every scale the same; None
        predicts whole images.

    Raises
    ------
    InputError
        If a view is unknown, two scales give the same size, there is no such snapshot, the weights
        are for other channels or another size, or the model predicts nothing.
    """
    unknown = [view for view in tta if view not in FLIPS]
    if unknown or not tta:
        raise InputError(
            f"tta: {', '.join(map(repr, unknown)) or 'an empty list'} cannot be used. "
            f"There are {', '.join(FLIPS)}."
        )
    chosen = runtime.prepare(cpu_threads, device)
    module, metadata = load_model(weights, snapshot=snapshot)
    attrs = store.attrs(channels)
    for name in ("names", "size"):
        trained = metadata["channels" if name == "names" else name]
        if attrs[name] != trained:
            raise InputError(
                f"{weights} was trained on {name} {trained}, but {channels} has {attrs[name]}. "
                "Delete the one that is out of date."
            )
    source = (int(attrs["source"][0]), int(attrs["source"][1]))
    if store.length(data) and store.stored_size(data) != source:
        raise InputError(f"{channels} was made from images of {source}; {data} holds another size.")
    sizes = sizes_at(attrs["size"], scales)
    predictor = Predictor(module, attrs, tta, chosen, sizes, Tiles.of(tiles))
    table = store.table(channels, ids)[["id"]]
    classes, masks = metadata["mask_channels"], metadata.get("masks", True)
    # Whether there is a label head, a blank image tells; there may be no other.
    _, probe = predictor(np.zeros((1, *attrs["size"], len(attrs["names"])), np.uint8))
    how: dict[str, Any] = {"tta": list(tta), "key": metadata["key"]}
    how |= {} if list(scales) == [1] else {"scales": list(scales)}
    how |= {} if snapshot is None else {"snapshot": snapshot}
    how |= {} if tiles is None else {"tiles": dict(tiles)}
    if not masks and probe is None:
        raise InputError(f"{weights}: this model predicts neither masks nor labels. Train it anew.")
    with store.Writer(out, table, how) as writer:
        if masks:
            writer.create("prob", source if classes == 1 else (*source, classes), "uint8")
        if probe is not None:
            writer.create("label_prob", probe.shape[1:], "float32")
        for rows, x in store.blocks(channels, "x", ids, batch_size):
            prob, labels = predictor(centre(x, attrs["size"]))
            if masks and prob is not None:
                writer.put("prob", rows.start, prob[..., 0] if classes == 1 else prob)
            if labels is not None:
                writer.put("label_prob", rows.start, labels)


def sizes_at(
    size: Sequence[int], scales: Sequence[float], step: int = _STEP
) -> list[tuple[int, int]]:
    """Give the sizes of the network's input at some scales.

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
    found: dict[tuple[int, int], float] = {}
    for scale in scales:
        sides = [max(1, round(side * scale / step)) * step for side in (height, width)]
        scaled = (height, width) if scale == 1 else (sides[0], sides[1])
        if scaled in found:
            raise InputError(
                f"predict.scales: at {found[scaled]} and {scale} the network's input of "
                f"{height}×{width} has one size, {scaled[0]}×{scaled[1]} (sides are multiples of "
                f"{step}). Leave one out."
            )
        found[scaled] = scale
    if not found:
        raise InputError("predict.scales: an empty list cannot be used; [1] is the network's size.")
    return list(found)


class Predictor:
    """A network as a function from u8 channels to u8 probabilities.

    Parameters
    ----------
    module
        The network.
    attrs
        Attributes of the channels file.
    tta
        Names in `FLIPS`.
    device
        Where to compute.
    sizes
        Sizes (H, W) at which to predict; None for the network's own alone.
    tiles
        Windows in which to predict; None for whole images.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        attrs: dict,
        tta: Sequence[str],
        device: torch.device,
        sizes: Sequence[tuple[int, int]] | None = None,
        tiles: Tiles | None = None,
    ) -> None:
        self.module = module.eval().to(device)
        if device.type == "cuda":
            self.module = self.module.to(memory_format=torch.channels_last)
        self.fit = Fit.of(attrs)
        self.normalise = runtime.Normaliser(attrs["scale"], attrs["offset"], device)
        self.views = [FLIPS[name] for name in tta]
        self.sizes = list(sizes or [self.fit.size])
        self.tiles = tiles

    @torch.inference_mode()
    def __call__(self, x: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Predict one batch.

        Parameters
        ----------
        x
            (N,H,W,C) u8 at network size.

        Returns
        -------
        prob, labels
            (N,h,w,K) u8 at storage size, None of a model without masks; (N,L) f32, None without a
            label head.
        """
        batch = self.normalise(torch.from_numpy(x))
        total: torch.Tensor | None = None  # a sum, since every view of large images is large
        labels: list[torch.Tensor] = []
        for size in self.sizes:
            scaled = _resized(batch, size)
            for axes in self.views:
                mask, label = self._view(scaled.flip(axes) if axes else scaled)
                if mask is not None:
                    mask = _resized(mask.flip(axes) if axes else mask, self.fit.size)
                    total = mask if total is None else total.add_(mask)
                if label is not None:
                    labels.append(label)
        known = torch.stack(labels).mean(0).cpu().numpy() if labels else None
        if total is None:
            return None, known
        mean = total.div_(len(self.sizes) * len(self.views)).permute(0, 2, 3, 1).cpu().numpy()
        return np.rint(self.fit.undo(mean) * 255).astype(np.uint8), known

    def _view(self, images: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Predict images (N,C,H,W): probabilities (N,K,H,W) and (N,L), in windows if need be.

        An image shows what any of its windows shows: a label is the largest over them.
        """
        if self.tiles is None:
            return self._probabilities(images)
        total: torch.Tensor | None = None
        largest: torch.Tensor | None = None
        height, width = images.shape[2:]
        for rows, columns, weight in self.tiles.windows((height, width)):
            mask, label = self._probabilities(images[:, :, rows, columns])
            if mask is not None:
                if total is None:
                    total = mask.new_zeros((*mask.shape[:2], height, width))
                total[:, :, rows, columns] += mask * torch.from_numpy(weight).to(mask.device)
            if label is not None:
                largest = label if largest is None else torch.maximum(largest, label)
        return total, largest

    def _probabilities(
        self, images: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        outputs = self.module(images)
        found = (outputs.get(name) for name in ("mask", "label"))
        mask, label = (None if one is None else torch.sigmoid(one.float()) for one in found)
        return mask, label


def _resized(batch: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring (N,C,H,W) to a size: linear up, area-weighted linear down, as a camera would see it."""
    if tuple(batch.shape[2:]) == tuple(size):
        return batch
    return functional.interpolate(batch, size, mode="bilinear", antialias=True)
