"""Blended test probabilities and the decision → the product, in the competition's own format.

What is written is read back and compared with the masks, pixel by pixel, before the file appears
under its name.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import competitions, decide, geometry, store
from foldbelt.competitions import Prediction
from foldbelt.files import InputError, PathLike, Problem, atomic, raise_all


def run(
    competition: str,
    root: PathLike,
    spec: Mapping[str, Any],
    test: PathLike,
    blend: PathLike,
    decision: PathLike,
    out: PathLike,
) -> None:
    """Write the submission.

    Parameters
    ----------
    competition
        Its name, a module of `foldbelt.competitions`.
    root
        Its folder, where the sample submission lies.
    spec
        The config's `data` section, as for `foldbelt.ingest.run`.
    test
        The ingested test data.
    blend
        The probabilities `prob` u8 at storage size, and `label_prob` if the models give it.
    decision
        The parameters, as `foldbelt.decide` writes them.
    out
        The submission.

    Raises
    ------
    InputError
        If predictions, data and sample do not fit each other.
    """
    member = competitions.load(competition)
    spec, folder = competitions.settings(spec), Path(root)
    classes = store.attrs(test)["class_names"]
    _check_ids(test, blend)
    text = member.write_submission(predictions(test, blend, decision), folder, spec, classes)
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        written = temporary.read_bytes().decode("utf-8")
        masks = predictions(test, blend, decision)
        findings = member.check_submission(written, masks, folder, spec, classes)
        problems = [Problem(finding.file, finding.reason) for finding in findings]
        cure = "No file was left. This is a fault of foldbelt unless the sample changed meanwhile."
        raise_all(problems, f"{out}, read back, is not what was predicted", cure)


def predictions(test: PathLike, blend: PathLike, decision: PathLike) -> Iterator[Prediction]:
    """Give the predicted mask of every test image at its original size, in bounded memory.

    Parameters
    ----------
    test, blend, decision
        As for `run`.

    Yields
    ------
    Prediction
        In the order of the test data.
    """
    settled = decide.load(decision)
    table = store.table(test)
    ids = table["id"].tolist()
    if not ids:
        return
    sizes = store.original_sizes(test)
    labelled = store.has(blend, "label_prob")
    labels = store.read(blend, "label_prob", ids) if labelled else None
    for part, block in store.blocks(blend, "prob", ids):
        for row, stored in zip(range(part.start, part.stop), block, strict=True):
            size = (int(sizes[row, 0]), int(sizes[row, 1]))
            prob = stored if stored.shape[:2] == size else geometry.resize_to(stored, size)
            label = None if labels is None else labels[row]
            mask = decide.apply(prob.reshape(*size, -1), settled, label)
            yield Prediction(ids[row], np.asarray(mask, np.uint8), label)


def _check_ids(test: PathLike, blend: PathLike) -> None:
    wanted, given = (set(store.table(path)["id"]) for path in (test, blend))
    problems = [Problem(key, "is in the test data, not in the blend") for key in wanted - given]
    problems += [Problem(key, "is in the blend, not in the test data") for key in given - wanted]
    if problems:
        raise_all(sorted(problems), f"{blend} does not fit {test}", "Predict and blend again.")
    if store.length(test) and store.stored_size(test) != store.stored_size(blend):
        raise InputError(
            f"{blend} holds probabilities of size {store.stored_size(blend)}, but {test} images of "
            f"size {store.stored_size(test)}. Predict again."
        )
