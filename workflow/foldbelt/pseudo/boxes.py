"""Boxes as pseudo-labels: those of all models fused with equal weights, the sure ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.boxes.fusion import weighted_boxes_fusion
from foldbelt.files import PathLike

IOU = 0.55
"""Above it boxes of several models are of one object (Solovyev et al. 2021)."""


def confidence(
    predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]
) -> np.ndarray:
    """Give the share of the boxes of each image that are confident, (N,) float64.

    What is surely no object does not count, for there are any number of such boxes, and a hundred
    of them would outvote an object that is not sure; an image of which nobody sees anything else is
    wholly confident.
    """
    boxes = _fused(predictions, ids)
    boxes = boxes.keep(boxes.scores >= settings["low"])
    counts = np.diff(boxes.start)
    hits = np.bincount(boxes.of(), boxes.scores > settings["high"], minlength=len(boxes))
    share: np.ndarray = np.divide(hits, counts, out=np.ones(len(boxes)), where=counts > 0)
    return share


def columns(
    predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Give what the table of images says of them: how many boxes each has, and in what size."""
    path = next(path for path in predictions if store.has(path, "boxes"))
    sizes = store.original_sizes(path, ids.tolist())
    counts = np.diff(_sure(predictions, ids, settings).start)
    return {"boxes": counts, "height": sizes[:, 0], "width": sizes[:, 1]}


def create(file: store.Writer, predictions: Sequence[PathLike]) -> None:
    """Lay out the boxes."""
    file.create("boxes", (), store.BYTES)


def put(
    file: store.Writer,
    predictions: Sequence[PathLike],
    ids: np.ndarray,
    settings: Mapping[str, Any],
) -> None:
    """Write the boxes of some images whose score is at least `box_score`."""
    file.put("boxes", 0, _sure(predictions, ids, settings).to_bytes())


def _sure(predictions: Sequence[PathLike], ids: np.ndarray, settings: Mapping[str, Any]) -> Boxes:
    boxes = _fused(predictions, ids)
    return boxes.keep(boxes.scores >= settings["box_score"])


def _fused(predictions: Sequence[PathLike], ids: np.ndarray) -> Boxes:
    """Fuse the boxes of the files that hold any."""
    paths = [path for path in predictions if store.has(path, "boxes")]
    members = [Boxes.from_bytes(store.read(path, "boxes", ids.tolist())) for path in paths]
    return (
        members[0]
        if len(members) == 1
        else weighted_boxes_fusion(members, [1.0] * len(members), IOU)
    )
