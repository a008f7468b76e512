"""What a recipe saw of the truth by which it is scored: its leaks, each with a name.

A score that has seen a little of its own answer is still a score, but no evidence that a technique
helps. Variants of an ablation that saw other things than the recipe get no verdict, and what both
saw is told as a note.

Runs whenever the Snakefile is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

SEEN = {
    "select: best": "The epoch was chosen on the validation fold.",
    "average_best": "The weights are a mean of the epochs that did best on the validation fold.",
    "early_stopping": "The validation fold told when to stop training.",
    "plateau": "The learning rate followed the validation fold.",
    "start": "Training began with a file, and what that has seen of the truth is not known.",
    "pseudo.source: all": (
        "Pseudo-labels come from the models of all folds, which have seen the truth of every fold: "
        "the scores of the rounds after the first flatter."
    ),
}
"""Name of what was seen → the sentence that says so."""


def of_stages(stages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name what the training of some stages sees of the validation fold.

    Parameters
    ----------
    stages
        Settings of a model's stages.
    """
    stages = list(stages)
    holds = {
        "select: best": any(s["select"] == "best" and s["average_best"] < 2 for s in stages),
        "average_best": any(s["average_best"] > 1 for s in stages),
        "early_stopping": any(s["early_stopping"] for s in stages),
        "plateau": any(s["schedule"]["name"] == "plateau" for s in stages),
    }
    return [name for name, seen in holds.items() if seen]


def of_start(start: Mapping[str, Any] | None) -> list[str]:
    """Name what a model's `start` may bring along of the truth of any fold."""
    return ["start"] if start else []


def of_pseudo(pseudo: Mapping[str, Any]) -> list[str]:
    """Name what pseudo-labels bring along of other folds' truth.

    Parameters
    ----------
    pseudo
        The config's `pseudo`.
    """
    leaking = pseudo["rounds"] and pseudo["source"] == "all"
    return ["pseudo.source: all"] if leaking else []


def sentences(names: Iterable[str]) -> list[str]:
    """Say what some names stand for."""
    return [SEEN[name] for name in names]
