"""What an ONNX file says of itself: all that a caller needs besides the graph, as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from foldbelt.bundle.manifest import Member
from foldbelt.bundle.onnx.graph import LABELS, MASKS
from foldbelt.bundle.reading import Bundle
from foldbelt.channels._resizing import Resizer
from foldbelt.machine import version

KEY = "foldbelt"
"""The key of the model's metadata under which the JSON lies."""
SCHEMA = 1
_DECIDED = ("params", "steps", "gate_on", "metric", "score")


def describe(
    bundle: Bundle,
    members: Sequence[Member],
    weights: Mapping[str, Sequence[float]],
    *,
    mean: Mapping[str, Any],
    decision: Mapping[str, Any],
    source: str,
    size: tuple[int, int],
    made: tuple[int, int],
    views: bool,
) -> str:
    """Give the JSON.

    Parameters
    ----------
    bundle
        What was exported.
    members
        Those in the graph.
    weights
        "masks" and "labels", if the graph gives them → weights of the members.
    mean
        What of the probabilities is averaged.
    decision
        How masks are decided.
    source, size
        Name of the input, ``image`` or ``channels``, and its (h, w).
    made
        (h, w) of the masks.
    views
        Whether the members' views and scales are in the graph.
    """
    data = bundle.data
    recipe = bundle.channels[members[0].channels]
    attrs = recipe["attrs"]
    planes = _bands(int(data["colours"])) if source == "image" else list(attrs["names"])
    entry: dict[str, Any] = {"name": source, "layout": "NHWC", "type": "uint8", "planes": planes}
    entry |= {"height": size[0], "width": size[1]}
    if "grey_range" in data:  # of images of more than 8 bits, which became 0 and 255
        entry["range"] = data["grey_range"]
    if source == "channels":
        entry["recipe"] = {key: attrs[key] for key in ("use", "whiten", "scale", "offset")}
    outputs: dict[str, Any] = {}
    if MASKS in weights:
        outputs[MASKS] = {"layout": "NHWC", "type": "float32", "classes": data["class_names"],
                          "height": made[0], "width": made[1]}  # fmt: skip
    if LABELS in weights:
        outputs[LABELS] = {"layout": "NL", "type": "float32", "classes": data["class_names"]}
    content = {
        "format": "foldbelt onnx",
        "schema": SCHEMA,
        "foldbelt": version("foldbelt"),
        "run": bundle.manifest.run,
        "competition": bundle.manifest.competition,
        "bundle": bundle.id,
        "input": entry,
        "geometry": _geometry(Resizer.of(attrs)),
        "outputs": outputs,
        "members": [_member(m, place, weights, views) for place, m in enumerate(members)],
        "mean": dict(mean),
        "decision": {key: decision[key] for key in _DECIDED if key in decision},
    }
    return json.dumps(content, sort_keys=True, allow_nan=False)


def _bands(colours: int) -> list[str]:
    """Name the bands of an image, in their order."""
    if colours == 3:
        return ["red", "green", "blue"]
    return ["grey"] if colours == 1 else [f"band{number}" for number in range(1, colours + 1)]


def _geometry(resizer: Resizer) -> dict[str, Any]:
    """Say how an image of storage size comes to network size."""
    return {
        "stored": list(resizer.source),
        "network": list(resizer.size),
        "mode": "same" if resizer.source == resizer.size else resizer.mode,
        "enlarge": resizer.scale,
    }


def _member(
    member: Member, place: int, weights: Mapping[str, Sequence[float]], views: bool
) -> dict[str, Any]:
    predict = member.predict
    return {
        "name": member.name,
        "networks": len(member.weights),
        "weights": {name: given[place] for name, given in weights.items()},
        "views": list(predict["tta"]) if views else ["none"],
        "scales": list(predict["scales"]) if views else [1],
        "windows": predict["windows"],
    }
