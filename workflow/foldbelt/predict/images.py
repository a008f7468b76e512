"""Probabilities of a trained model for images, with flips and scales at test time, in blocks.

Images are predicted whole, or in overlapping windows (:mod:`foldbelt.predict.windows`).
"""

from collections.abc import Callable, Mapping, Sequence
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
    unknown = [view for view in tta if view not in VIEWS]
    if unknown or not tta:
        raise InputError(
            f"predict.tta: {', '.join(map(repr, unknown)) or 'an empty list'} cannot be used. "
            f"Choose from {', '.join(VIEWS)}."
        )
    chosen = runtime.prepare(cpu_threads, device)
    module, metadata = load(weights, snapshot)
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
    classes, masks = metadata["mask_channels"], metadata.get("masks", True)
    bfloat16 = runtime.halved(metadata.get("amp", False), chosen)
    predictor = Predictor(module, attrs, tta, chosen, sizes, Windows.of(windows), masks, bfloat16)
    table = {"id": store.read(channels, "id", ids)}
    # A blank image shows what there is, even if there are no images.
    probe = predictor(np.zeros((1, *attrs["size"], len(attrs["names"])), np.uint8))
    labels = "labels" if "label_names" in metadata else "label_prob"
    settings: dict[str, Any] = {"tta": list(tta), "key": metadata["key"]}
    settings |= {"made_on": [*metadata.get("made_on", []), runtime.made_on(chosen)]}
    settings |= {} if list(scales) == [1] else {"scales": list(scales)}
    settings |= {} if snapshot is None else {"snapshot": snapshot}
    settings |= {} if windows is None else {"windows": dict(windows)}
    if not masks and probe.labels is None and probe.boxes is None:
        raise InputError(
            f"{weights}: this model predicts neither masks nor labels nor boxes. Train it again."
        )
    among: _Columns | None = None
    if probe.labels is not None and labels == "labels":
        among = _Columns(metadata)
        settings |= among.attrs
    if probe.boxes is not None:
        settings["box_names"] = metadata["box_names"]
        sizes_of = store.original_sizes(data, table["id"].tolist())
        table |= {"height": sizes_of[:, 0], "width": sizes_of[:, 1]}
    with store.Writer(out, table, settings) as writer:
        if masks:
            writer.create("prob", source if classes == 1 else (*source, classes), "uint8")
        if probe.labels is not None:
            count = probe.labels.shape[1] if among is None else len(among.names)
            writer.create(labels, (count,), "float32")
        if probe.boxes is not None:
            writer.create("boxes", (), store.BYTES)

        def read(block: tuple[slice, np.ndarray]) -> tuple[slice, torch.Tensor]:
            rows, x = block
            images = torch.from_numpy(np.ascontiguousarray(centre(x, attrs["size"])))
            return rows, images.pin_memory() if chosen.type == "cuda" else images

        def compute(block: tuple[slice, torch.Tensor]) -> tuple[slice, Averaged]:
            rows, images = block
            return rows, predictor.average(images)

        def write(block: tuple[slice, Averaged]) -> None:
            rows, given = block[0], predictor.finish(block[1])
            if masks and given.masks is not None:
                prob = given.masks
                writer.put("prob", rows.start, prob[..., 0] if classes == 1 else prob)
            if given.labels is not None:
                values = given.labels if among is None else among.spread(given.labels)
                writer.put(labels, rows.start, values)
            if given.boxes is not None:
                placed = predictor.kind.at_original(given.boxes, predictor.resizer, sizes_of[rows])
                writer.put("boxes", rows.start, placed.to_bytes())

        blocks = map(read, store.blocks(channels, "x", ids, batch_size))
        overlapped(blocks, compute, write)


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
