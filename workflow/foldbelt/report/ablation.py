"""The figure of an ablation: what each variant gained, how surely, and at what cost."""

import re

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from foldbelt.bootstrap import percent
from foldbelt.files import PathLike
from foldbelt.report import style

_COLOURS = {
    "helps": style.GREEN,
    "harms": style.RED,
    "undecided": style.GREY,
    "no verdict": style.PURPLE,
    "leak": style.ORANGE,
}


def draw(*, table: PathLike, out: str) -> None:
    """Draw the differences to the recipe, the best variant above.

    Parameters
    ----------
    table
        The csv that :mod:`foldbelt.evaluate.ablation` writes.
    out
        The figure.
    """
    variants = pd.read_csv(table)
    base = variants[variants["verdict"] == "base"].iloc[0]
    rows = variants[variants["verdict"] != "base"].reset_index(drop=True)
    parts = [name for name in map(str, rows.columns) if re.fullmatch(r"seed\d+/fold\d+", name)]
    with style.figure(out, _title(base, rows, parts), 9.5, 1.7 + 0.34 * len(rows)) as figure:
        axes = figure.add_subplot()
        axes.axvline(0, color=style.BLACK, linewidth=1)
        places = np.arange(len(rows))
        drawn = rows[["low", "high", "difference"]].to_numpy(float)
        for place, (low, high, difference) in enumerate(drawn.tolist()):
            colour = _COLOURS[_kind(rows["verdict"][place])]
            axes.plot([low, high], [place] * 2, color=colour, linewidth=3, alpha=0.5)
            axes.plot(difference, place, "o", color=colour, markersize=8, zorder=4)
        for column in parts:
            axes.plot(rows[column], places + 0.22, "|", color=style.BLUE, markersize=6, zorder=3)
        axes.set_yticks(places, [style.fit(str(name), 3.0) for name in rows["variant"]])
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.set_xlabel("difference of the leave-one-fold-out score to the recipe")
        axes.grid(visible=False, axis="y")
        _costs(axes, base, rows)
        handles = [
            Line2D([], [], color=colour, marker="o", linewidth=3, label=name)
            for name, colour in _COLOURS.items()
            if name in set(map(_kind, rows["verdict"]))
        ]
        handles.append(
            Line2D([], [], color=style.BLUE, marker="|", linestyle="", label="one seed and fold")
        )
        style.legend(figure, handles)


def _costs(axes, base: pd.Series, rows: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    """Write beside each row how long it trained, as a multiple of the recipe."""
    for place, seconds in enumerate(rows["train_seconds"]):
        ratio = seconds / base["train_seconds"]
        text = "" if np.isnan(ratio) else f"×{ratio:.2g}"
        axes.annotate(
            text,
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            annotation_clip=False,
        )
    axes.annotate(
        "training\ntime", (1.01, -0.75), xycoords=("axes fraction", "data"), annotation_clip=False
    )


def _kind(verdict: str) -> str:
    """Give a verdict without its reason."""
    return verdict.partition(":")[0]


def _title(base: pd.Series, rows: pd.DataFrame, parts: list[str]) -> str:
    counts = rows["verdict"].map(_kind).value_counts()
    words = {"helps": "helping", "harms": "harming", "undecided": "undecided"}
    verdicts = [f"{counts.get(kind, 0)} {word}" for kind, word in words.items()]
    if counts.get("no verdict"):
        verdicts.append(f"{counts['no verdict']} without a verdict (too few seeds or groups)")
    if counts.get("leak"):
        verdicts.append(f"{counts['leak']} that saw other truths than the recipe (a leak)")
    return (
        f"Of {style.plural(len(rows), 'variant')}, {', '.join(verdicts)}\n"
        f"The recipe scores {base['score']:.3f} on {base['images']:.0f} images in "
        f"{base['groups']:.0f} groups, {len(parts)} pairs of seed and fold. Bars: {percent()} "
        "intervals that count the draw of the groups and of the trainings. Verdicts allow for the "
        "number of variants, so a bar may clear zero without one."
    )
