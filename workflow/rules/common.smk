"""What the rules share: the resolved config, the lists the targets are made of, a few input functions."""

import functools
from pathlib import Path

from snakemake.exceptions import WorkflowError

from foldbelt import registry
from foldbelt.config import resolving as settings
from foldbelt.config import variants
from foldbelt.provenance import fingerprint

try:
    resolved = settings.resolve(config)
    PLAN = variants.plan(resolved)
except ValueError as error:
    raise WorkflowError(str(error)) from None
config.clear()
config.update(resolved)

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
MODELS = PLAN.blend
MEMBERS = [member for model in MODELS for member in variants.members(PLAN, model)]
EXTERNAL = config["blend"]["external"]
ROUNDS = settings.rounds(config)
SCHEME = settings.fold_scheme(config)
FOLDS = settings.fold_numbers(config, SCHEME)
ADVERSARIAL = settings.makes_likeness(config)
STEPS = registry.steps(config["decision"]["steps"])
BY_COMPONENT = any(config["decision"]["space"]["min_component"])
RECIPES = sorted({PLAN.models[model]["channels"] for model in MODELS})
STAGES = [
    f"{model}/round{number}/fold{fold}/{stage}"
    for model in MODELS
    for number in ROUNDS
    for fold in FOLDS
    for stage in PLAN.models[model]["stages"]
]
SURVEY = None if config["data"]["synthetic"] is None else registry.synthetic(config["competition"])
ROOT = f"results/{config['run']}/survey/competition" if SURVEY else config["data"]["path"]
TRUTH = (
    f"results/{config['run']}/survey/competition-truth.csv" if SURVEY else config["data"]["truth"]
)


def raw_listing(wildcards):
    """Digest of the raw files' names, sizes and times; a survey follows from its params."""
    if SURVEY:
        return None
    if not Path(ROOT).is_dir():
        raise WorkflowError(f"data.path: {ROOT} is no folder; set it to where the raw files lie.")
    return settings.listing(ROOT)


@functools.cache  # thousands of jobs, and a few dozen pieces of code behind them
def code(script, *modules):
    """Fingerprint of a rule's script and of all library code behind it."""
    return fingerprint(f"{workflow.basedir}/workflow/scripts/{script}.py", *modules)


def step_mosaic(steps):
    """The tiles' neighbours, where steps of the decision look at them."""
    return "<results>/mosaic.csv" if registry.looks_at("neighbours", steps) else []


def component_tables(wildcards):
    """The components that a decision may remove; where it removes none, there is no table."""
    return f"<results>/components/round{wildcards.round}.h5" if BY_COMPONENT else []


def reader_code(script, *modules):
    """Fingerprint for a rule that reads the competition's files."""
    return code(script, registry.reader(config["competition"]), *modules)


def writer_code(script, *modules):
    """Fingerprint for a rule that writes in the competition's form."""
    return code(script, registry.writer(config["competition"]), *modules)


def channels_code(wildcards):
    """Fingerprint of the channels that a recipe names."""
    return code("make_channels", *registry.channels(PLAN.channels[wildcards.channels]))


def training_modules(wildcards):
    """Modules of the model's network and the stage's losses."""
    architecture = PLAN.models[wildcards.model]["architecture"]
    return registry.models(architecture) + registry.losses(PLAN.stages[wildcards.stage]["loss"])


def training_code(wildcards):
    """Fingerprint of the training loop, the model's network and the stage's losses."""
    return code("train_stage", *training_modules(wildcards))


def rates_code(wildcards):
    """Fingerprint of the learning-rate range test with them."""
    return code("test_rates", *training_modules(wildcards))


def training_architecture(wildcards):
    """A model's network, less where its pretrained weights come from: they are an input."""
    architecture = PLAN.models[wildcards.model]["architecture"]
    return {k: v for k, v in architecture.items() if k not in ("weights", "sha256")}


def augmentations(model):
    """What augments the images in each stage of a model."""
    stages = PLAN.models[model]["stages"]
    return {stage: PLAN.stages[stage]["augment"] for stage in stages}


def windows(model):
    """What becomes of images before that, in the stages of a model that crop or black out."""
    stages = {stage: PLAN.stages[stage] for stage in PLAN.models[model]["stages"]}
    return {
        stage: {key: settings[key] for key in ("crop", "blackout")}
        for stage, settings in stages.items()
        if settings["crop"] or settings["blackout"]
    }


def augmented_alike(model):
    """Models of the blend whose images are the same and augmented the same way, in their order."""

    def way(name):
        return PLAN.models[name]["channels"], augmentations(name), windows(name)

    return [name for name in MODELS if way(name) == way(model)]


def augment_figures():
    """One figure for all models that are augmented alike, named after the first."""
    firsts = dict.fromkeys(augmented_alike(model)[0] for model in MODELS)
    return [f"<results>/figures/augment/{model}.png" for model in firsts]


def training_metric(wildcards):
    """What a model's masks are judged by; labels alone have a metric of their own."""
    architecture = PLAN.models[wildcards.model]["architecture"]
    return config["decision"]["metric"] if registry.predicts_masks(architecture) else None


def training_stage(wildcards):
    """A stage's settings, less those of pseudo-labels where there are none."""
    later = ("pseudo_ratio", "train_on")
    stage = PLAN.stages[wildcards.stage]
    return {k: v for k, v in stage.items() if k not in later or int(wildcards.round)}


def prediction_code(wildcards):
    """Fingerprint of prediction with the model's network."""
    architecture = member_model(wildcards)["architecture"]
    return code("predict_images", *registry.models(architecture))


def neighbours(wildcards):
    """The tiles' neighbours, where a fold scheme keeps them together."""
    return "<results>/mosaic.csv" if PLAN.folds[wildcards.folds]["group"] == "mosaic" else []


def likeness(wildcards):
    """The test-likeness of images, where a fold scheme, pseudo-labels or the scores ask for it."""
    if wildcards.get("folds"):
        asked = settings.names_likeness(PLAN.folds[wildcards.folds])
    elif wildcards.get("model"):
        asked = member_model(wildcards)["pseudo"]["order"] == settings.LIKENESS
    else:
        asked = config["adversarial"]["enabled"]
    return "<results>/adversarial.csv" if asked else []


def kept_weights(stage):
    """Say which weights a stage keeps, and what of the validation fold decided on them."""
    settings = PLAN.stages[stage]
    averaged = settings["average_best"]
    kept = f"mean of the best {averaged}" if averaged > 1 else settings["select"]
    knew = ["stopped early"] if settings["early_stopping"] else []
    knew += ["plateau"] if settings["schedule"]["name"] == "plateau" else []
    return ", ".join([kept, *knew])


def member_model(wildcards):
    """Settings of the model that a rule's `model` or `member` stands for."""
    name = wildcards.get("member") or wildcards.model
    return PLAN.models[variants.split(name)[0]]


def member_snapshot(wildcards):
    """The number of the snapshot that a member is, or None."""
    return variants.split(wildcards.member)[1]


def leaks():
    """What a reader of the scores has to know of truths that they have seen."""
    return variants.leaks(config["pseudo"])


def model_channels(part):
    """Input function: the channels file of a model."""
    return lambda wildcards: (f"<results>/channels/{member_model(wildcards)['channels']}/{part}.h5")


def model_folds(wildcards):
    """The fold scheme of a model."""
    return f"<results>/folds/{member_model(wildcards)['folds']}.csv"


def weights_of(model, number, fold, stage):
    """A weights file; models that are trained alike share it."""
    owner = PLAN.models[model]["weights"][int(number)][stage]
    return f"<results>/models/{owner}/round{number}/fold{fold}/{stage}.safetensors"


def final_weights(wildcards):
    """The weights that a member predicts with."""
    model = variants.split(wildcards.member)[0]
    stage = PLAN.models[model]["stages"][-1]
    return weights_of(model, wildcards.round, wildcards.fold, stage)


def stage_start(wildcards):
    """The weights that a stage starts from: the stage before it, or pretrained ones, or none."""
    model = PLAN.models[wildcards.model]
    place = model["stages"].index(wildcards.stage)
    if place:
        stage = model["stages"][place - 1]
        return weights_of(wildcards.model, wildcards.round, wildcards.fold, stage)
    if int(wildcards.round) and model["pseudo"]["start"] == "previous":
        number = int(wildcards.round) - 1
        return weights_of(wildcards.model, number, wildcards.fold, model["stages"][-1])
    return []


def pretrained(wildcards):
    """The file of pretrained encoder weights, for the first stage of a model that names one."""
    model = PLAN.models[wildcards.model]
    if model["architecture"].get("weights") is None or stage_start(wildcards):
        return []
    source = [model["architecture"].get(key) for key in ("encoder", "weights", "sha256")]
    owner = next(
        name
        for name, other in PLAN.models.items()
        if source == [other["architecture"].get(key) for key in ("encoder", "weights", "sha256")]
    )
    return f"<results>/pretrained/{owner}.safetensors"


def weights_file(wildcards):
    """The local file of pretrained weights, where the config names one."""
    source = PLAN.models[wildcards.model]["architecture"].get("weights")
    return [] if source in (None, "timm") or source.startswith("https://") else source


def pseudo_labels(wildcards):
    """The pseudo-labels that a round trains on: those made of the round before."""
    if not int(wildcards.round):
        return []
    return f"<results>/pseudo/{wildcards.model}/round{int(wildcards.round) - 1}/fold{wildcards.fold}.h5"


def pseudo_channels(wildcards):
    """The test images' channels, where pseudo-labels are trained on."""
    return model_channels("test")(wildcards) if int(wildcards.round) else []


def predictions(model, number, fold, part):
    """Predictions of a model, one file a snapshot; models that predict alike share them."""
    owner = PLAN.models[model]["predictions"][int(number)]
    return [
        f"<results>/predictions/{member}/round{number}/fold{fold}/{part}.h5"
        for member in variants.members(PLAN, owner)
    ]


def idle_pseudo(pseudo):
    """Settings at which the rule of pseudo-labels does not look."""
    idle = [] if pseudo["rule"] == "labels" else ["label_low", "label_high"]
    idle += [] if pseudo["rule"] == "confidence" else ["min_confident_share"]
    return idle + ([] if pseudo["max_images"] else ["order"])


def labellers(wildcards):
    """Test predictions that label for one fold: its own models', or all folds' where the config says so.

    The models of the blend label together; a variant of an ablation labels for itself.
    """
    own = PLAN.models[wildcards.model]
    together = MODELS if wildcards.model in MODELS else [wildcards.model]
    every = own["pseudo"]["source"] == "all"
    return [
        path
        for model in together
        for fold in (
            settings.fold_numbers({"folds": PLAN.folds}, own["folds"])
            if every
            else [wildcards.fold]
        )
        for path in predictions(model, wildcards.round, fold, "test")
    ]


def member_files(part):
    """Input function: predictions of every model and fold of a round, members in order."""
    return lambda wildcards: [
        f"<results>/predictions/{member}/round{wildcards.round}/fold{fold}/{part}.h5"
        for member in MEMBERS
        for fold in FOLDS
    ]


def external_files(part):
    """Predictions made elsewhere that join the blend."""
    return [files[part] for files in EXTERNAL.values()]


def half_labels(wildcards):
    """The pseudo-labels on which the models of a round were trained, where they label by halves."""
    if config["pseudo"]["rule"] != "halves" or not int(wildcards.round):
        return []
    return [
        f"<results>/pseudo/{variants.split(member)[0]}/round{int(wildcards.round) - 1}/fold{fold}.h5"
        for member in MEMBERS
        for fold in FOLDS
    ]


def variant_artefacts(variant, seed, kind):
    """What the jobs behind one row of an ablation make, of one seed: weights, or predictions."""
    model = variant.models[int(seed)]
    stages = PLAN.models[model]["stages"]
    return [
        path
        for fold in variant_folds(variant)
        for path in (
            [weights_of(model, r, fold, s) for r in range(variant.rounds + 1) for s in stages]
            if kind == "weights"
            else predictions(model, variant.rounds, fold, "oof")
        )
    ]


def variant_predictions(wildcards):
    """Out-of-fold predictions of a variant, its snapshots one after the other, fold by fold."""
    return variant_artefacts(PLAN.variants[wildcards.variant], wildcards.seed, "predictions")


def variant_steps(wildcards):
    """Modules of the steps of a variant's decision."""
    return registry.steps(PLAN.variants[wildcards.variant].decision["steps"])


def variant_folds(variant):
    """Numbers of the folds that an ablation trains."""
    chosen = config["ablation"]["folds"]
    return chosen or settings.fold_numbers({"folds": PLAN.folds}, variant.folds)


def variant_benchmarks(kind):
    """Benchmark files of every variant's jobs, in all folds and seeds."""
    job = "train_stage" if kind == "weights" else "predict_images"
    folder = Path("results", config["run"], "benchmarks", job)
    return {
        name: [
            str(folder.joinpath(*Path(path).parts[2:]).with_suffix(".txt"))
            for seed in variant.models
            for path in variant_artefacts(variant, seed, kind)
        ]
        for name, variant in PLAN.variants.items()
    }
