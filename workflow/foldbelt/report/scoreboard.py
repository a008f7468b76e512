"""The lines of a run's score table, which the figure and the page both show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foldbelt.report.classes import spoken


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    kind: baseline, member, blend, score (the last blend), hidden, or class. Of a class `baseline`
    is what empty masks score, `hidden` its hidden score and `positives` the number of images that
    hold it.
    """

    kind: str
    label: str
    score: float
    low: float | None = None
    high: float | None = None
    optimistic: float | None = None
    baseline: float | None = None
    hidden: float | None = None
    positives: int | None = None


def entries(content: Mapping[str, Any]) -> list[Entry]:
    """List what scores.json holds, in the order in which it is shown."""
    made = []
    if content.get("baseline") is not None:
        made.append(Entry("baseline", "all empty (baseline)", content["baseline"]))
    widths = content.get("member_intervals") or {}
    for name, score in sorted((content.get("members") or {}).items(), key=_order):
        number, model = _member(name)
        label = model if number is None else f"{model}, round {number}"
        made.append(Entry("member", label, score, *(widths.get(name) or ())))
    rounds = content.get("rounds") or [content["score"]]
    intervals = content.get("round_intervals") or [()] * len(rounds)
    for number, (score, width) in enumerate(zip(rounds[:-1], intervals, strict=False)):
        made.append(Entry("blend", f"blend, round {number}", score, *(width or ())))
    low, high = content.get("interval") or (None, None)
    last = f"blend, round {len(rounds) - 1}"
    made.append(Entry("score", last, content["score"], low, high, content.get("optimistic")))
    if content.get("hidden") is not None:
        made.append(Entry("hidden", "its hidden score on the test set", content["hidden"]))
    return made


def by_class(content: Mapping[str, Any]) -> list[Entry]:
    """List the scores of each class, where scores.json holds several."""
    each = content.get("classes") or {}
    return [
        Entry(
            "class",
            name,
            details["score"],
            **dict(zip(("low", "high"), details["interval"] or (), strict=False)),
            baseline=details["baseline"],
            hidden=details["hidden"],
            positives=details["positives"],
        )
        for name, details in zip(spoken(list(each)), each.values(), strict=True)
    ]


def _order(member: tuple[str, Any]) -> tuple[int, str]:
    number, model = _member(member[0])
    return (-1 if number is None else number, model)


def _member(name: str) -> tuple[int | None, str]:
    """Part 'model/round0' or 'model/0', for a label and the order (by round, then model)."""
    model, _, number = name.rpartition("/")
    number = number.removeprefix("round")
    return (int(number), model) if model and number.isdigit() else (None, name)
