"""The scores of labels and boxes, from the decisions that scored them leave-one-fold-out."""

import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from foldbelt import registry
from foldbelt.bootstrap import caution
from foldbelt.evaluate.durations import seconds
from foldbelt.files import InputError, PathLike, write_json
from foldbelt.store.predictions import made_on, mixed

_MORE = ("without", "blocks")
_KEPT = ("metric", "score", "interval", "optimistic", "baseline", "members", "classes", "coverage")


def of_rounds(paths: Sequence[PathLike]) -> dict[str, Any]:
    """Describe an output by its decisions.

    Parameters
    ----------
    paths
        ``decision/{output}/round{r}.json``, round by round; the last is that of the product.

    Returns
    -------
    dict
        metric, score (leave-one-fold-out), interval, optimistic, baseline, members, classes,
        coverage, images and groups of the last round, and without and blocks where it has them;
        rounds, the score of each; notes.
    """
    read = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    last = read[-1]
    missing = [key for key in (*_KEPT, "images", "groups") if key not in last]
    if missing:
        raise InputError(f"{paths[-1]}: lacks {', '.join(missing)}. Make the decision again.")
    content = {key: last[key] for key in (*_KEPT, "images", "groups")}
    content |= {key: last[key] for key in _MORE if key in last}
    content["rounds"] = [one["score"] for one in read]
    content["notes"] = [*_notes(content), *last.get("notes", [])]
    return content


def run(
    *,
    decisions: Sequence[PathLike],
    outputs: Sequence[str],
    rounds: Sequence[int],
    predictions: Sequence[PathLike],
    select: Mapping[str, Sequence[str]],
    notes: Sequence[str],
    benchmarks: Iterable[PathLike],
    out: PathLike,
    competition: str | None = None,
    submission: PathLike | None = None,
    truth: PathLike | None = None,
) -> None:
    """Write the scores of a run without masks.

    Parameters
    ----------
    decisions
        Of the first output, round by round, then of the next.
    outputs, rounds
        Their names and numbers; the first output is the main one.
    predictions
        Out-of-fold predictions of all members, for what they were made with.
    select
        Model → how the weights of its stages were chosen.
    notes
        What a reader of the scores has to know.
    benchmarks
        Snakemake's benchmark files.
    out
        scores.json: what `of_rounds` says of the main output, ``output``, its name, ``outputs``,
        the same of every output, and how long it took; ``hidden``, what the product scores, and
        ``hidden_classes``, what its classes do, where the competition says so.
    competition, submission, truth
        Whose `truth.hidden_score` scores the product on the hidden truth of the test images; None
        where nobody knows it.
    """
    each = len(rounds)
    described = {
        output: of_rounds(decisions[place * each : (place + 1) * each])
        for place, output in enumerate(outputs)
    }
    main = described[outputs[0]]
    machines = made_on(predictions)
    told = [*notes, *(note for one in described.values() for note in one["notes"])]
    content = main | {
        "output": outputs[0],
        "outputs": described,
        **_hidden(competition, submission, truth),
        "made_on": machines,
        "select": dict(select),
        "notes": [*told, *filter(None, [mixed(machines)])],
        "seconds": seconds(benchmarks),
    }
    write_json(out, content)


def _hidden(
    competition: str | None, submission: PathLike | None, truth: PathLike | None
) -> dict[str, Any]:
    """Score the product on the hidden truth, as the competition does."""
    if competition is None or submission is None or truth is None:
        return {"hidden": None}
    made = importlib.import_module(registry.truth(competition)).hidden_score(submission, truth)
    if not isinstance(made, Mapping):
        return {"hidden": made}
    return {"hidden": made["score"], "hidden_classes": made["classes"]}


def _notes(output: Mapping[str, Any]) -> Iterable[str]:
    """Say what a reader of an output's score has to know."""
    worse = output["score"] < output["baseline"]
    if output["metric"] == "log_loss":
        worse = output["score"] > output["baseline"]
    if worse or output["score"] == output["baseline"]:
        yield f"{output['metric']} is no better than without any model ({output['baseline']:.4f})"
    for name, share in output["coverage"].items():
        if share < 1:
            yield f"{name} predicted {share:.0%} of the images"
    few = caution(output["groups"])
    if few:
        yield few
