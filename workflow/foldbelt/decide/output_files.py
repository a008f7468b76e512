"""Labels and boxes: gather what the models predict, decide on it, and keep what was decided.

What differs between the two is in the modules of their names: `labels` and `boxes` decide,
`labels_io` and `boxes_io` read and write.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.bootstrap import Resampling
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_json
from foldbelt.search.oof import read_folds

Members = Mapping[str, Sequence[PathLike]]


def run(
    output: str,
    *,
    members: Members,
    data: PathLike,
    folds: PathLike,
    settings: Mapping[str, Any],
    draws: int,
    seed: int,
    decision: PathLike,
    blend: PathLike,
) -> None:
    """Decide on one output, and score it leave-one-fold-out.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    members
        Name → ``oof.h5`` of its folds.
    data, folds
        ``train.h5``, and the csv with id, fold and group.
    settings
        The config's section of the output's name.
    draws, seed
        Of the bootstrap.
    decision
        The JSON to write: metric, score, interval, optimistic, baseline, params, per_fold, members,
        classes, coverage, images, groups.
    blend
        The file to write: of every image what was predicted with parameters fitted without its
        fold.

    Raises
    ------
    InputError
        If an image is predicted twice or never, or nobody knows any truth.
    """
    kind = importlib.import_module(f"foldbelt.decide.{output}_io")
    table = read_folds(folds, data)
    ids, groups = table["id"].tolist(), table["group"].tolist()
    given, known = {}, {}
    for name, paths in members.items():
        rows, known[name] = _rows(name, paths, ids)
        given[name] = kind.gather(rows, len(ids))
    resampling = Resampling(groups, draws, seed)
    numbers = table["fold"].to_numpy(np.int64)
    result, made = kind.search(data, ids, given, known, numbers, settings, resampling)
    write_json(decision, result)
    kind.write(blend, ids, made, kind.names_of(data), np.any(list(known.values()), axis=0))
    print(
        f"{result['metric']} of the {output}, leave-one-fold-out: {result['score']:.4f} "
        f"(without any model {result['baseline']:.4f})"
    )


def apply(
    output: str,
    *,
    members: Members,
    folds: Mapping[str, Sequence[int]],
    decision: PathLike,
    out: PathLike,
) -> None:
    """Blend the test predictions as was decided.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    members
        Name → ``test.h5`` of its folds, all of the same images.
    folds
        Name → the folds that these are of.
    decision
        What `run` wrote.
    out
        The file to write.

    Raises
    ------
    InputError
        If the files hold different images.
    """
    kind = importlib.import_module(f"foldbelt.decide.{output}_io")
    decided = json.loads(Path(decision).read_text(encoding="utf-8"))
    paths = [path for files in members.values() for path in files]
    ids = sorted(store.read(paths[0], "id").astype(str).tolist())
    problems = [
        Problem(str(path), "holds other images than the first")
        for path in paths
        if sorted(store.read(path, "id").astype(str).tolist()) != ids
    ]
    raise_all(problems, "test predictions", "Predict again.")
    made = kind.apply(members, folds, ids, decided)
    kind.write(out, ids, made, kind.names_of(paths[0]))


def _rows(
    name: str, paths: Sequence[PathLike], ids: Sequence[str]
) -> tuple[list[tuple[PathLike, np.ndarray]], np.ndarray]:
    """Find the images of each file among `ids`.

    Returns
    -------
    rows
        Of each file where its images lie among `ids`, in the file's order.
    known
        (N,) bool, which images the member predicted.
    """
    index = pd.Index(ids)
    known = np.zeros(len(ids), bool)
    rows, problems = [], []
    for path in paths:
        places = index.get_indexer(pd.Index(store.read(path, "id").astype(str)))
        if (places < 0).any() or known[places].any():
            problems.append(Problem(str(path), "holds images of no fold, or of another file"))
        known[places[places >= 0]] = True
        rows.append((path, places))
    raise_all(problems, f"out-of-fold predictions of {name}", "Predict again.")
    if not known.any():
        raise InputError(f"{name}: predicted none of the images.")
    return rows, known
