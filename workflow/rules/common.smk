"""What the rules share: the resolved config, the lists the targets are made of, a few input functions."""

from pathlib import Path

from snakemake.exceptions import WorkflowError

from foldbelt import config as settings
from foldbelt import members
from foldbelt.provenance import fingerprint

try:
    resolved = settings.resolve(config)
except ValueError as error:
    raise WorkflowError(str(error)) from None
config.clear()
config.update(resolved)

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
MODELS = list(config["models"])
ROUNDS = settings.rounds(config)
SCHEME = settings.fold_scheme(config)
FOLDS = settings.fold_numbers(config, SCHEME)
RECIPES = sorted({model["channels"] for model in config["models"].values()})
STAGES = [
    f"{model}/round{number}/fold{fold}/{stage}"
    for model in MODELS
    for number in ROUNDS
    for fold in FOLDS
    for stage in config["models"][model]["stages"]
]
SURVEY = config["data"]["survey"] is not None
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


def code(script, *modules):
    """Fingerprint of a rule's script and of all library code behind it."""
    return fingerprint(f"{workflow.basedir}/workflow/scripts/{script}.py", *modules)


def competition_code(script):
    """Fingerprint for a rule that calls the competition's own module."""
    return code(script, *members.competition(config["competition"]))


def channels_code(wildcards):
    """Fingerprint of the channels that a recipe names."""
    return code("make_channels", *members.channels(config["channels"][wildcards.channels]))


def training_code(wildcards):
    """Fingerprint of the training loop, the model's network and the stage's losses."""
    architecture = config["models"][wildcards.model]["architecture"]
    loss = config["stages"][wildcards.stage]["loss"]
    return code("train_stage", *members.models(architecture), *members.losses(loss))


def training_architecture(wildcards):
    """A model's network, less where its pretrained weights come from: they are an input."""
    architecture = config["models"][wildcards.model]["architecture"]
    return {k: v for k, v in architecture.items() if k not in ("weights", "sha256")}


def training_stage(wildcards):
    """A stage's settings, less those of pseudo-labels where there are none."""
    stage = config["stages"][wildcards.stage]
    return {k: v for k, v in stage.items() if k != "pseudo_ratio" or int(wildcards.round)}


def prediction_code(wildcards):
    """Fingerprint of prediction with the model's network."""
    architecture = config["models"][wildcards.model]["architecture"]
    return code("predict_images", *members.models(architecture))


def neighbours(wildcards):
    """The tiles' neighbours, where a fold scheme keeps them together."""
    return "<results>/mosaic.csv" if config["folds"][wildcards.folds]["group"] == "mosaic" else []


def kept_weights(stage):
    """Say which weights a stage keeps, and what of the validation fold decided on them."""
    settings = config["stages"][stage]
    knew = ["stopped early"] if settings["early_stopping"] else []
    knew += ["plateau"] if settings["schedule"]["name"] == "plateau" else []
    return ", ".join([settings["select"], *knew])


def model_channels(part):
    """Input function: the channels file of a model."""
    return lambda wildcards: (
        f"<results>/channels/{config['models'][wildcards.model]['channels']}/{part}.h5"
    )


def model_folds(wildcards):
    """The fold scheme of a model."""
    return f"<results>/folds/{config['models'][wildcards.model]['folds']}.csv"


def final_weights(wildcards):
    """The weights that a model predicts with."""
    stage = settings.final_stage(config, wildcards.model)
    return f"<results>/models/{wildcards.model}/round{wildcards.round}/fold{wildcards.fold}/{stage}.safetensors"


def stage_start(wildcards):
    """The weights that a stage starts from: the stage before it, or pretrained ones, or none."""
    model = config["models"][wildcards.model]
    place = model["stages"].index(wildcards.stage)
    if place:
        return f"<results>/models/{wildcards.model}/round{wildcards.round}/fold{wildcards.fold}/{model['stages'][place - 1]}.safetensors"
    if int(wildcards.round) and config["pseudo"]["start"] == "previous":
        return f"<results>/models/{wildcards.model}/round{int(wildcards.round) - 1}/fold{wildcards.fold}/{model['stages'][-1]}.safetensors"
    return []


def pretrained(wildcards):
    """The file of pretrained encoder weights, for the first stage of a model that names one."""
    model = config["models"][wildcards.model]
    if model["architecture"].get("weights") is None or stage_start(wildcards):
        return []
    return f"<results>/pretrained/{wildcards.model}.safetensors"


def weights_file(wildcards):
    """The local file of pretrained weights, where the config names one."""
    source = config["models"][wildcards.model]["architecture"].get("weights")
    return [] if source in (None, "timm") or source.startswith("https://") else source


def pseudo_labels(wildcards):
    """The pseudo-labels that a round trains on: those made of the round before."""
    if not int(wildcards.round):
        return []
    return f"<results>/pseudo/{wildcards.model}/round{int(wildcards.round) - 1}/fold{wildcards.fold}.h5"


def pseudo_channels(wildcards):
    """The test images' channels, where pseudo-labels are trained on."""
    return model_channels("test")(wildcards) if int(wildcards.round) else []


def same_scheme(wildcards):
    """Predictions of the models whose fold f held out the same images; no other model may label them."""
    scheme = config["models"][wildcards.model]["folds"]
    return [
        f"<results>/predictions/{model}/round{wildcards.round}/fold{wildcards.fold}/test.h5"
        for model in MODELS
        if config["models"][model]["folds"] == scheme
    ]


def member_files(part):
    """Input function: predictions of every model and fold of a round, models in the config's order."""
    return lambda wildcards: [
        f"<results>/predictions/{model}/round{wildcards.round}/fold{fold}/{part}.h5"
        for model in MODELS
        for fold in FOLDS
    ]
