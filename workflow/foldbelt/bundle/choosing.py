"""Blends and decisions without some of their members or steps, and what is lost by that.

Weights of what is left are divided by their sum, without each fold and on all; where all that is
left weighed nothing, it weighs alike. Everything else of the decision stays as the run found it.
"""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt import registry, store
from foldbelt.bundle.manifest import JOINT, MASKS
from foldbelt.decide import rescoring
from foldbelt.files import InputError, PathLike

Content = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What stays behind, and what tells the score of the rest.

    Attributes
    ----------
    members, steps
        Names of members, and of steps of the masks' decision, that are left out.
    oof
        Output → name → out-of-fold predictions of a member that is left, one file a fold.
    folds
        The csv with id and fold.
    settings, classes
        Of the joint decision: the config's ``joint``, and the classes that count.
    """

    members: Sequence[str] = ()
    steps: Sequence[str] = ()
    oof: Mapping[str, Mapping[str, Sequence[PathLike]]] = field(default_factory=dict)
    folds: PathLike = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str] | None = None


@dataclass(frozen=True)
class Chosen:
    """What travels.

    Attributes
    ----------
    blend
        The masks' weights; None without masks.
    decisions
        Output → decision.
    scores
        Output → ``metric``, ``score`` of what travels, and ``run``, that of the whole run.
    steps
        The steps that stay behind, of those that the decision has.
    """

    blend: Content | None
    decisions: Mapping[str, Content]
    scores: Mapping[str, Mapping[str, Any]]
    steps: list[str]


def choose(
    choice: Choice,
    outputs: Mapping[str, Sequence[str]],
    blend: PathLike | None,
    decisions: Mapping[str, PathLike],
    data: PathLike,
) -> Chosen:
    """Leave members and steps out of a run's decisions, and say what the rest scores.

    Parameters
    ----------
    choice
        What stays behind.
    outputs
        Output → the members that travel.
    blend, decisions
        The run's files: weights of masks, None without masks, and decisions on what travels.
    data
        ``train.h5``.

    Raises
    ------
    InputError
        If a step is left that looks at true masks of training images, or a gate asks for labels
        that no member is left to predict.
    """
    whole = {output: _read(path) for output, path in decisions.items()}
    kept = dict(whole)
    weights = None
    if blend is not None and MASKS in outputs:  # else they stay behind, and others travel
        weights = left_blend(_read(blend), outputs[MASKS])
    steps: list[str] = []
    if MASKS in whole:
        steps = [name for name in choice.steps if name in _steps_of(whole[MASKS])]
        kept[MASKS] = left_masks(whole[MASKS], steps)
        _check_steps(kept[MASKS], decisions[MASKS])
    for output in (output for output in whole if output not in (MASKS, JOINT)):
        kept[output] = left(whole[output], outputs[output])
    of_run = {output: content.get("score") for output, content in whole.items()}
    made = scores(choice, weights, kept, data) if choice.members or steps else of_run
    told = {
        output: {"metric": whole[output].get("metric"), "score": made[output], "run": one}
        for output, one in of_run.items()
    }
    if choice.members or steps:
        names = ", ".join([*choice.members, *steps])
        for output, one in told.items():
            print(
                f"{output}: {one['metric']} {one['score']:.4f} without {names}, "
                f"{one['run']:.4f} with all (leave-one-fold-out)"
            )
    return Chosen(weights, kept, told, steps)


def _read(path: PathLike) -> Content:
    content: Content = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


def _steps_of(decision: Content) -> set[str]:
    """Name the steps that a decision has, of all folds or of some."""
    entries = [decision, *decision.get("per_fold", [])]
    return {str(one["step"]) for entry in entries for one in entry.get("steps", [])}


def _check_steps(decision: Content, path: PathLike) -> None:
    """Refuse steps that look at true masks of training images, which stay where they are."""
    names = [str(one["step"]) for one in decision.get("steps", [])]
    looking = [name for name in names if registry.looks_at("neighbours", registry.steps([name]))]
    if looking:
        raise InputError(
            f"{path}: the decision has the step {', '.join(looking)}, which looks at the masks of "
            "neighbouring training images; these do not travel. Name it in bundle.without_steps, "
            "and the bundle comes without it, and says what that costs."
        )


EVERYTHING = Choice()
"""Nothing stays behind."""


def gathered(
    paths: Sequence[str], outputs: Mapping[str, Sequence[str]], folds: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, list[str]]]:
    """Give output → member → its files, of files in this order, one a fold.

    Examples
    --------
    >>> gathered(["a", "b", "c"], {"masks": ["x"], "labels": ["x"]}, {"x": [0]})
    Traceback (most recent call last):
    ValueError: 3 files of 2 predictions
    """
    given, made = iter(paths), {}
    number = sum(len(folds[name]) for names in outputs.values() for name in names)
    if number != len(paths):
        raise ValueError(f"{len(paths)} files of {number} predictions")
    for output, names in outputs.items():
        made[output] = {name: [next(given) for _ in folds[name]] for name in names}
    return made


def scores(
    choice: Choice,
    blend: Content | None,
    decisions: Mapping[str, Content],
    data: PathLike,
) -> dict[str, float]:
    """Give the leave-one-fold-out scores of what is left, by the run's own decisions.

    Parameters
    ----------
    choice
        What is left.
    blend, decisions
        The masks' weights and all decisions, as `left_blend` and `left` leave them.
    data
        ``train.h5``.
    """
    with tempfile.TemporaryDirectory(prefix="foldbelt-scores-") as name:
        place = Path(name)
        paths = {output: _written(place, output, one) for output, one in decisions.items()}
        made = {}
        if blend is not None:
            first = [files[0] for files in choice.oof[MASKS].values()]
            check_gate(decisions[MASKS], any(store.has(path, "label_prob") for path in first))
            weights, given = _written(place, "blend", blend), choice.oof[MASKS]
            made[MASKS] = rescoring.of_masks(given, weights, paths[MASKS], data, choice.folds)
        for output in (output for output in decisions if output not in (MASKS, JOINT)):
            given = choice.oof[output]
            made[output] = rescoring.of_output(output, given, paths[output], data, choice.folds)
        if JOINT in decisions:
            members = {output: choice.oof[output] for output in choice.oof if output != MASKS}
            made[JOINT] = rescoring.of_joint(
                members,
                {output: paths[output] for output in members},
                paths[JOINT],
                choice.settings,
                choice.classes,
                data,
                choice.folds,
            )
        return made


def _written(place: Path, name: str, content: Content) -> Path:
    path = place / f"{name}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def left_blend(content: Content, names: Collection[str]) -> Content:
    """Give the masks' weights of some members.

    Examples
    --------
    >>> content = {"members": ["a", "b", "c"], "mean": "logit", "all": [0.5, 0.25, 0.25]}
    >>> left_blend({**content, "without": {"0": [1.0, 0.0, 0.0]}}, ["b", "c"])
    {'members': ['b', 'c'], 'mean': 'logit', 'all': [0.5, 0.5], 'without': {'0': [0.5, 0.5]}}
    """
    places = [place for place, name in enumerate(content["members"]) if name in names]
    if len(places) == len(content["members"]):
        return content
    made = {**content, "members": [content["members"][place] for place in places]}
    made |= _vectors(content, places)
    if "labels" in content:
        made["labels"] = _vectors(content["labels"], places)
    return made


def _vectors(content: Mapping[str, Any], places: Sequence[int]) -> Content:
    without = {fold: _shares([w[p] for p in places]) for fold, w in content["without"].items()}
    return {"all": _shares([content["all"][place] for place in places]), "without": without}


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [weight / total if total > 0 else 1 / len(weights) for weight in weights]


def left_masks(content: Content, steps: Collection[str]) -> Content:
    """Give the masks' decision without some steps."""
    if not steps:
        return content

    def kept(entry: Content) -> Content:
        given = entry.get("steps", [])
        return {**entry, "steps": [one for one in given if one["step"] not in steps]}

    return kept(content) | {"per_fold": [kept(entry) for entry in content.get("per_fold", [])]}


def left(content: Content, names: Collection[str]) -> Content:
    """Give the decision on labels or boxes by some members.

    A block of labels that none of them predicts is left out.

    Raises
    ------
    InputError
        If nothing is left.
    """
    if "blocks" not in content:
        return _by(content, lambda params: _of_members(params, names))
    params = content["params"]
    blocks = [
        block for block in content["blocks"] if set(params[block["name"]]["weights"]) & set(names)
    ]
    if not blocks:
        raise InputError(f"none of {', '.join(names)} predicts any label.")
    named = [block["name"] for block in blocks]

    def kept(params: Content) -> Content:
        return {name: _of_members(params[name], names) for name in named}

    return _by({**content, "blocks": blocks}, kept)


def _by(content: Content, change: Any) -> Content:
    """Change all parameters of a decision, those of the folds, too."""
    entries = [
        {**entry, "params": change(entry["params"])} for entry in content.get("per_fold", [])
    ]
    return {**content, "params": change(content["params"]), "per_fold": entries}


def _of_members(params: Content, names: Collection[str]) -> Content:
    weights = params["weights"]
    kept = [name for name in weights if name in names]
    if len(kept) == len(weights):
        return params
    shares = _shares([weights[name] for name in kept])
    made = {**params, "weights": dict(zip(kept, shares, strict=True))}
    if params.get("calibration"):
        made["calibration"] = {name: params["calibration"][name] for name in kept}
    return made


def check_gate(decision: Content, labelled: bool) -> None:
    """Refuse masks whose gate asks for labels that no member is left to predict.

    Raises
    ------
    InputError
        Naming the cure.
    """
    gates = [entry["params"] for entry in (decision, *decision["per_fold"])]
    gating = any(np.any(np.asarray(params.get("gate", 0.0)) > 0) for params in gates)
    modes = {str(m) for params in gates for m in np.ravel(params.get("gate_mode", "veto"))}
    if decision["gate_on"] == "label" and (gating or modes - {"veto"}) and not labelled:
        raise InputError(
            "bundle.members: the masks' decision has a gate by labels, and none of the members "
            "that are left predicts labels. Name one that does."
        )
