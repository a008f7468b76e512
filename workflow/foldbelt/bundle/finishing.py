"""What becomes of the answers of all images together: labels that are shared, joint decisions.

Masks and boxes are decided image by image. Labels may be shared by the images of a unit (those of a
study, say), and labels and boxes may be decided together (`joint`): both need all images, so they
come last, by the functions with which the workflow does so. Of an image they need some hundred
bytes, and up to 7 kB of boxes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.bundle.answers import Answer, Final
from foldbelt.bundle.manifest import JOINT, decision_entry
from foldbelt.bundle.reading import Bundle
from foldbelt.decide import boxes_io, joint_io, label_task, labels, labels_io, output_files
from foldbelt.decide import units as unit
from foldbelt.metrics.labels import DECIDED
from foldbelt.store import Memory


def blended(
    bundle: Bundle,
    output: str,
    files: Mapping[str, Sequence[Memory]],
    data: Memory,
    place: Memory,
) -> list[Any]:
    """Blend labels or boxes of a group of images, those of a unit not yet joined.

    Parameters
    ----------
    bundle
        The bundle.
    output
        ``labels`` or ``boxes``.
    files
        Member → what its networks predict, one store a fold.
    data
        The images.
    place
        Where stores may be put.

    Returns
    -------
    list
        Of each image, in the order of `data`, (L,) float32, or boxes (m, 6) float32.
    """
    names = bundle.manifest.outputs[output]
    folds = {member.name: member.folds for member in bundle.manifest.members}
    decision = bundle.decisions[decision_entry(output)]
    if output == "labels":  # images of a unit may lie in several groups, so they are joined last
        decision = unjoined(decision)
    out = place / output
    output_files.apply(
        output,
        members={name: files[name] for name in names},
        folds={name: folds[name] for name in names},
        decision=decision,
        data=data,
        out=out,
    )
    given = store.read(out, output, store.read(data, "id").astype(str).tolist())
    if output == "labels":
        return list(given)
    boxes = Boxes.from_bytes(given)
    return [boxes.image(number) for number in range(len(boxes))]


def finish(bundle: Bundle, answers: Sequence[Answer]) -> Final:
    """Join what images of a unit share, and decide labels and boxes together where the run does.

    Parameters
    ----------
    bundle
        The bundle.
    answers
        Of all images; their masks are not looked at.
    """
    ids = [answer.id for answer in answers]
    place = Memory("answers")
    data = place / "data"
    outputs = bundle.manifest.outputs if ids else {}
    files: dict[str, Memory] = {}
    if ids:
        _write_data(data, answers)
    if "labels" in outputs:
        given = np.stack([_there(answer.labels) for answer in answers])
        files["labels"] = place / "labels"
        decision = bundle.decisions[decision_entry("labels")]
        made = _joined(given, answers, decision, bundle.data["label_names"])
        labels_io.write(files["labels"], ids, made, bundle.data["label_names"])
    if "boxes" in outputs:
        files["boxes"] = place / "boxes"
        boxes = Boxes.join(_there(answer.boxes) for answer in answers)
        boxes_io.write(files["boxes"], ids, boxes, bundle.data["box_names"])
    if bundle.manifest.joint and files:
        together = place / "joint"
        joint_io.apply_test(
            labels=files["labels"],
            boxes=files.get("boxes"),
            data=data,
            decision=bundle.file(decision_entry(JOINT)),
            out=together,
        )
        files = dict.fromkeys(files, together)
    return Final(ids, data, files)


def _there(values: np.ndarray | None) -> np.ndarray:
    if values is None:
        raise ValueError("an image lacks what all others have")
    return values


def _write_data(path: Memory, answers: Sequence[Answer]) -> None:
    """Write what the workflow's functions ask of images: their sizes and units."""
    columns: dict[str, Any] = {"id": [answer.id for answer in answers]}
    for level in answers[0].units:
        columns[level] = [answer.units[level] for answer in answers]
    columns["height"] = [answer.size[0] for answer in answers]
    columns["width"] = [answer.size[1] for answer in answers]
    store.write(path, {}, columns)


def _blocks(decision: Mapping[str, Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Give the blocks of a decision on labels, each with its columns and its own parameters."""
    whole = {"labels": list(names), "exclusive": decision["exclusive"], "level": None}
    for block in decision.get("blocks", [whole]):
        params = decision["params"]
        yield {
            **block,
            "columns": [list(names).index(label) for label in block["labels"]],
            "params": params[block["name"]] if "name" in block else params,
        }


def _joined(
    given: np.ndarray,
    answers: Sequence[Answer],
    decision: Mapping[str, Any],
    names: Sequence[str],
) -> np.ndarray:
    """Join the labels (N, L) of images that share an answer."""
    made = given.copy()
    for block in _blocks(decision, names):
        if block["level"] is None:
            continue
        units = unit.number(np.array([answer.units[block["level"]] for answer in answers], str))
        columns = block["columns"]
        made[:, columns] = label_task.joined(
            given[:, columns], units, block["params"], block["exclusive"]
        )
    return made


def unjoined(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Give a decision on labels that leaves images of a unit as they are."""
    if "blocks" not in decision:
        return dict(decision)
    return {**decision, "blocks": [{**block, "level": None} for block in decision["blocks"]]}


def decided(
    prob: np.ndarray, decision: Mapping[str, Any], names: Sequence[str]
) -> np.ndarray | None:
    """Tell which labels images have.

    Parameters
    ----------
    prob
        (N, L) probabilities, joined.
    decision
        On labels.
    names
        Of the L labels.

    Returns
    -------
    (N, L) bool array or None
        None where the metric of the run asks for probabilities alone.
    """
    if decision["metric"] not in DECIDED:
        return None
    made = np.zeros(prob.shape, bool)
    for block in _blocks(decision, names):
        part = {**decision, "exclusive": block["exclusive"], "params": block["params"]}
        made[:, block["columns"]] = labels.decide(prob[:, block["columns"]], part)
    return made
