"""Rules of the section `data`: which files, how they are read, at which size they are stored."""

from collections.abc import Iterator

from foldbelt.init import scale
from foldbelt.init.facts import Facts
from foldbelt.init.table import Choice, Chosen, rule

_COLOURED = 0.1  # share of coloured images above which colour is kept


@rule("competition", "the files' names; `foldbelt.init.layout`")
def layout(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """The reader is that of the competition whose tables and folders there are, else `folder`."""
    numbers = f"{facts.train} training images, {facts.test} test images"
    yield Choice("competition", facts.competition, f"{facts.layout.why}; {numbers}")
    yield Choice("data.path", facts.path)


@rule(
    "data.classes, ignore, cut, colours, masks, boxes, label, bands, range",
    "values met in the masks, headers of tables; conventions of PASCAL VOC (255 is unlabelled)",
)
def contents(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Every value or colour met in the masks is a class; 127 between 0 and 255, and 255 above 1, 2,
    … n, is unlabelled; more than 32 values are numbered objects, or soft edges where at least half
    of their pixels have the highest and few of the others are amid their like. Without masks/,
    boxes or a column of labels are learnt. Of more than 8 bits, black and white are the percentiles
    0.1 and 99.9 of the training images."""
    for setting in facts.layout.settings:
        yield Choice(f"data.{setting.key}", setting.value, setting.reason, setting.asks)


@rule(
    "data.image_mode",
    "measured: how far objects and background lie apart in colour and in brightness",
)
def colour(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Images are kept in colour where at least a tenth of them show any, else in grey."""
    if not facts.told("COLOUR", False) or facts.bands != 3:
        return
    share = f"{facts.coloured:.0%} of {facts.looked} images show colours"
    if facts.coloured < _COLOURED:
        yield Choice("data.image_mode", "grey", share, "rgb where the colour of those few matters")
        return
    apart = ""
    if facts.colour_gain == facts.colour_gain:  # not NaN
        apart = (
            f"; objects differ from their background by {facts.colour_gain:.1f} standard "
            "deviations "
            f"in colour, {facts.grey_gain:.1f} in brightness"
        )
    yield Choice("data.image_mode", "rgb", share + apart)


@rule("data.size", "nnU-Net keeps the median spacing; here memory and time bound it")
def storage(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Images that differ in size, or that the network sees smaller, are stored at the network's
    size; masks are scored and written at the size of the originals. Else they are stored as they
    are."""
    if facts.told("ONE_SIZE", False):
        return
    made = scale.of(facts)
    if not facts.mixed and made.factor == 1:
        return
    low, high = _range(facts)
    reason = f"images are {high}"
    if facts.mixed:
        reason = f"images are {low} to {high}, {facts.height}×{facts.width} in the median"
    yield Choice("data.size", list(made.size), f"{reason}; {made.reason}")


@rule("data.series", "names; `foldbelt.init.groups`")
def series(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """A run of the parts of names is a group where images of one such group are more alike than
    images of two in at least 70 % of the pairs, there are at least 5 groups, and none holds more
    than 40 % of the images. Runs that part it further are joined where images across them are as
    clearly alike (sessions of a patient)."""
    if facts.grouping is not None and facts.grouping.pattern:
        asks = (
            "is it what images have in common (patient, place, day)? if not, leave it and "
            "folds.base.group out"
        )
        yield Choice("data.series", facts.grouping.pattern, facts.grouping.reason, asks)


def _range(facts: Facts) -> tuple[str, str]:
    areas = facts.heights * facts.widths
    low, high = int(areas.argmin()), int(areas.argmax())
    return (
        f"{facts.heights[low]}×{facts.widths[low]}",
        f"{facts.heights[high]}×{facts.widths[high]}",
    )
