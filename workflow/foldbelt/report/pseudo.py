"""Pseudo-labels: how many test images were admitted, what they hold, and how sure they are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from foldbelt import store
from foldbelt.report import classes as classes_
from foldbelt.report import style
from foldbelt.report.coverage import class_name, coverage_class

UNMASKED = "confidence (% of the labels or\nboxes that are sure)"


def draw(files: Mapping[str, str], data: str | None, out: str) -> None:
    """Draw how many test images were admitted as pseudo-labels, and what they are like.

    Parameters
    ----------
    files
        'model/round/fold' → pseudo-label file (id, confidence, and masks if the run has any).
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
    masks = all(store.has(path, "mask") for path in files.values())
    true = store.table(data)["coverage"].to_numpy(np.float64) if masks and data else None
    several = max(classes_.count(path) for path in files.values()) if masks else 0
    folds = list(dict.fromkeys(labels["fold"]))
    middle = [4.2 if several == 1 else max(4.2, 0.42 * several)] if masks else []
    widths = [max(3.6, 0.5 * len(folds)), *middle, 3.4]
    height = 3.6 + 0.25 * labels["series"].nunique() + (0.7 if several > 1 else 0)
    title = _title(table, labels, true, offered)
    with style.figure(out, title, sum(widths), height) as made:
        first, *second, third = made.subplots(1, len(widths), width_ratios=widths)
        _counts(first, labels, folds)
        style.legend(made, first.get_legend_handles_labels()[0], 4)
        if several > 1:
            _compare_classes(second[0], list(files.values()), data, several)
        elif masks:
            _compare_coverage(second[0], table["coverage"].to_numpy(), true)
        levels = 100 * table["confidence"].to_numpy(np.float64)
        third.hist(levels, bins=20, color=style.SKY, edgecolor=style.BLUE, linewidth=0.6)
        third.set(
            xlabel="confidence (% of the pixels\nthat are sure)" if masks else UNMASKED,
            ylabel="admitted images, all folds",
        )


def _counts(axes: Axes, labels: pd.DataFrame, folds: Sequence[str]) -> None:
    """Show how many images each model admitted in each fold, the models side by side."""
    series = labels.groupby("series", sort=False)
    for place, (name, part) in enumerate(series):
        aside = 0.7 * ((place + 0.5) / series.ngroups - 0.5)
        turn, look = divmod(place, len(style.COLOURS))
        axes.plot(
            [folds.index(fold) + aside for fold in part["fold"]],
            part["count"],
            color=style.COLOURS[look],
            marker=style.MARKERS[(look + turn) % len(style.MARKERS)],
            linestyle="",
            markersize=6,
            label=", ".join(str(name).replace("/round", "/round ").split("/")),
        )
    axes.set_xticks(range(len(folds)), folds)
    axes.set(
        xlabel="fold",
        ylabel="test images admitted",
        xlim=(-0.5, len(folds) - 0.5),
        ylim=(0, 1.15 * max(1, labels["count"].max())),
    )


def _split(label: str) -> tuple[str, str]:
    series, _, fold = label.rpartition("/")
    return series or label, fold.removeprefix("fold")


def _admitted(label: str, path: str) -> pd.DataFrame:
    """Coverage (NaN without masks) and confidence of the images in one file."""
    masked = store.has(path, "mask")
    covered = np.full(store.length(path), 0.0 if masked else np.nan)
    for rows, masks in store.blocks(path, "mask") if masked else ():
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
    style.named_ticks(axes, ["none", *names], 0.5)
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
    style.named_ticks(axes, [class_name(number) for number in range(6)], 0.5)
    axes.set(xlabel="coverage of the image", ylabel="% of images")
    axes.legend(fontsize=9)


def _title(
    table: pd.DataFrame, labels: pd.DataFrame, true: np.ndarray | None, offered: set[int | None]
) -> str:
    total = offered.pop() if len(offered) == 1 else None
    among = "" if total is None else f" of {total:,}"
    low, high = int(labels["count"].min()), int(labels["count"].max())
    many = f"{high:,}" if low == high else f"{low:,} to {high:,}"
    text = f"{many}{among} test images admitted per fold"
    if table["coverage"].isna().all():
        return text
    text += f", {style.percent(float((table['coverage'] == 0).mean()))} of them empty"
    if true is not None and len(true):
        text += f" (training: {style.percent(float((true == 0).mean()))})"
    return text
