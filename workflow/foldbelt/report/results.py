"""Figures of what came out: scores, thresholds, pseudo-labels and where the models fail."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from foldbelt import store
from foldbelt.bootstrap import interval
from foldbelt.decide import load
from foldbelt.report import classes as classes_
from foldbelt.report import style
from foldbelt.report.data import class_name, coverage_class
from foldbelt.report.scoreboard import Entry, by_class, entries
from foldbelt.report.scored import score_rows
from foldbelt.report.thresholds import threshold_curve
from foldbelt.report.tiles import tiles

__all__ = ["pseudo", "score_by", "scores", "threshold_curve", "tiles"]


def scores(path: str, out: str) -> None:
    """Draw every score of scores.json as a dot, with its interval where there is one.

    Parameters
    ----------
    path
        scores.json.
    out
        An SVG.
    """
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    listed = entries(found)
    every = [*listed, *by_class(found)]
    looks = {
        "baseline": (style.GREY, "X"),
        "member": (style.SKY, "o"),
        "blend": (style.BLUE, "s"),
        "score": (style.BLUE, "s"),
        "hidden": (style.RED, "D"),
        "class": (style.GREEN, "^"),
    }
    title = _scores_title(listed, len(every) > len(listed))
    with style.figure(out, title, 9, 1.0 + 0.34 * len(every)) as made:
        axes = made.subplots()
        for place, entry in enumerate(every):
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
        labels = [_with_count(entry) for entry in every]
        axes.set_yticks(range(len(every)), labels)
        axes.set_ylim(len(every) - 0.5, -0.5)
        if len(every) > len(listed):
            axes.axhline(len(listed) - 0.5, color=style.PALE, linewidth=1)
        axes.margins(x=0.04)
        if listed[0].kind == "baseline":
            axes.axvline(listed[0].score, color=style.GREY, linestyle=":", linewidth=1.4)
        name = str(found.get("metric", "score")).replace("_", " ").removeprefix("mean ")
        axes.set_xlabel(f"mean {name} per image (1 = perfect)")


def _with_count(entry: Entry) -> str:
    """Label an entry; of a class say how many images hold it."""
    return entry.label if entry.positives is None else f"{entry.label} (in {entry.positives:,})"


def _scores_title(listed: Sequence[Entry], classes: bool = False) -> str:
    last = next(entry for entry in listed if entry.kind == "score")
    text = f"The blend scores {last.score:.3f}"
    if last.low is not None:
        text += f" [{last.low:.3f} to {last.high:.3f}]"
    if listed[0].kind == "baseline":
        text += f", {last.score - listed[0].score:+.3f} against all-empty"
        text = style.minus(text)
    if listed[-1].kind == "hidden":
        text += f"; the hidden truth of the test set gives {listed[-1].score:.3f}"
    how = "Dots: leave-one-fold-out"
    if any(entry.low is not None for entry in listed):
        how += " with 95 % interval"
    if any(entry.optimistic is not None for entry in listed):
        how += ". Orange bar: optimistic, fitted to the scored images"
    if classes:
        how += (
            ". Below, the last blend class by class (in so many images), with what empty masks "
            "score (cross) and the hidden score (diamond)"
        )
    return f"{text}\n{how}."


def score_by(blend_oof: str, data: str, decision: str, folds: str, out: str) -> None:
    """Draw the score by coverage, by depth (or another number of the table) and by fold.

    Parameters
    ----------
    blend_oof
        blend/round{r}/oof.h5.
    data
        data/train.h5.
    decision
        decision/round{r}.json; each image is decided with the parameters fitted without its fold.
    folds
        folds/{folds}.csv.
    out
        An SVG.
    """
    rows = score_rows(blend_oof, data, decision, folds)
    if not len(rows):
        style.message(out, "No out-of-fold predictions to score")
        return
    classes = coverage_class(rows["coverage"].to_numpy())
    panels = [("true coverage of the image", *_labelled(classes, class_name))]
    own = _class_panel(decision, data)
    column = _number_column(rows)
    if column is not None:
        panels.append((f"{column} (fifths of the images)", *_fifths(rows[column])))
    if rows["fold"].nunique() > 1:
        panels.append(("validation fold", *_labelled(rows["fold"].to_numpy(), str)))
    counts = [len(names) for _, _, names in panels]
    mean = float(rows["score"].mean())
    lowest = []
    counts += [len(own)] if own else []
    dot: dict[str, Any] = {"markersize": 7, "clip_on": False}  # whole, also at the limits
    title = _worst_bin(rows, classes, mean)
    if own:
        title += " Triangles: one class alone, on the images that hold it."
    with style.figure(out, title, 2.2 + 0.68 * sum(counts), 3.6) as made:
        grid = made.subplots(1, len(counts), squeeze=False, sharey=True, width_ratios=counts)[0]
        for axes, (label, bins, names) in zip(grid, panels, strict=False):
            axes.axhline(mean, color=style.GREY, linestyle="--", linewidth=1.2)
            for place, name in enumerate(names):
                part = rows[bins == place]
                low, high = interval(part["score"], part["group"].to_numpy(), n=500)
                lowest.append(low)
                axes.plot([place, place], [low, high], color=style.BLUE, linewidth=2)
                axes.plot(place, part["score"].mean(), "o", color=style.BLUE, **dot)
                names[place] = f"{name}\nn={len(part)}"
            axes.set_xticks(range(len(names)), names, size=9)
            axes.set(xlabel=label, xlim=(-0.5, len(names) - 0.5))
        for place, (_, low, value, high) in enumerate(own):
            grid[-1].plot([place, place], [low, high], color=style.GREEN, linewidth=2)
            grid[-1].plot(place, value, "^", color=style.GREEN, **dot)
            lowest.append(low)
        if own:
            grid[-1].set_xticks(range(len(own)), [name for name, *_ in own], size=9)
            grid[-1].set(xlabel="class, on the images that hold it", xlim=(-0.5, len(own) - 0.5))
        # From zero, unless all of it would lie in the upper half.
        bottom = 0.0 if min(lowest) < 0.5 else np.floor(10 * min(lowest) - 0.2) / 10
        grid[0].set_ylim(bottom - 0.05 * (1 - bottom), 1 + 0.04 * (1 - bottom))
        grid[0].set_ylabel("mean score per image")


def _class_panel(decision: str, data: str) -> list[tuple[str, float, float, float]]:
    """Give of each class its name, and the score with its interval on the images that hold it."""
    images = load(decision).images
    if "classes" not in images or "id" not in images:
        return []
    scores = np.array(images["classes"])
    there = classes_.presence(data, [str(name) for name in images["id"]])
    names = classes_.mask_names(data, scores.shape[1])
    groups, found = np.array(images["group"]), []
    for k, name in enumerate(names):
        rows = np.flatnonzero(there[:, k])
        if len(rows):
            low, high = interval(scores[rows, k], groups[rows], n=500)
            mean = float(scores[rows, k].mean())
            found.append((f"{name}\nn={len(rows)}", low, mean, high))
    return found


def _labelled(values: np.ndarray, name: Any) -> tuple[np.ndarray, list[str]]:
    found, bins = np.unique(values, return_inverse=True)
    return bins, [name(value) for value in found.tolist()]


def _number_column(rows: pd.DataFrame) -> str | None:
    """Find what else to look at: depth, or the first number of the table that varies enough."""
    own = {"id", "fold", "group", "strata", "score", "coverage", "predicted", "wrong", "empty"}
    names = [n for n in rows.columns if n not in own and not n.startswith("area_")]
    for name in sorted(names, key=lambda name: name != "depth"):
        values = rows[name]
        known = pd.api.types.is_numeric_dtype(values) and values.notna().all()
        if known and values.nunique() >= 5 and len(_fifths(values)[1]) >= 3:
            return name  # else nearly all have the same
    return None


def _fifths(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    bins, edges = pd.qcut(
        values.astype(np.float64), 5, labels=False, retbins=True, duplicates="drop"
    )
    names = [f"{low:.3g}–\n{high:.3g}" for low, high in itertools.pairwise(edges)]
    kept = [place for place in range(len(names)) if (bins == place).any()]
    return np.searchsorted(kept, bins.to_numpy()), [names[place] for place in kept]


def _worst_bin(rows: pd.DataFrame, classes: np.ndarray, mean: float) -> str:
    means = rows.groupby(classes)["score"].mean()
    lost = (1 - rows["score"]).groupby(classes).sum()
    worst, costly = np.unique(classes)[[means.argmin(), lost.argmax()]]
    text = f"Mean score {mean:.3f}"
    if len(means) > 1 and lost.sum() > 0:
        text += f"; lowest where coverage is {_told(worst)} ({means[worst]:.3f})"
        share = style.percent(lost[costly] / lost.sum())
        text += f", {share} of all loss " + (
            "is there" if worst == costly else f"is where it is {_told(costly)}"
        )
    return f"{text}\nBars: 95 % bootstrap interval over groups. Dashed: mean of all images."


def _told(number: int) -> str:
    return "zero" if number == 0 else class_name(number)


def pseudo(files: Mapping[str, str], data: str | None, out: str) -> None:
    """Draw how many test images were admitted as pseudo-labels, and what they are like.

    Parameters
    ----------
    files
        'model/round/fold' → pseudo-label file (id, mask, confidence).
    data
        data/train.h5, to compare the coverage with, or None.
    out
        An SVG.
    """
    parts = [_admitted(label, path) for label, path in files.items()]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if not len(table):
        style.message(
            out, "No pseudo-labels were admitted" if parts else "This run makes no pseudo-labels"
        )
        return
    labels = pd.DataFrame([_split(label) for label in files], columns=["series", "fold"])
    labels["count"] = [len(part) for part in parts]
    offered = {store.attrs(path).get("tiles") for path in files.values()}
    true = store.table(data)["coverage"].to_numpy(np.float64) if data is not None else None
    several = max(classes_.count(path) for path in files.values())
    with style.figure(out, _pseudo_title(table, labels, true, offered), 11, 3.5) as made:
        first, second, third = made.subplots(1, 3, width_ratios=(1.1, 1.2, 1))
        for place, (name, part) in enumerate(labels.groupby("series", sort=False)):
            first.plot(
                part["fold"],
                part["count"],
                color=style.COLOURS[place % 7],
                marker=style.MARKERS[place % 7],
                linestyle="",
                markersize=7,
                label=str(name),
            )
        first.set(
            xlabel="fold", ylabel="test images admitted", ylim=(0, 1.15 * labels["count"].max())
        )
        first.margins(x=0.1)
        first.legend(fontsize=9, loc="best")
        if several > 1:
            _compare_classes(second, list(files.values()), data, several)
        else:
            _compare_coverage(second, table["coverage"].to_numpy(), true)
        levels = 100 * table["confidence"].to_numpy(np.float64)
        third.hist(levels, bins=20, color=style.SKY, edgecolor=style.BLUE, linewidth=0.6)
        third.set(
            xlabel="confidence (% of the pixels\nthat are sure)",
            ylabel="admitted images, all folds",
        )


def _split(label: str) -> tuple[str, str]:
    series, _, fold = label.rpartition("/")
    return series or label, fold.removeprefix("fold")


def _admitted(label: str, path: str) -> pd.DataFrame:
    """Coverage and confidence of the images in one file."""
    count = store.length(path)
    covered = np.zeros(count)
    for rows, masks in store.blocks(path, "mask"):
        masks = masks if masks.ndim == 4 else masks[..., None]
        covered[rows] = masks.any(axis=-1).mean(axis=(1, 2))
    confidence = store.read(path, "confidence").astype(np.float64)
    return pd.DataFrame({"label": label, "coverage": covered, "confidence": confidence})


def _compare_classes(axes: Axes, files: Sequence[str], data: str | None, count: int) -> None:
    """Set the admitted images beside the training images, by the classes that they hold."""
    admitted = np.concatenate([classes_.presence(path) for path in files])
    shown = [("admitted", admitted, style.SKY, style.BLUE, "")]
    names = [f"class {number + 1}" for number in range(count)]
    if data is not None:
        shown.insert(0, ("training", classes_.presence(data), "#f4d9a6", "#8a5f00", "///"))
        names = classes_.mask_names(data, count)
    wide = 0.8 / len(shown)
    for place, (name, there, face, edge, hatch) in enumerate(shown):
        share = 100 * np.array([(~there.any(axis=1)).mean(), *there.mean(axis=0)])
        at = np.arange(count + 1) - 0.4 + wide * (place + 0.5)
        axes.bar(at, share, wide, color=face, edgecolor=edge, hatch=hatch, label=name)
    axes.set_xticks(range(count + 1), ["none", *names], size=9, rotation=30)
    axes.set(xlabel="classes that the image holds", ylabel="% of images")
    axes.legend(fontsize=9)


def _compare_coverage(axes: Axes, admitted: np.ndarray, true: np.ndarray | None) -> None:
    """Set the admitted images beside the training images, by class of coverage."""
    shown: list[tuple[str, np.ndarray, str, str, str | None]] = [
        ("admitted", admitted, style.SKY, style.BLUE, None)
    ]
    if true is not None and len(true):
        shown.insert(0, ("training", true, "#f4d9a6", "#8a5f00", "///"))
    wide = 0.8 / len(shown)
    for place, (name, values, face, edge, hatch) in enumerate(shown):
        share = 100 * np.bincount(coverage_class(values), minlength=6) / len(values)
        at = np.arange(6) - 0.4 + wide * (place + 0.5)
        axes.bar(
            at, share, wide, color=face, edgecolor=edge, hatch=hatch, label=name, linewidth=0.8
        )
    axes.set_xticks(range(6), [class_name(number) for number in range(6)], size=9, rotation=30)
    axes.set(xlabel="coverage of the image", ylabel="% of images")
    axes.legend(fontsize=9)


def _pseudo_title(
    table: pd.DataFrame, labels: pd.DataFrame, true: np.ndarray | None, offered: set[int | None]
) -> str:
    total = offered.pop() if len(offered) == 1 else None
    among = "" if total is None else f" of {total:,}"
    low, high = int(labels["count"].min()), int(labels["count"].max())
    many = f"{high:,}" if low == high else f"{low:,} to {high:,}"
    empty = style.percent(float((table["coverage"] == 0).mean()))
    text = f"{many}{among} test images admitted per fold, {empty} of them empty"
    if true is not None and len(true):
        text += f" (training: {style.percent(float((true == 0).mean()))})"
    return text
