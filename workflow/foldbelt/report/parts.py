"""What each part of a joint decision adds to its score, with intervals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foldbelt.bootstrap import caution
from foldbelt.level import percent
from foldbelt.report import style

WIDTH, ROW = 8.5, 0.42  # inches
NAMES = {
    "none_mix": "mixing negative and boxes into none",
    "negative_mix": "mixing none into negative",
    "none_product": "lowering boxes by none",
}
"""How the parts are called; others by their key."""


@dataclass(frozen=True)
class Part:
    """A part of the decision.

    Attributes
    ----------
    label
        For people.
    without
        The score with the part off.
    adds
        The score less that.
    interval
        Of `adds`, paired; None with too few groups.
    """

    label: str
    without: float
    adds: float
    interval: Sequence[float] | None


def added(content: Mapping[str, Any]) -> list[Part]:
    """List the parts of a joint decision (its JSON), as it lists them by name."""
    return [
        Part(
            NAMES.get(name, name.replace("_", " ")),
            part["score"],
            part["difference"],
            part.get("interval"),
        )
        for name, part in (content.get("without") or {}).items()
    ]


def draw(decision: str, out: str) -> None:
    """Draw what each part adds, the largest on top.

    Parameters
    ----------
    decision
        decision/joint/round{r}.json.
    out
        An SVG.
    """
    content = json.loads(Path(decision).read_text(encoding="utf-8"))
    parts = sorted(added(content), key=lambda part: part.adds)
    if not parts:
        style.message(out, "The decision has no part that could be left out")
        return
    with style.figure(out, _title(parts, content), WIDTH, 0.9 + ROW * len(parts)) as made:
        axes = made.subplots()
        axes.axvline(0, color=style.BLACK, linewidth=1)
        for place, part in enumerate(parts):
            if part.interval is not None:
                axes.plot(part.interval, [place, place], color=style.BLUE, linewidth=2.5)
            sure = _clear(part)
            face = style.BLUE if sure else style.WHITE
            axes.plot(part.adds, place, "o", color=style.BLUE, mfc=face, markersize=8)
        axes.set_yticks(range(len(parts)), [style.fit(part.label, 3.2) for part in parts])
        axes.set_ylim(-0.6, len(parts) - 0.4)
        ends = [0.0, *(end for part in parts for end in _ends(part))]
        room = max(0.001, 0.06 * (max(ends) - min(ends)))
        axes.set_xlim(min(ends) - room, max(ends) + room)
        axes.set_xlabel("adds to the mean average precision")
        axes.grid(axis="y", visible=False)


def _ends(part: Part) -> list[float]:
    return [part.adds, *(part.interval or ())]


def _clear(part: Part) -> bool:
    """Tell whether the interval does not hold zero."""
    return part.interval is not None and bool(np.prod(np.sign(part.interval)) > 0)


def _title(parts: Sequence[Part], content: Mapping[str, Any]) -> str:
    best = parts[-1]
    text = f"Most is added by {best.label}: {style.signed(best.adds, 4)}"
    if best.adds <= 0:
        text = "No part of the joint decision adds to its score"
    how = (
        "Each part off alone, everything else decided anew, leave-one-fold-out. "
        f"Lines: paired {percent()} intervals over groups; filled: clear of zero."
    )
    few = caution(content.get("groups") or 0)
    return f"{text}\n{how}" + (f" {few}." if few else "")
