"""What the data say besides masks: image labels of their own, boxes; by keys, or by a competition.

In the folder layout `data.label` and `data.boxes` name the files. A competition whose own tables
hold labels or boxes says so by the constants ``LABELS`` and ``BOXES`` of its package, and there is
nothing to be named.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from foldbelt import registry
from foldbelt.files import Problem

_OF_TABLES = {
    "label": None,
    "boxes": None,
    "boxes_missing": "none",
    "boxes_least_area": 1,
    "box_classes": None,
    "classes": None,
    "ignore": None,
}
"""Keys of `data` without meaning where the competition's tables say it, and their defaults."""

_OF_STUDIES = {"sizes": None, "siblings": "labels"}
"""Keys of `data` for competitions whose images make up studies, and their defaults."""


def has_labels(config: Mapping[str, Any]) -> bool:
    """Tell whether image labels say something of their own, not what masks hold.

    Examples
    --------
    >>> has_labels({"competition": "salt", "data": {"label": None}})
    False
    >>> has_labels({"competition": "folder", "data": {"label": "view"}})
    True
    """
    return config["data"]["label"] is not None or constant(config, "LABELS") is not None


def has_boxes(config: Mapping[str, Any]) -> bool:
    """Tell whether the data have boxes.

    Examples
    --------
    >>> has_boxes({"competition": "folder", "data": {"boxes": None}})
    False
    >>> has_boxes({"competition": "chest", "data": {"boxes": None}})
    True
    """
    return config["data"]["boxes"] is not None or constant(config, "BOXES") is not None


def constant(config: Mapping[str, Any], name: str) -> Any:
    """Value of a constant of the competition's package; None where there is none."""
    competition = config["competition"]
    if competition not in registry.known("competitions"):
        return None  # reported with the other references
    return registry.constant(registry.competition(competition), name)


def settle(config: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Replace the schema's defaults by those of the competition, in place.

    Parameters
    ----------
    config
        With the schema's defaults.
    given
        The same config before its defaults were filled in: what it says stands.
    """
    masks, group = constant(config, "MASKS"), constant(config, "GROUP")
    stratify = constant(config, "STRATIFY")
    if masks is not None and "masks" not in given["data"]:
        config["data"]["masks"] = masks
    for name, scheme in config["folds"].items():
        said = (given.get("folds") or {}).get(name) or {}
        if group is not None and "group" not in said:
            scheme["group"] = group
        if stratify is not None and "stratify" not in said:
            scheme["stratify"] = list(stratify)


def problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield keys of `data` that this competition has no use for.

    Parameters
    ----------
    config
        With all its defaults.
    """
    data, competition = config["data"], config["competition"]
    if constant(config, "BOXES") is not None:
        for key, default in _OF_TABLES.items():
            if data[key] != default:
                reason = f"the tables of the competition {competition!r} say it; leave it out"
                yield Problem(f"data.{key}", reason)
        if data["masks"] not in (False, "from_boxes"):
            reason = (
                f"{json.dumps(data['masks'])}: the competition {competition!r} has no masks; take "
                "from_boxes, or false"
            )
            yield Problem("data.masks", reason)
    else:
        for key, default in _OF_STUDIES.items():
            if data[key] != default:
                reason = "it is for competitions with studies, such as chest; leave it out"
                yield Problem(f"data.{key}", reason)
    if data["box_masks"] != "filled" and data["masks"] != "from_boxes":
        reason = f"{data['box_masks']}: it is how masks are drawn from boxes; see data.masks"
        yield Problem("data.box_masks", reason)
