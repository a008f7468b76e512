"""Settings by name, those of an ablation's variants too, and whose files are whose.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from foldbelt import registry
from foldbelt.config import outputs


@dataclass
class Variant:
    """One row of an ablation.

    Attributes
    ----------
    models
        Seed → name of the model in `Recipes.models`.
    decision
        Its settings of the decision.
    rounds
        Pseudo-label rounds after the first training; the last is scored.
    folds
        Name of its fold scheme.
    seen
        Names of what it sees of the truth by which it is scored; see :mod:`foldbelt.config.sight`.
    output
        What it is scored by: masks, labels or boxes.
    settings
        How these are decided: `decision`, or the section of the output's name.
    """

    models: dict[int, str]
    decision: dict[str, Any]
    rounds: int
    folds: str
    seen: list[str] = field(default_factory=list)
    output: str = "masks"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Recipes:
    """Settings by name, and which models share files.

    Attributes
    ----------
    channels, folds, stages
        Settings by name: the config's, and those that variants add.
    models
        Settings by name, an architecture as `foldbelt.config.outputs.network_of` has it. Beside
        the config's: `predict`, `pseudo`; `stream`, the name from which
        the random streams derive (variants share their base's, so that they differ in what they
        change and not in luck); `weights` (for each round, by stage) and `predictions` (for each
        round), which say whose files are this model's, too.
    streams
        Stage → the name from which its random streams derive, likewise.
    blend
        Names of the models of the blend.
    variants
        Of the ablation, the recipe itself first; empty without one.
    """

    channels: dict[str, Any]
    folds: dict[str, Any]
    stages: dict[str, Any]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    blend: list[str] = field(default_factory=list)
    variants: dict[str, Variant] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pseudo_keys: set[str] = set()  # those of outputs that the run has
        self._first: dict[str, str] = {}  # digest of what a job depends on → the model that does it
        self.streams |= {name: name for name in self.stages}

    def add(
        self, name: str, model: Mapping[str, Any], config: Mapping[str, Any], stream: str
    ) -> None:
        """Add a model with the settings of its config."""
        settings = copy.deepcopy(dict(model)) | {"stream": stream}
        settings["architecture"] = outputs.network_of(settings, config)
        settings["predict"], settings["pseudo"] = config["predict"], config["pseudo"]
        self.models[name] = settings
        alone = name not in self.blend or len(self.blend) == 1
        pseudo = {key: value for key, value in settings["pseudo"].items() if key != "rounds"}
        keys = ("channels", "folds", "stages", "architecture", "start", "seed", "stream")
        first = {key: settings[key] for key in keys}
        settings["weights"], settings["predictions"] = {}, {}
        for number in range(settings["pseudo"]["rounds"] + 1):
            later = [number, pseudo, settings["predict"], None if alone else self.blend]
            trained = [first, later if number else None]
            # The first stages of a first training do not depend on those that follow.
            settings["weights"][number] = {
                stage: self._shared(
                    [
                        "weights",
                        trained if number else first | {"stages": settings["stages"][: place + 1]},
                    ],
                    name,
                )
                for place, stage in enumerate(settings["stages"])
            }
            settings["predictions"][number] = self._shared(
                ["oof", trained, settings["predict"]], name
            )

    def members(self, model: str) -> list[str]:
        """Names under which a model's predictions are found: one, or one for every snapshot.

        Examples
        --------
        >>> stages = {"sgd": {"schedule": {"name": "cyclic", "snapshots": 2}}}
        >>> Recipes({}, {}, stages, {"net": {"stages": ["sgd"]}}).members("net")
        ['net.s1', 'net.s2']
        """
        schedule = self.stages[self.models[model]["stages"][-1]]["schedule"]
        number = schedule["snapshots"] if schedule["name"] == "cyclic" else 0
        return [f"{model}.s{i}" for i in range(1, number + 1)] or [model]

    def model(self, member: str) -> dict[str, Any]:
        """Settings of a model, or of the model of which a member is a snapshot."""
        return self.models[split(member)[0]]

    def snapshot(self, member: str) -> int | None:
        """Number of the snapshot that a member is, if it is one."""
        return split(member)[1]

    def stage(self, stage: str, round: int | str) -> dict[str, Any]:
        """Settings of a stage, less those of pseudo-labels in the round that has none."""
        later = ("pseudo_ratio", "train_on")
        settings = self.stages[stage]
        return {k: v for k, v in settings.items() if k not in later or int(round)}

    def architecture(self, model: str) -> dict[str, Any]:
        """A model's network, less where its pretrained weights come from: they are an input.

        Options that came after others are left out where they are idle: a job is not to be another
        for them.
        """
        architecture = self.model(model)["architecture"]
        idle = ["weights", "sha256"]
        idle += [] if architecture.get("mask_reduction") else ["mask_reduction", "mask_width"]
        later = ("checkpointing", "mask_dropout", "drop_path")
        idle += [key for key in later if not architecture.get(key)]
        return {k: v for k, v in architecture.items() if k not in idle}

    def pseudo(self, model: str) -> dict[str, Any]:
        """Settings of pseudo-labels at which the rule that admits them looks."""
        pseudo = self.model(model)["pseudo"]
        idle = ["rounds", "start"]
        idle += [] if pseudo["rule"] == "labels" else ["label_low", "label_high"]
        idle += [] if pseudo["rule"] == "confidence" else ["min_confident_share"]
        idle += [] if pseudo["max_images"] else ["order"]
        idle += [key for key in ("soft", "box_score") if key not in self.pseudo_keys]
        return {k: v for k, v in pseudo.items() if k not in idle}

    def kept_weights(self, model: str) -> list[str]:
        """Say which weights the stages of a model keep, and what of the validation fold decided."""
        kept = [_kept(self.stages[stage]) for stage in self.model(model)["stages"]]
        start = self.model(model)["start"]
        # Not where the file lies: that decides no score.
        return [f"started from {PurePath(start['file']).name}", *kept] if start else kept

    def strict(self, model: str) -> bool:
        """Whether all of the file that a model starts from has to fit."""
        return bool((self.model(model)["start"] or {}).get("strict"))

    def augmentations(self, model: str) -> dict[str, Any]:
        """Give what augments the images in each stage of a model."""
        return {name: self.stages[name]["augment"] for name in self.model(model)["stages"]}

    def windows(self, model: str) -> dict[str, Any]:
        """Give what becomes of images before that, in stages that crop or black out.

        Of a model of boxes in all stages, with what must be left of a box.
        """
        stages = {name: self.stages[name] for name in self.model(model)["stages"]}
        boxed = registry.predicts_boxes(self.model(model)["architecture"])
        keys = ("crop", "blackout", *(["visible"] if boxed else []))
        return {
            name: {key: stage[key] for key in keys}
            for name, stage in stages.items()
            if stage["crop"] or stage["blackout"] or boxed
        }

    def network_modules(self, member: str) -> list[str]:
        """Modules of a model's network."""
        return registry.models(self.model(member)["architecture"])

    def predicting_modules(self, member: str) -> list[str]:
        """Modules of a member's network and of what it predicts."""
        boxes = registry.predicts_boxes(self.model(member)["architecture"])
        return self.network_modules(member) + [registry.BOX_PREDICTION] * boxes

    def training_modules(self, model: str, stage: str) -> list[str]:
        """Modules of a model's network, of a stage's losses and of what else the stage needs."""
        boxes = registry.predicts_boxes(self.model(model)["architecture"])
        others = list(registry.BOX_LEARNING) if boxes else []
        if self.stages[stage]["augment_on"] == "device":
            others.append(registry.BATCHED_AUGMENT)
        return self.network_modules(model) + registry.losses(self.stages[stage]["loss"]) + others

    def pretrained_source(self, model: str) -> list[Any]:
        """Say where pretrained weights come from; the second value is None where there are none."""
        return [
            self.model(model)["architecture"].get(key) for key in ("encoder", "weights", "sha256")
        ]

    def _shared(self, what: Any, name: str) -> str:
        return self._first.setdefault(json.dumps(what, sort_keys=True), name)


def split(member: str) -> tuple[str, int | None]:
    """Give a member's model and, if it is one, the number of its snapshot.

    Examples
    --------
    >>> split("net.s2"), split("net")
    (('net', 2), ('net', None))
    """
    model, dot, snapshot = member.partition(".s")
    return model, int(snapshot) if dot else None


def _kept(stage: Mapping[str, Any]) -> str:
    averaged = stage["average_best"]
    kept = f"mean of the best {averaged}" if averaged > 1 else stage["select"]
    knew = ["stopped early"] if stage["early_stopping"] else []
    knew += ["plateau"] if stage["schedule"]["name"] == "plateau" else []
    return ", ".join([kept, *knew])
