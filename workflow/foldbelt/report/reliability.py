"""Reliability diagram: what was predicted with a probability against how often it came true."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from foldbelt.level import percent
from foldbelt.report import panels, style
from foldbelt.report.calibration import BINS, Bins

PANEL, ALONE = 2.75, 4.6  # inches, of one among many and of a single one
LEAST_WIDTH = 7.5


def draw(bins: Sequence[Bins], what: str, out: str) -> None:
    """Draw a reliability diagram for each class, with the number of predictions below it.

    DeGroot and Fienberg, The Comparison and Evaluation of Forecasters, The Statistician 32, 1983;
    expected calibration error: Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated
    Probabilities Using Bayesian Binning, AAAI 2015.

    Parameters
    ----------
    bins
        From :func:`foldbelt.report.calibration.of_boxes` or ``of_labels``.
    what
        'box' or 'label'.
    out
        An SVG.
    """
    shown = [bins[k] for k in panels.choose([round(_true(one)) for one in bins])]
    if not any(len(one.count) for one in shown):
        text = "No box was predicted." if what == "box" else "No image has a known label."
        style.message(out, "No prediction to compare with the truth", text)
        return
    across = min(panels.ACROSS, len(shown))
    side = ALONE if len(shown) == 1 else PANEL
    width = max(LEAST_WIDTH, across * side)
    height = -(-len(shown) // across) * (side * 1.3 + 0.6) + 0.7
    most = max(int(one.count.max()) for one in shown if len(one.count))
    with style.figure(out, _title(bins, what), width, height) as made:
        cells = panels.grid(made, len(shown), rows=(1, 0.28))
        for place, ((axes, below), one) in enumerate(zip(cells, shown, strict=True)):
            _shares(axes, one, what, width / across - 0.75)
            _counts(below, one, most)
            last, first = place >= len(shown) - across, place % across == 0
            axes.tick_params(labelbottom=False, labelleft=first)  # all panels have the same axes
            below.tick_params(labelbottom=last, labelleft=first)
            if last:
                below.set_xlabel("score" if what == "box" else "predicted probability")
            if first:
                axes.set_ylabel("share of right boxes" if what == "box" else "share with the label")
                below.set_ylabel("boxes" if what == "box" else "images")
        style.legend(made, _handles(shown), 4)


def _shares(axes: Axes, one: Bins, what: str, room: float) -> None:
    axes.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", linewidth=1.4)
    # The distance from the diagonal is what the error is the mean of.
    axes.vlines(one.predicted, one.predicted, one.true, color=style.ORANGE, linewidth=3.5)
    axes.vlines(one.predicted, one.low, one.high, color=style.BLUE, linewidth=1.4)
    axes.plot(one.predicted, one.true, "o", color=style.BLUE, markersize=5.5)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xticks(panels.SHARES, panels.SHARE_NAMES)
    axes.set_yticks(panels.SHARES, panels.SHARE_NAMES)
    noun = ("box", "boxes") if what == "box" else ("image", "images")
    total = int(one.count.sum())
    right = "right" if what == "box" else "with it"
    share = style.percent(_true(one) / total) if total else "–"
    counts = f"{total:,} {noun[total != 1]}, {share} {right}"
    error = f"calibration error {one.error:.3f}" if total else "nothing predicted"
    panels.heading(axes, one.name, [error, counts], room)


def _counts(axes: Axes, one: Bins, most: int) -> None:
    """Draw how many predictions each bin holds; logarithmic, for they crowd at both ends."""
    axes.bar(one.start, one.count, 1 / BINS, align="edge", color=style.SKY, edgecolor=style.WHITE)
    axes.set_yscale("log")
    top = 10 ** max(1, int(np.ceil(np.log10(most * 1.2))))
    axes.set_ylim(0.7, top)
    axes.set_yticks([1, top], ["1", f"{top:,}"])
    axes.set_yticks([], minor=True)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks(panels.SHARES, panels.SHARE_NAMES)
    axes.grid(False)


def _handles(shown: Sequence[Bins]) -> list:
    dot = Line2D([], [], color=style.BLUE, marker="o", linewidth=1.4, label="share in a bin")
    if any(np.isfinite(one.low).any() for one in shown):
        dot.set_label(f"share in a bin, {percent()} interval")
    return [
        dot,
        Line2D([], [], color=style.ORANGE, linewidth=3.5, label="distance from the diagonal"),
        Line2D([], [], color=style.GREY, linestyle=":", linewidth=1.4, label="as often as said"),
        Patch(color=style.SKY, label="predictions in a bin (logarithmic)"),
    ]


def _title(bins: Sequence[Bins], what: str) -> str:
    known = [one for one in bins if np.isfinite(one.error)]
    scores = "Scores of boxes" if what == "box" else "Probabilities of labels"
    over = sum(float((one.predicted * one.count).sum()) for one in known)
    count = sum(int(one.count.sum()) for one in known)
    share = sum(map(_true, known)) / count
    error = sum(one.error * int(one.count.sum()) for one in known) / count
    said, true = f"{over / count:.2f}", f"{share:.2f}"
    text = f"{scores} are off by {error:.3f} in the mean"
    if said != true:
        side = "too high" if said > true else "too low"
        text += f", on the whole {side} ({said} said, {true} true)"
    how = "Out of fold. On the diagonal, what is predicted with .7 is true seven times in ten. "
    if what == "box":
        how += (
            "Scores that only rank, as average precision asks, may lie anywhere. A box is right if "
            "its IoU with a true one of its class exceeds .5. "
        )
    how += "Calibration error: the mean distance from the diagonal, over predictions; lower is "
    how += "better."
    return f"{text}\n{how}{panels.left_out(len(bins), 'classes')}"


def _true(one: Bins) -> float:
    """Count what came true."""
    return float((one.true * one.count).sum())
