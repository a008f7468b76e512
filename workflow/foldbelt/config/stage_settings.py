"""The settings of a training stage as typed objects, read from its part of the config once.

The config comes with all of its defaults (`foldbelt.config.resolve`, or `foldbelt.config.complete`
for a stage alone), so a key that is missing here is an error, and nothing has a default of its own.
Fields have the names of the config's keys. Nothing heavy is imported, so that a config can be
checked when it is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foldbelt import registry

Terms = Mapping[str, Any]
"""The losses of one output: name → weight, or → weight and options."""

BESIDE_MASKS: Mapping[str, Terms] = {"label": {"bce": 0.1}, "box": {}}
"""What a model with masks learns of its other outputs where the config names no loss of them. It is
no default of the schema, which knows of a stage but not of the models that go through it."""

SELDOM = 5
"""Epochs between validations on which no weight depends, unless the config says otherwise."""


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of a size in the config, which may be one number for both.

    Examples
    --------
    >>> sides(64), sides([64, 416])
    ((64, 64), (64, 416))
    """
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def weight_of(term: object) -> float:
    """Weight of a loss, which may be given alone or with options.

    Examples
    --------
    >>> weight_of(2), weight_of({"weight": 0.5, "gamma": 2})
    (2.0, 0.5)
    """
    return float(term["weight"] if isinstance(term, dict) else term)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LossSettings:
    """Losses by output, or, in the short form, of the model's main output.

    The main output is the masks; of a model that predicts labels alone, the labels.

    Attributes
    ----------
    by_output
        Output → its losses; of boxes, whose losses go with the network, the weight alone.
    main
        The losses of the short form; empty where outputs are named.
    """

    by_output: Mapping[str, Terms]
    main: Terms

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "LossSettings":
        """Read a stage's `loss`.

        Examples
        --------
        >>> LossSettings.of({"dice": 1}).terms("mask", main="mask")
        {'dice': 1}
        >>> LossSettings.of({"mask": {"dice": 1}}).terms("label", main="mask")
        {'bce': 0.1}
        """
        return cls(
            {name: terms for name, terms in given.items() if name in registry.OUTPUTS},
            {name: term for name, term in given.items() if name not in registry.OUTPUTS},
        )

    @property
    def box(self) -> float:
        """Weight of the boxes' losses."""
        weight = self.by_output.get("box", 1.0)
        return float(weight)  # type: ignore[arg-type]

    @property
    def auxiliary(self) -> Terms:
        """Losses of masks that are not a model's answer; empty where they teach nothing.

        Examples
        --------
        >>> LossSettings.of({"label": {"bce": 1}, "mask": {"bce": 4, "dice": 0}}).auxiliary
        {'bce': 4, 'dice': 0}
        >>> LossSettings.of({"bce": 1}).auxiliary
        {}
        """
        terms = self.by_output.get("mask", {})
        return terms if any(weight_of(term) for term in terms.values()) else {}

    def terms(self, output: str, main: str) -> Terms:
        """Give the losses of one output; empty where it teaches nothing.

        Parameters
        ----------
        output
            ``mask`` or ``label``.
        main
            The model's main output.
        """
        if output == main:
            return self.main or self.by_output.get(output, {})
        return self.by_output.get(output, BESIDE_MASKS[output])


@dataclass(frozen=True)
class ImageFilter:
    """Which training images take part: see `images` in the config."""

    empty: bool
    black: bool
    vertical: float
    min_area: int

    @property
    def keeps_all(self) -> bool:
        """Whether no image is left out, whatever is in it."""
        return self.empty and self.black and self.vertical == 1 and self.min_area == 0


@dataclass(frozen=True)
class CropSettings:
    """Random windows: height and width, share with a mask, largest share of dark pixels."""

    size: tuple[int, int]
    positive: float
    dark: float

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "CropSettings":
        """Read a stage's `crop`, whose size may be one number."""
        return cls(**{**given, "size": sides(given["size"])})


@dataclass(frozen=True)
class OptimizerSettings:
    """What turns gradients into steps; not every optimiser uses all of it."""

    name: str
    lr: float
    encoder_factor: float
    layer_decay: float
    momentum: float
    weight_decay: float
    decay_norms: bool


@dataclass(frozen=True)
class ScheduleSettings:
    """How the learning rate goes through the stage; not every schedule uses all of it."""

    name: str
    warmup: float
    floor: float
    watch: str
    patience: int
    factor: float
    rise: float
    power: float
    cycles: int
    snapshots: int


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """When training ends early: validations without a better value of what is watched."""

    patience: int
    watch: str


@dataclass(frozen=True)
class SamplerSettings:
    """Which images an epoch holds; not every sampler uses all of it."""

    name: str
    share: float
    classes: bool
    strength: float


@dataclass(frozen=True)
class MixingSettings:
    """How the images of a batch are mixed, and targets softened; None and 0 are without."""

    mixup: float | None
    cutmix: float | None
    label_smoothing: float

    @property
    def mixes(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.mixup or self.cutmix or self.label_smoothing)


@dataclass(frozen=True)
class AveragingSettings:
    """Which averages of weights are kept: see `ema`, `swa` and `average_best` in the config."""

    ema: float | None
    swa: float | None
    average_best: int


@dataclass(frozen=True)
class PseudoSettings:
    """What part pseudo-labelled images have: how many a true one, and what is trained on."""

    pseudo_ratio: float
    train_on: str


@dataclass(frozen=True)
class StageSettings:
    """Everything that a stage's part of the config says; the schema says what each of it means.

    Keys that are used together make one object: `mixing`, `averaging`, `pseudo`. The last one is
    None in rounds without pseudo-labels, whose jobs are not given these keys.
    """

    loss: LossSettings
    images: ImageFilter
    crop: CropSettings | None
    blackout: float
    visible: float
    loss_on_padding: bool
    depth_weight: float
    deep_weight: float
    deep_images: str
    epochs: int
    batch_size: int
    accumulate: int
    target_batch: int | None
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    early_stopping: EarlyStoppingSettings | None
    select: str
    select_by: str
    averaging: AveragingSettings
    validate_every: int | None
    validate_batch_size: int | None
    freeze_encoder: int
    sampler: SamplerSettings
    mixing: MixingSettings
    amp: bool | str
    clip: float | None
    augment: Sequence[Mapping[str, Any]]
    augment_on: str
    pseudo: PseudoSettings | None

    @property
    def validated_for(self) -> list[str]:
        """Keys by which weights depend on the validation; empty where none does.

        Examples
        --------
        >>> from foldbelt.config import complete
        >>> stage = complete("stage", {"loss": {"bce": 1}, "epochs": 9, "select": "best"})
        >>> StageSettings.of(stage).validated_for
        ['select: best']
        """
        asked = {
            "early_stopping": self.early_stopping is not None,
            "select: best": self.select == "best",
            "schedule: plateau": self.schedule.name == "plateau",
        }
        return [key for key, needed in asked.items() if needed]

    def validates(self, epoch: int) -> bool:
        """Tell whether an epoch (from 1) is validated.

        Examples
        --------
        >>> from foldbelt.config import complete
        >>> stage = StageSettings.of(complete("stage", {"loss": {"bce": 1}, "epochs": 12}))
        >>> [epoch for epoch in range(1, 13) if stage.validates(epoch)]
        [5, 10, 12]
        """
        every = self.validate_every or (1 if self.validated_for else SELDOM)
        return epoch == self.epochs or epoch % every == 0

    @classmethod
    def of(cls, stage: Mapping[str, Any]) -> "StageSettings":
        """Read a stage's part of the config, with all of its defaults.

        Raises
        ------
        KeyError, TypeError
            If a key is missing or unknown.
        """
        given = dict(stage)
        crop, stopping = given.pop("crop"), given.pop("early_stopping")
        pseudo = {key: given.pop(key) for key in _keys(PseudoSettings) if key in given}
        return cls(
            loss=LossSettings.of(given.pop("loss")),
            images=ImageFilter(**given.pop("images")),
            crop=CropSettings.of(crop) if crop else None,
            optimizer=OptimizerSettings(**given.pop("optimizer")),
            schedule=ScheduleSettings(**given.pop("schedule")),
            early_stopping=EarlyStoppingSettings(**stopping) if stopping else None,
            averaging=AveragingSettings(**{k: given.pop(k) for k in _keys(AveragingSettings)}),
            sampler=SamplerSettings(**given.pop("sampler")),
            mixing=MixingSettings(**{k: given.pop(k) for k in _keys(MixingSettings)}),
            pseudo=PseudoSettings(**pseudo) if pseudo else None,
            **given,
        )


def _keys(kind: Any) -> tuple[str, ...]:
    """Keys of the config that make one object."""
    return tuple(kind.__dataclass_fields__)
