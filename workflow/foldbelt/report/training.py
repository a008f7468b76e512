"""Learning curves: how the loss and the metric went in every fold and stage."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from foldbelt.report import style

Runs = Mapping[tuple[str, str], pd.DataFrame]  # (fold, stage) → history


def draw(histories: Mapping[str, str], title: str, out: str) -> None:
    """Draw the curves of all folds and stages of one model.

    Losses of different stages cannot be compared, so each stage has its own scale; the metric can,
    so its panels share one.

    Parameters
    ----------
    histories
        'round r/fold f/stage' → history CSV (epoch, lr, train_loss, valid_loss, valid_metric), the
        stages in the order in which they were trained.
    title
        What is shown, for instance 'unet, round 0'; the finding is added.
    out
        An SVG.
    """
    runs: dict[tuple[str, str], pd.DataFrame] = {}
    for label, path in histories.items():
        fold, _, stage = label.rpartition("/")
        run = pd.read_csv(path)
        if len(run):
            runs[fold.rpartition("/")[2], stage] = run
    if not runs:
        style.message(out, f"{title}: no training history")
        return
    stages = list(dict.fromkeys(stage for _, stage in runs))
    lengths = [
        max(len(run) for (_, name), run in runs.items() if name == stage) for stage in stages
    ]
    widths = np.maximum(lengths, 0.5 * max(lengths)).tolist()
    inches = max(8.0, 3.6 * len(stages) + 1)
    room = [(inches - 1.2) * width / sum(widths) - 0.4 for width in widths]
    text = (
        f"{title}: {_finding(runs, stages)}\n"
        "Thin: each fold. Thick: mean over folds, as far as all of them trained."
    )
    if len({fold for fold, _ in runs}) == 1:
        text = text.partition("\n")[0]
    with style.figure(out, text, inches, 5.6) as made:
        grid = made.subplots(2, len(stages), squeeze=False, sharex="col", width_ratios=widths)
        for column, stage in enumerate(stages):
            part = {fold: run for (fold, name), run in runs.items() if name == stage}
            upper, lower = grid[:, column]
            _lines(upper, part.values(), "train_loss", style.ORANGE, (0, (5, 1.5)), "training loss")
            _lines(upper, part.values(), "valid_loss", style.BLUE, "-", "validation loss")
            _lines(lower, part.values(), "valid_metric", style.GREEN, "-", "validation metric")
            if column:
                lower.sharey(grid[1, 0])
            if len(part) > 1 and stage == stages[-1]:
                _name_extremes(lower, part)
            upper.set_title("\n".join(style.wrap(f"stage: {stage}", room[column])))
            lower.set_xlabel("epoch of this stage")
            lower.xaxis.get_major_locator().set_params(integer=True)
        grid[0, 0].set_ylabel("loss (own scale a stage)" if len(stages) > 1 else "loss")
        grid[1, 0].set_ylabel("metric on the\nvalidation fold")
        handles = [
            *grid[0, 0].get_legend_handles_labels()[0],
            *grid[1, 0].get_legend_handles_labels()[0],
        ]
        style.legend(made, handles)


def _lines(
    axes: Axes, runs: Iterable[pd.DataFrame], column: str, colour: str, line: object, label: str
) -> None:
    """Draw one column of every fold thin, and the mean over the folds thick."""
    runs = [run.dropna(subset=[column]) for run in runs]
    runs = [run for run in runs if len(run)]
    alone = len(runs) == 1
    for run in runs:
        axes.plot(
            run["epoch"],
            run[column],
            color=colour,
            linestyle=line,
            linewidth=2 if alone else 0.9,
            alpha=1 if alone else 0.45,
            label=label if alone else None,
            marker="o" if len(run) == 1 else None,
        )
    if len(runs) > 1:
        table = pd.concat([run.set_index("epoch")[column] for run in runs], axis=1).dropna()
        axes.plot(
            table.index,
            table.mean(axis=1),
            color=colour,
            linestyle=line,
            linewidth=2.4,
            label=label,
            marker="o" if len(table) == 1 else None,
        )


def _name_extremes(axes: Axes, part: Mapping[str, pd.DataFrame]) -> None:
    """Name the folds that ended highest and lowest, beside their last points.

    The names stand right of the axes, where no line of the grid strikes them through; only that of
    a fold which stopped earlier than others stands where its line ends.
    """
    ends = {fold: run.dropna(subset=["valid_metric"]) for fold, run in part.items()}
    ends = {fold: run for fold, run in ends.items() if len(run)}
    if len(ends) < 2:
        return
    order = sorted(ends, key=lambda fold: (ends[fold]["valid_metric"].iloc[-1], fold))
    last = max(run["epoch"].max() for run in part.values())
    lowest, highest = (ends[order[place]]["valid_metric"].iloc[-1] for place in (0, -1))
    bottom, top = axes.get_ylim()
    # Level with their points, unless these are so near (the axes are some 150 points high) that the
    # names would meet.
    apart = max(0.0, 5.5 - 150 * (highest - lowest) / (2 * (top - bottom)))
    for fold, shift in ((order[0], -apart), (order[-1], apart)):
        epoch, value = ends[fold][["epoch", "valid_metric"]].iloc[-1]
        early = epoch < last
        axes.annotate(
            fold,
            (epoch if early else 1, value),
            (5, shift),
            xycoords="data" if early else ("axes fraction", "data"),
            textcoords="offset points",
            path_effects=[withStroke(linewidth=3, foreground="white")],
            va="center",
            size=9,
            color="#00543d",
            annotation_clip=False,
        )


def _finding(runs: Runs, stages: Sequence[str]) -> str:
    """Say where the metric ended, and what the last stage added."""
    ends = pd.DataFrame(
        [
            {"fold": fold, "stage": stage, "end": run["valid_metric"].dropna().iloc[-1]}
            for (fold, stage), run in runs.items()
            if run["valid_metric"].notna().any()
        ]
    )
    if not len(ends):
        return "no validation metric"
    last = ends[ends["stage"] == stages[-1]].set_index("fold")["end"]
    if not len(last):
        return f"stage {stages[-1]} has no validation metric"
    text = f"metric ends at {last.mean():.3f}"
    if len(last) > 1:
        text += f" (folds {last.min():.3f} to {last.max():.3f})"
    if len(stages) > 1:
        gains = (last - ends[ends["stage"] == stages[-2]].set_index("fold")["end"]).dropna()
        if len(gains):
            better = (
                ""
                if len(gains) == 1
                else f" ({int((gains > 0).sum())} of {len(gains)} folds better)"
            )
            text += f"; {stages[-1]} adds {style.signed(gains.mean(), 3)}{better}"
    return text
