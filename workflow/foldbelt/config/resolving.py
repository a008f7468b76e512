"""The validated config: schema, defaults, references between its parts.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import copy
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from foldbelt import registry
from foldbelt.config import annotations, consistency, maskless
from foldbelt.config.renamed import unknown_key
from foldbelt.files import PathLike, Problem, raise_all

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"

Config = dict[str, Any]


@functools.cache  # every variant of an ablation is checked by it
def load_schema(path: PathLike = SCHEMA) -> Config:
    """Read the JSON schema of the config. All callers get the same object: do not change it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
    return yaml.load(Path(path).read_text(encoding="utf-8"), loader)


def resolve(
    config: Mapping[str, Any],
    schema: Mapping[str, Any] | None = None,
    valid: Mapping[str, Any] | None = None,
) -> Config:
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
    valid
        A resolved config: sections that are equal to its own are not held against the schema again.
        What has to hold between sections always is.

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
    whole = copy.deepcopy(dict(config))
    problems = _inherit(whole.get("models"))
    for error in sorted(
        _schema_errors(whole, schema, valid or {}), key=lambda error: list(map(str, error.path))
    ):
        problems += _explain(error)
    raise_all(problems, "The config cannot be used")
    given = copy.deepcopy(whole)
    _fill(whole, schema, schema)
    foreign = consistency.foreign_options(given, whole["competition"])
    raise_all(list(foreign), "The config cannot be used")
    if whole["decision"]["metric"] is None:
        whole["decision"]["metric"] = registry.metric(whole["competition"])
    annotations.settle(whole, given)
    if not whole["data"]["masks"] and annotations.constant(whole, "STRATIFY") is None:
        _balance_without_masks(whole["folds"], given.get("folds") or {}, whole["data"])
    contradictions = list(consistency.references(whole))
    if not whole["data"]["masks"]:
        default = complete("decision", {})["space"]
        contradictions += maskless.searched(whole["decision"]["space"], default)
    raise_all(contradictions, "The config contradicts itself")
    for model in whole["models"].values():
        options = consistency.options(model["architecture"])
        model["architecture"] = {k: v for k, v in model["architecture"].items() if k in options}
    if whole["data"]["synthetic"] is not None:
        keys = registry.synthetic_options(registry.synthetic(whole["competition"]) or "")
        whole["data"]["synthetic"] = {key: whole["data"]["synthetic"][key] for key in keys}
    return whole


def _balance_without_masks(
    folds: Config, given: Mapping[str, Any], data: Mapping[str, Any]
) -> None:
    """Balance folds by what there is, where the config does not say by what."""
    for name, scheme in folds.items():
        if "stratify" not in (given.get(name) or {}):
            scheme["stratify"] = maskless.balanced_by(data)


def _schema_errors(
    config: Config, schema: Mapping[str, Any], valid: Mapping[str, Any]
) -> Iterable[ValidationError]:
    """Give what the schema does not allow, in the sections that are not those of a valid config."""
    same = {key for key, value in config.items() if key in valid and value == valid[key]}
    required = [key for key in schema["required"] if key not in same]
    changed = {key: value for key, value in config.items() if key not in same}
    return Draft202012Validator({**schema, "required": required}).iter_errors(changed)


def complete(part: str, given: Mapping[str, Any]) -> Config:
    """Fill the schema's defaults into one part of a config; for notebooks and tests.

    Parameters
    ----------
    part
        A definition of the schema: ``stage``, ``channels``, ``folds``, ``decision`` …
    given
        What is not to be as the default. It is completed, not checked.

    Examples
    --------
    >>> stage = complete("stage", {"loss": {"bce": 1}, "epochs": 3})
    >>> stage["batch_size"], stage["optimizer"]["name"]
    (16, 'adamw')
    """
    schema = load_schema()
    whole = copy.deepcopy(dict(given))
    _fill(whole, schema["$defs"][part], schema)
    return whole


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
        overrides = {key: value for key, value in model.items() if key != "from"}
        if parent not in given or parent in seen:
            reason = "starts from itself" if parent in seen else f"no model is named {parent!r}"
            problems.append(
                Problem(f"models.{seen[0]}.from", reason + registry.suggest(parent, given))
            )
            return overrides
        return merge(settings(parent, (*seen, parent)), overrides)

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
        return [Problem(f"{prefix}{key}", unknown_key(f"{prefix}{key}", known)) for key in unknown]
    if error.validator == "oneOf":
        deeper = [sub for sub in error.context or () if sub.path or sub.validator != "type"]
        if deeper:
            return [problem for sub in deeper for problem in _explain(_under(sub, error))]
        kinds = [sub.validator_value for sub in error.context or () if sub.validator == "type"]
        return [Problem(where, _of_kind(error.instance, kinds))]
    if error.validator == "type":
        return [Problem(where, _of_kind(error.instance, [error.validator_value]))]
    shown = repr(error.instance)
    if isinstance(error.instance, dict):
        is_loss = list(error.path)[-2:-1] == ["loss"]
        hint = f"; outputs are called {', '.join(registry.OUTPUTS)}" if is_loss else ""
        return [Problem(where, error.message + hint)]
    reason = error.message.split("\n")[0]
    if error.validator == "minItems":
        reason = f"{shown} has too few values; give {error.validator_value} or more"
    return [Problem(where, reason if shown in reason else f"{reason} (is {shown})")]


_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "text",
}
"""What YAML's types are called."""


def _of_kind(value: Any, kinds: Iterable[Any]) -> str:
    """Say what kind of value is needed instead."""
    flat = [kind for given in kinds for kind in ([given] if isinstance(given, str) else given)]
    needed = " or ".join(_KINDS[kind] for kind in dict.fromkeys(flat))
    is_single = not isinstance(value, list | dict)
    hint = f", such as [{value}]" if "array" in flat and is_single and value is not None else ""
    return f"{value!r} must be {needed}{hint}"


def _under(sub: ValidationError, parent: ValidationError) -> ValidationError:
    """Give an error of an alternative its full path."""
    for part in reversed(parent.path):
        sub.path.appendleft(part)
    return sub


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
