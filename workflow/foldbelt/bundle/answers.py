"""What is predicted of one image, and what becomes of the answers of all images together.

Masks and boxes are decided image by image. Labels may be shared by the images of a unit (those of a
study, say), and labels and boxes may be decided together (`joint`): both need all images, so they
come last, by the functions with which the workflow does so. Of an image they need some hundred
bytes, and up to 7 kB of boxes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.bundle.manifest import JOINT, decision_entry
from foldbelt.bundle.reading import Bundle
from foldbelt.decide import boxes_io, joint_io, label_task, labels, labels_io
from foldbelt.decide import units as unit
from foldbelt.metrics.labels import DECIDED
from foldbelt.store import Memory


@dataclass(frozen=True)
class Answer:
    """What is predicted of one image.

    Attributes
    ----------
    id
        Its name.
    size
        (height, width) of the original.
    units
        Level → the unit to which the image belongs, where labels are of units.
    mask
        (h, w, K) u8 of 0 and 1; None where the run does not decide on masks.
    labels
        (L,) float32, not yet joined with those of the unit; NaN where nobody predicts; or None.
    boxes
        (m, 6) float32, columns as in `foldbelt.boxes.NUMBERS`; or None.
    """

    id: str
    size: tuple[int, int]
    units: Mapping[str, str] = field(default_factory=dict)
    mask: np.ndarray | None = None
    labels: np.ndarray | None = None
    boxes: np.ndarray | None = None


@dataclass(frozen=True)
class Final:
    """Labels and boxes of all images, in stores of the workflow's form; of none, no stores.

    Attributes
    ----------
    ids
        Of the images, in order.
    data
        A file with what is known of the images.
    files
        Output → the file of it: "labels", "boxes", where the run has them, as they are decided
        together, where they are.
    """

    ids: list[str]
    data: Memory
    files: Mapping[str, Memory]

    def labels(self) -> np.ndarray | None:
        """Give the probabilities, (N, L) float32."""
        return store.read(self.files["labels"], "labels") if "labels" in self.files else None

    def boxes(self) -> Boxes | None:
        """Give the boxes of the N images."""
        if "boxes" not in self.files:
            return None
        return Boxes.from_bytes(store.read(self.files["boxes"], "boxes"))


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
