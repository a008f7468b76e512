"""How the score depends on the pixel threshold, and how sharp the choice is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from foldbelt.decide import Decision, load
from foldbelt.report import style

ACROSS, PANEL_INCHES = 4, 3.4
LEAST_SPAN = 0.01  # of the scores of a panel, or a flat curve would look steep
MOST_NUMBERS = 4  # written out in the title, one a class


def draw(decision: Mapping[int, str], out: str, names: Sequence[str] | None = None) -> None:
    """Draw the mean score against the pixel threshold, for every round and class.

    Parameters
    ----------
    decision
        Round → decision/round{r}.json.
    out
        An SVG.
    names
        Of the classes.
    """
    decisions = {number: load(path) for number, path in decision.items()}
    decisions = {number: loaded for number, loaded in decisions.items() if loaded.curves}
    if not decisions:
        style.message(out, "No threshold was searched")
        return
    classes = max(len(loaded.curves) for loaded in decisions.values())
    across = min(classes, ACROSS)
    lines = -(-classes // across)  # of panels, a round
    width, height = max(8.0, PANEL_INCHES * across), 3.1 * lines * len(decisions) + 0.7
    with style.figure(out, _title(decisions), width, height) as made:
        grid = made.subplots(lines * len(decisions), across, squeeze=False, sharex=True)
        parts = np.split(grid, len(decisions))
        for part, (number, loaded) in zip(parts, decisions.items(), strict=True):
            for axes, curve in zip(part.flat, loaded.curves, strict=False):
                _curve(axes, loaded, curve)
                k = curve["class"]
                name = f"{names[k] if names else f'class {k + 1}'}, " if classes > 1 else ""
                title = style.wrap(f"{name}round {number}", width / across - 0.8)
                axes.set_title("\n".join(title))
                if k >= classes - across:  # nothing below it
                    axes.set_xlabel("pixel threshold (probability)")
                    axes.tick_params(labelbottom=True)
            for axes in part.flat[len(loaded.curves) :]:
                axes.set_visible(False)
            for axes in part[:, 0]:
                axes.set_ylabel("mean score per image")
        style.legend(made, grid[0, 0].get_legend_handles_labels()[0], 2)


def _curve(axes: Axes, decision: Decision, curve: Mapping[str, Any]) -> None:
    grid = np.asarray(curve["threshold"], np.float64)
    order = np.argsort(grid, kind="stable")
    dot = "." if len(grid) == 1 else None
    for place, line in enumerate(curve["folds"].values()):
        axes.plot(
            grid[order],
            np.asarray(line)[order],
            color=style.ORANGE,
            linewidth=0.9,
            alpha=0.8,
            linestyle=(0, (4, 1.5)),
            marker=dot,
            label=None if place else "each fold's images",
        )
    mean = np.asarray(curve["all"])
    axes.plot(
        grid[order],
        mean[order],
        color=style.BLUE,
        linewidth=2.4,
        marker=dot,
        label="all images (optimistic)",
    )
    at = float(np.atleast_1d(decision.params["threshold"])[curve["class"]])
    value = mean[np.abs(grid - at).argmin()]
    axes.plot(
        at,
        value,
        "o",
        color=style.BLUE,
        markeredgecolor="black",
        markersize=9,
        label="chosen on all folds",
    )
    away = [
        float(np.atleast_1d(fold["params"]["threshold"])[curve["class"]])
        for fold in decision.per_fold
    ]
    axes.plot(
        away,
        np.full(len(away), 0.03),
        "^",
        color=style.GREEN,
        markersize=8,
        transform=axes.get_xaxis_transform(),
        label="chosen without one fold (leave-one-fold-out)",
        clip_on=False,
    )
    low, high = axes.get_ylim()
    middle, half = (low + high) / 2, max(high - low, LEAST_SPAN) / 2
    axes.set_ylim(middle - 1.24 * half, middle + half)  # room for the triangles


def _title(decisions: Mapping[int, Decision]) -> str:
    number, decision = list(decisions.items())[-1]
    text = f"Round {number} scores {decision.score:.3f} leave-one-fold-out"
    text += f" (optimistic {decision.optimistic:.3f})"
    if len(decision.curves) == 1:
        curve = decision.curves[0]
        mean, grid = np.asarray(curve["all"]), np.asarray(curve["threshold"])
        near = grid[mean >= mean.max() - 0.005]
        text += f", threshold {np.atleast_1d(decision.params['threshold'])[0]:.2g}"
        if len(near) > 1:
            text += f"; any from {near.min():.2g} to {near.max():.2g} is within .005"
    area, least, gate = (
        np.atleast_1d(decision.params.get(name, 0))
        for name in ("min_area", "min_component", "gate")
    )
    what = "label" if decision.gate_on == "label" else "largest pixel"
    kept = [f"masks under {_list(area)} pixels"] if area.any() else []
    if gate.any():
        kept.append(f"masks whose {what} probability is at most {_list(gate)}")
    effects = [f"components under {_list(least)} pixels are removed"] if least.any() else []
    effects += [f"{' and '.join(kept)} become empty"] if kept else []
    if effects:
        text += f"\nAlong the curves, {'; '.join(effects)}."
        several = any("/" in part for part in effects)
        text += " One number a class, in their order." if several else ""
        text += " Each class has its own number." if any(" to " in part for part in effects) else ""
    if len(decision.curves) > 1:
        text += " " if effects else "\n"
        text += "Every panel has a scale of its own."
    return text


def _list(values: np.ndarray) -> str:
    """Write one number a class, or one for all if they are the same."""
    shown = values[:1] if (values == values[0]).all() else values
    texts = [f"{value:.3g}" if value < 1 else f"{value:g}" for value in shown]
    if len(texts) > MOST_NUMBERS:
        return f"{texts[values.argmin()]} to {texts[values.argmax()]}"
    return " / ".join(texts)
