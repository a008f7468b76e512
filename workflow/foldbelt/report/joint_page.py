"""The page of a joint decision: the score of every class, what each part adds, the parameters."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foldbelt.bootstrap import percent
from foldbelt.report import decision_page
from foldbelt.report.gains import Gain
from foldbelt.report.pages import page, rows
from foldbelt.report.parts import Part, added
from foldbelt.report.ranking import Curves


def write(decision: str, scores: str, curves: Curves, out: str, gains: Sequence[Gain] = ()) -> None:
    """Write the joint decision as a page.

    Parameters
    ----------
    decision
        decision/joint/round{r}.json.
    scores
        scores.json, for the score on hidden truth where it is known.
    curves
        Of all classes, from :func:`foldbelt.report.ranking.of_both`.
    out
        An HTML page.
    gains
        What models add to each other, from :func:`foldbelt.report.gains.of_members`.
    """
    content = json.loads(Path(decision).read_text(encoding="utf-8"))
    known = json.loads(Path(scores).read_text(encoding="utf-8"))
    known = known if known.get("output") == "joint" else {}  # else another output was submitted
    body = decision_page.scores(content) + _hidden(known.get("hidden"), content)
    body += _classes(content, curves, known.get("hidden_classes") or {}) + _parts(added(content))
    body += _gains(gains) + decision_page.parameters(content)
    score = content.get("score")
    title = "not known" if score is None else f"{score:.4f}"
    page(out, f"Labels and boxes together: mean average precision {title}", body)


def _hidden(score: float | None, content: Mapping[str, Any]) -> str:
    if score is None:
        return ""
    text = f"On the hidden truth of the test images the submission scores <b>{score:.4f}</b>"
    interval = content.get("interval")
    if interval is not None:
        within = interval[0] <= score <= interval[1]
        text += f", {'within' if within else 'outside'} the interval above"
    return f"<p>{text}.</p>"


def _classes(content: Mapping[str, Any], curves: Curves, hidden: Mapping[str, Any]) -> str:
    """Make the table of the classes, each beside what a constant answer scores."""
    scores = content.get("classes") or {}
    drawn = {curve.name: curve for curve in curves.each}
    lines = []
    named = [name for name in drawn if name in scores]  # the data's order; JSON sorts its keys
    for name in [*named, *(name for name in scores if name not in drawn)]:
        score, curve = scores[name], drawn.get(name)
        line = [name, None if curve is None else curve.true, _number(score), None, None]
        if curve is not None and curve.interval is not None:
            line[3] = f"{curve.interval[0]:.4f} – {curve.interval[1]:.4f}"
        if curve is not None:
            line[4] = _number(curve.true / curve.candidates if curve.candidates else 0.0)
        lines.append([*line, _number(hidden.get(name))])
    head = ["", "true", "score", f"{percent()} interval", "guessing", "hidden"]
    if not hidden:
        head, lines = head[:-1], [line[:-1] for line in lines]
    note = (
        "<p>Average precision, leave-one-fold-out; their mean is the score, in which a rare class "
        "counts as much as a common one. Labels of a study count once a study. “Guessing” is the "
        "share that has the label: about what a constant answer scores. A dash: nothing true is "
        "known, or nothing was predicted.</p>"
    )
    return f"<h2>By class</h2>{note}" + rows(head, lines, [False, *[True] * (len(head) - 1)])


def _parts(parts: list[Part]) -> str:
    """Make the table of what each part of the decision adds."""
    if not parts:
        return ""
    lines = []
    for part in parts:
        lines.append([part.label, _number(part.without), *_added(part.adds, part.interval)])
    head = ["part", "score without it", "it adds", f"{percent()} interval", "clear of zero"]
    note = (
        "<p>Each part is switched off alone and everything else decided anew, leave-one-fold-out; "
        "both are scored on the same draws of the groups.</p>"
    )
    return f"<h2>What each part adds</h2>{note}" + rows(head, lines, [False, True, True, True])


def _gains(gains: Sequence[Gain]) -> str:
    """Make the table of what models add to each other."""
    if not gains:
        return ""
    lines = [
        [gain.output, gain.of, gain.over, _number(gain.score), *_added(gain.adds, gain.interval)]
        for gain in gains
    ]
    head = ["", "", "over", "score", "it adds", f"{percent()} interval", "clear of zero"]
    note = (
        "<p>The blend over its best member, and that over the others, before the joint decision: "
        "on the images that both predicted, each decided alone, leave-one-fold-out. Labels are "
        "compared among models that predict the same ones.</p>"
    )
    return f"<h2>What models add</h2>{note}" + rows(head, lines, [False] * 3 + [True] * 3)


def _added(adds: float, interval: Sequence[float] | None) -> list[str | None]:
    """Write what something adds, its interval, and whether that is clear of zero."""
    if interval is None:
        return [f"{adds:+.4f}", None, "not known: too few groups"]
    low, high = interval
    sure = "yes" if low > 0 or high < 0 else "no: the interval holds zero"
    return [f"{adds:+.4f}", f"{low:+.4f} to {high:+.4f}", sure]


def _number(value: Any) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.4f}"
