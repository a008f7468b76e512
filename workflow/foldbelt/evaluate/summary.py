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
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    groups = found["groups"]
    lines = [
        f"{found['metric']} of the run {Path(path).resolve().parent.name}",
        f"  leave-one-fold-out               {found['score']:.4f}  ({_around(found, groups)})",
        f"  optimistic, for comparison       {found['optimistic']:.4f}",
        f"  all masks empty                  {found['baseline']:.4f}",
    ]
    if found["hidden"] is not None:
        lines.append(f"  on the hidden truth of the test  {found['hidden']:.4f}")
    if like := found.get("like_test"):
        lines.append(
            f"  as if drawn like the test images {like['score']:.4f}  ({_around(like, groups)}; "
            f"AUC of train against test {like['auc']:.2f})"
        )
    for name, one in found.get("classes", {}).items():
        lines.append(
            f"  class {name:<27}{one['score']:.4f}  ({_around(one, groups)}; all empty "
            f"{one['baseline']:.4f}; {one['positives']} images)"
        )
    lines += [f"  {name:<33}{score:.4f}" for name, score in sorted(found["members"].items())]
    lines += [
        f"  {name:<33}log loss of labels {found['labels'][name]['log_loss']:.4f}"
        for name in sorted(set(found.get("labels", {})) - set(found["members"]))
    ]
    lines += [f"  note: {note}" for note in found.get("notes", [])]
    return "\n".join(lines)


def _around(scored: Mapping[str, Any], groups: int) -> str:
    """Word the interval of a score, or why there is none."""
    if scored["interval"] is None:
        return caution(groups)
    low, high = scored["interval"]
    return f"{percent()}: {low:.4f} to {high:.4f}"
