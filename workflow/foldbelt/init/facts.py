"""What was found in a data folder, and what there is to train on: all that rules may ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foldbelt.init.groups import Grouping
from foldbelt.init.layout import Layout, told


@dataclass(frozen=True)
class Machine:
    """What there is to train on.

    Parameters
    ----------
    cores, gpus
        To be used.
    hours
        For all trainings together.
    memory_gib
        Of the machine.
    image_seconds
        What one image of a training step takes in one training, measured; None before that.
    bfloat16
        Whether the CPU multiplies numbers of 16 bits itself.
    """

    cores: int = 2
    gpus: int = 0
    hours: float = 2.0
    memory_gib: float = 16.0
    image_seconds: float | None = None
    bfloat16: bool = False

    @property
    def jobs(self) -> int:
        """Trainings at a time."""
        return self.gpus or self.cores


@dataclass(frozen=True)
class Facts:
    """What was found.

    Parameters
    ----------
    layout
        What kind of data it is.
    path
        As the recipe names it.
    train, test, looked
        Numbers of training images, of test images, and of the training images that were decoded.
    heights, widths
        (n,) of the training images.
    bands
        Planes of an image, 1, 3 or more.
    stored
        How images are stored, such as "PNG, uint8".
    coloured
        Share of the images in which colours are met; 0 where all planes are equal.
    colour_gain, grey_gain
        How far object and background lie apart in colour and in brightness, in standard deviations;
        NaN where that is not known.
    classes, labels
        Names.
    coverage
        (K,) share of the labelled pixels that is of each class, over all images.
    present
        (K,) share of the images that show each class.
    positive
        Share of the images that show any.
    overlap
        Whether a pixel is of two classes somewhere.
    sides
        (m,) square roots of the areas of all connected parts, or boxes, in pixels of the originals.
    largest
        (p,) those of the largest part of each mask that is not empty, or of all boxes.
    areas
        (p,) pixels of each mask that is not empty.
    parts
        Median number of connected parts of a mask that is not empty.
    label_shares
        Label → share of the images, as far as known.
    grouping
        Groups that names or a column betray.
    copies
        Images that have a near copy among those looked at.
    columns
        Names of the per-image columns of tables.
    problems
        What scanning found wrong.
    """

    layout: Layout
    path: str
    train: int
    test: int
    looked: int
    heights: np.ndarray
    widths: np.ndarray
    bands: int = 1
    stored: str = ""
    coloured: float = 0.0
    colour_gain: float = float("nan")
    grey_gain: float = float("nan")
    classes: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    coverage: np.ndarray = field(default_factory=lambda: np.zeros(0))
    present: np.ndarray = field(default_factory=lambda: np.zeros(0))
    positive: float = 0.0
    overlap: bool = False
    sides: np.ndarray = field(default_factory=lambda: np.zeros(0))
    largest: np.ndarray = field(default_factory=lambda: np.zeros(0))
    areas: np.ndarray = field(default_factory=lambda: np.zeros(0))
    parts: float = 0.0
    label_shares: Mapping[str, float] = field(default_factory=dict)
    grouping: Grouping | None = None
    copies: int = 0
    columns: tuple[str, ...] = ()
    problems: list[Any] = field(default_factory=list)
    machine: Machine = Machine()

    @property
    def kind(self) -> str:
        """What is learnt: masks, labels or boxes."""
        return self.layout.kind

    @property
    def competition(self) -> str:
        """Which reader."""
        return self.layout.competition

    def told(self, constant: str, default: Any = None) -> Any:
        """Value of a constant of the competition's package; `foldbelt.competitions` lists them."""
        return told(self.competition, constant, default)

    @property
    def mixed(self) -> bool:
        """Whether images differ in size."""
        sizes = {*zip(self.heights.tolist(), self.widths.tolist(), strict=True)}
        return len(sizes) > 1

    @property
    def height(self) -> int:
        """Median."""
        return int(np.median(self.heights))

    @property
    def width(self) -> int:
        """Median."""
        return int(np.median(self.widths))

    @property
    def small(self) -> float:
        """The side below which one mask in ten has all its objects, in pixels of the originals.

        Specks beside a large object do not count: a mask whose largest part is seen is learnt.
        """
        return float(np.quantile(self.largest, 0.1)) if len(self.largest) else float("inf")

    @property
    def share(self) -> float:
        """Share of the pixels that is of the rarest class that is met; 1 without masks."""
        met = self.coverage[self.coverage > 0]
        return float(met.min()) if len(met) else 1.0
