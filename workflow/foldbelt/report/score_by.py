"""Where the score is lost: by coverage, by depth (or another number), by fold and by class."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from foldbelt.bootstrap import FEWEST, interval, percent
from foldbelt.decide import load
from foldbelt.report import classes as classes_
from foldbelt.report import style
from foldbelt.report.coverage import class_name, coverage_class
from foldbelt.report.scored import score_rows

# Columns of the rows that are no property of the image to look at.
_OTHER_COLUMNS = {
    "id", "fold", "group", "strata", "score", "coverage", "predicted", "wrong", "empty"
}  # fmt: skip
_PLACE_INCHES = 0.68  # of a bar and its label
_WIDEST = 16.0  # inches; beyond, the classes stand on a line of their own


@dataclass(frozen=True)
class Bar:
    """A mean score with its interval, and its label."""

    name: str
    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Panel:
    """Bars that divide the images in one way."""

    label: str
    bars: list[Bar]


def draw(blend_oof: str, data: str, decision: str, folds: str, out: str, draws: int = 1000) -> None:
    """Draw the score by coverage, by depth (or another number of the table), by fold and by class.

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
    draws
        Of the bootstrap, for each interval.
    """
    rows = score_rows(blend_oof, data, decision, folds)
    if not len(rows):
        style.message(out, "No out-of-fold predictions to score")
        return
    coverage = coverage_class(rows["coverage"].to_numpy())
    divisions = [("true coverage of the image", *_labelled(coverage, class_name))]
    column = _number_column(rows)
    if column is not None:
        divisions.append((f"{column} (fifths of the images)", *_fifths(rows[column])))
    if rows["fold"].nunique() > 1:
        divisions.append(("validation fold", *_labelled(rows["fold"].to_numpy(), str)))
    panels = [
        Panel(label, [_bar(name, rows[bins == place], draws) for place, name in enumerate(names)])
        for label, bins, names in divisions
    ]
    classes = _class_bars(decision, data, draws)
    mean = float(rows["score"].mean())
    title = _title(rows, coverage, mean)
    if classes:
        title += " Triangles: one class alone, on the images that hold it."
    lines = [panels]
    if classes:
        by_class = Panel("class, on the images that hold it", classes)
        total = sum(len(panel.bars) for panel in panels) + len(classes)
        lines = [[*panels, by_class]]
        if _PLACE_INCHES * total > _WIDEST:
            lines = [panels, [by_class]]
    counts = [[max(3, len(panel.bars)) for panel in line] for line in lines]
    width = 1.2 + max(sum(0.35 + _PLACE_INCHES * n for n in line) for line in counts)
    with style.figure(out, title, max(7.0, width), 3.6 * len(lines)) as made:
        grid = made.add_gridspec(len(lines), 1)
        first = None
        for place, line in enumerate(lines):
            inner = grid[place].subgridspec(1, len(line), width_ratios=counts[place])
            for number, panel in enumerate(line):
                axes = made.add_subplot(inner[number], sharey=first)
                first = first or axes
                _panel(axes, panel, of_class=bool(classes) and panel.bars is classes)
                axes.tick_params(labelleft=number == 0)
                if number == 0:
                    axes.set_ylabel("mean score per image")
                if panel.bars is not classes:
                    axes.axhline(mean, color=style.GREY, linestyle="--", linewidth=1.2)
        # From zero, unless all of it would lie in the upper half.
        lowest = min(bar.low for line in lines for panel in line for bar in panel.bars)
        bottom = 0.0 if lowest < 0.5 else np.floor(10 * lowest - 0.2) / 10
        made.axes[0].set_ylim(bottom - 0.05 * (1 - bottom), 1 + 0.04 * (1 - bottom))


def _panel(axes: Axes, panel: Panel, of_class: bool) -> None:
    colour, marker = (style.GREEN, "^") if of_class else (style.BLUE, "o")
    for place, bar in enumerate(panel.bars):
        axes.plot([place, place], [bar.low, bar.high], color=colour, linewidth=2)
        # Whole, also at the limits of the axes.
        axes.plot(place, bar.mean, marker, color=colour, markersize=7, clip_on=False)
    style.named_ticks(axes, [bar.name for bar in panel.bars], 0.92 * _PLACE_INCHES)
    axes.set(xlabel=panel.label, xlim=(-0.5, len(panel.bars) - 0.5))


def _bar(name: str, rows: pd.DataFrame, draws: int) -> Bar:
    mean = float(rows["score"].mean())
    low, high = interval(rows["score"], rows["group"].to_numpy(), n=draws) or (mean, mean)
    return Bar(f"{name}\nn={len(rows)}", low, mean, high)


def _class_bars(decision: str, data: str, draws: int) -> list[Bar]:
    """Score each class on the images that hold it; nothing where there is but one class."""
    images = load(decision).images
    if "classes" not in images or "id" not in images:
        return []
    scores = np.array(images["classes"])
    there = classes_.presence(data, [str(name) for name in images["id"]])
    groups = np.array(images["group"])
    bars = []
    for k, name in enumerate(classes_.mask_names(data, scores.shape[1])):
        held = np.flatnonzero(there[:, k])
        if len(held):
            values = pd.DataFrame({"score": scores[held, k], "group": groups[held]})
            bars.append(_bar(name, values, draws))
    return bars


def _labelled(values: np.ndarray, name: Any) -> tuple[np.ndarray, list[str]]:
    labels, bins = np.unique(values, return_inverse=True)
    return bins, [name(value) for value in labels.tolist()]


def _number_column(rows: pd.DataFrame) -> str | None:
    """Find what else to look at: depth, or the first number of the table that varies enough."""
    names = [n for n in rows.columns if n not in _OTHER_COLUMNS and not n.startswith("area_")]
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
    texts = [f"{edge:,.0f}" if abs(edge) >= 1000 else f"{edge:.3g}" for edge in edges]
    names = [style.minus(f"{low}–\n{high}") for low, high in itertools.pairwise(texts)]
    kept = [place for place in range(len(names)) if (bins == place).any()]
    return np.searchsorted(kept, bins.to_numpy()), [names[place] for place in kept]


def _title(rows: pd.DataFrame, coverage: np.ndarray, mean: float) -> str:
    means = rows.groupby(coverage)["score"].mean()
    lost = (1 - rows["score"]).groupby(coverage).sum()
    worst, costly = np.unique(coverage)[[means.argmin(), lost.argmax()]]
    text = f"Mean score {mean:.3f}"
    if len(means) > 1 and lost.sum() > 0:
        text += f"; lowest where coverage is {_worded(worst)} ({means[worst]:.3f})"
        share = style.percent(lost[costly] / lost.sum())
        text += f", {share} of all loss " + (
            "is there" if worst == costly else f"is where it is {_worded(costly)}"
        )
    return (
        f"{text}\nBars: {percent()} bootstrap interval over groups, none of fewer than {FEWEST}. "
        "Dashed: mean of all images."
    )


def _worded(number: int) -> str:
    return "zero" if number == 0 else class_name(number)
