"""Data without masks: how folds are balanced by default, and which settings mean nothing.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from foldbelt import registry
from foldbelt.config import annotations
from foldbelt.files import Problem

OF_MASKS = ("coverage", "empty")
"""Columns that say something of masks."""

_META = "meta.csv"
_NONE = "there are no masks (data.masks is false); "


def balanced_by(data: Mapping[str, Any]) -> list[str]:
    """Name the columns by which folds are balanced where the config names none.

    Boxes are counted in a column of their own. A label is a column where `meta.csv` has it as one:
    its columns are all in the per-image table, those of other tables are not.

    Parameters
    ----------
    data
        The config's `data`, with its defaults.

    Examples
    --------
    >>> balanced_by({"boxes": "boxes.csv", "label": {"column": "view", "table": "meta.csv"}})
    ['boxes', 'view']
    >>> balanced_by({"boxes": None, "label": {"column": "view", "table": "views.csv"}})
    []
    """
    label = data["label"]
    if isinstance(label, Mapping):
        label = label["column"] if label["table"] == _META else None
    boxes = [] if data["boxes"] is None else ["boxes"]
    return boxes + ([] if label is None else [label])


def problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the settings that ask for masks.

    Parameters
    ----------
    config
        With all its defaults, its data without masks.

    Yields
    ------
    Problem
        The key, and what is wrong with it and how to correct it.
    """
    yield from _data(config)
    columns = ", ".join(balanced_by(config["data"])) or "a column of meta.csv"
    for name, scheme in config["folds"].items():
        asked = [("stratify", column) for column in scheme["stratify"]]
        asked += [("group", scheme["group"]), ("first_fold_by", scheme["first_fold_by"])]
        for key, column in asked:
            if column in OF_MASKS:
                reason = f"{column}: {_NONE}name {columns} instead, or leave it out"
                yield Problem(f"folds.{name}.{key}", reason)
    for name, stage in config["stages"].items():
        for key, reason in _stage(stage):
            yield Problem(f"stages.{name}.{key}", _NONE + reason)
    yield from _predictions(config)


def searched(space: Mapping[str, Any], default: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is searched for masks other than by default."""
    for key in (key for key, values in space.items() if values != default[key]):
        reason = f"{_NONE}labels and boxes have grids of their own, see labels and boxes"
        yield Problem(f"decision.space.{key}", reason)


def _data(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what the data ask of masks."""
    data = config["data"]
    if data["boxes"] == "from_masks":
        yield Problem("data.boxes", "from_masks: there are no masks (data.masks is false)")
    elif not annotations.has_boxes(config) and not annotations.has_labels(config):
        reason = "false leaves nothing to learn; name labels (data.label) or boxes (data.boxes)"
        yield Problem("data.masks", reason)
    scored = registry.scores_truth(config["competition"])
    for key in ("classes", "ignore", *([] if scored else ["truth"])):
        if data[key] is not None:
            yield Problem(f"data.{key}", f"{_NONE}leave it out")


def _stage(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a stage's training asks of masks."""
    images, crop, sampler = stage["images"], stage["crop"], stage["sampler"]
    if not images["empty"]:
        yield "images.empty", "leave it out"
    if images["vertical"] < 1:
        yield "images.vertical", "leave it out"
    if images["min_area"]:
        yield "images.min_area", "leave it out"
    if crop is not None and crop["positive"]:
        yield "crop.positive", "windows cannot be sought where one is; set it to 0"
    if stage["blackout"]:
        yield "blackout", "it blackens what they show; leave it out"
    if sampler["name"] == "balanced":
        yield "sampler.name", "balanced draws by what they show; take random or hard"


def _predictions(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is asked of predicted masks."""
    decision, blend, pseudo = config["decision"], config["blend"], config["pseudo"]
    for step in decision["steps"]:
        yield Problem(f"decision.steps.{step}", f"{_NONE}leave it out")
    for name in blend["external"]:
        reason = f"{_NONE}predictions made elsewhere are of masks; leave it out"
        yield Problem(f"blend.external.{name}", reason)
    asked = {"weights": blend["weights"], "search": not blend["search"]}
    asked["mean"] = blend["mean"] != "probability"
    for key in (key for key, given in asked.items() if given):
        reason = "it is of masks; see labels.weights, labels.mean and boxes.weights"
        yield Problem(f"blend.{key}", _NONE + reason)
    rules = {
        "labels": "it compares labels with them; take confidence or everything",
        "halves": "only of them the halves are predicted apart; take confidence or everything",
    }
    if pseudo["rounds"] and pseudo["rule"] in rules:
        yield Problem("pseudo.rule", f"{pseudo['rule']}: {_NONE}{rules[pseudo['rule']]}")
    if config["adversarial"]["enabled"]:
        reason = (
            f"{_NONE}only their score is weighted; leave it out. Folds and the order of "
            "pseudo-labels may name test_likeness all the same"
        )
        yield Problem("adversarial.enabled", reason)
    if config["ablation"] is not None:
        reason = f"{_NONE}variants are compared by the score of their masks so far; leave it out"
        yield Problem("ablation", reason)
