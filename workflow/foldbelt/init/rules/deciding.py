"""Rules of prediction and decision: views, windows, and the grid of the search."""

from collections.abc import Iterator

import numpy as np

from foldbelt.init import scale
from foldbelt.init.facts import Facts
from foldbelt.init.table import Choice, Chosen, rule

WHOLE = 1024**2
"""Pixels up to which an image is predicted whole."""
RARE = 0.05
"""Share of the pixels of a class below which thresholds begin lower."""

ABSENT = 0.5
"""Share of the images that show a class below which gates go on towards 1."""
GATES = [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]


@rule(
    "predict.tta, windows",
    "nnU-Net: mirrored views, half-overlapping windows; our steel benchmarks: whole "
    "images where they fit",
)
def predict(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Every image is predicted as it is and mirrored. Where crops were trained on and an image has
    more than 1024² pixels at the network's size, it is predicted in windows of twice the crop."""
    yield Choice(
        "predict.tta",
        ["none", "hflip"],
        "as the augmentation allows",
        "with VerticalFlip, add vflip",
    )
    made = scale.of(facts)
    pixels = made.input[0] * made.input[1]
    if made.crop is None:
        return
    shape = f"{made.input[0]}×{made.input[1]} pixels"
    if pixels > WHOLE:
        size = [min(2 * made.crop, length) for length in made.input]
        yield Choice(
            "predict.windows", {"size": size, "overlap": 0.25}, f"{shape} are much for one pass"
        )
        yield Choice("predict.batch_size", 4, "windows are large")
    else:
        yield Choice("predict.windows", None, f"{shape} fit whole, and see more than a crop")
        yield Choice("predict.batch_size", 8, "images are large")


@rule(
    "decision.space",
    "measured: sizes of the objects; our ablations: a grid that ends too early costs "
    "more than it saves",
)
def space(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Thresholds from 0.2 to 0.8, from 0.05 to 0.9 where a class covers less than 5 % of the
    pixels. Smallest areas: none, and 1/4 to 4 times the area than which one mask in ten is
    smaller. Where masks have several parts, small ones are removed: up to half the area than which
    one part in ten is smaller. Where fewer than half of the images show a class, gates go up to
    0.99, so that a mask may be wide, and yet only a sure one is kept."""
    if facts.kind != "masks":
        return
    rare = facts.share < RARE
    thresholds = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    if not rare:
        thresholds = [0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8]
    yield Choice(
        "decision.space.threshold",
        thresholds,
        f"the rarest class covers {facts.share:.2%} of the pixels",
    )
    if not len(facts.areas):
        return
    least = float(np.quantile(facts.areas, 0.1))
    areas = sorted({0, *(_rounded(least * part) for part in (0.25, 0.5, 1, 2, 4))})
    yield Choice(
        "decision.space.min_area", areas, f"one mask in ten has fewer than {least:.0f} pixels"
    )
    if facts.parts > 1 and len(facts.sides):
        small = float(np.quantile(facts.sides, 0.1)) ** 2
        sizes = sorted({0, _rounded(small / 4), _rounded(small / 2)})
        yield Choice(
            "decision.space.min_component",
            sizes,
            f"{facts.parts:g} parts a mask; one in ten has fewer than {small:.0f} pixels",
        )
    rarest = float(facts.present.min(initial=1))
    if rarest < ABSENT:
        yield Choice(
            "decision.space.gate",
            GATES,
            f"{rarest:.0%} of the images show {'it' if len(facts.classes) < 2 else 'the rarest'}; "
            "a false mask on the others costs a whole image",
        )


def _rounded(area: float) -> int:
    """Round to two digits.

    Examples
    --------
    >>> _rounded(1234), _rounded(7.6)
    (1200, 8)
    """
    return round(float(f"{area:.2g}"))
