"""The page of scores of one output, labels or boxes: what its decision found."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.bootstrap import percent
from foldbelt.report import style
from foldbelt.report.classes import spoken
from foldbelt.report.pages import page, rows

LOWER_IS_BETTER = ("log_loss",)


def write(decision: str, out: str) -> None:
    """Write a decision as a page: the score, each class, each member alone, the parameters.

    Parameters
    ----------
    decision
        decision/labels/round{r}.json or decision/boxes/round{r}.json.
    out
        An HTML page.
    """
    content = json.loads(Path(decision).read_text(encoding="utf-8"))
    body = scores(content) + _classes(content) + members(content) + parameters(content)
    what = str(content.get("output") or "scores").capitalize()
    metric = str(content.get("metric") or "score").replace("_", " ")
    page(out, f"{what}: {metric} {_number(content.get('score')) or 'not known'}", body)


def scores(content: Mapping[str, Any]) -> str:
    """Make the table of a decision's score beside the baseline."""
    score, baseline = content.get("score"), content.get("baseline")
    width = content.get("interval")
    interval = None if width is None else f"{width[0]:.4f} – {width[1]:.4f}"
    gain = None if score is None or baseline is None else f"{score - baseline:+.4f}"
    lines = [
        ["blend", _number(score), interval, _number(content.get("optimistic")), gain],
        ["baseline", _number(baseline), None, None, None],
    ]
    if baseline is None:
        lines.pop()
    head = ["", "score", f"{percent()} interval", "optimistic", "above baseline"]
    note = (
        "The score is leave-one-fold-out: each fold is decided with parameters fitted on the "
        "others. “Optimistic” is the score with parameters fitted on the very images that are "
        "scored. Interval: bootstrap over groups; none where there are too few. The baseline "
        "has seen no image."
    )
    if content.get("metric") in LOWER_IS_BETTER:
        note += " Lower is better."
    return f"<p>{note}</p>" + rows(head, lines, [False, *[True] * 4], [0])


def _classes(content: Mapping[str, Any]) -> str:
    each = content.get("classes") or {}
    if not each:
        return ""
    lines = [
        [name, _number(score)]
        for name, score in zip(spoken(list(each)), each.values(), strict=True)
    ]
    note = "<p>A dash: no image is known to have it, so it counts in no mean.</p>"
    note = note if any(score is None for _, score in lines) else ""
    return f"<h2>By class</h2>{note}" + rows(["", "score"], lines, [False, True])


def members(content: Mapping[str, Any]) -> str:
    """Make the table of the members alone, and how many images each predicted."""
    alone, coverage = content.get("members") or {}, content.get("coverage") or {}
    names = list(dict.fromkeys([*alone, *coverage]))
    if not names:
        return ""
    lines: list[list[str | None]] = [
        [
            name.replace("/round", ", round "),
            _number(alone.get(name)),
            style.percent(coverage[name]) if coverage.get(name) is not None else None,
        ]
        for name in names
    ]
    note = "<p>Each member with parameters of its own, leave-one-fold-out.</p>"
    if any(share is not None and share < 1 for share in coverage.values()):
        note = (
            "<p>Each member with parameters of its own, leave-one-fold-out, on the images that it "
            "predicted: members that did not predict the same images cannot be compared by these "
            "scores. Weights are fitted on the images that all of them predicted.</p>"
        )
    head, numeric = ["", "score alone", "images predicted"], [False, True, True]
    predicted = _predicted(content)
    if len(set(predicted.values())) > 1:
        note += "<p>Compare the scores of members that predict the same alone.</p>"
        head, numeric = [*head, "labels"], [*numeric, False]
        lines = [[*line, predicted.get(name)] for line, name in zip(lines, names, strict=True)]
    return f"<h2>Members alone</h2>{note}" + rows(head, lines, numeric)


def _predicted(content: Mapping[str, Any]) -> dict[str, str]:
    """Give the labels that each member predicts, where they were decided in several blocks."""
    made: dict[str, list[str]] = {}
    for block in content.get("blocks") or []:
        for name in block["members"]:
            made.setdefault(name, []).extend(block["labels"])
    return {name: ", ".join(spoken(labels)) for name, labels in made.items()}


def parameters(content: Mapping[str, Any]) -> str:
    """Make the table of the parameters: of all folds, and of each decided without it."""
    entries = content.get("per_fold") or []
    params = content.get("params") or {}
    if not params and not entries:
        return ""
    names = list(dict.fromkeys([*params, *(n for entry in entries for n in entry["params"])]))
    lines = [["all folds (for the test set)", None, *(_value(params.get(name)) for name in names)]]
    for entry in entries:
        values = [_value(entry["params"].get(name)) for name in names]
        lines.append([f"without fold {entry['fold']}", _number(entry.get("score")), *values])
    head = ["fitted on", "score on that fold", *(name.replace("_", " ") for name in names)]
    note = "<p>Folds that disagree say that a parameter matters little, or rests on few images.</p>"
    return f"<h2>Parameters</h2>{note}" + rows(head, lines, [False, True])


def _number(value: Any) -> str | None:
    # A score that does not exist is null, or NaN where JSON was written leniently.
    return None if value is None or value != value else f"{value:.4f}"


def _value(value: Any) -> str | None:
    """Write a parameter: short numbers, those of several members or labels with their names."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_value(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(_value(part)) for part in value)
    return f"{value:.4g}"
