"""The validated config: schema, defaults, references between its parts.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import copy
import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from foldbelt import augment_names, members
from foldbelt.files import InputError, PathLike, Problem, raise_all
from foldbelt.train import checks

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"

Config = dict[str, Any]

LIKENESS = "test_likeness"
"""The column that the adversarial stage adds; who names it makes the stage run."""

_RAW = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".csv"}


def load_schema(path: PathLike = SCHEMA) -> Config:
    """Read the JSON schema of the config."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def resolve(config: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> Config:
    """Check a config and complete it.

    Models that start `from` another are merged with it, defaults are filled in, and every name that
    one part gives of another (channels, folds, stages, members of a room) is looked up. Resolving
    twice changes nothing.

    Parameters
    ----------
    config
        As read from YAML.
    schema
        The JSON schema; foldbelt's own if None.

    Returns
    -------
    dict
        A new config in which every key has its value.

    Raises
    ------
    InputError
        Listing every offending key with its value and what would be right.
    """
    schema = load_schema() if schema is None else schema
    raise_all(list(_odd_keys(config, "")), "The config cannot be used")
    complete = copy.deepcopy(dict(config))
    problems = _inherit(complete.get("models"))
    validator = Draft202012Validator(schema)
    for error in sorted(
        validator.iter_errors(complete), key=lambda error: list(map(str, error.path))
    ):
        problems += _explain(error)
    raise_all(problems, "The config cannot be used")
    raise_all(list(_foreign_options(complete)), "The config cannot be used")
    _fill(complete, schema, schema)
    if complete["decision"]["metric"] is None:
        complete["decision"]["metric"] = members.metric(complete["competition"])
    raise_all(list(_references(complete)), "The config contradicts itself")
    for model in complete["models"].values():
        own = _options(model["architecture"])
        model["architecture"] = {k: v for k, v in model["architecture"].items() if k in own}
    if complete["data"]["survey"] is not None:
        keys = members.survey_options(members.survey(complete["competition"]) or "")
        complete["data"]["survey"] = {key: complete["data"]["survey"][key] for key in keys}
    return complete


def _odd_keys(value: Any, where: str) -> Iterable[Problem]:
    """Yield keys that are not text: YAML reads `on`, `1` and `2.5` as something else."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                yield Problem(f"{where}{key}", f"the key {key!r} is not text; put it in quotes")
            yield from _odd_keys(part, f"{where}{key}.")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _odd_keys(part, f"{where}{place}.")


def _inherit(models: Any) -> list[Problem]:
    """Replace `from` in each model by the settings it stands for."""
    problems: list[Problem] = []
    if not isinstance(models, dict):
        return problems
    given = copy.deepcopy(models)

    def settings(name: str, seen: tuple[str, ...]) -> dict[str, Any]:
        model = given[name]
        if not isinstance(model, dict) or "from" not in model:
            return model
        parent = model["from"]
        own = {key: value for key, value in model.items() if key != "from"}
        if parent not in given or parent in seen:
            reason = "starts from itself" if parent in seen else f"no model is named {parent!r}"
            problems.append(Problem(f"models.{seen[0]}.from", reason + _suggest(parent, given)))
            return own
        return merge(settings(parent, (*seen, parent)), own)

    for name in given:
        models[name] = settings(name, (name,))
    return problems


def merge(base: Any, over: Any) -> Any:
    """Merge two settings: mappings key by key, anything else is replaced.

    A loss, or an architecture of another name, is replaced whole: what one of them lists means
    nothing in the other.
    """
    if not isinstance(base, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    if "name" in over and over["name"] != base.get("name"):
        return copy.deepcopy(over)
    merged = copy.deepcopy(base)
    for key, value in over.items():
        merged[key] = (
            merge(base[key], value) if key in base and key != "loss" else copy.deepcopy(value)
        )
    return merged


def _explain(error: ValidationError) -> list[Problem]:
    """Say what is wrong with a value in the words of the config, not of the schema."""
    where = ".".join(map(str, error.path)) or "the config"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})  # type: ignore[union-attr]
        unknown = sorted(set(error.instance) - set(known), key=str)
        prefix = "" if where == "the config" else f"{where}."
        return [Problem(f"{prefix}{key}", "unknown key" + _suggest(key, known)) for key in unknown]
    if error.validator == "oneOf":
        deeper = [sub for sub in error.context or () if sub.path or sub.validator != "type"]
        if deeper:
            return [problem for sub in deeper for problem in _explain(_under(sub, error))]
    shown = repr(error.instance)
    if isinstance(error.instance, dict):
        return [Problem(where, error.message)]
    reason = error.message.split("\n")[0]
    if error.validator == "minItems":
        reason = f"{shown} has too few values; give {error.validator_value} or more"
    return [Problem(where, reason if shown in reason else f"{reason} (is {shown})")]


def _under(sub: ValidationError, parent: ValidationError) -> ValidationError:
    """Give an error of an alternative its full path."""
    for part in reversed(parent.path):
        sub.path.appendleft(part)
    return sub


def _suggest(word: Any, known: Iterable[str]) -> str:
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(word), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def _fill(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Fill the schema's defaults into `value`, in place."""
    while "$ref" in schema:
        reference = schema["$ref"].rsplit("/", 1)[1]
        schema = {**root["$defs"][reference], **{k: v for k, v in schema.items() if k != "$ref"}}
    if not isinstance(value, dict):
        return
    for alternative in schema.get("oneOf", []):
        if alternative.get("type") == "object" or "$ref" in alternative:
            _fill(value, alternative, root)
    for key, part in schema.get("properties", {}).items():
        target = part
        if key not in value:
            while "default" not in target and "$ref" in target:
                target = root["$defs"][target["$ref"].rsplit("/", 1)[1]]
            if "default" not in target:
                continue
            value[key] = copy.deepcopy(target["default"])
        _fill(value[key], part, root)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for key in value:
            if key not in schema.get("properties", {}):
                if value[key] is None and "type" not in others:
                    value[key] = {}
                _fill(value[key], others, root)


def _references(config: Config) -> Iterable[Problem]:
    """Yield every name that leads nowhere and every pair of settings that exclude each other."""
    for name, model in config["models"].items():
        for room, key in (("channels", "channels"), ("folds", "folds")):
            if model[key] not in config[room]:
                yield Problem(
                    f"models.{name}.{key}",
                    f"no {room} named {model[key]!r}" + _suggest(model[key], config[room]),
                )
        for stage in model["stages"]:
            if stage not in config["stages"]:
                yield Problem(
                    f"models.{name}.stages",
                    f"no stage {stage!r}" + _suggest(stage, config["stages"]),
                )
        yield from _member(f"models.{name}.architecture", members.models, model["architecture"])
        yield from _network(name, model, config)
    for name, stage in config["stages"].items():
        yield from _member(f"stages.{name}.loss", members.losses, stage["loss"])
        yield from _member_options(f"stages.{name}.loss", "losses", stage["loss"], {"weight"})
        yield from augment_names.check(stage["augment"], f"stages.{name}.augment")
        for key, reason in checks.contradictions(stage):
            yield Problem(f"stages.{name}.{key}", reason)
    for name, recipe in config["channels"].items():
        yield from _member(f"channels.{name}.use", members.channels, recipe)
    decision = config["decision"]
    yield from _member("decision.steps", members.steps, decision["steps"])
    yield from _member_options("decision.steps", "decide/steps", decision["steps"])
    yield from _member("competition", members.competition, config["competition"])
    schemes = {model["folds"] for model in config["models"].values()}
    if len(schemes) > 1:
        yield Problem(
            "models.*.folds",
            "the members of a blend must share one fold scheme, these name "
            f"{', '.join(sorted(schemes))}: what one has held out another has trained on",
        )
    for name in sorted(set(config["blend"]["external"]) & set(config["models"])):
        yield Problem(f"blend.external.{name}", "a model has this name; take another")
    yield from _blend(config)
    step = config["blend"]["step"]
    if abs(round(1 / step) * step - 1) > 1e-6:
        yield Problem("blend.step", f"{step} does not divide 1; take 0.1, 0.2, 0.25 …")
    data = config["data"]
    if data["truth"] is not None and data["survey"] is not None:
        yield Problem("data.truth", "a survey brings its own; leave it out")
    elif data["truth"] is not None and not members.defines(config["competition"], "read_truth"):
        name = config["competition"]
        yield Problem("data.truth", f"the competition {name!r} does not say how to read one")
    if (data["path"] is None) == (data["survey"] is None):
        yield Problem(
            "data", "give either `path`, the folder of the competition's files, or `survey`"
        )
    if data["survey"] is not None and members.survey(config["competition"]) is None:
        made = [name for name in members.known("competitions") if members.survey(name)]
        reason = f"synthetic surveys are made for the competitions {', '.join(made)} only"
        yield Problem("data.survey", reason)
    if data["series"] is not None:
        yield from _series(data["series"])
    looks = [name for name in decision["steps"] if _looks(name)]
    if looks and data["size"] is not None:
        yield Problem(
            f"decision.steps.{looks[0]}",
            "neighbours cannot be found in resized images; leave it out",
        )
    for name, scheme in config["folds"].items():
        if scheme["group"] == LIKENESS:
            reason = (
                f"{LIKENESS} is another number for every image; name it in `stratify` or `first`"
            )
            yield Problem(f"folds.{name}.group", reason)
    mosaic = [name for name, scheme in config["folds"].items() if scheme["group"] == "mosaic"]
    if mosaic and data["size"] is not None:
        yield Problem(
            f"folds.{mosaic[0]}.group",
            "neighbours cannot be found in resized images; use null or a column",
        )


def _series(pattern: str) -> Iterable[Problem]:
    """Yield what makes `data.series` useless."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        yield Problem("data.series", f"{pattern!r} is no regular expression: {error}")
        return
    if not groups:
        reason = f"{pattern!r} has no group; put what names the series in round brackets"
        yield Problem("data.series", reason)


def _blend(config: Config) -> Iterable[Problem]:
    """Yield what keeps the models from being blended, and from labelling together."""
    spec, models = config["blend"], {n: m["architecture"] for n, m in config["models"].items()}
    names = [*models, *spec["external"]]
    for name in spec["weights"]:
        if name not in names:
            yield Problem(f"blend.weights.{name}", "no such model" + _suggest(name, names))
    try:
        masked = [name for name in models if members.predicts_masks(models[name])]
        labelled = [name for name in models if members.predicts_labels(models[name])]
    except InputError:  # an unknown architecture is reported with the other references
        return
    others = list(spec["external"])  # may predict both
    for own, what in ((masked, "masks"), (labelled, "labels")):
        weights = [spec["weights"].get(name, 1) for name in [*own, *others]]
        if own and not any(weights):
            reason = f"all that predict {what} weigh 0; raise one, or leave the models out"
            yield Problem("blend.weights", reason)
    pseudo = config["pseudo"]
    if pseudo["rounds"] and pseudo["rule"] == "labels" and not labelled:
        reason = (
            f"labels: none of {', '.join(models)} predicts labels; add a label_head or classifier"
        )
        yield Problem("pseudo.rule", reason)
    if not masked and not others:
        reason = f"{', '.join(models)} predict labels and no masks; add a model that predicts masks"
        yield Problem("models", reason)
    elif not masked and pseudo["rounds"]:
        reason = (
            f"{pseudo['rounds']}, but {', '.join(models)} predict labels and no masks, and "
            "external predictions do not label; add a model that predicts masks, or set it to 0"
        )
        yield Problem("pseudo.rounds", reason)
    if pseudo["rounds"] and pseudo["order"] == LIKENESS and pseudo["most"] is None:
        yield Problem("pseudo.order", f"{LIKENESS} orders nothing without pseudo.most; set it")


def _looks(step: str) -> bool:
    known = step in members.known("decide/steps")
    return known and members.looks_at("neighbours", members.steps([step]))


def _network(name: str, model: Mapping[str, Any], config: Config) -> Iterable[Problem]:
    """Yield what a model's channels and stages ask of it and it does not have."""
    architecture = model["architecture"]
    use = config["channels"].get(model["channels"], {}).get("use", ())
    late = architecture.get("late_channels") or 0
    if use and late >= len(use):
        reason = f"{late} of the channels {', '.join(use)} leaves the encoder none"
        yield Problem(f"models.{name}.architecture.late_channels", reason)
    yield from _unfit(name, model, config)
    if "encoder" in _options(architecture):
        return
    for stage in (s for s in model["stages"] if s in config["stages"]):
        spec = config["stages"][stage]
        asked = {"freeze_encoder": spec["freeze_encoder"]}
        asked["optimizer.encoder_factor"] = spec["optimizer"]["encoder_factor"] != 1
        for key in (key for key, given in asked.items() if given):
            reason = f"the model {name!r} ({architecture.get('name')}) has no encoder; leave it out"
            yield Problem(f"stages.{stage}.{key}", reason)


def _unfit(name: str, model: Mapping[str, Any], config: Config) -> Iterable[Problem]:
    """Yield what a model's stages ask of its images or of its network and they do not have."""
    recipe = config["channels"].get(model["channels"])
    known = str(model["architecture"].get("name")).partition("/")[0] in members.known("models")
    for stage in (s for s in model["stages"] if s in config["stages"]):
        spec = config["stages"][stage]
        found: list[tuple[str, str]] = []
        if recipe is not None:
            size = checks.sides(recipe["size"])
            found += checks.misfits(spec, size, recipe["use"], recipe["whiten"])
        if known:
            found += checks.unlearnable(spec, model["architecture"])
        for key, reason in found:
            yield Problem(f"stages.{stage}.{key}", f"{reason} (model {name!r})")


_SIZES = {"variant", "in_channels", "mask_channels", "label_classes"}  # not from the config


def _options(architecture: Mapping[str, Any]) -> set[str]:
    """Keys that mean something to an architecture."""
    try:
        module = members.models(architecture)[0]
    except InputError:  # reported with the other references
        return set(architecture)
    return {"name", "sha256"} | set(members.options(module)) - _SIZES


def _foreign_options(config: Config) -> Iterable[Problem]:
    """Yield options that an architecture or a survey does not have, though another one may."""
    competition = config.get("competition", "salt")
    survey = members.survey(competition)
    if survey is not None:  # else the survey itself is refused
        own = set(members.survey_options(survey))
        for key in sorted(set(config["data"].get("survey") or ()) - own):
            reason = f"the survey of the competition {competition!r} has no such option"
            yield Problem(f"data.survey.{key}", reason + _suggest(key, own))
    for name, model in config["models"].items():
        own = _options(model["architecture"])
        for key in model["architecture"]:
            if key not in own:
                reason = f"{model['architecture']['name']!r} has no such option"
                yield Problem(f"models.{name}.architecture.{key}", reason + _suggest(key, own))


def _member_options(
    where: str, room: str, listed: Mapping[str, Any], common: Iterable[str] = ()
) -> Iterable[Problem]:
    """Yield options that a room's member does not have: found now, not when its turn comes."""
    for name, given in listed.items():
        if isinstance(given, dict) and name in members.known(room):
            own = {*common, *members.options(f"foldbelt.{room.replace('/', '.')}.{name}")}
            for key in sorted(set(given) - own):
                yield Problem(f"{where}.{name}.{key}", "unknown key" + _suggest(key, own))


def _member(where: str, room: Any, named: Any) -> Iterable[Problem]:
    try:
        room(named)
    except InputError as error:
        yield Problem(where, str(error))


def listing(root: PathLike) -> str:
    """Digest of the names, sizes and times of all images and tables below a folder.

    Looks at no content, so that it costs a tenth of a second for 20,000 files. Other files, such as
    notes and hidden ones, do not matter.
    """
    total = hashlib.sha256()
    for path in sorted(Path(root).rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix.lower() in _RAW and not hidden and path.is_file():
            state = path.stat()
            line = f"{path.relative_to(root)}\0{state.st_size}\0{state.st_mtime_ns}\n"
            total.update(line.encode())
    return total.hexdigest()


def final_stage(config: Config, model: str) -> str:
    """Name of the stage whose weights a model predicts with."""
    return config["models"][model]["stages"][-1]


def rounds(config: Config) -> list[int]:
    """Round 0, and one more for every pseudo-label round."""
    return list(range(config["pseudo"]["rounds"] + 1))


def fold_scheme(config: Config) -> str:
    """The one fold scheme that all members of the blend share."""
    return next(iter(config["models"].values()))["folds"]


def names_likeness(scheme: Mapping[str, Any]) -> bool:
    """Tell whether a fold scheme looks at the test-likeness of images."""
    return LIKENESS in (*scheme["stratify"], scheme["first"])


def makes_likeness(config: Config) -> bool:
    """Tell whether the adversarial stage is part of the run.

    It is where `adversarial.enabled` asks for it (and then the score is weighted, too), and where
    the fold scheme or the order of pseudo-labels names `test_likeness`: a second key to set would
    only be one to forget. Variants of an ablation that name it make it for themselves.
    """
    scheme, pseudo = config["folds"][fold_scheme(config)], config["pseudo"]
    ordered = pseudo["rounds"] > 0 and pseudo["order"] == LIKENESS
    return bool(config["adversarial"]["enabled"] or names_likeness(scheme) or ordered)


def fold_numbers(config: Config, scheme: str) -> list[int]:
    """Numbers of a scheme's folds."""
    return list(range(config["folds"][scheme]["count"]))
