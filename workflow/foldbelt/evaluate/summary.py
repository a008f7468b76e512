"""The scores of a run in a few lines, for the terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.bootstrap import spoken
from foldbelt.config.outputs import OUTPUTS
from foldbelt.files import PathLike


def describe(path: PathLike) -> str:
    """Say in a few lines what a run's scores.json holds.

    Parameters
    ----------
    path
        A scores.json.

    Returns
    -------
    str
        The scores, one a line, the honest one first; those of masks, of labels and boxes together,
        of labels, of boxes.
    """
    scores = json.loads(Path(path).read_text(encoding="utf-8"))
    run = Path(path).resolve().parent.name
    lines = [] if "output" in scores else _of_masks(scores, run)
    notes = list(scores.get("notes", []))
    given = scores.get("outputs", {})
    for name in (output for output in ("joint", *OUTPUTS) if output in given):
        lines += _of_output(name, given[name], run)
        if name == scores.get("output") and scores.get("hidden") is not None:
            lines.append(_line("on the hidden truth of the test", scores["hidden"]))
        notes += given[name]["notes"]
    lines += [f"  note: {note}" for note in dict.fromkeys(notes)]
    return "\n".join(lines)


_SPOKEN = {"joint": "labels and boxes, decided together,"}
_PARTS = {
    "none_mix": "mixing into none adds",
    "negative_mix": "none in negative adds",
    "none_product": "box score times (1 - none) adds",
}


def _of_masks(scores: Mapping[str, Any], run: str) -> list[str]:
    """Word the scores of masks."""
    groups = scores["groups"]
    lines = [
        f"{scores['metric']} of the run {run}",
        _line("leave-one-fold-out", scores["score"], spoken(scores["interval"], groups)),
        _line("optimistic, for comparison", scores["optimistic"]),
        _line("all masks empty", scores["baseline"]),
    ]
    if scores["hidden"] is not None:
        lines.append(_line("on the hidden truth of the test", scores["hidden"]))
    if like_test := scores.get("like_test"):
        told = spoken(like_test["interval"], groups)
        around = f"{told}; AUC of train against test {like_test['auc']:.2f}"
        lines.append(_line("as if drawn like the test images", like_test["score"], around))
    for name, details in scores.get("classes", {}).items():
        told = spoken(details["interval"], groups)
        lines.append(
            f"  class {name:<27}{details['score']:.4f}  ({told}; all empty "
            f"{details['baseline']:.4f}; {details['positives']} images)"
        )
    lines += [_line(name, score) for name, score in sorted(scores["members"].items())]
    lines += [
        f"  {name:<33}log loss of labels {scores['labels'][name]['log_loss']:.4f}"
        for name in sorted(set(scores.get("labels", {})) - set(scores["members"]))
    ]
    return lines


def _of_output(name: str, scores: Mapping[str, Any], run: str) -> list[str]:
    """Word the scores of labels, of boxes, or of both together."""
    what = _SPOKEN.get(name, name)
    kind = {"labels": "label", "boxes": "class"}.get(name, "class")
    lines = [
        f"{scores['metric']} of the {what} of the run {run}",
        _line("leave-one-fold-out", scores["score"], spoken(scores["interval"], scores["groups"])),
        _line("optimistic, for comparison", scores["optimistic"]),
        _line("without any model", scores["baseline"]),
    ]
    lines += [_line(f"{kind} {each}", score) for each, score in scores["classes"].items()]
    lines += [
        _line(_PARTS.get(part, part), one["difference"], spoken(one["interval"], scores["groups"]))
        for part, one in scores.get("without", {}).items()
    ]
    rounds = scores["rounds"]
    if len(rounds) > 1:
        lines += [_line(f"round {number}", score) for number, score in enumerate(rounds)]
    for member, score in sorted(scores["members"].items()):
        share = scores["coverage"].get(member, 1)
        lines.append(_line(member, score, "" if share == 1 else f"of {share:.0%} of the images"))
    return lines


def _line(name: str, score: float | None, remark: str = "") -> str:
    """Put a name, its score and a remark on a line."""
    number = "unknown" if score is None else f"{score:.4f}"
    return f"  {name:<32} {number}" + (f"  ({remark})" if remark else "")
