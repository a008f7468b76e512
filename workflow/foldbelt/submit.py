"""Blended test probabilities and the decision → the product, in the competition's own format.

What is written is read back and compared with the masks, pixel by pixel, before the file appears
under its name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import competitions, decide, registry, store
from foldbelt.boxes import Boxes
from foldbelt.competitions._submitting import Prediction
from foldbelt.files import InputError, PathLike, Problem, atomic, raise_all
from foldbelt.store.geometry import at_size

_FAULT = "No file was left. This is a fault of foldbelt unless the sample changed meanwhile."


def run(
    competition: str,
    root: PathLike,
    settings: Mapping[str, Any],
    test: PathLike,
    blend: PathLike,
    decision: PathLike,
    out: PathLike,
    train: PathLike | None = None,
    mosaic: PathLike | None = None,
) -> None:
    """Write the submission.

    Parameters
    ----------
    competition
        Its name, a module of `foldbelt.competitions`.
    root
        Its folder, where the sample submission lies.
    settings
        Of the config's `data` section the key `on_problem`; others are not looked at.
    test
        The ingested test data.
    blend
        The probabilities `prob` u8 at storage size, and `label_prob` if the models give it.
    decision
        The parameters, as `foldbelt.decide` writes them.
    out
        The submission.
    train, mosaic
        The training data and the csv of mosaics; needed by steps that look at neighbours.

    Raises
    ------
    InputError
        If predictions, data and sample do not fit each other.
    """
    _check_ids(test, blend)
    _check_size(test, blend)
    masks = partial(predictions, test, blend, decision, train, mosaic)
    write_masks(competition, root, settings, store.attrs(test)["class_names"], masks, out)


def write_masks(
    competition: str,
    root: PathLike,
    settings: Mapping[str, Any],
    classes: list[str],
    masks: Callable[[], Iterable[Prediction]],
    out: PathLike,
) -> None:
    """Write masks in the competition's form, and check what was written.

    Parameters
    ----------
    competition, root, settings, out
        As for `run`.
    classes
        Names of the classes.
    masks
        Gives the predictions, each time it is called.

    Raises
    ------
    InputError
        If predictions and sample do not fit each other.
    """
    writer = competitions.writer(competition)
    folder = Path(root)
    filled = np.zeros((2, len(classes)), np.int64)
    text = writer.write_submission(_counted(masks(), filled), folder, settings, classes)
    counts = zip(classes, filled[0].tolist(), strict=True)
    print(
        f"{filled[0].sum()} of {filled[1].sum()} masks are not empty: "
        + ", ".join(f"{name} ({count})" for name, count in counts)
    )
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        written = temporary.read_bytes().decode("utf-8")
        findings = writer.check_submission(written, masks(), folder, settings, classes)
        problems = [Problem(finding.file, finding.reason) for finding in findings]
        raise_all(problems, f"{out}, read back, is not what was predicted", _FAULT)


def write_table(
    output: str, competition: str, test: PathLike, blend: PathLike, out: PathLike
) -> None:
    """Write labels or boxes of the test images as a table, in the competition's form.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    competition
        Its name, a module of `foldbelt.competitions`.
    test, blend
        The ingested test data, and what is predicted of it.
    out
        The csv.

    Raises
    ------
    InputError
        If the competition has no such table, or predictions and data hold different images.
    """
    write = getattr(competitions.writer(competition), f"write_{output}", None)
    if write is None:
        raise InputError(f"the competition {competition!r} has no table of {output}.")
    _check_ids(test, blend)
    ids = store.read(test, "id").astype(str).tolist()
    given, content = store.read(blend, output, ids), store.attrs(blend)
    text = write(
        ids, Boxes.from_bytes(given) if output == "boxes" else given, content[_NAMES[output]]
    )
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


_NAMES = {"labels": "label_names", "boxes": "box_names"}


def write_joint(
    competition: str,
    root: PathLike,
    settings: Mapping[str, Any],
    test: PathLike,
    blend: PathLike,
    out: PathLike,
) -> None:
    """Write the one submission of labels and boxes that were decided together.

    Parameters
    ----------
    competition, root, settings, test
        As for `run`.
    blend
        What is predicted of the test images: `labels` (N, L), and `boxes` if the run has them.
    out
        The submission.

    Raises
    ------
    InputError
        If the competition has no such product, or predictions, data and sample do not fit.
    """
    writer = competitions.writer(competition)
    if not hasattr(writer, "write_joint"):
        raise InputError(
            f"the competition {competition!r} has no submission of labels and boxes together. "
            "Remove the section `joint`: labels and boxes then have a table each."
        )
    _check_ids(test, blend)
    table = store.columns(test)
    ids = table["id"].astype(str).tolist()
    _check_labels(competition, blend)
    labels = store.read(blend, "labels", ids)
    boxed = store.has(blend, "boxes")
    boxes = Boxes.from_bytes(store.read(blend, "boxes", ids)) if boxed else None
    what = (ids, labels, boxes, table, Path(root), settings)
    text = writer.write_joint(*what)
    count = 0 if boxes is None else len(boxes.scores)
    print(f"{len(ids)} images, {text.count(chr(10)) - 1} rows, {count} boxes")
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        written = temporary.read_bytes().decode("utf-8")
        findings = writer.check_joint(written, *what)
        problems = [Problem(finding.file, finding.reason) for finding in findings]
        raise_all(problems, f"{out}, read back, is not what was predicted", _FAULT)


def _check_labels(competition: str, blend: PathLike) -> None:
    """Refuse predictions of other labels than the competition's, or in another order."""
    content = store.attrs(blend)
    given = [*content["label_names"], *content.get("box_names", [])]
    known = registry.constant(f"foldbelt.competitions.{competition}", "CLASSES")
    if known is not None and given != list(known)[: len(given)]:
        raise InputError(
            f"{blend}: holds {', '.join(given)}, but the competition's classes are "
            f"{', '.join(known)}. Ingest and predict again."
        )


def predictions(
    test: PathLike,
    blend: PathLike,
    decision: PathLike,
    train: PathLike | None = None,
    mosaic: PathLike | None = None,
) -> Iterator[Prediction]:
    """Give the predicted mask of every test image at its original size, in bounded memory.

    Parameters
    ----------
    test, blend, decision, train, mosaic
        As for `run`.

    Yields
    ------
    Prediction
        In the order of the test data.
    """
    masks = decide.Masks(decide.load(decision), decide.Surroundings(test, train, mosaic))
    ids = store.read(test, "id").tolist()
    if not ids:
        return
    sizes = store.original_sizes(test)
    labelled = store.has(blend, "label_prob")
    labels = store.read(blend, "label_prob", ids) if labelled else None
    for part, block in store.blocks(blend, "prob", ids):
        probs = [
            at_size(stored, (int(height), int(width)))
            for stored, (height, width) in zip(block, sizes[part], strict=True)
        ]
        known = None if labels is None else labels[part]
        for place, mask in enumerate(masks(ids[part], probs, known)):
            label = None if known is None else known[place]
            yield Prediction(ids[part][place], mask.astype(np.uint8), label)


def _counted(predicted: Iterable[Prediction], filled: np.ndarray) -> Iterator[Prediction]:
    """Pass predictions on, and count by class (2, K) the masks that are not empty, and all."""
    for prediction in predicted:
        planes = prediction.mask.reshape(*prediction.mask.shape[:2], -1)
        filled[0] += planes.any(axis=(0, 1))
        filled[1] += 1
        yield prediction


def _check_ids(test: PathLike, blend: PathLike) -> None:
    wanted, given = (set(store.read(path, "id")) for path in (test, blend))
    problems = [Problem(key, "is in the test data, not in the blend") for key in wanted - given]
    problems += [Problem(key, "is in the blend, not in the test data") for key in given - wanted]
    if problems:
        raise_all(sorted(problems), f"{blend} does not fit {test}", "Predict and blend again.")


def _check_size(test: PathLike, blend: PathLike) -> None:
    if store.length(test) and store.stored_size(test) != store.stored_size(blend):
        raise InputError(
            f"{blend} holds probabilities of size {store.stored_size(blend)}, but {test} images of "
            f"size {store.stored_size(test)}. Predict again."
        )
