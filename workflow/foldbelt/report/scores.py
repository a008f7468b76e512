"""Every score of a run as a dot with its interval: members, blends, hidden truth, classes."""

import json
from collections.abc import Sequence
from pathlib import Path

from foldbelt.bootstrap import percent
from foldbelt.report import style
from foldbelt.report.scoreboard import Entry, by_class, entries


def draw(path: str, out: str) -> None:
    """Draw every score of scores.json as a dot, with its interval where there is one.

    Parameters
    ----------
    path
        scores.json.
    out
        An SVG.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    listed = entries(content)
    lines = [*listed, *by_class(content)]
    looks = {
        "baseline": (style.GREY, "X"),
        "member": (style.SKY, "o"),
        "blend": (style.BLUE, "s"),
        "score": (style.BLUE, "s"),
        "hidden": (style.RED, "D"),
        "class": (style.GREEN, "^"),
    }
    title = _title(listed, len(lines) > len(listed))
    labels = [_label(entry) for entry in lines]
    width = 6.9 + max(2.1, *map(style.inches, labels))
    with style.figure(out, title, width, 1.0 + 0.34 * len(lines)) as made:
        axes = made.subplots()
        for place, entry in enumerate(lines):
            if entry.baseline is not None:
                grey, cross = looks["baseline"]
                axes.plot(entry.baseline, place, cross, color=grey, markersize=7)
            if entry.kind == "class" and entry.hidden is not None:
                red, diamond = looks["hidden"]
                axes.plot(entry.hidden, place, diamond, color=red, markersize=6)
            colour, marker = looks[entry.kind]
            if entry.low is not None and entry.high is not None:
                axes.plot([entry.low, entry.high], [place, place], color=colour, linewidth=2)
            if entry.optimistic is not None:
                axes.plot(
                    entry.optimistic,
                    place,
                    "|",
                    color=style.ORANGE,
                    markersize=14,
                    markeredgewidth=2.4,
                )
            edge = style.BLACK if entry.kind == "score" else colour
            axes.plot(entry.score, place, marker, color=colour, markersize=8, markeredgecolor=edge)
            axes.text(
                1.01,
                place,
                f"{entry.score:.3f}",
                transform=axes.get_yaxis_transform(),
                va="center",
                weight="bold" if entry.kind == "score" else "normal",
            )
        axes.set_yticks(range(len(lines)), labels)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        if len(lines) > len(listed):
            axes.axhline(len(listed) - 0.5, color=style.PALE, linewidth=1)
        axes.margins(x=0.04)
        if listed[0].kind == "baseline":
            axes.axvline(listed[0].score, color=style.GREY, linestyle=":", linewidth=1.4)
        name = str(content.get("metric", "score")).replace("_", " ").removeprefix("mean ")
        axes.set_xlabel(f"mean {name} per image (1 = perfect)")


def _label(entry: Entry) -> str:
    """Label an entry; of a class say how many images hold it."""
    label = style.fit(entry.label, 4.0)
    return label if entry.positives is None else f"{label} (in {entry.positives:,})"


def _title(listed: Sequence[Entry], classes: bool = False) -> str:
    last = next(entry for entry in listed if entry.kind == "score")
    text = f"The blend scores {last.score:.3f}"
    if last.low is not None:
        text += f" [{last.low:.3f} to {last.high:.3f}]"
    if listed[0].kind == "baseline":
        text += f", {style.signed(last.score - listed[0].score, 3)} against all-empty"
    if listed[-1].kind == "hidden":
        text += f"; the hidden truth of the test set gives {listed[-1].score:.3f}"
    how = "Dots: leave-one-fold-out"
    if any(entry.low is not None for entry in listed):
        how += f" with {percent()} interval"
    if any(entry.optimistic is not None for entry in listed):
        how += ". Orange bar: optimistic, fitted to the scored images"
    if classes:
        how += (
            ". Below, the last blend class by class (in so many images), with what empty masks "
            "score (cross) and the hidden score (diamond)"
        )
    return f"{text}\n{how}."
