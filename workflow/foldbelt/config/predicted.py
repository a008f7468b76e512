"""Whether what models predict is there to be learnt, and to be scored in the folds they have.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from foldbelt import registry
from foldbelt.config import annotations, outputs
from foldbelt.files import Problem

Config = Mapping[str, Any]


def problems(config: Config) -> Iterator[Problem]:
    """Yield what is predicted of the data, or of nothing that they have."""
    found, data = outputs.models_of(config), config["data"]
    needs = {"masks": "data.masks", "boxes": "data.boxes"}
    has = {"masks": data["masks"], "boxes": annotations.has_boxes(config)}
    for name, model in config["models"].items():
        network = model["architecture"]
        asked = {
            "masks": registry.predicts_masks(network),
            "boxes": registry.predicts_boxes(network),
        }
        for output in (o for o, predicted in asked.items() if predicted and not has[o]):
            reason = f"{name} ({network['name']}) predicts {output}, and the data have none; see "
            yield Problem(f"models.{name}.architecture", reason + needs[output])
    yield from _undecided(config, found)
    others = [output for output in found if output != "masks"]
    if config["pseudo"]["rounds"] and config["pseudo"]["rule"] == "halves" and others:
        reason = (
            f"halves: only masks are predicted at the end by the models that did not train on an "
            f"image, and the run has {' and '.join(others)}; take confidence or everything"
        )
        yield Problem("pseudo.rule", reason)
    yield from _some_folds(config, found)
    yield from _common_folds(config, found)
    networks = [model["architecture"] for model in config["models"].values()]
    if not found and all(registry.main_output(network) == "label" for network in networks):
        names = ", ".join(config["models"])
        reason = (
            f"{names} predict labels, which say nothing without masks; add a model that predicts "
            "masks, or labels of their own (data.label)"
        )
        yield Problem("models", reason)


def _undecided(config: Config, found: Mapping[str, list[str]]) -> Iterator[Problem]:
    """Yield models that predict nothing of what is decided, and outputs that nobody predicts."""
    allowed = outputs.decided(config)
    if len(allowed) == len(outputs.OUTPUTS):
        return
    used = {name for names in found.values() for name in names}
    for name in (name for name in config["models"] if name not in used):
        network = config["models"][name]["architecture"]["name"]
        reason = (
            f"{name} ({network}) predicts none of {', '.join(allowed)}, on which the run decides "
            "(outputs); take another architecture, or leave the model out"
        )
        yield Problem(f"models.{name}.architecture", reason)
    for output in config["outputs"] or []:
        if output not in found:
            reason = f"{output}: no model predicts them, or the data have none; leave it out"
            yield Problem("outputs", reason)


def _some_folds(config: Config, found: Mapping[str, list[str]]) -> Iterator[Problem]:
    """Yield models that are trained on some folds alone where that cannot be."""
    for name, model in config["models"].items():
        only = model["only_folds"]
        count = config["folds"].get(model["folds"], {}).get("count", 0)
        if only is not None and name in found.get("masks", []):
            reason = "members of a blend of masks are trained on all folds; leave it out"
            yield Problem(f"models.{name}.only_folds", reason)
        elif only is not None and max(only) >= count > 0:
            reason = f"{max(only)}, but the folds are 0 to {count - 1}"
            yield Problem(f"models.{name}.only_folds", reason)
    for what, _, members in _weighed_together(config, found):
        chosen = [config["models"][name]["only_folds"] for name in members]
        if chosen and None not in chosen and len({fold for only in chosen for fold in only}) < 2:
            reason = f"leaves the {what} a single fold, but scores leave out one of several; add "
            yield Problem(f"models.{members[0]}.only_folds", reason + "a fold or a model")


def _weighed_together(
    config: Config, found: Mapping[str, list[str]]
) -> list[tuple[str, str, tuple[str, ...]]]:
    """List what is blended and scored together: how it is called, its output, and its models.

    Of labels these are the models that predict the same ones; others know nothing of them.
    """
    sets = [(output, output, tuple(found[output])) for output in found if output != "labels"]
    given = {name: config["models"][name]["labels"] for name in found.get("labels", [])}
    chosen = {label for labels in given.values() for label in labels or ()}
    by: dict[tuple[str, ...], list[str]] = {}
    for label in (outputs.labels_of(config) or sorted(chosen)) if chosen else ():
        models = tuple(m for m, labels in given.items() if labels is None or label in labels)
        by.setdefault(models, []).append(label)
    if len(by) < 2:
        return [*sets, ("labels", "labels", tuple(given))]
    return [*sets, *((f"labels {', '.join(own)}", "labels", models) for models, own in by.items())]


def _common_folds(config: Config, found: Mapping[str, list[str]]) -> Iterator[Problem]:
    """Yield models of some folds that have none in common, so that no weights can be fitted."""
    for what, output, members in _weighed_together(config, found):
        models = {name: config["models"][name] for name in members}
        some = {n: set(m["only_folds"]) for n, m in models.items() if m["only_folds"] is not None}
        if output == "masks" or not some or len(models) < 2:
            continue
        if config[output]["weights"] == "fitted" and not set.intersection(*some.values()):
            reason = (
                f"no fold is common to all models of {what}, and weights are fitted on images "
                f"that all predicted; name a common fold, or set {output}.weights: equal"
            )
            yield Problem(f"models.{', '.join(some)}.only_folds", reason)
