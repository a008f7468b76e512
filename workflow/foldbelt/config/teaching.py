"""Whether masks that only teach have something to teach, and which of the labels a model predicts.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from foldbelt import registry
from foldbelt.config import outputs
from foldbelt.config.stage_settings import LossSettings
from foldbelt.config.stages import teaches_masks
from foldbelt.files import Problem
from foldbelt.registry import suggest

Config = Mapping[str, Any]


def problems(config: Config) -> Iterator[Problem]:
    """Yield masks that would teach nobody or are not there, and labels that nobody could learn.

    Parameters
    ----------
    config
        With all its defaults.

    Yields
    ------
    Problem
        The key, and what is wrong with it and how to correct it.
    """
    networks = {
        name: outputs.network_of(model, config)
        for name, model in config["models"].items()
        if _is_known(model["architecture"])  # others are reported with the other references
    }
    for name, network in networks.items():
        if network.get("mask_reduction") and _takes(network) and not config["data"]["masks"]:
            reason = (
                f"{network['mask_reduction']}: masks teach this network, and the data have none; "
                "draw them from boxes (data.masks: from_boxes), or leave it out"
            )
            yield Problem(f"models.{name}.architecture.mask_reduction", reason)
        yield from _labels(name, network, config)
    yield from _idle_losses(config, networks)


def _is_known(network: Mapping[str, Any]) -> bool:
    return str(network.get("name")).partition("/")[0] in registry.known("models")


def _takes(network: Mapping[str, Any]) -> bool:
    """Tell whether an architecture has a head for masks that only teach."""
    return "mask_reduction" in registry.options(registry.models(network)[0])


def _labels(name: str, network: Mapping[str, Any], config: Config) -> Iterator[Problem]:
    """Yield labels of a model that the data do not have, or that it does not predict."""
    chosen, key = network.get("labels"), f"models.{name}.labels"
    if chosen is None:
        return
    known = outputs.labels_of(config)
    if config["data"]["label"] is None and known is None:
        reason = "the data have no labels of their own (data.label); leave it out"
        yield Problem(key, f"{', '.join(chosen)}: {reason}")
    elif not registry.predicts_labels(network):
        reason = f"{network['name']!r} predicts no labels; add a label_head, or leave it out"
        yield Problem(key, f"{', '.join(chosen)}: {reason}")
    for label in chosen if known is not None else ():
        if label not in known:  # type: ignore[operator]
            yield Problem(key, f"no label {label!r}" + suggest(label, known or ()))
    if "labels" in outputs.decided(config):
        yield from _torn(key, chosen, outputs.groups_of(config))


def _torn(key: str, chosen: list[str], groups: list[list[str]]) -> Iterator[Problem]:
    """Yield groups of which some labels are predicted alone: nobody could decide on these."""
    for group in groups:
        part = [label for label in group if label in chosen]
        if part and len(part) < len(group):
            reason = f"predicts {', '.join(part)} of {', '.join(group)}, which exclude each other"
            yield Problem(key, f"{reason}; let it predict all of them, or none")


def _idle_losses(config: Config, networks: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield losses of masks in stages of which no model learns any."""
    for stage, settings in config["stages"].items():
        if not LossSettings.of(settings["loss"]).auxiliary:
            continue
        through = [name for name in networks if stage in config["models"][name]["stages"]]
        learning = [
            name
            for name in through
            if registry.predicts_masks(networks[name]) or teaches_masks(networks[name])
        ]
        if through and not learning:
            able = [name for name in through if _takes(networks[name])]
            cure = f"set models.{able[0]}.architecture.mask_reduction, or " if able else ""
            reason = f"{', '.join(through)} learn no masks; {cure}leave it out"
            yield Problem(f"stages.{stage}.loss.mask", reason)
