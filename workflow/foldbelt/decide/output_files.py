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

from foldbelt import store
from foldbelt.bootstrap import Resampling
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_json
from foldbelt.search.oof import read_folds
from foldbelt.store.predictions import CURE, states_folds, wrong_folds

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
    unscored: Mapping[str, float] | None = None,
) -> None:
    """Decide on one output, and score it leave-one-fold-out.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    members
        Name → ``oof.h5`` of its folds, or one file of all images.
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
    unscored
        Members that predict the test images alone: name → their share of the test blend. The
        decision says of them that nobody can score them; a note tells of those that do not say
        which fold an image was held out in.

    Raises
    ------
    InputError
        If an image is predicted twice or never, one was held out with images of other folds, or
        nobody knows any truth.
    """

    kind = importlib.import_module(f"foldbelt.decide.{output}_io")
    table = read_folds(folds, data)
    ids, groups = table["id"].tolist(), table["group"].tolist()
    for name, paths in members.items():
        if len(paths) == 1 and states_folds(paths[0]):
            fold_of = table.set_index("id")["fold"]
            raise_all(wrong_folds(paths[0], fold_of), f"predictions of {name}", CURE)
    given, known = gathered(output, members, ids)
    resampling = Resampling(groups, draws, seed)
    numbers = table["fold"].to_numpy(np.int64)
    result, made = kind.search(data, ids, given, known, numbers, settings, resampling)
    notes = [*_unstated(members), *_unscored(unscored or {})]
    write_json(decision, result | ({"notes": notes} if notes else {}))
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
    decision: PathLike | Mapping[str, Any],
    data: PathLike,
    out: PathLike,
    elsewhere: Mapping[str, PathLike] | None = None,
    unscored: Mapping[str, tuple[PathLike, float]] | None = None,
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
        What `run` wrote: the file, or its content.
    data
        ``test.h5``.
    out
        The file to write.
    elsewhere
        Members made elsewhere that were decided on: name → the one file of all images, which stands
        for each fold.
    unscored
        Members that predict the test images alone: name → file, and its share of the blend.

    Raises
    ------
    InputError
        If the files hold different images.
    """
    kind = importlib.import_module(f"foldbelt.decide.{output}_io")
    decided = (
        decision
        if isinstance(decision, Mapping)
        else json.loads(Path(decision).read_text(encoding="utf-8"))
    )
    paths = [path for files in members.values() for path in files]
    paths += [*(elsewhere or {}).values(), *(path for path, _ in (unscored or {}).values())]
    every = sorted({fold for numbers in folds.values() for fold in numbers})
    given = {**members, **{name: [path] * len(every) for name, path in (elsewhere or {}).items()}}
    of = {**folds, **dict.fromkeys(elsewhere or {}, every)}
    ids = sorted(store.read(paths[0], "id").astype(str).tolist())
    problems = [
        Problem(str(path), "holds other images than the first")
        for path in paths
        if sorted(store.read(path, "id").astype(str).tolist()) != ids
    ]
    raise_all(problems, "test predictions", "Predict again.")
    made = kind.apply(given, of, ids, decided, data, unscored or {})
    kind.write(out, ids, made, kind.names_of(paths[0]))


def gathered(
    output: str, members: Members, ids: Sequence[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the out-of-fold predictions of members.

    Parameters
    ----------
    output
        ``labels`` or ``boxes``.
    members
        Name → ``oof.h5`` of its folds.
    ids
        The N images.

    Returns
    -------
    given, known
        Name → what it predicted of the images, and which it predicted, (N,) bool.

    Raises
    ------
    InputError
        If an image is predicted twice or is none of these.
    """
    kind = importlib.import_module(f"foldbelt.decide.{output}_io")
    given, known = {}, {}
    for name, paths in members.items():
        rows, known[name] = _rows(name, paths, ids)
        given[name] = kind.gather(rows, len(ids))
    return given, known


def _unstated(members: Members) -> list[str]:
    """Name members made elsewhere of which nobody knows what they have seen."""
    single = {name: paths[0] for name, paths in members.items() if len(paths) == 1}
    return [
        f"{name} was made elsewhere and does not state its folds (a column `fold` beside its ids): "
        "its score may be that of images it was trained on"
        for name, path in single.items()
        if store.attrs(path).get("external") and not states_folds(path)
    ]


def _unscored(shares: Mapping[str, float]) -> list[str]:
    """Say which members of the test blend are in no score."""
    return [
        f"{name} was made elsewhere and predicts the test images alone: it has {share:g} of their "
        "blend, and is in no score"
        for name, share in shares.items()
    ]


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
    place_of = {name: place for place, name in enumerate(ids)}
    known = np.zeros(len(ids), bool)
    rows, problems = [], []
    for path in paths:
        given = store.read(path, "id").astype(str).tolist()
        places = np.array([place_of.get(name, -1) for name in given], np.int64)
        if (places < 0).any() or known[places].any():
            problems.append(Problem(str(path), "holds images of no fold, or of another file"))
        known[places[places >= 0]] = True
        rows.append((path, places))
    raise_all(problems, f"out-of-fold predictions of {name}", "Predict again.")
    if not known.any():
        raise InputError(f"{name}: predicted none of the images.")
    return rows, known
