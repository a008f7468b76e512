"""Rules of the section `channels`: what the network sees."""

from collections.abc import Iterator

from foldbelt.init import scale
from foldbelt.init.facts import Facts
from foldbelt.init.table import Choice, Chosen, rule


@rule(
    "channels.base",
    "nnU-Net: whitened per channel; resolution by the objects; our steel recipe: crops "
    "of full images",
)
def channels(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """The network's input has about 256² pixels on a CPU, less where 30 epochs would not fit, and
    512² on a GPU. Whole images are made so small if the largest object of nine masks in ten keeps a
    side of 4 pixels; else they keep the size at which that side is 12 pixels, and crops are trained
    on."""
    made = scale.of(facts)
    yield Choice(
        "channels.base.use", ["image"], f"{facts.stored or 'images'}, {facts.bands} band(s)"
    )
    one = facts.told("ONE_SIZE", False) and made.factor < 1
    resized = facts.mixed or made.factor < 1
    mode = "resize" if resized else "pad-reflect"
    height, width = made.input
    yield Choice("channels.base.size", [height, width] if height != width else height, made.reason)
    how = "all are brought to one size" if facts.mixed else "made smaller" if one else ""
    how = how or (
        "stored at this size"
        if resized
        else f"{facts.height}×{facts.width} padded to multiples of {scale.STEP}"
    )
    yield Choice("channels.base.resize_mode", mode, how)
