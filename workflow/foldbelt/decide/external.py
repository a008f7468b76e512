"""Labels and boxes predicted elsewhere: read, checked, and written as members' predictions are.

They come as an HDF5 file of predictions, or as a table in the competition's own form of a
submission, which its package reads. What is written is a file like that of any member, of all
images that it predicts.
"""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.competitions import _loading
from foldbelt.files import InputError, PathLike, Problem, raise_all
from foldbelt.search.oof import read_folds

CURE = "Give every image once, by the names of the data, with probabilities from 0 to 1."


def run(
    output: str,
    *,
    source: PathLike,
    part: str,
    data: PathLike,
    names: PathLike,
    competition: str,
    out: PathLike,
    folds: PathLike | None = None,
) -> None:
    """Read predictions made elsewhere and write them as those of a member.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    source
        An HDF5 file with ``id`` and ``labels`` (n, L) or ``boxes``, and perhaps ``table/fold``; its
        ``label_names`` or ``box_names`` may be some of the data's, in any order. Or a table that
        the competition's ``submit.read_predictions`` reads.
    part
        ``train`` (out-of-fold predictions; images may be missing) or ``test`` (all are needed).
    data
        ``train.h5`` or ``test.h5``.
    names
        ``train.h5``, for the names of labels and of boxes' classes.
    competition
        Whose form a table has.
    out
        The file to write.
    folds
        Of training images, the csv with their folds: what is said of others is left out.

    Raises
    ------
    InputError
        Listing images that are missing, repeated or of other data, and values that are no
        probabilities.
    """
    content = store.attrs(names)
    if h5py.is_hdf5(source):
        table, made = _stored(output, source, content)
    else:
        table, made = _tabled(output, source, data, content, competition)
    ids = store.read(data, "id").astype(str).tolist()
    problems = _misplaced(source, table["id"].tolist(), ids, part)
    problems += (
        _of_labels(source, table, made, content["label_names"], part)
        if isinstance(made, np.ndarray)
        else _of_boxes(source, table, made)
    )
    raise_all(problems, f"{output} predicted elsewhere", CURE)
    kept = np.ones(len(table), bool)
    if folds is not None:
        kept = table["id"].isin(read_folds(folds, data)["id"]).to_numpy()
    arrays: dict[str, Any]
    if isinstance(made, np.ndarray):
        rows = np.flatnonzero(kept & ~np.isnan(made).all(axis=1))
        arrays = {"labels": made[rows].astype(np.float32)}
        attrs = {"label_names": list(content["label_names"])}
    else:
        rows = np.flatnonzero(kept)
        arrays = {"boxes": made.take(rows).to_bytes()}
        attrs = {"box_names": list(content["box_names"])}
    store.write(out, arrays, table.iloc[rows].reset_index(drop=True), {**attrs, "external": True})
    print(f"{source}: {output} of {len(rows)} images")


Made = tuple[pd.DataFrame, np.ndarray | Boxes]


def _stored(output: str, source: PathLike, content: dict[str, list[str]]) -> Made:
    """Read a file of predictions, its names brought to those of the data."""
    if not store.has(source, output) or not store.has(source, "id"):
        raise InputError(f"{source}: lacks `id` or `{output}`; write both, a row an image.")
    key = {"labels": "label_names", "boxes": "box_names"}[output]
    names, given = list(content[key]), list(store.attrs(source).get(key, content[key]))
    problems = [
        Problem(str(source), f"{name!r} is none of {', '.join(names)} ({key})")
        for name in given
        if name not in names
    ]
    table = pd.DataFrame({"id": store.read(source, "id").astype(str)})
    if store.has(source, "table/fold"):
        table["fold"] = store.read(source, "table/fold")
    if output == "boxes":
        boxes = Boxes.from_bytes(store.read(source, "boxes"))
        if boxes.classes.max(initial=-1) >= len(given) or boxes.classes.min(initial=0) < 0:
            reason = f"has boxes of a class that is not 0 … {len(given) - 1}"
            problems.append(Problem(str(source), reason))
        raise_all(problems, "boxes predicted elsewhere")
        places = np.array([names.index(name) for name in given], np.int64)
        classes = places[boxes.classes] if len(boxes.classes) else boxes.classes
        return table, Boxes(boxes.start, boxes.xyxy, classes, boxes.scores)
    prob = store.read(source, "labels").astype(np.float64)
    if prob.ndim != 2 or prob.shape[1] != len(given):
        reason = f"`labels` has the shape {prob.shape}, and there are {len(given)} names"
        problems.append(Problem(str(source), reason))
    raise_all(problems, "labels predicted elsewhere")
    made = np.full((len(prob), len(names)), np.nan)
    made[:, [names.index(name) for name in given]] = prob
    return table, made


def _tabled(
    output: str,
    source: PathLike,
    data: PathLike,
    content: dict[str, list[str]],
    competition: str,
) -> Made:
    """Read a table in the competition's form."""
    read = getattr(_loading.writer(competition), "read_predictions", None)
    if read is None:
        raise InputError(
            f"{source}: is no HDF5 file, and the competition {competition!r} reads no predictions "
            "from tables; give an HDF5 file."
        )
    ids = store.read(data, "id").astype(str).tolist()
    columns = store.table(data)
    made = read(source, ids, columns, content.get("label_names", []), content.get("box_names", []))
    found = dict(zip(("labels", "boxes"), made, strict=True))[output]
    if found is None:
        raise InputError(f"{source}: says nothing of {output}; leave it out of {output}.external.")
    return pd.DataFrame({"id": ids}), found


def _misplaced(
    source: PathLike, given: Sequence[str], ids: Sequence[str], part: str
) -> list[Problem]:
    """List images that are repeated or not of the data, and those that must not be missing."""
    file, known, there = str(source), set(ids), set(given)
    repeated = pd.Series(given)[pd.Series(given).duplicated()].unique().tolist()
    problems = [Problem(file, f"{name} occurs more than once") for name in repeated]
    problems += [
        Problem(file, f"{name} is no {part} image")
        for name in dict.fromkeys(given)
        if name not in known
    ]
    if part == "test":
        problems += [Problem(file, f"{name} is missing") for name in ids if name not in there]
    return problems


def _of_labels(
    source: PathLike, table: pd.DataFrame, prob: np.ndarray, names: Sequence[str], part: str
) -> list[Problem]:
    """List images without the labels that others have, and values that are no probabilities."""
    file, there = str(source), ~np.isnan(prob)
    if not there.any():
        return [Problem(file, "says nothing of any label")]
    used = there.any(axis=0)
    said = there.any(axis=1) if part == "train" else np.ones(len(prob), bool)
    lost = said[:, None] & used & ~there
    with np.errstate(invalid="ignore"):
        wrong = there & ~((prob >= 0) & (prob <= 1))
    of, label = np.nonzero(lost | wrong)
    return [
        Problem(
            file,
            f"{table['id'].iloc[n]}: {names[k]} is "
            + ("missing" if lost[n, k] else f"{prob[n, k]:g}, no probability"),
        )
        for n, k in zip(of.tolist(), label.tolist(), strict=True)
    ]


def _of_boxes(source: PathLike, table: pd.DataFrame, boxes: Boxes) -> list[Problem]:
    """List boxes that are inside out, or whose numbers or scores are none."""
    bad = ~(np.isfinite(boxes.xyxy).all(axis=1) & (boxes.scores >= 0) & (boxes.scores <= 1))
    bad |= (boxes.xyxy[:, 2] < boxes.xyxy[:, 0]) | (boxes.xyxy[:, 3] < boxes.xyxy[:, 1])
    images = table["id"].to_numpy()[np.unique(boxes.of()[bad])]
    reason = "has a box with x2 < x1, y2 < y1, or a number or score that is none"
    return [Problem(str(source), f"{name} {reason}") for name in images.tolist()]
