"""Rules of the one stage, `stages.base`: loss, sampling, crops, length, augmentation."""

import math
from collections.abc import Iterator
from typing import Any

from foldbelt.init import scale
from foldbelt.init.facts import Facts
from foldbelt.init.table import Choice, Chosen, Item, rule

MANY = 4
"""Classes from which on, if no pixel is of two, they are one choice."""
RARE_IMAGES = 0.35
"""Share of images with a mask below which they are drawn more often."""
UNLIKE = 4.0
"""How many times rarer a class may be than another before it is drawn as often."""
COLOUR = 0.5
"""Standard deviations between object and background from which on colour matters."""
LADDER = (
    10, 11, 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 45, 50, 56, 63, 71, 80, 90,
    100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630,
)  # fmt: skip
"""Epochs to choose from, an eighth apart or so (after Renard's R20): so that a slightly faster
machine mostly writes the same recipe."""
LEAST = 200
"""Steps of a training below which it has learnt little, whatever the time."""
SAMPLES = 100_000
"""Images that one training sees at most."""
FORWARD = 3.0
"""How many times longer a step of training takes than a prediction, a pixel."""
VALIDATING = 0.05
"""Share of a training's time that validation may take."""


def exclusive(facts: Facts) -> bool:
    """Tell whether classes are one choice a pixel."""
    return len(facts.classes) >= MANY and not facts.overlap


@rule(
    "stages.base.loss",
    "nnU-Net: Dice and cross-entropy together; smp and V-Net: Dice on images that have the object",
)
def loss(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Masks: binary cross-entropy and Dice, half and half; where at least one image in twenty has
    no mask, Dice of the others alone, for on an empty mask it pushes everything to zero. Four or
    more classes of which no pixel has two: cross-entropy in place of the binary one. Labels:
    cross-entropy. Boxes: the detector's own."""
    if facts.kind == "boxes":
        yield Choice("stages.base.loss", {"box": 1}, "focal loss, GIoU and centreness")
    elif facts.kind == "labels":
        of = "the labels exclude each other"
        yield Choice("stages.base.loss", {"label": {"cross_entropy": 1}}, of)
    else:
        first = "cross_entropy" if exclusive(facts) else "bce"
        empty = 1 - facts.positive
        skip = empty >= 0.05 or len(facts.classes) > 1
        dice = {"weight": 0.5, "empty": "skip"} if skip else 0.5
        reason = f"{empty:.0%} of the images have no mask"
        if len(facts.classes) > 1:
            least = float(facts.present.min())
            reason += f", the rarest of {len(facts.classes)} classes is shown by {least:.0%}"
        if first == "cross_entropy":
            reason += "; no pixel is of two classes"
        yield Choice("stages.base.loss", {first: 0.5, "dice": dice}, reason)


@rule(
    "stages.base.crop",
    "our steel recipe (first place of Severstal); nnU-Net: a third of the patches hold foreground",
)
def crop(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Where crops are trained on (see `channels.base`), half of those of an image with a mask hold
    a pixel of it."""
    made = scale.of(facts)
    if made.crop is not None:
        height, width = (min(made.crop, length) for length in made.input)
        size = height if height == width else [height, width]
        reason = (
            f"masks cover {facts.coverage.sum():.2%} of the pixels: most crops at random "
            "would be empty"
        )
        yield Choice("stages.base.crop", {"size": size, "positive": 0.5}, reason)


@rule(
    "stages.base.sampler", "nnU-Net's oversampling of foreground; our steel recipe balances classes"
)
def sampler(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Where fewer than 35 % of the images have a mask, half of an epoch's have one; where one class
    is shown four times less often than another, all are drawn as often."""
    if facts.kind != "masks":
        return
    met = facts.present[facts.present > 0]
    unlike = len(met) > 1 and bool(met.max() > UNLIKE * met.min())
    if facts.positive >= RARE_IMAGES and not unlike:
        return
    made: dict[str, object] = {"name": "balanced", "share": 0.5 if facts.positive < 0.5 else 0.8}
    reason = f"{facts.positive:.0%} of the images have a mask"
    if unlike:
        made["classes"] = True
        reason += f"; the classes are shown by {met.min():.1%} to {met.max():.1%} of the images"
    yield Choice("stages.base.sampler", made, reason)


@rule("stages.base.batch_size", "nnU-Net: small batches of large patches; Masters & Luschi 2018")
def batch(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """8 on a CPU, 16 on a GPU; 4 where an epoch would have fewer than five steps."""
    folds = int(chosen["folds.base.count"])
    seen = max(facts.train * (folds - 1) // folds, 1)
    size = 16 if facts.machine.gpus else 8
    reason = f"{seen // size} steps an epoch"
    if seen < 5 * size:
        size = 4
        reason = f"{seen} images to train on: {max(seen // size, 1)} steps an epoch"
    yield Choice("stages.base.batch_size", size, reason)


@rule("stages.base.epochs", "measured: trial steps on this machine; `foldbelt.init.trial`")
def epochs(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """As many as fit, by trial steps on this machine, into 85 % of the time given less 60 seconds,
    or into half of the time given if that is more (of that, a third for each of the three models of
    radiographs). Rounded down by at most a seventh (10, 11, 12, 14 … 630). No more than 100 000
    images a training; and, whatever time it takes, no fewer than 10 epochs and 200 steps."""
    machine, folds = facts.machine, int(chosen["folds.base.count"])
    seen = max(facts.train * (folds - 1) // folds, 1)
    seconds = machine.image_seconds
    told = "measured by trial steps"
    if seconds is None:
        fitting = scale.epochs(facts, scale.of(facts), folds)
        told = "estimated"
    else:
        turns = -(-folds // machine.jobs)  # trainings that follow each other
        models = 1 + len(facts.told("MODELS", ()))
        fitting = scale.training(machine.hours) / (models * turns * seen * seconds)
    bounded = min(fitting, SAMPLES / seen)
    steps = max(seen // int(chosen["stages.base.batch_size"]), 1)
    least = next(number for number in LADDER if number * steps >= LEAST or number == LADDER[-1])
    number = max([least, *(number for number in LADDER if number <= bounded)])
    where = f"{machine.gpus} GPU(s)" if machine.gpus else f"{machine.cores} core(s)"
    speed = 0.0 if seconds is None else float(f"{1 / seconds:.2g}")
    rate = f", {speed:g} images a second" if speed else ""
    reason = (
        f"{seen} images an epoch, {told}{rate}: {fitting:.0f} epochs fit into "
        f"{machine.hours:g} h with {folds} folds on {where}"
    )
    if fitting < least:
        reason += f"; fewer than {LEAST} steps learn little, so that this takes longer"
    elif bounded < fitting:
        reason += f"; more than {SAMPLES} images a training seldom pay"
    yield Choice("stages.base.epochs", number, reason)


@rule(
    "stages.base.optimizer, schedule, ema, validate_every",
    "our demo and ablations (docs/benchmarks.md); AdamW: Loshchilov & Hutter 2019",
)
def optimiser(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """AdamW, 0.001, or 0.002 for the smallest encoder from scratch; a cosine after one epoch of
    warm-up; a moving average of the weights over about 100 steps, or 20 where an epoch has fewer
    than 50. Validation every five epochs; less often where it would take more than 5 % of the time,
    as whole images do beside crops, but three times in all."""
    made = scale.of(facts).encoder
    small = not facts.machine.gpus and facts.kind == "masks" and made == scale.SMALLEST
    rate = scale.ENCODERS[made].rate if small else 0.001
    reason = "of a small network from scratch" if small else "of an encoder"
    yield Choice("stages.base.optimizer", {"name": "adamw", "lr": rate}, reason)
    yield Choice(
        "stages.base.schedule",
        {"name": "cosine", "warmup": 1},
        "falls to the end, whatever the number of epochs",
    )
    steps = facts.train // int(chosen["stages.base.batch_size"])
    yield Choice("stages.base.ema", 0.99 if steps >= 50 else 0.95, f"about {steps} steps an epoch")
    yield _validations(facts, chosen)


def _validations(facts: Facts, chosen: Chosen) -> Choice:
    """Say how often to validate: on whole images, while crops may be trained on."""
    made, reason = scale.of(facts), "validating decides nothing here, and costs time"
    folds, epochs = int(chosen["folds.base.count"]), int(chosen["stages.base.epochs"])
    share = made.input[0] * made.input[1] / made.pixels / FORWARD / (folds - 1)  # of an epoch
    every = max(5, min(math.ceil(share / VALIDATING), epochs // 3))
    if every > 5:
        reason += f": as much as {share:.1f} epochs, for it sees whole images"
    return Choice("stages.base.validate_every", every, reason)


@rule("stages.base.amp", "measured: benchmarks/training.py")
def precision(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Networks of masks compute in bfloat16 on a CPU, too, where it multiplies such numbers
    itself."""
    if facts.machine.gpus or facts.kind != "masks" or not facts.machine.bfloat16:
        return  # a GPU does so by default
    asks = "on a machine whose CPU lacks it (/proc/cpuinfo) take this out: slow there"
    yield Choice(
        "stages.base.amp", "everywhere", "the CPU has bfloat16: nearly twice as fast", asks
    )


@rule(
    "stages.base.augment",
    "nnU-Net's mirroring, scaling, rotation and brightness; what data cannot say is asked",
)
def augment(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Left and right may be exchanged, small turns and scalings are allowed, brightness varies;
    less so where objects differ by colour, and without scaling down where they are tiny. Upside
    down, quarter turns and other hues are proposed in comments."""
    coloured = chosen.get("data.image_mode") == "rgb"
    matters = coloured and facts.colour_gain > COLOUR
    tiny = scale.of(facts).crop is not None
    height, width = scale.of(facts).input
    size = (
        f"a tenth of the masks have no object above {facts.small:.0f} pixels of side: not "
        "made smaller"
    )
    items = [
        Item(
            _HORIZONTAL,
            ("does left and right exchanged make sense (text, a heart)? else take it out"),
        ),
        Item(
            _VERTICAL,
            ("does upside down make sense (from above, a microscope)? then take it in"),
            True,
        ),
    ]
    if tiny or height == width:
        items.append(Item(_TURNED, "does any side up make sense? then take it in", True))
    low = 1.0 if tiny else 0.9
    items.append(Item(_affine(low), size if tiny else "small ones are safe for most pictures"))
    if facts.bands in (1, 3):
        gain = f"objects differ by {facts.colour_gain:.1f} standard deviations in colour"
        items.append(Item(_light(0.1 if matters else 0.2), gain if matters else "exposures differ"))
    if coloured:
        may = "objects are told by colour here: rather not"
        items.append(Item(_HUE, may if matters else "does light change? then take it in", True))
    yield Choice("stages.base.augment", items)


_HORIZONTAL = {"HorizontalFlip": {"p": 0.5}}
_VERTICAL = {"VerticalFlip": {"p": 0.5}}
_TURNED = {"RandomRotate90": {"p": 0.5}}
_SHIFTS = {"hue_shift_limit": 5, "sat_shift_limit": 15, "val_shift_limit": 0, "p": 0.3}
_HUE = {"HueSaturationValue": _SHIFTS}


def _affine(low: float) -> dict[str, Any]:
    moved = {"translate_percent": [-0.05, 0.05], "scale": [low, 1.1], "rotate": [-10, 10]}
    return {"Affine": {**moved, "p": 0.7}}


def _light(limit: float) -> dict[str, Any]:
    limits = {"brightness_limit": limit, "contrast_limit": limit}
    return {"RandomBrightnessContrast": {**limits, "p": 0.5}}
