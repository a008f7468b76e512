"""Does a technique help here? Every variant of a recipe against the recipe, image by image.

A variant and the recipe are trained on the same folds with the same seeds, so that each image has a
pair of scores for every seed. The difference of an image is its mean over the seeds, and the
interval comes from redrawing groups of images. It knows of the images and not of the seeds: beside
it stand the differences fold by fold and seed by seed, which a reader should see agree.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import bootstrap, decide
from foldbelt.files import InputError, PathLike, Problem, atomic, raise_all

HELPS, HARMS, UNDECIDED = "helps", "harms", "undecided"
OTHER_FOLDS = "other folds"
_OTHER_FOLDS = "Other folds than the recipe's: a higher score may be a leak."


def run(
    *,
    results: Mapping[str, Sequence[PathLike]],
    base: str,
    seeds: Sequence[int],
    train_benchmarks: Mapping[str, Sequence[PathLike]],
    predict_benchmarks: Mapping[str, Sequence[PathLike]],
    draws: int,
    seed: int,
    out: PathLike,
    notes: Mapping[str, str] | None = None,
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
    draws, seed
        Number of resamplings of the groups, and their seed.
    out
        The csv: variant, score, difference, its interval (low, high), verdict, one column of
        differences for every seed and fold, images, groups, train_seconds, predict_seconds,
        memory_mb, note.
    notes
        Variant → what a reader of its score has to know. Of a variant that splits the images
        otherwise than the base it is said here, and no verdict is given: folds that leak score
        higher.

    Raises
    ------
    InputError
        If variants were not scored on the same images; all offenders are listed.
    """
    tables = {name: [_images(path) for path in paths] for name, paths in sorted(results.items())}
    _check(tables, base, results)
    rows = []
    for name, own in tables.items():
        row = _row(own, tables[base], seeds, draws, seed) | {"variant": name}
        if name == base:
            row |= {"low": np.nan, "high": np.nan, "verdict": "base"}
        row["train_seconds"], memory = _cost(train_benchmarks.get(name, ()))
        row["predict_seconds"], more = _cost(predict_benchmarks.get(name, ()))
        row["memory_mb"] = max(memory, more)
        told = [(notes or {}).get(name, ""), _OTHER_FOLDS if row["verdict"] == OTHER_FOLDS else ""]
        row["note"] = " ".join(filter(None, told))
        rows.append(row)
    table = pd.DataFrame(rows).sort_values(["difference", "variant"], ascending=[False, True])
    first = ["variant", "score", "difference", "low", "high", "verdict"]
    table = table[first + [column for column in table if column not in first]]
    with atomic(out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def verdict(low: float, high: float) -> str:
    """Say what an interval of a difference says: `helps`, `harms`, or `undecided` at this size.

    Examples
    --------
    >>> verdict(0.001, 0.02), verdict(-0.01, 0.01)
    ('helps', 'undecided')
    """
    return HELPS if low > 0 else HARMS if high < 0 else UNDECIDED


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
    for name, own in tables.items():
        if len(own) != len(tables[base]):
            why = f"has {len(own)} seeds where {base} has {len(tables[base])}"
            problems.append(Problem(name, why))
            continue
        for path, one, other in zip(results[name], own, tables[base], strict=True):
            if not one.index.equals(other.index):
                lost, more = other.index.difference(one.index), one.index.difference(other.index)
                why = f"lacks {len(lost)} images of {base} and has {len(more)} others"
                problems.append(Problem(str(path), why))
    raise_all(problems, "Only variants scored on the same images can be compared")


def _row(
    own: Sequence[pd.DataFrame],
    base: Sequence[pd.DataFrame],
    seeds: Sequence[int],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Compare the seeds' tables of a variant with those of the base."""
    mine = np.mean([table["score"] for table in own], axis=0)
    other = np.mean([table["score"] for table in base], axis=0)
    groups = own[0]["group"].to_numpy()
    gain, low, high = bootstrap.paired(mine, other, groups, draws, seed)
    row = {
        "score": float(mine.mean()),
        "difference": gain,
        "low": low,
        "high": high,
        "verdict": verdict(low, high),
    }
    if any((one["fold"] != two["fold"]).any() for one, two in zip(own, base, strict=True)):
        row["verdict"] = OTHER_FOLDS
    for number, one, two in zip(seeds, own, base, strict=True):
        difference = one["score"] - two["score"]
        for fold, values in difference.groupby(one["fold"]):
            row[f"seed{number}/fold{fold}"] = float(values.mean())
    return row | {"images": len(mine), "groups": len(set(groups))}


def _cost(paths: Sequence[PathLike]) -> tuple[float, float]:
    """Add up seconds and give the largest memory, in MiB, of the benchmark files there are."""
    found = [pd.read_csv(path, sep="\t") for path in dict.fromkeys(paths) if Path(path).is_file()]
    if not found:
        return np.nan, np.nan
    table = pd.concat(found)
    seconds, memory = (pd.to_numeric(table[name], "coerce") for name in ("s", "max_rss"))
    return round(float(seconds.sum()), 1), float(memory.max())


def describe(path: PathLike) -> str:
    """Give an ablation's table as Markdown.

    Parameters
    ----------
    path
        An ablation.csv.
    """
    table = pd.read_csv(path, dtype={"note": str}, keep_default_na=True)
    lines = [
        f"| variant | score | difference | {bootstrap.percent()} | verdict | training, s |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        own = row.verdict == "base"
        interval = "" if own else f"{row.low:+.4f} to {row.high:+.4f}"
        difference = "" if own else f"{row.difference:+.4f}"
        note = f" ({row.note})" if isinstance(row.note, str) else ""
        cells = [row.variant, f"{row.score:.4f}", difference, interval, f"{row.verdict}{note}"]
        lines.append("| " + " | ".join([*map(str, cells), f"{row.train_seconds:.0f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(describe(sys.argv[1]))
