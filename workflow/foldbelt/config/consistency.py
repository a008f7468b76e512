"""What has to hold between the parts of a config: names that lead somewhere, settings that agree.

The schema says what each value may be; here is asked whether they can be meant together. Runs
whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from foldbelt import registry
from foldbelt.config import (
    annotations,
    augmentation,
    keeping,
    maskless,
    outputs,
    predicted,
    stages,
    teaching,
)
from foldbelt.config.renamed import unknown_key
from foldbelt.config.stage_settings import StageSettings, sides
from foldbelt.files import InputError, Problem
from foldbelt.registry import suggest

Config = dict[str, Any]

LIKENESS = "test_likeness"
"""The column that the adversarial stage adds; who names it makes the stage run."""


def references(config: Config) -> Iterator[Problem]:
    """Yield every name that leads nowhere and every pair of settings that exclude each other.

    Parameters
    ----------
    config
        With all its defaults.

    Yields
    ------
    Problem
        The key, and what is wrong with it.
    """
    yield from _models(config)
    for name, stage in config["stages"].items():
        yield from _member(f"stages.{name}.loss", registry.losses, stage["loss"])
        yield from _loss_options(f"stages.{name}.loss", stage["loss"])
        yield from augmentation.check(stage["augment"], f"stages.{name}.augment")
        if stage["augment_on"] == "device":
            yield from augmentation.unbatched(stage["augment"], f"stages.{name}.augment")
        for key, reason in stages.contradictions(StageSettings.of(stage)):
            yield Problem(f"stages.{name}.{key}", reason)
    for name, recipe in config["channels"].items():
        yield from _member(f"channels.{name}.use", registry.channels, recipe)
    steps = config["decision"]["steps"]
    yield from _member("decision.steps", registry.steps, steps)
    yield from _member_options("decision.steps", "decide/steps", steps)
    yield from _member("competition", registry.competition, config["competition"])
    yield from _blend(config)
    yield from _data(config)
    yield from _folds(config)
    yield from keeping.problems(config)
    yield from teaching.problems(config)
    if not config["data"]["masks"]:
        yield from maskless.problems(config)
    elif "masks" not in outputs.decided(config):
        yield from maskless.undecided(config)


def _models(config: Config) -> Iterator[Problem]:
    """Yield what models name and the config does not have, or what they ask of each other."""
    for name, model in config["models"].items():
        for room, key in (("channels", "channels"), ("folds", "folds")):
            if model[key] not in config[room]:
                yield Problem(
                    f"models.{name}.{key}",
                    f"no {room} named {model[key]!r}" + suggest(model[key], config[room]),
                )
        for stage in model["stages"]:
            if stage not in config["stages"]:
                yield Problem(
                    f"models.{name}.stages",
                    f"no stage {stage!r}" + suggest(stage, config["stages"]),
                )
        yield from _member(f"models.{name}.architecture", registry.models, model["architecture"])
        yield from _network(name, model, config)
    schemes = {model["folds"] for model in config["models"].values()}
    if len(schemes) > 1:
        yield Problem(
            "models.*.folds",
            "the members of a blend must share one fold scheme, these name "
            f"{', '.join(sorted(schemes))}: what one has held out another has trained on",
        )
    for name in sorted(set(config["blend"]["external"]) & set(config["models"])):
        yield Problem(f"blend.external.{name}", "a model has this name; take another")


def _data(config: Config) -> Iterator[Problem]:
    """Yield what keeps the competition's files, or synthetic data, from being read."""
    data, competition = config["data"], config["competition"]
    if data["truth"] is not None and data["synthetic"] is not None:
        yield Problem("data.truth", "synthetic data bring their own; leave it out")
    elif data["truth"] is not None and not (
        registry.reads_truth(competition) or registry.scores_truth(competition)
    ):
        reason = f"the competition {competition!r} does not say how to read one"
        yield Problem("data.truth", reason)
    if (data["path"] is None) == (data["synthetic"] is None):
        yield Problem(
            "data", "give either `path`, the folder of the competition's files, or `synthetic`"
        )
    if data["synthetic"] is not None and registry.synthetic(competition) is None:
        made = [name for name in registry.known("competitions") if registry.synthetic(name)]
        reason = f"synthetic data are made for the competitions {', '.join(made)} only"
        yield Problem("data.synthetic", reason)
    if data["label"] is not None:
        yield from _label(config)
    yield from _annotations(config)
    yield from annotations.problems(config)
    reading = _reading("ANNOTATIONS")
    for key, plain in (("masks", True), ("boxes", None)):
        told = annotations.constant(config, "BOXES") is not None  # by the competition's tables
        if data[key] != plain and competition not in reading and not told:
            reason = f"{json.dumps(data[key])} is for the layout of {', '.join(reading)} only"
            yield Problem(f"data.{key}", f"{reason}; leave it out")
    if data["series"] is not None:
        yield from _series(data["series"])
    looks = [name for name in config["decision"]["steps"] if _looks(name)]
    if looks and data["size"] is not None:
        yield Problem(
            f"decision.steps.{looks[0]}",
            "neighbours cannot be found in resized images; leave it out",
        )


def _label(config: Config) -> Iterator[Problem]:
    """Yield what keeps a column of image labels from being read, or from making sense."""
    reading = _reading("LABEL_COLUMN")
    if config["competition"] not in reading:
        reason = f"labels from a column are read for {', '.join(reading)} only; leave it out"
        yield Problem("data.label", reason)


def _reading(constant: str) -> list[str]:
    """Name the competitions whose package says yes to a constant."""
    return [
        name
        for name in registry.known("competitions")
        if registry.constant(registry.competition(name), constant, False)
    ]


def _annotations(config: Config) -> Iterator[Problem]:
    """Yield what keeps masks, labels and boxes from being read or from saying anything."""
    data = config["data"]
    label, boxes = data["label"], data["boxes"]
    names = [("data.boxes", boxes)]
    if isinstance(data["masks"], str) and data["masks"] != "from_boxes":
        names.append(("data.masks", data["masks"]))
        yield from _from_file(data)
    elif data["masks_missing"] != "error":
        reason = "no file lists the masks; name it in data.masks, or leave this out"
        yield Problem("data.masks_missing", reason)
    if isinstance(label, Mapping):
        names.append(("data.label.table", label["table"]))
        if (label["column"] is None) == (label["columns"] is None):
            reason = "give either `column`, of one label an image, or `columns`, one a label"
            yield Problem("data.label", reason)
    for key, name in names:
        if name is not None and not _is_below(name):
            reason = f"{name!r} must be a path below the folder of the raw files"
            yield Problem(key, reason)
    if boxes is None and data["box_classes"] is not None:
        yield Problem("data.box_classes", "there are no boxes; name their file in data.boxes")
    if boxes == "from_masks" and data["box_classes"] is not None:
        reason = "boxes from masks have the classes of the masks (data.classes); leave it out"
        yield Problem("data.box_classes", reason)
    if data["masks"] == "from_boxes":
        yield from _from_boxes(config)


def _from_boxes(config: Config) -> Iterator[Problem]:
    """Yield what keeps masks from being made of boxes."""
    data = config["data"]
    if data["boxes"] == "from_masks":
        yield Problem("data.boxes", "from_masks: the masks are made of boxes (data.masks)")
    elif not annotations.has_boxes(config):
        yield Problem("data.masks", "from_boxes: there are no boxes; name their file in data.boxes")
    for key in ("classes", "ignore"):
        if data[key] is not None:
            yield Problem(f"data.{key}", "the masks are made of boxes (data.masks); leave it out")


def _from_file(data: Config) -> Iterator[Problem]:
    """Yield what a file that lists masks has no use for."""
    for key in ("ignore", "cut", "colours", "ignore_colour"):
        if data[key] is not None:
            reason = "the masks are listed by class in a file (data.masks); leave it out"
            yield Problem(f"data.{key}", reason)


def _is_below(name: str) -> bool:
    """Tell whether a path leads to something below a folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _folds(config: Config) -> Iterator[Problem]:
    """Yield groups that no image shares, or that cannot be found."""
    for name, scheme in config["folds"].items():
        if scheme["group"] == LIKENESS:
            reason = (
                f"{LIKENESS} is another number for every image; name it in `stratify` or "
                "`first_fold_by`"
            )
            yield Problem(f"folds.{name}.group", reason)
        if scheme["group"] == "mosaic" and config["data"]["size"] is not None:
            yield Problem(
                f"folds.{name}.group",
                "neighbours cannot be found in resized images; use null or a column",
            )


def _series(pattern: str) -> Iterator[Problem]:
    """Yield what makes `data.series` useless."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        yield Problem("data.series", f"{pattern!r} is no regular expression: {error}")
        return
    if not groups:
        reason = f"{pattern!r} has no group; put what names the series in round brackets"
        yield Problem("data.series", reason)


def _blend(config: Config) -> Iterator[Problem]:
    """Yield what keeps the models from being blended, and from labelling together."""
    spec = config["blend"]
    models = {n: outputs.network_of(m, config) for n, m in config["models"].items()}
    step = spec["step"]
    if abs(round(1 / step) * step - 1) > 1e-6:
        yield Problem("blend.step", f"{step} does not divide 1; take 0.1, 0.2, 0.25 …")
    names = [*models, *spec["external"]]
    for name in spec["weights"]:
        if name not in names:
            yield Problem(f"blend.weights.{name}", "no such model" + suggest(name, names))
    try:
        masked = [name for name in models if registry.predicts_masks(models[name])]
        labelled = [name for name in models if registry.predicts_labels(models[name])]
    except InputError:  # an unknown architecture is reported with the other references
        return
    yield from predicted.problems(config)
    others = list(spec["external"])  # may predict both
    own_labels = annotations.has_labels(config)
    for members, what in ((masked, "masks"), ([] if own_labels else labelled, "labels")):
        weights = [spec["weights"].get(name, 1) for name in [*members, *others]]
        if members and not any(weights):
            reason = f"all that predict {what} weigh 0; raise one, or leave the models out"
            yield Problem("blend.weights", reason)
    pseudo = config["pseudo"]
    if pseudo["rounds"] and pseudo["rule"] == "labels" and not labelled:
        reason = (
            f"labels: none of {', '.join(models)} predicts labels; add a label_head or classifier"
        )
        yield Problem("pseudo.rule", reason)
    elif pseudo["rounds"] and pseudo["rule"] == "labels" and own_labels:
        reason = (
            "labels: it asks whether masks show what their labels say, and those of data.label say "
            "something of their own; take confidence or everything"
        )
        yield Problem("pseudo.rule", reason)
    if pseudo["rounds"] and not masked and list(outputs.models_of(config)) == ["masks"]:
        reason = (
            f"{pseudo['rounds']}, but {', '.join(models)} predict labels and no masks, and "
            "external predictions do not label; add a model that predicts masks, or set it to 0"
        )
        yield Problem("pseudo.rounds", reason)
    if pseudo["rounds"] and pseudo["order"] == LIKENESS and pseudo["max_images"] is None:
        yield Problem(
            "pseudo.order", f"{LIKENESS} orders nothing without pseudo.max_images; set it"
        )


def _looks(step: str) -> bool:
    known = step in registry.known("decide/steps")
    return known and registry.looks_at("neighbours", registry.steps([step]))


def _network(name: str, model: Mapping[str, Any], config: Config) -> Iterator[Problem]:
    """Yield what a model's channels and stages ask of it and it does not have."""
    architecture = model["architecture"]
    recipe = config["channels"].get(model["channels"])  # None: reported with the names
    late = architecture["late_channels"]
    if recipe is not None and late >= len(recipe["use"]):
        reason = f"{late} of the channels {', '.join(recipe['use'])} leaves the encoder none"
        yield Problem(f"models.{name}.architecture.late_channels", reason)
    yield from _stages_of(name, model, config)
    if "encoder" in options(architecture):
        return
    for stage in (s for s in model["stages"] if s in config["stages"]):
        spec = config["stages"][stage]
        asked = {"freeze_encoder": spec["freeze_encoder"]}
        asked["optimizer.encoder_factor"] = spec["optimizer"]["encoder_factor"] != 1
        asked["optimizer.layer_decay"] = spec["optimizer"]["layer_decay"] != 1
        for key in (key for key, given in asked.items() if given):
            reason = f"the model {name!r} ({architecture.get('name')}) has no encoder; leave it out"
            yield Problem(f"stages.{stage}.{key}", reason)


def _stages_of(name: str, model: Mapping[str, Any], config: Config) -> Iterator[Problem]:
    """Yield what a model's stages ask of its images or of its network and they do not have."""
    recipe = config["channels"].get(model["channels"])
    known = str(model["architecture"].get("name")).partition("/")[0] in registry.known("models")
    for stage in (s for s in model["stages"] if s in config["stages"]):
        settings = StageSettings.of(config["stages"][stage])
        reasons: list[tuple[str, str]] = []
        if recipe is not None:
            given = (sides(recipe["size"]), recipe["use"], recipe["whiten"])
            reasons += stages.missing_in_images(settings, *given)
        if known:
            exclusive = outputs.are_exclusive(model, config)
            network = outputs.network_of(model, config)
            reasons += stages.unlearnable(settings, network, exclusive)
        for key, reason in reasons:
            yield Problem(f"stages.{stage}.{key}", f"{reason} (model {name!r})")


_SIZES = {"variant", "in_channels", "mask_channels", "label_classes", "box_classes"}  # of the data


def options(architecture: Mapping[str, Any]) -> set[str]:
    """Keys that mean something to an architecture."""
    try:
        module = registry.models(architecture)[0]
    except InputError:  # reported with the other references
        return set(architecture)
    return {"name", "sha256"} | set(registry.options(module)) - _SIZES


def foreign_options(given: Config, competition: str) -> Iterator[Problem]:
    """Yield options that an architecture or synthetic data do not have, though others may.

    Parameters
    ----------
    given
        The config as the schema allows it, before its defaults are filled in: these cover all
        architectures.
    competition
        That of the config, or the default.
    """
    generator = registry.synthetic(competition)
    if generator is not None:  # else `data.synthetic` itself is refused
        known = set(registry.synthetic_options(generator))
        for key in sorted(set(given["data"].get("synthetic") or ()) - known):
            reason = f"the synthetic data of the competition {competition!r} have no such option"
            yield Problem(f"data.synthetic.{key}", reason + suggest(key, known))
    for name, model in given["models"].items():
        known = options(model["architecture"])
        for key in model["architecture"]:
            if key not in known:
                reason = f"{model['architecture']['name']!r} has no such option"
                yield Problem(f"models.{name}.architecture.{key}", reason + suggest(key, known))


def _member_options(
    where: str, room: str, listed: Mapping[str, Any], common: Iterable[str] = ()
) -> Iterator[Problem]:
    """Yield options that a room's member does not have: found now, not when its turn comes."""
    for name, given in listed.items():
        if isinstance(given, dict) and name in registry.known(room):
            known = {*common, *registry.options(f"foldbelt.{room.replace('/', '.')}.{name}")}
            for key in sorted(set(given) - known):
                place = f"{where}.{name}.{key}"
                yield Problem(place, unknown_key(place, known))


def _loss_options(where: str, loss: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield options that a loss does not have, of every output or of the main one."""
    by_output = {name: terms for name, terms in loss.items() if name in registry.OUTPUTS}
    named = {name: terms for name, terms in by_output.items() if isinstance(terms, Mapping)}
    for name, terms in named.items():
        yield from _member_options(f"{where}.{name}", "losses", terms, {"weight"})
    main = {name: term for name, term in loss.items() if name not in by_output}
    yield from _member_options(where, "losses", main, {"weight"})


def _member(where: str, room: Any, named: Any) -> Iterator[Problem]:
    try:
        room(named)
    except InputError as error:
        yield Problem(where, str(error))
