"""What of a bundle goes into a graph: which members, and how they are averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foldbelt.bundle.manifest import BLEND, Member, decision_entry
from foldbelt.bundle.onnx.graph import LABELS, MASKS, Block
from foldbelt.bundle.reading import Bundle
from foldbelt.ensemble.weights import read_weights
from foldbelt.files import InputError
from foldbelt.search.means import PLAIN, Mean, mean_of, read_mean


@dataclass(frozen=True)
class Blending:
    """How members are averaged.

    Attributes
    ----------
    members
        Those that weigh something.
    masks
        Their weights in the masks; None where the run decides on none.
    mean
        What of the masks is averaged.
    blocks
        How labels of their own are averaged; None where the run decides on none. Then labels by
        which masks are gated, if networks tell any, are averaged as `gates` says.
    gates
        Weights of the members in those.
    labels
        Names of the labels.
    decisions
        `MASKS` and `LABELS` → what was decided.
    left_out
        Names of members whose output no graph holds.
    """

    members: list[Member]
    masks: list[float] | None
    mean: Mean
    blocks: list[Block] | None
    gates: list[float]
    labels: list[str]
    decisions: dict[str, Any]
    left_out: list[str]

    def label_blocks(self) -> list[Block]:
        """Give how labels are averaged, gates as well."""
        if self.blocks is not None:
            return self.blocks
        return [Block(list(range(len(self.labels))), self.gates, self.mean, False)]


def blending_of(bundle: Bundle, name: str | None) -> Blending:
    """Read how a bundle's members are averaged.

    Parameters
    ----------
    bundle
        The bundle.
    name
        The one member that is wanted; None for all.

    Raises
    ------
    InputError
        If there is no such member, or all predict boxes.
    """
    decisions = {
        output: bundle.decisions[decision_entry(output)]
        for output in (MASKS, LABELS)
        if output in bundle.manifest.outputs
    }
    masked: list[str] = bundle.decisions[BLEND]["members"] if MASKS in decisions else []
    labelled = _labelled(decisions[LABELS]) if LABELS in decisions else {}
    every = bundle.manifest.members
    known = [member for member in every if member.name in {*masked, *labelled}]
    if not known:
        raise InputError(
            f"{bundle.path}: it predicts boxes alone. How many there are differs from image to "
            "image, which no graph of one size can say; `foldbelt predict` predicts them."
        )
    if name is not None:
        known = [member for member in known if member.name == name]
        if not known:
            names = ", ".join(
                member.name for member in every if member.name in {*masked, *labelled}
            )
            raise InputError(
                f"{bundle.path} has no member {name!r} of its masks or labels, only {names}."
            )
    masks, gates, mean = [0.0] * len(known), [0.0] * len(known), PLAIN
    if masked:
        _, vector = read_weights(bundle.file(BLEND), masked)
        of = dict(zip(masked, zip(vector.masks, vector.labels, strict=True), strict=True))
        weighed = [of.get(member.name, (0.0, 0.0)) for member in known]
        masks, gates = [w for w, _ in weighed], [w for _, w in weighed]
        mean = read_mean(bundle.file(BLEND))
    shares = [max(labelled.get(member.name, [0.0])) for member in known]
    used = [
        place
        for place in range(len(known))
        if name is not None or masks[place] > 0 or gates[place] > 0 or shares[place] > 0
    ]
    used = used or list(range(len(known)))  # without weights they count equally
    members = [known[place] for place in used]
    names_of = bundle.data["label_names"] if LABELS in decisions else bundle.data["class_names"]
    return Blending(
        members,
        [masks[place] for place in used] if masked else None,
        mean,
        _blocks(decisions[LABELS], names_of, members) if LABELS in decisions else None,
        [gates[place] for place in used],
        list(names_of),
        decisions,
        [member.name for member in every if member.name not in {*masked, *labelled}],
    )


def _labelled(decision: Mapping[str, Any]) -> dict[str, list[float]]:
    """Give the weights of every member in the blocks of labels."""
    weights: dict[str, list[float]] = {}
    for params in _params(decision):
        none = not any(params["weights"].values())  # then they count equally
        for name, weight in params["weights"].items():
            weights.setdefault(name, []).append(float(none or weight))
    return weights


def _params(decision: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the parameters of every block; without blocks there is one."""
    params = decision["params"]
    return [params[block["name"]] for block in decision["blocks"]] if "blocks" in decision else [
        params
    ]  # fmt: skip


def _blocks(
    decision: Mapping[str, Any], names: Sequence[str], members: Sequence[Member]
) -> list[Block]:
    whole = {"labels": list(names), "exclusive": decision["exclusive"]}
    return [
        Block(
            [list(names).index(label) for label in block["labels"]],
            [float(params["weights"].get(member.name, 0.0)) for member in members],
            mean_of(params),
            bool(block["exclusive"]),
        )
        for block, params in zip(decision.get("blocks", [whole]), _params(decision), strict=True)
    ]
