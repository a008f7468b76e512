"""The models of the blend and those of an ablation's variants, and whose files are whose.

A variant is the recipe with an overlay. Only what the overlay changes gets a name of its own, so
that variants share channels, training and predictions wherever these are the same, and no work is
done twice. Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from foldbelt import config as settings
from foldbelt import registry
from foldbelt.config import outputs, sight
from foldbelt.config.recipes import Recipes, Variant
from foldbelt.files import InputError, Problem, raise_all

BASE = "base"
"""Name of the recipe itself among its variants."""

_NOT_IT = (
    "{} predicts {}, by which variants are compared: the first of what the recipe's model "
    "predicts and the run decides on"
)
_DECIDED_LABELS = (
    "variants are compared by how they rank or by log_loss, and {} needs thresholds; take "
    "mean_average_precision, auc or log_loss for an ablation of labels"
)
_THRESHOLDED = ("accuracy", "balanced_accuracy")
_FIXED = {"run", "seed", "competition", "data", "blend", "ablation"}
_FIXED |= {"adversarial", "device", "cpu_threads", "memory_gib", "tensorboard"}
_FIXED |= {"joint", "loader_workers", "retries", "keep"}


def expand(config: Mapping[str, Any]) -> Recipes:
    """Add to a config's settings those of its ablation's variants.

    Parameters
    ----------
    config
        As `foldbelt.config.resolve` gives it.

    Raises
    ------
    InputError
        If a variant is no valid recipe, or changes what all variants must share. Variants are
        checked one by one, so that all offenders are listed.
    """
    channels, folds, stages = (dict(config[key]) for key in ("channels", "folds", "stages"))
    made = Recipes(channels, folds, stages)
    made.blend = list(config["models"])
    for name in made.blend:
        made.add(name, config["models"][name], config, name)
    ablation = config.get("ablation")
    if ablation is None:
        return made
    model = ablation["model"] or made.blend[0]
    problems = list(_unknown(config, model))
    problems += _unlabelled(config, model)
    raise_all(problems, "The ablation cannot be made")
    base = {key: value for key, value in config.items() if key != "ablation"}
    base["models"] = {model: config["models"][model]}
    base["blend"] = {**config["blend"], "external": {}, "weights": {}}  # a variant stands alone
    for output in ("labels", "boxes"):
        base[output] = {**config[output], "weights": "equal"}
        base[output]["external"] = {}
    base["joint"] = None
    output = compared_by(config, model) or "masks"
    asked = {name: over for name, over in ablation["variants"].items() if over is not None}
    for name, overlay in {BASE: {}, **asked}.items():
        try:
            recipe = overlaid(base, overlay, model, output)
            _same_images(_scheme(recipe, model), _scheme(base, model), ablation["folds"])
        except InputError as error:
            problems.append(Problem(f"ablation.variants.{name}", str(error)))
            continue
        made.variants[name] = _add_variant(made, name, recipe, model, output, ablation["seeds"])
    raise_all(problems, "The ablation cannot be made")
    return made


def compared_by(config: Mapping[str, Any], model: str) -> str | None:
    """Name the output by which variants of a model are compared; None where it predicts none."""
    network = outputs.network_of(config["models"][model], config)
    masks = registry.predicts_masks(network)
    found = [output for output, models in outputs.models_of(config).items() if model in models]
    return next((output for output in found if output != "masks" or masks), None)


def overlaid(
    base: Mapping[str, Any], overlay: Mapping[str, Any], model: str, output: str = "masks"
) -> dict[str, Any]:
    """Lay a variant over the recipe and check the result.

    Parameters
    ----------
    base
        The resolved recipe.
    overlay
        Of the same form; `stages: {"*": …}` stands for every stage of the model, `models: {"*": …}`
        for the model.
    model
        The model that is varied.
    output
        By which variants are compared.
    """
    fixed = sorted(set(overlay) & _FIXED)
    if fixed:
        raise InputError(f"variants share {', '.join(fixed)}; leave it out")
    over = copy.deepcopy(dict(overlay))
    over["models"] = _spread(over.get("models"), [model])
    varied = settings.merge(base["models"][model], over["models"].get(model, {}))
    over["stages"] = _spread(over.get("stages"), varied["stages"])
    other = sorted(set(over["models"]) - {model})
    if other:
        raise InputError(f"only the model {model!r} is varied, not {', '.join(other)}")
    if output == "masks" and not registry.predicts_masks(outputs.network_of(varied, base)):
        raise InputError(_NOT_IT.format(model, f"no {output}"))
    recipe = settings.resolve(settings.merge(dict(base), over), valid=base)
    if output not in outputs.models_of(recipe):
        raise InputError(_NOT_IT.format(model, f"no {output}"))
    for section in ("decision", "labels"):
        if recipe[section]["metric"] != base[section]["metric"]:
            raise InputError(f"variants share {section}.metric; leave it out")
    if output == "labels" and recipe["models"][model]["labels"] != base["models"][model]["labels"]:
        raise InputError(f"variants share models.{model}.labels, by which they are scored")
    return recipe


def _scheme(recipe: Mapping[str, Any], model: str) -> dict[str, Any]:
    return recipe["folds"][recipe["models"][model]["folds"]]


def _same_images(
    scheme: Mapping[str, Any], base: Mapping[str, Any], chosen: Sequence[int] | None
) -> None:
    """Refuse a split that would score other images than the recipe's; whole splits do not."""
    if scheme != base and (chosen is not None or scheme["sample"] or base["sample"]):
        raise InputError(
            "another split scores other images than the recipe; let ablation.folds and "
            "folds.*.sample be null"
        )


def _spread(part: Mapping[str, Any] | None, names: Iterable[str]) -> dict[str, Any]:
    """Replace the key `*` by names; what they say themselves goes above it."""
    part = dict(part or {})
    if "*" not in part:
        return part
    common = part.pop("*")
    return part | {name: settings.merge(common, part.get(name, {})) for name in names}


def _add_variant(
    made: Recipes,
    variant: str,
    recipe: Mapping[str, Any],
    model: str,
    output: str,
    seeds: Iterable[int],
) -> Variant:
    varied = dict(recipe["models"][model])
    for room, table in (("channels", made.channels), ("folds", made.folds)):
        varied[room] = _name(table, varied[room], recipe[room][varied[room]], variant)
    for place, stage in enumerate(varied["stages"]):
        # Stages that become alike are still two, and each keeps its random streams.
        alike = {
            name: options for name, options in made.stages.items() if made.streams[name] == stage
        }
        name = _name(alike, stage, recipe["stages"][stage], variant)
        made.stages[name], made.streams[name] = alike[name], stage
        varied["stages"][place] = name
    names = {}
    for seed in seeds:
        names[seed] = f"{variant}--seed{seed}"
        made.add(names[seed], {**varied, "seed": seed}, recipe, model)
    rounds = recipe["pseudo"]["rounds"]
    seen = sight.of_stages(made.stages[stage] for stage in varied["stages"])
    seen += sight.of_start(varied["start"]) + sight.of_pseudo(recipe["pseudo"])
    section = recipe["decision" if output == "masks" else output]
    return Variant(names, recipe["decision"], rounds, varied["folds"], seen, output, section)


def _name(table: dict[str, Any], name: str, value: Any, variant: str) -> str:
    """Find settings among those with a name, or give them one."""
    if table.get(name) == value:
        return name
    for other, known in table.items():
        if known == value:
            return other
    new = f"{name}--{variant}"
    table[new] = value
    return new


def _unlabelled(config: Mapping[str, Any], model: str) -> Iterable[Problem]:
    """Yield what keeps a variant, which labels for itself, from labelling."""
    pseudo, known = config["pseudo"], config["models"].get(model)
    asked = pseudo["rounds"] and pseudo["rule"] == "labels"
    if known and asked and not registry.predicts_labels(known["architecture"]):
        reason = (
            f"a variant labels for itself, and {model!r} predicts no labels, which pseudo.rule: "
            "labels needs; give it a label_head, or set pseudo.rounds to 0 for the ablation"
        )
        yield Problem("ablation.model", reason)


def _unknown(config: Mapping[str, Any], model: str) -> Iterable[Problem]:
    ablation = config["ablation"]
    if model not in config["models"]:
        known = ", ".join(config["models"])
        yield Problem("ablation.model", f"no model is named {model!r}; known: {known}")
        return
    count = config["folds"][config["models"][model]["folds"]]["count"]
    beyond = [fold for fold in ablation["folds"] or [] if fold >= count]
    if beyond:
        yield Problem("ablation.folds", f"{beyond} are too high: there are {count} folds, from 0")
    output = compared_by(config, model)
    if output is None:
        decided = ", ".join(outputs.decided(config))
        yield Problem("ablation.model", _NOT_IT.format(model, f"none of {decided}"))
    if output == "labels" and config["labels"]["metric"] in _THRESHOLDED:
        yield Problem("labels.metric", _DECIDED_LABELS.format(config["labels"]["metric"]))
    if BASE in ablation["variants"]:
        yield Problem(f"ablation.variants.{BASE}", "this is the name of the recipe itself")
    for room in ("channels", "folds", "stages", "models"):
        for name in config[room]:
            if "--" in name:
                yield Problem(f"{room}.{name}", "names with `--` are those that an ablation makes")
