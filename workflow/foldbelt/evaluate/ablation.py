"""Does a technique help here? Every variant of a recipe against the recipe, image by image.

A variant and the recipe are trained on the same folds with the same seeds, so that each image has a
pair of scores for every seed. How sure their mean difference is counts the draw of images and that
of trainings (:mod:`foldbelt.evaluate.verdicts`); beside it stand the differences fold by fold and
seed by seed, which a reader should see agree. Where a whole set is ranked (labels, boxes), the
score of an image is what it contributes (:func:`foldbelt.bootstrap.contributions`). A variant that
saw other truths than the recipe gets no verdict: its gain may be a leak.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import decide
from foldbelt.bootstrap import caution, count_groups, percent
from foldbelt.evaluate.verdicts import ADVISED_SEEDS, Difference, difference, holm, verdicts
from foldbelt.files import InputError, PathLike, Problem, atomic, raise_all

BASE = "base"
OTHER_FOLDS = "other folds"
LEAK = "leak: "


def run(
    *,
    results: Mapping[str, Sequence[PathLike]],
    base: str,
    seeds: Sequence[int],
    train_benchmarks: Mapping[str, Sequence[PathLike]],
    predict_benchmarks: Mapping[str, Sequence[PathLike]],
    out: PathLike,
    seen: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write the table of an ablation, the best variant first.

    Parameters
    ----------
    results
        Variant → the decision's JSON of each seed.
    base
        The variant that the others are compared with.
    seeds
        What the files of a variant were trained with, in their order.
    train_benchmarks, predict_benchmarks
        Variant → Snakemake's benchmark files of its training and of its prediction.
    out
        The csv: variant, score, difference, its interval (low, high), p (of so large a difference
        by luck, adjusted for the number of variants), verdict, one column of differences for every
        seed and fold, images, groups, train_seconds, predict_seconds, memory_mb, note.
    seen
        Variant → names of what it saw of the truth (:mod:`foldbelt.config.sight`). Where variant
        and recipe differ in this, or in their folds, the verdict is "leak: " and the names. What
        both saw is a note.

    Raises
    ------
    InputError
        If variants were not scored on the same images; all offenders are listed.
    """
    tables = {name: [_images(path) for path in paths] for name, paths in sorted(results.items())}
    _check(tables, base, results)
    compared = {
        name: _compared(varied, tables[base]) for name, varied in tables.items() if name != base
    }
    known = seen or {}
    leaks = {name: _leaks(name, base, known, tables) for name in compared}
    fair = {name: gain for name, gain in compared.items() if not leaks[name]}
    words = verdicts(fair) | {
        name: LEAK + ", ".join(names) for name, names in leaks.items() if names
    }
    adjusted = dict(zip(fair, holm([gain.p for gain in fair.values()]).tolist(), strict=True))
    rows = []
    for name, varied in tables.items():
        gain = compared.get(name, Difference(0.0))
        row: dict[str, Any] = {
            "variant": name,
            "score": float(np.mean([t["score"].mean() for t in varied])),
        }
        row |= {"difference": gain.mean, "low": gain.low, "high": gain.high}
        row |= {"p": adjusted.get(name, np.nan), "verdict": words.get(name, BASE)}
        row |= _parts(varied, tables[base], seeds)
        row["train_seconds"], memory = _cost(train_benchmarks.get(name, ()))
        row["predict_seconds"], more = _cost(predict_benchmarks.get(name, ()))
        row["memory_mb"] = max(memory, more)
        row["note"] = _note(name, base, known, len(seeds), int(row["groups"]))
        rows.append(row)
    table = pd.DataFrame(rows).sort_values(["difference", "variant"], ascending=[False, True])
    with atomic(out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def _compared(varied: Sequence[pd.DataFrame], base: Sequence[pd.DataFrame]) -> Difference:
    each = [first["score"] - second["score"] for first, second in zip(varied, base, strict=True)]
    return difference(np.array(each), varied[0]["group"].tolist())


def _leaks(
    name: str,
    base: str,
    seen: Mapping[str, Sequence[str]],
    tables: Mapping[str, Sequence[pd.DataFrame]],
) -> list[str]:
    """Name what only one of a variant and the recipe saw; nothing if they saw the same."""
    its, others = seen.get(name, ()), seen.get(base, ())
    names = [what for what in (*its, *others) if (what in its) != (what in others)]
    pairs = zip(tables[name], tables[base], strict=True)
    if any((first["fold"] != second["fold"]).any() for first, second in pairs):
        names.append(OTHER_FOLDS)
    return names


def _note(name: str, base: str, seen: Mapping[str, Sequence[str]], seeds: int, groups: int) -> str:
    """Say what variant and recipe both saw, and, of the recipe, how much the table can tell."""
    its, others = seen.get(name, ()), seen.get(base, ())
    both = [what for what in its if what in others]
    notes = [f"saw what the recipe saw: {', '.join(both)}"] if both and name != base else []
    if name == base:
        notes = [f"sees {', '.join(its)}"] if its else []
        if seeds < ADVISED_SEEDS:
            notes.append(f"{seeds} seed{'s' * (seeds != 1)}; {ADVISED_SEEDS} tell more")
        notes += filter(None, [caution(groups)])
    return "; ".join(notes)


def _images(path: PathLike) -> pd.DataFrame:
    """Score, group and fold of every image that a decision was scored on, by id."""
    decision = decide.load(path)
    table = pd.DataFrame(decision.images)
    if "id" not in table or table["id"].duplicated().any():
        raise InputError(f"{path}: does not say whose scores it holds; score the variant again.")
    return table.set_index("id").sort_index()


def _check(
    tables: Mapping[str, Sequence[pd.DataFrame]],
    base: str,
    results: Mapping[str, Sequence[PathLike]],
) -> None:
    """Raise InputError unless all variants have the same images and as many seeds."""
    if base not in tables:
        raise InputError(f"the ablation has no variant {base!r} to compare with")
    problems = []
    for name, varied in tables.items():
        if len(varied) != len(tables[base]):
            why = f"has {len(varied)} seeds where {base} has {len(tables[base])}"
            problems.append(Problem(name, why))
            continue
        for path, first, second in zip(results[name], varied, tables[base], strict=True):
            if not first.index.equals(second.index):
                lost, more = (
                    second.index.difference(first.index),
                    first.index.difference(second.index),
                )
                why = f"lacks {len(lost)} images of {base} and has {len(more)} others"
                problems.append(Problem(str(path), why))
    raise_all(problems, "Only variants scored on the same images can be compared")


def _parts(
    varied: Sequence[pd.DataFrame], base: Sequence[pd.DataFrame], seeds: Sequence[int]
) -> dict[str, Any]:
    """Give the differences seed by seed and fold by fold, and count images and groups."""
    parts: dict[str, Any] = {}
    for number, first, second in zip(seeds, varied, base, strict=True):
        gain = first["score"] - second["score"]
        for fold, values in gain.groupby(first["fold"]):
            parts[f"seed{number}/fold{fold}"] = float(values.mean())
    images = len(varied[0])
    return parts | {"images": images, "groups": count_groups(varied[0]["group"].tolist(), images)}


def _cost(paths: Sequence[PathLike]) -> tuple[float, float]:
    """Add up seconds and give the largest memory, in MiB, of the benchmark files there are."""
    tables = [pd.read_csv(path, sep="\t") for path in dict.fromkeys(paths) if Path(path).is_file()]
    if not tables:
        return np.nan, np.nan
    table = pd.concat(tables)
    seconds, memory = (pd.to_numeric(table[name], "coerce") for name in ("s", "max_rss"))
    return round(float(seconds.sum()), 1), float(memory.max())


def _interval(low: Any, high: Any) -> str:
    return "" if np.isnan(low) else f"{low:+.4f} to {high:+.4f}"


def describe(path: PathLike) -> str:
    """Give an ablation's table as Markdown.

    Parameters
    ----------
    path
        An ablation.csv.
    """
    table = pd.read_csv(path, dtype={"note": str}, keep_default_na=True)
    lines = [
        f"| variant | score | difference | {percent()} | verdict | training, s |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        is_base = row.verdict == BASE
        interval = _interval(row.low, row.high)
        difference = "" if is_base else f"{row.difference:+.4f}"
        note = f" ({row.note})" if isinstance(row.note, str) else ""
        cells = [row.variant, f"{row.score:.4f}", difference, interval, f"{row.verdict}{note}"]
        lines.append("| " + " | ".join([*map(str, cells), f"{row.train_seconds:.0f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(describe(sys.argv[1]))
