"""What a run decides on: masks, labels, boxes, and which of its models predict them.

Labels that say what masks hold (whether there is any, which classes) belong to the masks, which
they gate. Those of `data.label` say something of their own, and are an output of their own.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

from collections.abc import Mapping
from typing import Any

from foldbelt import registry
from foldbelt.config import annotations
from foldbelt.label_groups import are_one_group

OUTPUTS = ("masks", "labels", "boxes")
"""In this order the first that a run has is its main one: that of `score` in scores.json."""


def decided(config: Mapping[str, Any]) -> list[str]:
    """Name the outputs that a run may decide on, its main one first.

    The competition says so where the config does not, by the constant ``OUTPUTS`` of its package;
    where it does not either, all are. What data and models have of them says `models_of`.

    Parameters
    ----------
    config
        With all its defaults.

    Examples
    --------
    >>> decided({"outputs": ["boxes", "labels"], "competition": "folder"})
    ['labels', 'boxes']
    >>> decided({"outputs": None, "competition": "folder"})
    ['masks', 'labels', 'boxes']
    """
    named, competition = config["outputs"], config["competition"]
    if named is None and competition in registry.known("competitions"):
        named = registry.constant(registry.competition(competition), "OUTPUTS")
    return [output for output in OUTPUTS if named is None or output in named]


def models_of(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Give the models that predict each output of a run.

    Parameters
    ----------
    config
        With all its defaults.

    Returns
    -------
    dict
        Output → names of models, in the config's order; outputs that the run does not decide on,
        that the data do not have, or that nobody predicts, are left out. Predictions made elsewhere
        may predict masks.

    Raises
    ------
    InputError
        If an architecture is unknown.
    """
    data, allowed = config["data"], decided(config)
    has_masks = bool(data["masks"]) and "masks" in allowed
    own_labels = annotations.has_labels(config)
    found: dict[str, list[str]] = {output: [] for output in OUTPUTS}
    for name, model in config["models"].items():
        network = model["architecture"]
        masks, labels = registry.predicts_masks(network), registry.predicts_labels(network)
        if has_masks and (masks or (labels and not own_labels)):
            found["masks"].append(name)
        if own_labels and labels and "labels" in allowed:
            found["labels"].append(name)
        has_boxes = annotations.has_boxes(config) and "boxes" in allowed
        if has_boxes and registry.predicts_boxes(network):
            found["boxes"].append(name)
    masked = [
        n for n in found["masks"] if registry.predicts_masks(config["models"][n]["architecture"])
    ]
    if not masked and not (has_masks and config["blend"]["external"]):
        found["masks"] = []  # labels alone gate nothing
    return {
        output: names
        for output, names in found.items()
        if names or (output == "masks" and has_masks and config["blend"]["external"])
    }


def network_of(model: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Give a model's architecture with what the run makes of it, where that says something.

    Parameters
    ----------
    model
        Of the config's `models`.
    config
        With all its defaults.

    Returns
    -------
    dict
        The architecture, with `labels`, which of the data's labels the model predicts, where these
        are not all; and ``auxiliary: [mask]`` where the run does not decide on masks, so that those
        of a model with a label head only teach.

    Examples
    --------
    >>> unet = {"architecture": {"name": "unet", "label_head": True}, "labels": ["none"]}
    >>> network_of(unet, {"outputs": ["labels"], "competition": "folder"})
    {'name': 'unet', 'label_head': True, 'labels': ['none'], 'auxiliary': ['mask']}
    """
    network = dict(model["architecture"])
    if model.get("labels") is not None:
        network["labels"] = list(model["labels"])
    if "masks" in decided(config) or not network.get("label_head"):
        return network
    name = str(network.get("name")).partition("/")[0]
    known = name in registry.known("models")  # others are reported with the other references
    if known and registry.predicts_masks(network):
        network["auxiliary"] = ["mask"]
    return network


def labels_of(config: Mapping[str, Any]) -> list[str] | None:
    """Name the data's labels, where that is known before the data are read; else None.

    A competition says so by the constant ``LABELS`` of its package; a table's columns do.
    """
    competition, label = config["competition"], config["data"]["label"]
    if competition in registry.known("competitions"):
        names = registry.constant(registry.competition(competition), "LABELS")
        if names is not None:
            return list(names)
    columns = label["columns"] if isinstance(label, Mapping) else None
    return None if columns is None else list(columns)


def boxes_of(config: Mapping[str, Any]) -> list[str] | None:
    """Name the data's classes of boxes, where they are known before the data are read; else None.

    A competition says so by the constant ``BOXES`` of its package; ``data.box_classes`` does.
    """
    competition = config["competition"]
    names = None
    if competition in registry.known("competitions"):
        names = registry.constant(registry.competition(competition), "BOXES")
    given = config["data"]["box_classes"] if names is None else names
    return None if given is None else list(given)


def are_exclusive(model: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Tell whether the labels that a model predicts exclude each other."""
    groups = annotations.constant(config, "LABEL_GROUPS")
    if groups:
        chosen = model.get("labels") or annotations.constant(config, "LABELS") or ()
        return are_one_group(chosen, groups)
    return exclusive_labels(config["data"]["label"])


def groups_of(config: Mapping[str, Any]) -> list[list[str]]:
    """List the labels that exclude each other, where that is known before the data are read.

    A competition says which do by the constant ``LABEL_GROUPS`` of its package, lists of names.
    """
    groups = annotations.constant(config, "LABEL_GROUPS")
    if groups:
        return [list(group) for group in groups]
    names = labels_of(config)
    return [names] if names is not None and exclusive_labels(config["data"]["label"]) else []


def exclusive_labels(label: str | Mapping[str, Any] | None) -> bool:
    """Tell whether the labels that `data.label` describes exclude each other.

    A column of names does: an image has one of them.

    Examples
    --------
    >>> independent = {"column": None, "columns": ["a", "b"], "exclusive": False}
    >>> exclusive_labels("view"), exclusive_labels(independent)
    (True, False)
    """
    if isinstance(label, Mapping):
        return label["column"] is not None or label["exclusive"]
    return label is not None
