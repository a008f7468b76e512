"""The page of scores: every score, the classes, image labels, paired differences, kept weights."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from foldbelt.bootstrap import percent
from foldbelt.report import style
from foldbelt.report.classes import spoken
from foldbelt.report.pages import page, rows
from foldbelt.report.scoreboard import by_class, entries


def write(path: str, out: str) -> None:
    """Write scores.json as a page with a table.

    Parameters
    ----------
    path
        scores.json.
    out
        An HTML page.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    baseline = content.get("baseline")
    lines: list[list[str | None]] = []
    strong = []
    for entry in entries(content):
        if entry.kind == "score":
            strong.append(len(lines))
        width = f"{entry.low:.4f} – {entry.high:.4f}" if entry.low is not None else None
        # The hidden score is of other images than the baseline.
        alone = baseline is None or entry.kind in ("baseline", "hidden")
        gain = None if alone else entry.score - baseline
        lines.append(
            [
                entry.label,
                f"{entry.score:.4f}",
                width,
                None if entry.optimistic is None else f"{entry.optimistic:.4f}",
                None if gain is None else f"{gain:+.4f}",
            ]
        )
    head = ["", "score", f"{percent()} interval", "optimistic", "above all-empty"]
    note = (
        "<p>Scores are leave-one-fold-out: each fold is decided with parameters fitted on the "
        "others. “Optimistic” is the score with parameters fitted on the very images that are "
        "scored. Intervals: bootstrap over groups.</p>"
    )
    body = note + rows(head, lines, [False, True, True, True, True], strong)
    body += (
        _like_test(content.get("like_test")) + _classes(content) + _labels(content.get("labels"))
    )
    body += _differences(content.get("differences") or []) + _selected(content.get("select"))
    body += "".join(
        f"<p><strong>{escape(note)}</strong></p>" for note in content.get("notes") or []
    )
    page(out, f"Scores ({content['metric']})" if content.get("metric") else "Scores", body)


def _classes(content: Mapping[str, Any]) -> str:
    """Make the table of the classes, and that of their parameters; nothing for a single class."""
    listed = by_class(content)
    if not listed:
        return ""
    lines: list[list[str | None]] = [
        [
            entry.label,
            f"{entry.positives:,}",
            f"{entry.score:.4f}",
            None if entry.low is None else f"{entry.low:.4f} – {entry.high:.4f}",
            f"{entry.baseline:.4f}",
            f"{entry.score - (entry.baseline or 0):+.4f}",
        ]
        for entry in listed
    ]
    each = list(content["classes"].values())
    for line, details in zip(lines, each, strict=True):
        alone = details.get("on_positives")
        line.insert(3, None if alone is None else f"{alone:.4f}")
    names = list(dict.fromkeys(key for details in each for key in details["parameters"]))
    parameters = [
        [entry.label, *(_value(details["parameters"].get(key)) for key in names)]
        for entry, details in zip(listed, each, strict=True)
    ]
    head = ["", "images with it", "score", "on these alone", f"{percent()} interval", "all empty"]
    head += ["above all-empty"]
    if any(entry.hidden is not None for entry in listed):  # else no hidden truth is known
        head += ["hidden"]
        for line, entry in zip(lines, listed, strict=True):
            line.append(None if entry.hidden is None else f"{entry.hidden:.4f}")
    note = (
        "<p>Of the last blend. A rare class scores high wherever it is left empty, so look at what "
        "it gains over that, and at the images that hold it.</p>"
    )
    text = f"<h2>Classes</h2>{note}" + rows(head, lines, [False, *[True] * (len(head) - 1)])
    heads = ["", *(name.replace("_", " ") for name in names)]
    return text + "<h2>Parameters</h2>" + rows(heads, parameters, [False, *[True] * len(names)])


def _like_test(content: Mapping[str, Any] | None) -> str:
    """Say what the score would be if the images were drawn like the test images."""
    if not content:
        return ""
    score, difference = f"{content['score']:.4f}", f"{content['difference']:+.4f}"
    if content["interval"] is not None:
        (low, high), (less, more) = content["interval"], content["difference_interval"]
        score += f" ({percent()}: {low:.4f} to {high:.4f})"
        difference += f" ({less:+.4f} to {more:+.4f})"
    text = (
        f"As if the images were drawn like the test images: {score}, {difference} "
        f"from the score above. Train and test are told apart with an "
        f"AUC of {content['auc']:.2f} (.5: not at all); the weighted images tell as much as "
        f"{content['effective_images']:.0f} equal ones."
    )
    return f"<p>{escape(style.minus(text))}</p>"


def _labels(content: Mapping[str, Any] | None) -> str:
    """Make the table of how well each member tells the image labels."""
    if not content:
        return ""
    names = list(dict.fromkeys(name for scores in content.values() for name in scores["auc"]))
    lines = []
    for member, scores in content.items():
        areas = [scores["auc"].get(name) for name in names]
        texts = [None if area is None else f"{area:.3f}" for area in areas]
        lines.append([member.replace("/round", ", round "), f"{scores['log_loss']:.4f}", *texts])
    note = (
        "<p>Out of fold. AUC: the chance that an image with the label is given a higher "
        "probability than one without; .5 is chance. Log loss: lower is better.</p>"
    )
    head = ["", "log loss", *(f"AUC of {name}" for name in spoken(names))]
    return f"<h2>Image labels</h2>{note}" + rows(head, lines, [False, *[True] * (len(head) - 1)])


def _value(value: Any) -> str | None:
    return f"{value:.4g}" if isinstance(value, float) else value


def _differences(content: Sequence[Mapping[str, Any]]) -> str:
    """Make the table of paired differences."""
    lines = []
    for pair in content:
        width, sure = None, "not known: too few groups"
        if pair["interval"] is not None:
            low, high = pair["interval"]
            sure = "yes" if low > 0 or high < 0 else "no: the interval holds zero"
            width = f"{low:+.4f} to {high:+.4f}"
        lines.append([pair["of"], pair["over"], f"{pair['difference']:+.4f}", width, sure])
    if not lines:
        return ""
    head = ["", "over", "difference", f"{percent()} interval", "clear of zero"]
    note = "<p>Both scored on the same images, so that what is easy or hard for both cancels.</p>"
    return f"<h2>Differences</h2>{note}" + rows(head, lines, [False, False, True, True])


def _selected(content: Any) -> str:
    """Say which weights of a stage were kept, and what that means for the scores."""
    if not content:
        return ""
    each = content if isinstance(content, Mapping) else {"all models": content}
    body = "<h2>Weights kept</h2>" + rows(["", ""], [[name, how] for name, how in each.items()])
    if any(word in json.dumps(each) for word in ("best", "stopped early", "plateau")):
        body += (
            '<p class="note">“best” and “stopped early” chose the epoch on the validation fold, '
            "“plateau” the learning rate, so these scores have seen a little of their own answer."
            "</p>"
        )
    if "started from" in json.dumps(each):
        body += (
            '<p class="note">“started from” names a file of weights. If these were trained on '
            "images of this data, the scores have seen their own answer.</p>"
        )
    return body
