"""Overlays of a folder's images, one at a time: each is decoded anew, so memory stays bounded."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from foldbelt.bundle.answers import Final
from foldbelt.bundle.journal import Record
from foldbelt.bundle.manifest import decision_entry
from foldbelt.bundle.overlays import Shown, draw
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.competitions import Item
from foldbelt.files import atomic
from foldbelt.rle import decode

FOLDER = "overlays"


def path_of(target: Path, name: str) -> Path:
    """Give the file of an image's overlay."""
    return target / FOLDER / f"{name}.jpg"


def draw_all(
    pipeline: Pipeline,
    items: Mapping[str, Item],
    source: Path,
    target: Path,
    records: Iterator[Record],
    final: Final,
) -> None:
    """Draw the overlays that are not there.

    Where labels are of units of images, all are drawn: another image may have changed them.

    Parameters
    ----------
    pipeline
        The bundle, which says how images are decoded.
    items
        Id → image.
    source, target
        Folders of the images, and of what is predicted.
    records
        What was predicted of each image, in the order of `final`.
    final
        Labels and boxes of all images.
    """
    listing = pipeline.listing(source)
    labels, boxes = final.labels(), final.boxes()
    has = None
    if labels is not None:
        from foldbelt.bundle.finishing import decided  # which masks alone do not need

        decision = pipeline.bundle.decisions[decision_entry("labels")]
        has = decided(labels, decision, pipeline.labels)
    for place, record in enumerate(records):
        out = path_of(target, record.id)
        if out.is_file() and not pipeline.levels:
            continue
        prob = [] if labels is None else labels[place].tolist()
        shown = Shown(
            record.size,
            (decode(runs, record.size) for runs in record.runs),
            pipeline.classes,
            None if boxes is None else boxes.image(place),
            pipeline.boxes,
            dict(zip(pipeline.labels, prob, strict=True)),
            None if has is None else _named(pipeline.labels, has[place]),
        )
        data = draw(pipeline.reader.read(items[record.id], listing).image, shown)
        with atomic(out) as temporary:
            temporary.write_bytes(data)


def _named(names: Sequence[str], has: np.ndarray) -> list[str]:
    return [name for name, there in zip(names, has, strict=True) if there]
