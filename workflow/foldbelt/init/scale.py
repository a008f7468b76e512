"""At which size a network sees images: whole ones made smaller, or crops of larger ones.

Everything about it is one decision, of which several rules write their lines. It depends on the
size of the images and of the objects, and on how many pixels can be trained on in the time given,
by a fixed estimate of the speed: not by what is measured, so that the recipe is the same every
time."""

from typing import NamedTuple

from foldbelt.init.facts import Facts

NEEDED = 4.0
"""Pixels that the network must have of the side of the largest object, in nine masks of ten."""
ROOM = 12.0
"""Pixels of that side for which images are not made smaller, where crops are trained on."""
SIDES = {False: (256, 224, 192, 160, 128), True: (512,)}
"""Sides of the network's input to choose from, with and without a GPU."""
EPOCHS = 30
"""Epochs that must fit for a larger side, or a larger network, to be chosen."""
FEW = 100
"""Images below which five folds are worth their time."""
STEP = 32
"""Networks halve images five times."""
GPU_SPEED = 60.0
"""Megapixels a second of one GPU (resnet34)."""
HALVED = 1.8
"""How many times faster a core is that multiplies bfloat16."""
STARTING = 60.0
"""Seconds that a run of any size needs for processes that start, and for its figures."""
TRAINING = 0.85
"""Share of the rest that is spent on training; predictions and search take what is left."""


class Encoder(NamedTuple):
    """What a U-Net for masks on a CPU may have, from scratch.

    Parameters
    ----------
    speed
        Megapixels a second of one core, whose neighbours are busy, too.
    step_bytes
        Memory of a step, a pixel.
    rate
        Of learning.
    decoder
        Channels; None as the network has them by default.
    """

    speed: float
    step_bytes: int
    rate: float
    decoder: tuple[int, ...] | None = None


SMALLEST = "test_resnet"
"""Of timm: a ResNet of a third of a million parameters."""
ENCODERS = {
    "resnet18": Encoder(0.15, 1900, 0.001),
    SMALLEST: Encoder(0.6, 860, 0.002, (64, 32, 32, 16, 8)),
}
"""The larger first."""


class Scale(NamedTuple):
    """How a network sees images.

    Parameters
    ----------
    factor
        By which images are made smaller; 1 keeps them.
    size
        (height, width) of the images at that size, as they are stored.
    input
        (height, width) of the network's input at prediction.
    crop
        Side of the crops that are trained on; None for whole images.
    encoder
        Of the U-Net for masks, on a CPU.
    reason
        Why.
    """

    factor: float
    size: tuple[int, int]
    input: tuple[int, int]
    crop: int | None
    encoder: str
    reason: str

    @property
    def pixels(self) -> int:
        """Of one sample that is trained on."""
        if self.crop is None:
            return self.input[0] * self.input[1]
        return min(self.crop, self.input[0]) * min(self.crop, self.input[1])


def of(facts: Facts) -> Scale:
    """Decide it: the largest side, then the larger network, for which `EPOCHS` epochs fit."""
    tried = []
    for side in SIDES[bool(facts.machine.gpus)]:
        for encoder in ENCODERS:
            made = _at(facts, side, encoder)
            tried.append(made)
            if epochs(facts, made, folds(facts)) >= EPOCHS:
                return made
    return tried[-1]


def folds(facts: Facts) -> int:
    """Number of folds: five where every image counts or there is a GPU, else three.

    Up to two more where cores would have nothing to do beside the last of the three. Never more
    than half the groups, or half the images.
    """
    jobs = facts.machine.jobs
    number = 5 if facts.train < FEW or facts.machine.gpus else min(-(-3 // jobs) * jobs, 5)
    units = facts.grouping.number if facts.grouping is not None else facts.train
    return max(2, min(number, units // 2))


def training(hours: float) -> float:
    """Give the seconds of training in a run that may take so many hours: at least half of them.

    Examples
    --------
    >>> [round(training(hours)) for hours in (0.02, 0.1, 2)]
    [36, 255, 6069]
    """
    seconds = hours * 3600
    return max(0.5 * seconds, TRAINING * (seconds - STARTING))


def epochs(facts: Facts, made: Scale, folds: int) -> float:
    """Estimate how many epochs fit into the time given."""
    machine = facts.machine
    core = ENCODERS[made.encoder].speed * (HALVED if machine.bfloat16 else 1)
    speed = GPU_SPEED if machine.gpus else core
    turns = -(-folds // machine.jobs)  # trainings that follow each other
    samples = training(machine.hours) * speed * 1e6 / made.pixels / turns
    return samples / max(facts.train * (folds - 1) / folds, 1)


def _at(facts: Facts, side: int, encoder: str) -> Scale:
    """Say what becomes of images if the network has room for a square of that side."""
    height, wide = facts.height, facts.width
    whole = min(1.0, side / (height * wide) ** 0.5)
    small = facts.small
    if facts.kind != "masks" or small * whole >= NEEDED or whole > 0.8:
        size = _size(facts, whole)
        why = f"whole images of about {side}² pixels"
        if facts.kind == "masks" and whole < 1:
            why += (
                f": in nine masks of ten an object has a side of {small * whole:.0f} pixels "
                "or more there"
            )
        elif whole == 1:
            why = "they fit whole"
        return Scale(whole, size, _rounded(size), None, encoder, why)
    keep = min(1.0, max(ROOM / small, whole))
    size = _size(facts, keep)
    why = (
        f"shrunk to {side}² pixels, the largest object of one mask in ten would have a side below "
        f"{small * whole:.1f} pixels (now {small:.1f}); so crops of {side} are trained on"
    )
    return Scale(keep, size, _rounded(size), side, encoder, why)


def _size(facts: Facts, factor: float) -> tuple[int, int]:
    """Give the stored size: that of the images, or a multiple of `STEP` where they are resized."""
    if factor == 1 and not facts.mixed:
        return facts.height, facts.width
    return (
        max(STEP, round(facts.height * factor / STEP) * STEP),
        max(STEP, round(facts.width * factor / STEP) * STEP),
    )


def _rounded(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (-(-length // STEP) * STEP for length in size)
    return height, width
