"""The blend of the models: weighted means of their probabilities, or of logits and the like.

Masks are averaged over the members that predict masks, and label probabilities over those that
predict labels, each with weights of its own (:mod:`foldbelt.ensemble.weighing`): so a classifier
gates the masks of others, as in the Severstal solutions (2019).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt import store
from foldbelt.ensemble.settings import BlendSettings
from foldbelt.ensemble.weighing import optimise
from foldbelt.ensemble.weights import read_weights
from foldbelt.files import InputError, PathLike, Problem, raise_all, write_json
from foldbelt.search.means import mix, mix_labels, read_mean
from foldbelt.search.oof import OutOfFold
from foldbelt.store.predictions import (
    block_size,
    check,
    made_on,
    mean_over_files,
    mixed,
    same_ids,
    same_shapes,
    with_masks,
)


def run_oof(
    *,
    members: Mapping[str, Sequence[PathLike]],
    data: PathLike,
    folds: PathLike,
    settings: BlendSettings,
    metric: str,
    out: PathLike,
    weights: PathLike,
) -> None:
    """Search the weights of the members and blend their out-of-fold predictions.

    Parameters
    ----------
    members
        Model → its ``oof.h5`` files, one a fold, or one file of all images.
    data
        ``train.h5``.
    folds
        The csv with id, fold and group.
    settings
        The config's ``blend``.
    metric
        What the weights of masks maximise.
    out
        The blended predictions, in the order of `data`; rows of fold f with weights found without
        it.
    weights
        The weights' JSON: members, mean, its power if it has one, all [w], without {fold: [w]};
        where labels are weighed otherwise than masks, labels {all: [w], without: {fold: [w]}}.

    Raises
    ------
    InputError
        If the predictions do not hold every image exactly once, or the weights are wrong.
    """
    oof = OutOfFold(members, data, folds)
    differing = mixed(made_on([path for paths in members.values() for path in paths]))
    if differing:
        print(f"Beware: {differing}")
    blends = optimise(oof, settings, metric)
    mean, final = blends.mean, blends.weights[None]
    without = {fold: vector for fold, vector in blends.weights.items() if fold is not None}
    content = {
        "members": oof.members,
        **mean.to_dict(),
        **_content({fold: vector.masks for fold, vector in without.items()}, final.masks),
    }
    if any(vector.labels != vector.masks for vector in (final, *without.values())):
        labels_without = {fold: vector.labels for fold, vector in without.items()}
        content["labels"] = _content(labels_without, final.labels)
    table = {"id": oof.ids, "fold": oof.fold}
    with store.Writer(out, table=table, attrs={"weights": content}) as writer:
        for run in oof.runs():
            rows = np.concatenate([block.rows for block in run])
            order = np.argsort(rows)
            pairs = [(block, without[block.fold]) for block in run]
            prob = np.concatenate([mix(block.probs, w.masks, *mean) for block, w in pairs])
            labels = [mix_labels(block.labels, w.labels, *mean) for block, w in pairs]
            known = [label for label in labels if label is not None]
            label = np.concatenate(known) if len(known) == len(run) else None
            _put(writer, int(rows.min()), prob[order], None if label is None else label[order])
    write_json(weights, content)


def _content(without: Mapping[int, Sequence[float]], final: Sequence[float]) -> dict[str, Any]:
    return {"all": list(final), "without": {str(f): list(w) for f, w in without.items()}}


def run_test(
    *,
    members: Mapping[str, Sequence[PathLike]],
    weights: PathLike,
    out: PathLike,
    labelled: Mapping[str, Sequence[PathLike]] | None = None,
) -> None:
    """Blend the test predictions: the mean over folds of each member, then the weighted mean.

    Over folds probabilities are averaged, over members what the weights' file says.

    Parameters
    ----------
    members
        Model → its ``test.h5`` files, one a fold, all of the same images; or one file.
    weights
        The JSON that :func:`run_oof` wrote; ``all`` and the mean are used.
    out
        The blended predictions, in the order of the first file.
    labelled
        Model → the pseudo-labels on which it was trained, in the order of its files. An image is
        then predicted by those folds alone that were not trained on it. Members that are not named
        count with all their files.

    Raises
    ------
    InputError
        If the files differ in their images or their form, the weights are others', or all folds of
        a member were trained on an image.
    """
    _, vector = read_weights(weights, list(members))
    mean = read_mean(weights)
    paths = [path for files in members.values() for path in files]
    check(paths)
    with_masks(members, "test predictions")
    ids = same_ids(paths)
    use = {m: _untaught(m, members[m], taught, ids) for m, taught in (labelled or {}).items()}
    with store.Writer(out, table={"id": ids}) as writer:
        names = list(members)
        size = block_size(paths)
        means = (mean_over_files(members[name], ids, use.get(name), size) for name in names)
        for block in zip(*means, strict=True):
            probs = [prob for _, prob, _ in block]
            same_shapes(probs, names)
            prob = mix(probs, vector.masks, *mean)
            label = mix_labels([label for *_, label in block], vector.labels, *mean)
            _put(writer, block[0][0].start, prob, label)


def _untaught(
    member: str, paths: Sequence[PathLike], labelled: Sequence[PathLike], ids: Sequence[str]
) -> np.ndarray:
    """Tell (files, ids) which models were not trained on which images."""
    if len(labelled) != len(paths):
        raise InputError(
            f"{member}: {len(labelled)} files of pseudo-labels for {len(paths)} of predictions; "
            "give one a fold, in the same order."
        )
    use = np.stack([~np.isin(ids, store.read(path, "id").astype(str)) for path in labelled])
    lost = np.array(ids)[~use.any(axis=0)].tolist()
    problems = [Problem(member, f"all its folds were trained on {name}") for name in lost]
    cure = "Halves need models of a fold with an even number and of one with an odd number."
    raise_all(problems, "test predictions", cure)
    return use


def _put(writer: store.Writer, start: int, prob: np.ndarray, label: np.ndarray | None) -> None:
    """Write a run of rows; the first lays out the datasets."""
    for name, array, dtype in (("prob", prob, np.uint8), ("label_prob", label, np.float32)):
        if array is None:
            continue
        if start == 0:
            writer.create(name, array.shape[1:], dtype)
        writer.put(name, start, array)
