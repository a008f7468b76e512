"""Tiny recipes that together use every value which the config's schema allows."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from foldbelt import config, registry

RECIPES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("switches.yaml").read_text())
"""Name → overlay on `base`, in the order in which they run: later ones read earlier ones' files."""

OUTPUTS = ("mask", "label", "box")
"""What the schema lets a stage's `loss` name."""

SET = "a value that is not the default"

# What no recipe can use here, and why. A step of training and one of prediction were run by hand.
IMPOSSIBLE = {
    ("device", "gpu"): "needs a GPU",
    ("data.masks_missing", "empty"): "is read alone; see test_mask_lists.py",
    ("data.masks_missing", "unknown"): "is read alone; see test_mask_lists.py",
    ("joint.none", SET): "is a name; see test_decide_joint.py",
    ("joint.negative", SET): "is a name; see test_decide_joint.py",
    **{
        (f"data.{key}", SET): "is read alone; see test_mask_values.py, test_folder_files.py"
        for key in ("bands", "colours", "ignore_colour", "cut")
    },
    ("data.sizes", SET): "is read alone; see test_chest_read.py",
    ("labels.metric", "auc"): "is one of five alike; see test_decide_labels.py",
    ("labels.metric", "balanced_accuracy"): "is one of five alike; see test_decide_labels.py",
    ("models.*.architecture.encoder", "wide_resnet38"): "550 MB of weights a stage",
    ("models.*.architecture.sha256", SET): "is for weights that are fetched from the network",
}


def recipe(name: str) -> dict[str, Any]:
    """Give a whole recipe, as a user would write it."""
    base = copy.deepcopy(RECIPES["base"])
    whole = config.merge(base, RECIPES[name]) if name != "base" else base
    for part in (
        "data",
        "stages",
        "models",
    ):  # where a recipe gives its own, the base's are not wanted
        if part in RECIPES[name]:
            whole[part] = RECIPES[name][part]
    return {**whole, "run": name}


def allowed() -> Iterator[tuple[str, Any]]:
    """Give every (key, value) that some recipe has to use."""
    schema = config.load_schema()
    yield from _allowed(schema, schema, "")
    for key, room in (
        ("competition", "competitions"),
        ("channels.*.use", "channels"),
        ("models.*.architecture.name", "models"),
        ("models.*.architecture.encoder", "models/encoders"),
    ):
        for name in registry.known(room):
            yield key, name
    yield from ((f"stages.*.loss.{output}", SET) for output in OUTPUTS)
    for room, key in (("losses", "stages.*.loss"), ("decide/steps", "decision.steps")):
        for name in registry.known(room):
            yield f"{key}.{name}", SET
            for option in registry.options(f"foldbelt.{room.replace('/', '.')}.{name}"):
                yield f"{key}.{name}.{option}", SET


def _allowed(part: Mapping[str, Any], schema: Mapping[str, Any], key: str) -> Iterator[tuple]:
    while "$ref" in part:
        part = {**schema["$defs"][part["$ref"].rsplit("/", 1)[1]], "default": part.get("default")}
    if "enum" in part:
        yield from ((key, value) for value in part["enum"])
        return
    if key.endswith(("loss", "use", "architecture.name", "variants.*", "decision.steps")):
        return  # names of members: listed by `allowed`
    options = part.get("oneOf", [part])
    kinds = part.get("type", "")
    if {"type": "null"} in options or "null" in kinds:
        yield key, None
    inner = [option for option in options if option.get("properties") or "$ref" in option]
    for option in inner if options != [part] else []:
        yield from _allowed(option, schema, key)
    if kinds == "boolean":
        yield from ((key, value) for value in (True, False))
    elif "enum" in part.get("items", {}):
        yield from ((key, value) for value in part["items"]["enum"])
    elif part.get("properties") or isinstance(part.get("additionalProperties"), dict):
        prefix = f"{key}." if key else ""
        for name, value in part.get("properties", {}).items():
            yield from _allowed(value, schema, prefix + name)
        if isinstance(part.get("additionalProperties"), dict):
            yield from _allowed(part["additionalProperties"], schema, f"{prefix}*")
    elif not inner:
        yield key, SET


def used(whole: Mapping[str, Any], key: str) -> Iterator[Any]:
    """Give the values at a key such as `stages.*.epochs`; of lists, their items."""
    places: list[Any] = [whole]
    for name in key.split("."):
        found: list[Any] = []
        for place in places:
            # A list of one-key mappings reads like one mapping.
            some = place if isinstance(place, list) else [place]
            for one in (x for x in some if isinstance(x, Mapping)):
                found += one.values() if name == "*" else [one[name]] if name in one else []
        if name == "loss":  # of the main output, or by output
            found += [one[output] for one in found for output in OUTPUTS if output in one]
        places = found
    for place in places:
        yield place
        if isinstance(place, list):
            yield from (item for item in place if not isinstance(item, list | dict))


def default(key: str) -> Any:
    """Give the schema's default at a key, or a value that equals nothing."""
    schema = config.load_schema()
    part: Mapping[str, Any] = schema
    for name in key.split("."):
        while "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
        for option in part.get("oneOf", []):
            part = option if option.get("properties") or "$ref" in option else part
        while "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
        part = part.get("properties", {}).get(name) or part.get("additionalProperties") or {}
        if not isinstance(part, Mapping):
            return SET
    return part.get("default", SET)
