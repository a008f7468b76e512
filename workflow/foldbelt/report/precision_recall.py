"""Precision against recall, class by class, with average precision."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from foldbelt.bootstrap import FEWEST, caution
from foldbelt.level import percent
from foldbelt.report import panels, style
from foldbelt.report.ranking import Curve, Curves

PANEL, ALONE = 2.75, 4.6  # inches, of one among many and of a single one
LEAST_WIDTH = 7.5
FINEST, COARSE = 250, 60  # steps of a curve that are drawn, and of the grey ones


def draw(curves: Curves, what: str, out: str) -> None:
    """Draw precision against recall, a panel a class.

    Parameters
    ----------
    curves
        From :func:`foldbelt.report.ranking.of_boxes`, ``of_labels`` or
        ``of_both``.
    what
        'box', 'label', or 'class' where there are both.
    out
        An SVG.
    """
    shown = [curves.each[k] for k in panels.choose([curve.true for curve in curves.each])]
    if not shown or not any(curve.true for curve in shown):
        style.message(out, f"No true {what} to rank", f"No image is known to have a {what}.")
        return
    across = _across(len(shown))
    side = ALONE if len(shown) == 1 else PANEL
    width = max(LEAST_WIDTH, across * side)
    height = -(-len(shown) // across) * (side + 0.65) + 0.8
    with style.figure(out, _title(curves, what), width, height) as made:
        cells = panels.grid(made, len(shown), across)
        for place, ((axes,), curve) in enumerate(zip(cells, shown, strict=True)):
            others = [other for other in shown if other is not curve and other.true]
            rest = [_steps(other, COARSE) for other in others]
            if rest:  # one line with gaps: with many classes, one for each would be slow
                gaps = [np.append(steps, [[np.nan], [np.nan]], axis=1) for steps in rest]
                axes.plot(*np.concatenate(gaps, axis=1), color=style.PALE, linewidth=0.8)
            _curve(axes, curve, width / across - 0.75)
            last, first = place >= len(shown) - across, place % across == 0
            axes.tick_params(labelbottom=last, labelleft=first)  # all panels have the same axes
            if last:
                true = "ones" if what == "class" else _plural(what)
                axes.set_xlabel(f"recall (share of true {true})")
            if first:
                axes.set_ylabel("precision (share right)")
        style.legend(made, _handles(shown, what), 4)


def _across(count: int) -> int:
    """Give how many panels stand side by side: 3 and 3 rather than 4 and 2."""
    lines = -(-count // panels.ACROSS)
    return -(-count // lines)


def _curve(axes: Axes, curve: Curve, room: float) -> None:
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.05)
    axes.set_aspect("equal")
    axes.set_xticks(panels.SHARES, panels.SHARE_NAMES)
    axes.set_yticks(panels.SHARES, panels.SHARE_NAMES)
    if curve.candidates and curve.true:
        share = curve.true / curve.candidates
        axes.axhline(share, color=style.GREY, linestyle=":", linewidth=1.2)
    counts = f"{curve.true:,} true"
    if curve.candidates is None:
        counts += f", {curve.found:,} found"
    if not curve.true:
        panels.heading(axes, curve.name, ["no truth: not counted", counts], room)
        return
    axes.plot(*_steps(curve), color=style.BLUE, linewidth=2)
    if curve.at is not None and curve.cut is not None:
        axes.plot(*curve.at, "o", color=style.ORANGE, markeredgecolor=style.BLACK, markersize=7)
        # Where the curve leaves room: below it on the right, above it on the left.
        right = curve.at[0] > 0.5
        axes.annotate(
            f"≥ {curve.cut:.2f}",
            curve.at,
            xytext=(-8 if right else 8, -8),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            size=8,
            path_effects=[withStroke(linewidth=2.5, foreground=style.WHITE)],
        )
    area = f"AP {curve.area:.3f}{panels.interval(curve.interval)}"
    panels.heading(axes, curve.name, [area, counts], room)


def _steps(curve: Curve, finest: int = FINEST) -> tuple[np.ndarray, np.ndarray]:
    """Give the corners of a curve whose steps enclose its average precision.

    Of the steps that are closer than can be seen the last is enough; thousands would make a large
    file.
    """
    seen = np.diff(np.floor(curve.recall * finest), append=finest + 1) > 0
    recall = np.repeat([0, *curve.recall[seen]], 2)[1:]
    precision = np.append(np.repeat(curve.precision[seen], 2), 0)
    return recall, precision


def _handles(shown: list[Curve], what: str) -> list[Line2D]:
    handles = [Line2D([], [], color=style.BLUE, linewidth=2, label="this class")]
    if what == "label":
        handles[0].set_label("this label")
    if len(shown) > 1:
        handles.append(Line2D([], [], color=style.PALE, label="the others"))
    score = "probability" if what == "label" else "score"
    text = f"highest F1, with the {score} from which on"
    dot = Line2D([], [], color=style.ORANGE, marker="o", markersize=7, linestyle="", label=text)
    dot.set_markeredgecolor(style.BLACK)
    handles.append(dot)
    if any(curve.candidates for curve in shown):
        handles.append(Line2D([], [], color=style.GREY, linestyle=":", label="guessing"))
    return handles


def _title(curves: Curves, what: str) -> str:
    known = [curve for curve in curves.each if math.isfinite(curve.area)]
    if what == "class":
        text = f"Mean average precision {curves.mean:.3f}"
    elif len(curves.each) == 1:
        text = f"Average precision of {_plural(what)} {curves.mean:.3f}"
    else:
        text = f"Mean average precision of {_plural(what)} {curves.mean:.3f}"
    text += panels.interval(curves.interval, 3)
    if len(known) > 1:
        best = max(known, key=lambda curve: curve.area)
        worst = min(known, key=lambda curve: curve.area)
        if best.area > worst.area:
            text += (
                f"; {best.name} does best ({best.area:.2f}), {worst.name} worst ({worst.area:.2f})"
            )
    how = "Out of fold. "
    if any(curve.candidates is None for curve in curves.each):
        how += "A box is right if its IoU with a true one of its class exceeds .5. "
    how += "The area below a curve is its average precision (AP)"
    if curves.groups >= FEWEST:
        how += f", in brackets its {percent()} interval over {curves.groups:,} groups"
    how += f"; {caution(curves.groups)}." if caution(curves.groups) else "."
    missing = len(curves.each) - len(known)
    if missing:
        how += f" Without truth, and not in the mean: {missing}."
    return f"{text}\n{how}{panels.left_out(len(curves.each), 'classes')}"


def _plural(what: str) -> str:
    return {"box": "boxes", "label": "labels", "class": "classes"}[what]
