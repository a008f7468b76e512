"""Probabilities of a trained model for images, with flips at test time, streamed in blocks."""

from collections.abc import Sequence

import numpy as np
import torch

from foldbelt import runtime, store
from foldbelt.files import InputError
from foldbelt.geometry import Fit
from foldbelt.weights import load_model

FLIPS: dict[str, tuple[int, ...]] = {"none": (), "hflip": (3,), "vflip": (2,), "hvflip": (2, 3)}
"""Axes of an (N,C,H,W) batch that each view turns."""


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
) -> None:
    """Predict images and write their probabilities at storage size.

    The mean over the views is taken of probabilities, brought back to storage size in floating
    point, and only then rounded to u8. Memory is bounded by a block, whatever the number of images.

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
        The file to write: `id`, `prob` u8 (N,h,w) or (N,h,w,K), and `label_prob` f32 (N,L) if the
        model has a label head.
    cpu_threads
        Compute threads.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.

    Raises
    ------
    InputError
        If a view is unknown, or the weights are for other channels or another size.
    """
    unknown = [view for view in tta if view not in FLIPS]
    if unknown or not tta:
        raise InputError(
            f"tta: {', '.join(map(repr, unknown)) or 'an empty list'} cannot be used. "
            f"There are {', '.join(FLIPS)}."
        )
    chosen = runtime.prepare(cpu_threads, device)
    module, metadata = load_model(weights)
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
    predictor = Predictor(module, attrs, tta, chosen)
    table = store.table(channels, ids)[["id"]]
    classes = metadata["mask_channels"]
    # Whether there is a label head, a blank image tells; there may be no other.
    _, probe = predictor(np.zeros((1, *attrs["size"], len(attrs["names"])), np.uint8))
    with store.Writer(out, table, {"tta": list(tta), "key": metadata["key"]}) as writer:
        writer.create("prob", source if classes == 1 else (*source, classes), "uint8")
        if probe is not None:
            writer.create("label_prob", probe.shape[1:], "float32")
        for rows, x in store.blocks(channels, "x", ids, batch_size):
            prob, labels = predictor(x)
            writer.put("prob", rows.start, prob[..., 0] if classes == 1 else prob)
            if labels is not None:
                writer.put("label_prob", rows.start, labels)


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
    """

    def __init__(
        self,
        module: torch.nn.Module,
        attrs: dict,
        tta: Sequence[str],
        device: torch.device,
    ) -> None:
        self.module = module.eval().to(device)
        if device.type == "cuda":
            self.module = self.module.to(memory_format=torch.channels_last)
        self.fit = Fit(attrs["fit"], tuple(attrs["source"]), tuple(attrs["size"]))
        self.normalise = runtime.Normaliser(attrs["scale"], attrs["offset"], device)
        self.views = [FLIPS[name] for name in tta]

    @torch.inference_mode()
    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict one batch.

        Parameters
        ----------
        x
            (N,H,W,C) u8 at network size.

        Returns
        -------
        prob, labels
            (N,h,w,K) u8 at storage size; (N,L) f32, None without a label head.
        """
        batch = self.normalise(torch.from_numpy(x))
        masks: list[torch.Tensor] = []
        labels: list[torch.Tensor] = []
        for axes in self.views:
            outputs = self.module(batch.flip(axes) if axes else batch)
            mask = torch.sigmoid(outputs["mask"].float())
            masks.append(mask.flip(axes) if axes else mask)
            if "label" in outputs:
                labels.append(torch.sigmoid(outputs["label"].float()))
        mean = torch.stack(masks).mean(0).permute(0, 2, 3, 1).cpu().numpy()
        prob = np.rint(self.fit.undo(mean) * 255).astype(np.uint8)
        return prob, torch.stack(labels).mean(0).cpu().numpy() if labels else None
