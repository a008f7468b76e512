"""What an ONNX file says of itself: all that a caller needs besides the graph, as JSON."""

import json
from typing import Any

from foldbelt.bundle.manifest import Member
from foldbelt.bundle.onnx.blending import Blending
from foldbelt.bundle.onnx.graph import LABELS, MASKS, Blend
from foldbelt.bundle.reading import Bundle
from foldbelt.channels._resizing import Resizer
from foldbelt.machine import version

SCHEMA = 1
_DECIDED = ("params", "steps", "gate_on", "exclusive", "blocks", "metric", "score")


def describe(
    bundle: Bundle,
    blending: Blending,
    blend: Blend,
    *,
    source: str,
    size: tuple[int, int],
    made: tuple[int, ...] | None,
    views: bool,
) -> str:
    """Give the JSON.

    Parameters
    ----------
    bundle
        What was exported.
    blending
        How its members are averaged.
    blend
        The graph.
    source, size
        Name of the input, ``image`` or ``channels``, and its (h, w).
    made
        (h, w) of the masks; None where there are none.
    views
        Whether the members' views and scales are in the graph.
    """
    data = bundle.data
    attrs = bundle.channels[blending.members[0].channels]["attrs"]
    planes = _bands(int(data["colours"])) if source == "image" else list(attrs["names"])
    entry: dict[str, Any] = {"name": source, "layout": "NHWC", "type": "uint8", "planes": planes}
    entry |= {"height": size[0], "width": size[1]}
    if "grey_range" in data:  # of images of more than 8 bits, which became 0 and 255
        entry["range"] = data["grey_range"]
    if source == "channels":
        entry["recipe"] = {key: attrs[key] for key in ("use", "whiten", "scale", "offset")}
    outputs: dict[str, Any] = {}
    if made is not None:
        outputs[MASKS] = {"layout": "NHWC", "type": "float32", "classes": data["class_names"]}
        outputs[MASKS] |= {"height": made[0], "width": made[1], **blending.mean.to_dict()}
    if LABELS in blend.outputs:
        names = [blending.labels[place] for place in blend.labels]
        outputs[LABELS] = {"layout": "NL", "type": "float32", "classes": names}
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
        "members": [
            _member(member, blend.shares.get(place, 0.0), views)
            for place, member in enumerate(blending.members)
        ],
        "decision": {
            output: {key: given[key] for key in _DECIDED if key in given}
            for output, given in blending.decisions.items()
        },
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


def _member(member: Member, weight: float, views: bool) -> dict[str, Any]:
    predict = member.predict
    return {
        "name": member.name,
        "networks": len(member.weights),
        "weight": weight,
        "views": list(predict["tta"]) if views else ["none"],
        "scales": list(predict["scales"]) if views else [1],
        "windows": predict["windows"],
    }
