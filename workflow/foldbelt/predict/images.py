"""Probabilities of a trained model for images, with flips and scales at test time, in blocks.

Images are predicted whole, or in overlapping windows (:mod:`foldbelt.predict.windows`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch

from foldbelt import label_groups, runtime, store
from foldbelt.channels._resizing import centre
from foldbelt.files import InputError, PathLike
from foldbelt.models._saved import load_model
from foldbelt.predict.overlapping import overlapped
from foldbelt.predict.predictor import VIEWS, Averaged, Predictor, sizes_at
from foldbelt.predict.windows import Windows


def run(
    *,
    channels: PathLike,
    data: PathLike,
    ids: Sequence[str] | None,
    weights: str,
    tta: Sequence[str],
    batch_size: int,
    out: PathLike,
    cpu_threads: int,
    device: str | None = None,
    scales: Sequence[float] = (1,),
    snapshot: int | None = None,
    windows: Mapping[str, Any] | None = None,
    load: Callable[[str, int | None], tuple[torch.nn.Module, dict[str, Any]]] = load_model,
) -> None:
    """Predict images and write their probabilities at storage size.

    Every view is predicted at every scale. The mean over them is taken of probabilities, brought
    back to storage size in floating point, and only then rounded to u8. Memory is bounded by a few
    blocks, whatever the number of images: while one is predicted, the next is read and the last is
    rounded and written. Weights that were trained in bfloat16 predict in it on the same kind of
    device, as they were validated. A model whose metadata says ``"masks": false`` gives only
    label probabilities, or boxes.

    Parameters
    ----------
    channels, data
        Channels and ingested data of the images.
    ids
        Which images, in this order; None for all.
    weights
        A file that training has written; it holds the architecture, too.
    tta
        Views to average: names in `foldbelt.predict.predictor.VIEWS`.
    batch_size
        Images at a time.
    out
        The file to write: `id`, `prob` u8 (N,h,w) or (N,h,w,K) if the model predicts masks,
        `label_prob` f32 (N,L) if it has a label head, and `boxes`, as `foldbelt.boxes` packs them
        at original size, with the columns height and width of that, if it predicts boxes. Labels
        that do not say what masks hold are in `labels` instead, so that nothing takes them for a
        gate of the masks: all those of the data, NaN where the model does not predict them. Its
        attribute `made_on` lists what trained and what predicted.
    cpu_threads
        Compute threads.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    scales
        Sizes of the network's input, as factors of its size in training.
    snapshot
        Number of a snapshot of a cyclic schedule, from 1; None for the final weights.
    windows
        The config's ``predict.windows``: size and overlap of windows, the same at every scale; None
        for whole images.
    load
        What gives the network of `weights` and its metadata; who predicts many times keeps them.

    Raises
    ------
    InputError
        If a view is unknown, two scales give the same size, there is no such snapshot, the weights
        are for other channels or another size, or the model predicts nothing.
    """
    chosen = runtime.prepare(cpu_threads, device)
    module, metadata = load(weights, snapshot)
    attrs = store.attrs(channels)
    _check(tta, weights, metadata, channels, attrs, data)
    predictor = Predictor(
        module,
        attrs,
        tta,
        chosen,
        sizes_at(attrs["size"], scales),
        Windows.of(windows),
        metadata.get("masks", True),
        runtime.halved(metadata.get("amp", False), chosen),
    )

    def read(block: tuple[slice, np.ndarray]) -> tuple[slice, torch.Tensor]:
        rows, x = block
        images = torch.from_numpy(np.ascontiguousarray(centre(x, attrs["size"])))
        return rows, images.pin_memory() if chosen.type == "cuda" else images

    # The first block shows what there is to be written; without images a blank one does.
    blocks = map(read, store.blocks(channels, "x", ids, batch_size))
    first = next(blocks, None)
    blank = torch.zeros((1, *attrs["size"], len(attrs["names"])), dtype=torch.uint8)
    shown = predictor.average(blank if first is None else first[1])
    if not predictor.masks and shown.labels is None and shown.boxes is None:
        raise InputError(
            f"{weights}: this model predicts neither masks nor labels nor boxes. Train it again."
        )

    def compute(block: tuple[slice, torch.Tensor]) -> tuple[slice, Averaged]:
        return block[0], shown if block is first else predictor.average(block[1])

    product = _Product(predictor, metadata, shown, store.read(channels, "id", ids), data)
    settings: dict[str, Any] = {"tta": list(tta), "key": metadata["key"]}
    settings |= {"made_on": [*metadata.get("made_on", []), runtime.made_on(chosen)]}
    settings |= {} if list(scales) == [1] else {"scales": list(scales)}
    settings |= {} if snapshot is None else {"snapshot": snapshot}
    settings |= {} if windows is None else {"windows": dict(windows)}
    with store.Writer(out, product.table, settings | product.attrs) as writer:
        product.create(writer)
        put = partial(product.put, writer)
        overlapped(chain([] if first is None else [first], blocks), compute, put)


def _check(
    tta: Sequence[str],
    weights: str,
    metadata: Mapping[str, Any],
    channels: PathLike,
    attrs: Mapping[str, Any],
    data: PathLike,
) -> None:
    """Refuse unknown views, and channels that are not those of the weights or the data."""
    unknown = [view for view in tta if view not in VIEWS]
    if unknown or not tta:
        raise InputError(
            f"predict.tta: {', '.join(map(repr, unknown)) or 'an empty list'} cannot be used. "
            f"Choose from {', '.join(VIEWS)}."
        )
    for name in ("names", "size"):
        trained = metadata["channels" if name == "names" else name]
        if attrs[name] != trained:
            raise InputError(
                f"{weights} was trained on {name} {trained}, but {channels} has {attrs[name]}. "
                "Delete the one that is out of date."
            )
    source = tuple(attrs["source"])
    if store.length(data) and store.stored_size(data) != source:
        raise InputError(f"{channels} was made from images of {source}; {data} holds another size.")


class _Product:
    """What a network predicts, as it is written.

    Parameters
    ----------
    predictor, metadata
        The network, and what its weights file says of it.
    shown
        What it predicts of any image.
    ids
        Of the images.
    data
        The images.

    Attributes
    ----------
    table, attrs
        Columns and attributes of the file.
    """

    def __init__(
        self,
        predictor: Predictor,
        metadata: Mapping[str, Any],
        shown: Averaged,
        ids: np.ndarray,
        data: PathLike,
    ) -> None:
        self.predictor, self.classes = predictor, int(metadata["mask_channels"])
        self.table: dict[str, np.ndarray] = {"id": ids}
        self.attrs: dict[str, Any] = {}
        self.masks = predictor.masks
        self.labels = "labels" if "label_names" in metadata else "label_prob"
        self.among: _Columns | None = None
        self.count = 0  # of labels
        self.boxes = shown.boxes is not None
        if shown.labels is not None:
            self.count = shown.labels.shape[1]
            if self.labels == "labels":
                self.among = _Columns(metadata)
                self.attrs |= self.among.attrs
                self.count = len(self.among.names)
        if self.boxes:
            self.attrs["box_names"] = metadata["box_names"]
            self.sizes = store.original_sizes(data, ids.tolist())
            self.table |= {"height": self.sizes[:, 0], "width": self.sizes[:, 1]}

    def create(self, writer: store.Writer) -> None:
        """Lay out the file."""
        if self.masks:
            height, width = self.predictor.resizer.source
            planes = () if self.classes == 1 else (self.classes,)
            writer.create("prob", (height, width, *planes), "uint8")
        if self.count:
            writer.create(self.labels, (self.count,), "float32")
        if self.boxes:
            writer.create("boxes", (), store.BYTES)

    def put(self, writer: store.Writer, block: tuple[slice, Averaged]) -> None:
        """Write a block of images."""
        rows, given = block[0], self.predictor.finish(block[1])
        if self.masks and given.masks is not None:
            prob = given.masks
            writer.put("prob", rows.start, prob[..., 0] if self.classes == 1 else prob)
        if given.labels is not None:
            values = given.labels if self.among is None else self.among.spread(given.labels)
            writer.put(self.labels, rows.start, values)
        if given.boxes is not None:
            kind, resizer = self.predictor.kind, self.predictor.resizer
            placed = kind.at_original(given.boxes, resizer, self.sizes[rows])
            writer.put("boxes", rows.start, placed.to_bytes())


class _Columns:
    """Where a model's labels stand among all those of the data.

    Parameters
    ----------
    metadata
        Of its weights file.

    Attributes
    ----------
    names
        Of all labels.
    attrs
        What the file of predictions says of them.
    """

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.names: list[str] = metadata["label_names"]
        groups = label_groups.groups_of(metadata)
        self.attrs = {"label_names": self.names, **label_groups.told(self.names, groups)}
        chosen = metadata.get("labels", self.names)
        self.places = [self.names.index(name) for name in chosen]

    def spread(self, predicted: np.ndarray) -> np.ndarray:
        """Bring what is predicted, (N,L') f32, to all labels, (N,L) f32 with NaN elsewhere."""
        whole = np.full((len(predicted), len(self.names)), np.nan, np.float32)
        whole[:, self.places] = predicted
        return whole
