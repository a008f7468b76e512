"""All scores of a run in one file: every member, every round, the product, and what they cost."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import adversarial, competitions, decide, metrics, store
from foldbelt.bootstrap import Resampling, caution, count_groups
from foldbelt.decide import DecisionSettings, ends
from foldbelt.decide.selection import SHARED
from foldbelt.evaluate import class_scores, label_scores
from foldbelt.evaluate.durations import seconds
from foldbelt.evaluate.outputs import of_rounds
from foldbelt.files import InputError, PathLike, write_json
from foldbelt.store.geometry import at_size
from foldbelt.store.predictions import made_on, mixed, same_ids, states_folds


def run(
    *,
    members: Mapping[str, Sequence[PathLike]],
    decisions: Mapping[int, PathLike],
    data: PathLike,
    folds: PathLike,
    settings: DecisionSettings,
    seed: int,
    truth: PathLike | None,
    test: PathLike,
    blend_test: PathLike,
    select: Mapping[str, Any],
    benchmarks: Sequence[PathLike],
    out: PathLike,
    competition: str = "salt",
    notes: Sequence[str] = (),
    mosaic: PathLike | None = None,
    likeness: PathLike | None = None,
    workers: int = 1,
    outputs: Mapping[str, Sequence[PathLike]] | None = None,
) -> None:
    """Write ``scores.json``.

    Parameters
    ----------
    members
        "model/round" → its ``oof.h5`` files, one a fold.
    decisions
        Round → the decision's JSON.
    data, folds
        ``train.h5``, and the csv with id, fold and group.
    settings
        The config's ``decision``.
    seed
        Of the bootstrap.
    truth
        Table of the test images' hidden truth, if it is known.
    test, blend_test
        ``test.h5`` of the data and the blended test predictions of the last round.
    select
        What the report shall know of how each model's weights were selected.
    benchmarks
        Directory of benchmark files, ``<rule>/….txt``.
    out
        The JSON: score, interval, optimistic (of the last round), baseline (all masks empty),
        hidden (null where unknown), members {"model/round": score with its own decision}, rounds
        [score], labels {"model/round": {"auc": {label: value}, "log_loss": value}} of those that
        predict labels, select, seconds {rule: total}, and besides metric, images, groups,
        member_intervals, round_intervals and differences (paired, with intervals: each round over
        the one before, the last blend over its best member and over the baseline), and selection:
        what each part of the last decision brought. Members are scored without steps, and so is the
        blend where it is compared with them; a member without masks has no score of its own. Where
        there are several classes, classes {name: what `class_scores.by_class` says}.
    competition
        Whose format the hidden truth has.
    notes
        What a reader of the scores has to know: leaks. Added are values that the last decision
        found at an end of their grid, and whether it does no better than a round before or empty
        masks.
    mosaic
        The csv of mosaics, for steps that look at neighbours.
    likeness
        The csv of the adversarial stage; then there is ``like_test``, too: the score as if the
        images were drawn like the test images (:func:`foldbelt.adversarial.weighted`).
    workers
        Processes that share the work on components.
    outputs
        Labels and boxes, where the run has them: name → decisions, round by round. They are
        described under ``outputs`` (:func:`foldbelt.evaluate.outputs.of_rounds`).

    Raises
    ------
    InputError
        If predictions, truth or decisions do not belong together.
    """
    by_round = {number: decide.load(decisions[number]) for number in sorted(decisions, key=int)}
    masked = {n: paths for n, paths in members.items() if all(store.has(p, "prob") for p in paths)}
    alone = {
        name: decide.search_alone(paths, data, folds, settings, seed, workers=workers)
        for name, paths in masked.items()
    }
    rounds = list(by_round.values())
    last = rounds[-1]
    resampling = Resampling(last.images["group"], settings.draws, seed)
    areas = class_scores.true_areas(data, last.images["id"])
    empty = class_scores.all_empty(areas, last.metric).mean(axis=1)
    private = hidden(truth, test, blend_test, last, competition, data, mosaic) if truth else None
    names = class_scores.names_of(data, areas.shape[1])
    machines = made_on([path for paths in members.values() for path in paths])
    groups = count_groups(last.images["group"], len(empty))
    described = {name: of_rounds(paths) for name, paths in (outputs or {}).items()}
    told = [
        *notes,
        *_worse(rounds, empty, {name: one.score for name, one in alone.items()}),
        *ends.describe_ends(last.ends, names),
        *filter(None, [mixed(machines), caution(groups)]),
        *_unstated(members),
    ]
    of_outputs = [note for output in described.values() for note in output["notes"]]
    content = {
        "metric": last.metric,
        "score": last.score,
        "interval": last.interval,
        "optimistic": last.optimistic,
        "baseline": float(empty.mean()),
        "hidden": None if private is None else float(private.mean(axis=1).mean()),
        "members": {name: one.score for name, one in alone.items()},
        "member_intervals": {name: one.interval for name, one in alone.items()},
        "labels": label_scores.of_members(members, data, last.images["id"]),
        "rounds": [one.score for one in rounds],
        "round_intervals": [one.interval for one in rounds],
        "differences": _differences(by_round, alone, empty, resampling),
        "selection": last.selection,
        "images": len(empty),
        "groups": groups,
        "made_on": machines,
        "select": dict(select),
        "notes": told + [note for note in of_outputs if note not in told],
        "seconds": seconds(benchmarks),
    }
    if areas.shape[1] > 1:
        content["classes"] = class_scores.by_class(last, names, areas, private, resampling)
    if likeness is not None:
        content["like_test"] = adversarial.weighted(last.images, likeness, settings.draws, seed)
    if described:
        content["outputs"] = described
    write_json(out, content)


def hidden(
    truth: PathLike,
    test: PathLike,
    blend_test: PathLike,
    decision: decide.Decision,
    competition: str = "salt",
    data: PathLike | None = None,
    mosaic: PathLike | None = None,
) -> np.ndarray | None:
    """Score the submission on its hidden truth: images dropped at ingest have empty masks.

    Parameters
    ----------
    truth
        The table that the competition's ``read_truth`` reads.
    test, blend_test
        ``test.h5`` of the data and the blended predictions.
    decision
        The final one.
    competition
        Name of a module in :mod:`foldbelt.competitions`.
    data, mosaic
        The training data and the csv of mosaics, for steps that look at neighbours.

    Returns
    -------
    ndarray or None
        (n, K) of the images, those dropped last; None if there are none.

    Raises
    ------
    InputError
        If the competition has no hidden truth in a table, or images lack theirs.
    """
    reader = getattr(competitions.reader(competition), "read_truth", None)
    if reader is None:
        raise InputError(f"{truth}: the competition {competition} reads no table of hidden truth.")
    ids = same_ids([test, blend_test])
    if not ids:
        return None
    dropped = store.attrs(test).get("dropped", [])
    sizes = {tuple(size) for size in store.original_sizes(test).tolist()}
    if len(sizes) > 1:
        raise InputError(f"{truth}: a table of hidden truth needs test images of one size.")
    size = sizes.pop()
    masks = iter(reader(truth, [*ids, *dropped], size, store.attrs(test).get("class_names")))
    decided = decide.Masks(decision, decide.Surroundings(test, data, mosaic))
    labelled = store.has(blend_test, "label_prob")
    scores = []
    for part, probs in store.blocks(blend_test, "prob", ids):
        names = ids[part]
        labels = store.read(blend_test, "label_prob", names) if labelled else None
        for pred in decided(names, [at_size(prob, size) for prob in probs], labels):
            true = np.asarray(next(masks)).reshape(pred.shape)
            scores.append(metrics.score_pairs(decision.metric, true[None], pred[None])[0])
    for mask in masks:  # of images that cannot be read, which are submitted as empty
        true = np.asarray(mask).reshape(*size, -1)[None]
        scores.append(metrics.score_pairs(decision.metric, true, np.zeros_like(true))[0])
    return np.array(scores)


def _unstated(members: Mapping[str, Sequence[PathLike]]) -> list[str]:
    """Name members made elsewhere of which nobody knows what they have seen."""
    single = {name.partition("/")[0]: paths for name, paths in members.items() if len(paths) == 1}
    return [
        f"{name} was made elsewhere and does not state its folds (a column `fold` beside its ids): "
        "its score may be that of images it was trained on"
        for name, paths in single.items()
        if not states_folds(paths[0])
    ]


def _worse(
    rounds: Sequence[decide.Decision], empty: np.ndarray, members: Mapping[str, float]
) -> list[str]:
    """Say so where the product does no better than what was there before it, or than nothing."""
    score, number, notes = rounds[-1].score, len(rounds) - 1, []
    if score <= empty.mean():
        notes.append(f"round {number} scores no better than if all masks were empty")
    if members and max(members.values()) > score:
        name = max(members, key=lambda one: members[one])
        notes.append(
            f"the blend, which is submitted, scores less than {name} alone "
            f"({score:.4f}, {members[name]:.4f})"
        )
    best = max(range(len(rounds)), key=lambda i: rounds[i].score)
    if rounds[best].score > score:
        notes.append(
            f"round {number}, which is submitted, scores less than round {best} "
            f"({score:.4f}, {rounds[best].score:.4f}): pseudo.rounds: {best} would submit that one"
        )
    return notes


def _differences(
    rounds: Mapping[int, decide.Decision],
    alone: Mapping[str, decide.Decision],
    empty: np.ndarray,
    resampling: Resampling,
) -> list[dict[str, Any]]:
    numbers = list(rounds)
    last = rounds[numbers[-1]]
    ids = last.images["id"]
    same_round = {name: one for name, one in alone.items() if _round(name) == str(numbers[-1])}
    blend = f"blend, round {numbers[-1]}"
    pairs = [(blend, "all empty", last, empty)]
    if same_round:
        best = max(same_round, key=lambda name: same_round[name].score)
        plain = dataclasses.replace(last, images=_base(last.images))
        name = f"{blend}, before its steps" if last.steps else blend
        pairs.append((name, best, plain, _scores(same_round[best], ids)))
    for before, after in pairwise(numbers):
        names = f"blend, round {after}", f"blend, round {before}"
        pairs.append((*names, rounds[after], _scores(rounds[before], ids)))
    rows: list[dict[str, Any]] = []
    for name, over, one, other in pairs:
        gain, interval = resampling.paired(_scores(one, ids), other)
        rows.append({"of": name, "over": over, "difference": gain, "interval": interval})
    shared = [candidate for candidate in last.selection if candidate["step"] == SHARED]
    return rows + [_per_class(candidate) for candidate in shared]


def _per_class(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the gain of one set of parameters for all into that of each class having its own."""
    names = {"of": "parameters of every class", "over": "one set for all classes"}
    turned = candidate["interval"] and [-end for end in reversed(candidate["interval"])]
    return names | {"difference": -candidate["difference"], "interval": turned}


def _base(images: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Give the scores of images before the decision's steps."""
    return {**images, "score": images.get("base", images["score"])}


def _round(name: str) -> str:
    """Give the round of a "model/round0" or "model/0"."""
    return name.rpartition("/")[2].removeprefix("round")


def _scores(decision: decide.Decision, ids: Sequence[str]) -> np.ndarray:
    """Score of each image in the order of `ids`."""
    known = pd.Series(decision.images["score"], index=decision.images["id"])
    lost = sorted(set(ids) - set(known.index))
    if lost:
        raise InputError(f"a decision lacks the images {', '.join(lost)}. Search it again.")
    return known.loc[list(ids)].to_numpy(np.float64)
