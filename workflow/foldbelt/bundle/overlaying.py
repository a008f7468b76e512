"""Overlays of a folder's images, one at a time: each is decoded anew, so memory stays bounded."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from foldbelt.bundle.answers import Final
from foldbelt.bundle.overlays import Shown, draw
from foldbelt.bundle.pipeline import Pipeline
from foldbelt.bundle.places import overlay_of
from foldbelt.bundle.products import decided_names
from foldbelt.bundle.records import Record
from foldbelt.competitions import Item, Reader
from foldbelt.files import atomic
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.rle import decode


def draw_all(
    pipeline: Pipeline,
    reader: Reader,
    items: Mapping[str, Item],
    source: Path,
    target: Path,
    records: Iterator[Record],
    final: Final,
) -> Iterator[Finding | bool]:
    """Draw the overlays that are not there.

    Where labels are of units of images, all are drawn: another image may have changed them.

    Parameters
    ----------
    pipeline
        The bundle, which says how images are decoded.
    reader
        What decodes them.
    items
        Id → image.
    source, target
        Folders of the images, and of what is predicted.
    records
        What was predicted of each image, in the order of `final`.
    final
        Labels and boxes of all images.

    Yields
    ------
    Finding or bool
        For every image: why it cannot be read any more, or whether it is drawn now.
    """
    listing = pipeline.listing(source)
    labels, boxes = final.labels(), final.boxes()
    has = decided_names(pipeline, final)
    for place, record in enumerate(records):
        out = overlay_of(target, record.id)
        if out.is_file() and not pipeline.levels:
            yield False
            continue
        try:
            image = reader.read(items[record.id], listing).image
        except UnusableImage as error:
            first = error.findings[0]
            yield replace(first, reason=f"{first.reason}: its overlay is not drawn")
            continue
        prob = [] if labels is None else labels[place].tolist()
        shown = Shown(
            record.size,
            (decode(runs, record.size) for runs in record.runs),
            pipeline.classes,
            None if boxes is None else boxes.image(place),
            pipeline.boxes,
            dict(zip(pipeline.labels, prob, strict=True)),
            None if has is None else has[place],
        )
        with atomic(out) as temporary:
            temporary.write_bytes(draw(image, shown))
        yield True
