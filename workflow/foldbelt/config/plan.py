"""What is made of a config: which models, rounds and folds there are, and which files a job reads.

The rules ask here for every name and every file that depends on the config, and write down
themselves what does not. Methods take the values of wildcards as Snakemake gives them: numbers may
be text. Where a file is not needed, the answer is an empty list, which is no input at all.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from foldbelt import registry
from foldbelt.config import outputs, sight
from foldbelt.config.consistency import LIKENESS
from foldbelt.config.file_names import BENCHMARKS, FILES, Number
from foldbelt.config.output_files import OutputFiles, predictions
from foldbelt.config.recipes import split
from foldbelt.config.variants import expand

_PARTS = ("train", "test")
_PSEUDO = {"labels": "soft", "boxes": "box_score"}
_OF_OUTPUT = ("decide_output", "apply_output")


class Plan(OutputFiles):
    """Everything that the rules ask of a config.

    Parameters
    ----------
    config
        As `foldbelt.config.resolve` gives it.

    Attributes
    ----------
    config
        The same.
    recipes
        Settings by name, those of an ablation's variants too, and whose files are shared.
    models, members, external
        Names in the blend: models; what they predict under (a model, or each of its snapshots);
        predictions made elsewhere, which are of masks.
    by_output
        What the run decides on (``masks``, ``labels``, ``boxes``), its main output first → the
        members that predict it.
    rounds, scheme, folds
        Numbers of the pseudo-label rounds from 0; the blend's fold scheme, and its folds' numbers.
    channels
        Names of the channel recipes that the blend's models use.
    steps
        Modules of the decision's steps.
    by_component
        Whether the decision looks at connected components, for which tables are made.
    adversarial
        Whether the run tells training from test images. It does where `adversarial.enabled` asks
        for it (and then the score is weighted, too), and where the fold scheme or the order of
        pseudo-labels names `test_likeness`: a second key to set would only be one to forget.
        Variants of an ablation that name it make it for themselves.
    synthetic
        Name of the plug-in that draws the data; None where there are files.

    Raises
    ------
    InputError
        If a variant of the ablation is no valid recipe.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.recipes = expand(config)
        self.models = self.recipes.blend
        self.members = [member for model in self.models for member in self.recipes.members(model)]
        self.by_output = {
            output: [member for model in models for member in self.recipes.members(model)]
            for output, models in outputs.models_of(config).items()
        }
        self.external = list(config["blend"]["external"])
        self.recipes.pseudo_keys = {_PSEUDO[o] for o in self.by_output if o in _PSEUDO}
        self.rounds = list(range(config["pseudo"]["rounds"] + 1))
        self.scheme = self.recipes.model(self.models[0])["folds"]
        self.folds = self.fold_numbers(self.scheme)
        self.channels = sorted({self.recipes.model(model)["channels"] for model in self.models})
        decision = config["decision"]
        self.steps = registry.steps(decision["steps"])
        self.by_component = any(decision["space"]["min_component"])
        pseudo = config["pseudo"]
        self.adversarial = bool(
            config["adversarial"]["enabled"]
            or self._names_likeness(self.scheme)
            or (pseudo["rounds"] > 0 and pseudo["order"] == LIKENESS)
        )
        asked = config["data"]["synthetic"] is not None
        self.synthetic = registry.synthetic(config["competition"]) if asked else None

    def benchmarks(self) -> list[str]:
        """Give the benchmarks of the jobs whose times the run reports."""
        places = [f"ingest_images/{part}" for part in ("train", "test")]
        places += [f"split_folds/{self.scheme}"]
        places += [f"make_channels/{name}/{part}" for name in self.channels for part in _PARTS]
        rules = ["blend_oof", "blend_test", "search_decision"] if self.masks else []
        rules += [f"{rule}/{output}" for output in self.others for rule in _OF_OUTPUT]
        rules += ["decide_joint", "apply_joint"] if self.joint else []
        places += [f"{rule}/round{number}" for rule in rules for number in self.rounds]
        short = [f"results/{self.config['run']}/benchmarks/{place}.txt" for place in places]
        trained = [
            BENCHMARKS["weights"].format(
                run=self.config["run"], model=model, round=number, fold=fold, stage=stage
            )
            for model in self.models
            for number in self.rounds
            for fold in self.folds_of(model)
            for stage in self.recipes.model(model)["stages"]
        ]
        return [*short, *trained] + [
            BENCHMARKS["oof"].format(
                run=self.config["run"], member=member, round=number, fold=fold, part=part
            )
            for member in self.members
            for number in self.rounds
            for fold in self.folds_of(member)
            for part in ("oof", "test")
        ]

    # What the run decides on

    @property
    def masks(self) -> list[str]:
        """Members that predict masks, or labels by which masks are gated; none without masks."""
        return self.by_output.get("masks", [])

    def all_predictions(self) -> list[str]:
        """Give every prediction of the blend's models."""
        jobs = itertools.product(self.members, self.rounds, ("oof", "test"))
        return [predictions(m, n, f, p) for m, n, p in jobs for f in self.folds_of(m)]

    # The raw files

    @property
    def raw(self) -> str:
        """The folder of the competition's files."""
        return FILES["synthetic"] if self.synthetic else self.config["data"]["path"]

    def upstream_of_training(self) -> str:
        """Say why training depends on the test images, where it does, for the log."""
        schemes = {self.recipes.model(model)["folds"] for model in self.recipes.models}
        groups = [self.recipes.folds[scheme]["group"] for scheme in sorted(schemes)]
        reasons = {
            "folds keep the tiles of a mosaic together": "mosaic" in groups,
            "folds look at how test-like an image is": any(map(self._names_likeness, schemes)),
            "they are pseudo-labelled": len(self.rounds) > 1,
        }
        given = [reason for reason, holds in reasons.items() if holds]
        return f"training depends on them: {', '.join(given)}" if given else "no training uses them"

    @property
    def truth(self) -> str | list[str]:
        """The hidden truth of the test images, where it is known."""
        return FILES["truth"] if self.synthetic else self.config["data"]["truth"] or []

    # What is asked of several settings at once

    def metric(self, model: str) -> str | None:
        """What a model's masks are judged by; labels alone have a metric of their own."""
        masks = registry.predicts_masks(self.recipes.model(model)["architecture"])
        return self.config["decision"]["metric"] if masks else None

    def notes(self) -> list[str]:
        """Say what a reader of the scores has to know of truths that they have seen."""
        return sight.sentences(sight.of_pseudo(self.config["pseudo"]))

    @property
    def score_minutes(self) -> int:
        """Minutes for the scores; every member searches components of its own, where any does."""
        tables = len(self.masks) * len(self.rounds) if self.by_component else 0
        return 60 * (1 + tables)

    # What networks see, and what is held out

    def channels_file(self, member: str, part: str) -> str:
        """Give the images as a model sees them; `part` is train or test."""
        return FILES["channels"].format(channels=self.recipes.model(member)["channels"], part=part)

    def folds_file(self, member: str) -> str:
        """Give the folds of a model."""
        return FILES["folds"].format(folds=self.recipes.model(member)["folds"])

    def mosaic_of_folds(self, folds: str) -> str | list[str]:
        """Give the tiles' neighbours, where a fold scheme keeps them together."""
        return FILES["mosaic"] if self.recipes.folds[folds]["group"] == "mosaic" else []

    def mosaic_of_steps(self, steps: Sequence[str]) -> str | list[str]:
        """Give the tiles' neighbours, where a decision's steps (their modules) look at them."""
        return FILES["mosaic"] if registry.looks_at("neighbours", steps) else []

    def likeness_of_folds(self, folds: str) -> str | list[str]:
        """Give the test-likeness of images, where a fold scheme asks for it."""
        return FILES["likeness"] if self._names_likeness(folds) else []

    def kept_folds(self, folds: str) -> str | list[str]:
        """Give the table of an earlier run whose folds a scheme keeps."""
        return self.recipes.folds[folds]["keep"] or []

    def likeness_of_pseudo(self, model: str) -> str | list[str]:
        """Give the test-likeness of images, where it orders a model's pseudo-labels."""
        return FILES["likeness"] if self.recipes.model(model)["pseudo"]["order"] == LIKENESS else []

    def likeness_of_scores(self) -> str | list[str]:
        """Give the test-likeness of images, where the score is weighted by it."""
        return FILES["likeness"] if self.config["adversarial"]["enabled"] else []

    # Training

    def weights(self, model: str, round: Number, fold: Number, stage: str) -> str:
        """Give the weights of a model after a stage; models that are trained alike share them."""
        owner = self.recipes.model(model)["weights"][int(round)][stage]
        return FILES["weights"].format(model=owner, round=round, fold=fold, stage=stage)

    def start(self, model: str, round: Number, fold: Number, stage: str) -> str | list[str]:
        """Give the weights that a stage starts from.

        A stage goes on from the one before it. The first of a later round starts anew, unless
        `pseudo.start` says that it goes on from the last of the round before.
        """
        stages = self.recipes.model(model)["stages"]
        place = stages.index(stage)
        if place:
            return self.weights(model, round, fold, stages[place - 1])
        if int(round) and self.recipes.model(model)["pseudo"]["start"] == "previous":
            return self.weights(model, int(round) - 1, fold, stages[-1])
        return []

    def pretrained(self, model: str, round: Number, fold: Number, stage: str) -> str | list[str]:
        """Give a model's pretrained encoder, where a stage starts from nothing else.

        Models that name the same weights share the file.
        """
        source = self.recipes.pretrained_source(model)
        if source[1] is None or self.start(model, round, fold, stage):
            return []
        alike = (m for m in self.recipes.models if self.recipes.pretrained_source(m) == source)
        return FILES["pretrained"].format(model=next(alike))

    def checkpoint(self, model: str, round: Number, fold: Number, stage: str) -> str | list[str]:
        """Give the file that a model starts from, where a stage starts from no other."""
        start = self.recipes.model(model)["start"]
        return [] if start is None or self.start(model, round, fold, stage) else start["file"]

    def pretrained_file(self, model: str) -> str | list[str]:
        """Give the local file of pretrained weights, where the config names one."""
        source = self.recipes.model(model)["architecture"].get("weights")
        return [] if source in (None, "timm") or source.startswith("https://") else source

    def pseudo_labels(self, model: str, round: Number, fold: Number) -> str | list[str]:
        """Give the pseudo-labels that a round trains on: those made in the round before."""
        if not int(round):
            return []
        return FILES["pseudo"].format(model=model, round=int(round) - 1, fold=fold)

    def pseudo_channels(self, model: str, round: Number) -> str | list[str]:
        """Give the images to which pseudo-labels belong."""
        return self.channels_file(model, "test") if int(round) else []

    def histories(self, model: str, round: Number) -> list[str]:
        """Give the histories of a model of the blend in a round: its stages, fold by fold."""
        stages = self.recipes.model(model)["stages"]
        jobs = [{"model": model, "round": round, "fold": f, "stage": s}
                for f in self.folds_of(model) for s in stages]  # fmt: skip
        return [FILES["history"].format(**job) for job in jobs]

    def early_stages(self) -> list[str]:
        """Name the stages that are last in no model: only later stages need their weights."""
        last = {model["stages"][-1] for model in self.recipes.models.values()}
        return [stage for stage in self.recipes.stages if stage not in last]

    def trained(self, deleted: Collection[str] = ()) -> list[str]:
        """Give all that training the blend's models makes, less the weights of some stages."""
        rounds = itertools.product(self.models, self.rounds)
        histories = [path for model, number in rounds for path in self.histories(model, number)]
        stems = [path.removesuffix(".csv") for path in histories]
        kept = [stem for stem in stems if stem.rpartition("/")[2] not in deleted]
        return histories + [f"{stem}.safetensors" for stem in kept]

    # Predictions, and labels made of them

    def final_weights(self, member: str, round: Number, fold: Number) -> str:
        """Give the weights that a member predicts with: those of its model's last stage."""
        model = split(member)[0]
        return self.weights(model, round, fold, self.recipes.model(model)["stages"][-1])

    def predictions(self, model: str, round: Number, fold: Number, part: str) -> list[str]:
        """Give a model's predictions, one file a snapshot; models that predict alike share them."""
        owner = self.recipes.model(model)["predictions"][int(round)]
        return [predictions(m, round, fold, part) for m in self.recipes.members(owner)]

    @property
    def pseudo_modules(self) -> list[str]:
        """Modules of what becomes pseudo-labels of the outputs."""
        return [f"foldbelt.pseudo.{output}" for output in self.by_output]

    def labellers(self, model: str, round: Number, fold: Number) -> list[str]:
        """Give the test predictions that label for the next models of one fold.

        They are made by models that held the fold out, or by those of all folds where
        `pseudo.source` says so. The models of the blend label together, those that are trained on
        some folds alone (`only_folds`) for these; a variant of an ablation labels for itself.
        """
        everyone = self.recipes.model(model)["pseudo"]["source"] == "all"
        folds = self.fold_numbers(self.recipes.model(model)["folds"]) if everyone else [int(fold)]
        together = self.models if model in self.models else [model]
        made = [(m, f) for m in together for f in folds if self._trains(m, f)]
        return [path for m, f in made for path in self.predictions(m, round, f, "test")]

    def _trains(self, model: str, fold: int) -> bool:
        """Tell whether a model is trained on a fold of its scheme."""
        only = self.recipes.model(model).get("only_folds")
        return only is None or fold in only

    def member_files(self, round: Number, part: str) -> list[str]:
        """Give the predictions of all members of the blend, member by member, fold by fold."""
        return [predictions(m, round, f, part) for m in self.masks for f in self.folds]

    def external_files(self, part: str) -> list[str]:
        """Give the predictions made elsewhere that join the blend."""
        return [files[part] for files in self.config["blend"]["external"].values()]

    def half_labels(self, round: Number) -> list[str]:
        """Give the pseudo-labels that a round trained on, where models label by halves."""
        if self.config["pseudo"]["rule"] != "halves" or not int(round):
            return []
        return [
            FILES["pseudo"].format(model=split(member)[0], round=int(round) - 1, fold=fold)
            for member in self.masks
            for fold in self.folds
        ]

    def component_table(self, round: Number) -> str | list[str]:
        """Give the connected components of a round, where the decision removes some."""
        return FILES["components"].format(round=round) if self.by_component else []

    # Figures

    def augmented_alike(self, model: str) -> list[str]:
        """Give the models whose images are the same and augmented the same way, in their order."""

        def way(name: str) -> tuple[Any, ...]:
            return (
                self.recipes.model(name)["channels"],
                self.recipes.augmentations(name),
                self.recipes.windows(name),
            )

        return [name for name in self.models if way(name) == way(model)]

    def augment_figures(self) -> list[str]:
        """Give one figure for all models that are augmented alike, named after the first."""
        firsts = dict.fromkeys(self.augmented_alike(model)[0] for model in self.models)
        return [FILES["augment"].format(model=model) for model in firsts]

    def rate_figures(self) -> list[str]:
        """Give the learning-rate range tests of every model's stages."""
        stages = [
            (model, stage) for model in self.models for stage in self.recipes.model(model)["stages"]
        ]
        return [FILES["rates"].format(model=model, stage=stage) for model, stage in stages]

    def _names_likeness(self, scheme: str) -> bool:
        folds = self.recipes.folds[scheme]
        return LIKENESS in (*folds["stratify"], folds["first_fold_by"])
