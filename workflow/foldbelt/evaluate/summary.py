"""The scores of a run in a few lines, for the terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.bootstrap import caution, percent
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
        The scores, one a line, the honest one first.
    """
    scores = json.loads(Path(path).read_text(encoding="utf-8"))
    groups = scores["groups"]
    lines = [
        f"{scores['metric']} of the run {Path(path).resolve().parent.name}",
        f"  leave-one-fold-out               {scores['score']:.4f}  ({_around(scores, groups)})",
        f"  optimistic, for comparison       {scores['optimistic']:.4f}",
        f"  all masks empty                  {scores['baseline']:.4f}",
    ]
    if scores["hidden"] is not None:
        lines.append(f"  on the hidden truth of the test  {scores['hidden']:.4f}")
    if like_test := scores.get("like_test"):
        lines.append(
            f"  as if drawn like the test images {like_test['score']:.4f}  "
            f"({_around(like_test, groups)}; AUC of train against test {like_test['auc']:.2f})"
        )
    for name, details in scores.get("classes", {}).items():
        lines.append(
            f"  class {name:<27}{details['score']:.4f}  ({_around(details, groups)}; all empty "
            f"{details['baseline']:.4f}; {details['positives']} images)"
        )
    lines += [f"  {name:<33}{score:.4f}" for name, score in sorted(scores["members"].items())]
    lines += [
        f"  {name:<33}log loss of labels {scores['labels'][name]['log_loss']:.4f}"
        for name in sorted(set(scores.get("labels", {})) - set(scores["members"]))
    ]
    lines += [f"  note: {note}" for note in scores.get("notes", [])]
    return "\n".join(lines)


def _around(scored: Mapping[str, Any], groups: int) -> str:
    """Word the interval of a score, or why there is none."""
    if scored["interval"] is None:
        return caution(groups)
    low, high = scored["interval"]
    return f"{percent()}: {low:.4f} to {high:.4f}"
