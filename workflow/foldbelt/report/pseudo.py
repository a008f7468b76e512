"""Pseudo-labels: how many test images were admitted, what they hold, and how sure they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from foldbelt import store
from foldbelt.report import classes as classes_
from foldbelt.report import known, style
from foldbelt.report.coverage import class_name, coverage_class
from foldbelt.report.known import Known

_COVERAGE = "coverage of the image"


@dataclass(frozen=True)
class Shares:
    """Shares of the admitted images, and of the training images where they are known, by kind."""

    what: str
    names: list[str]
    admitted: np.ndarray
    training: np.ndarray | None


def draw(files: Mapping[str, str], data: str | None, out: str) -> None:
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
    masked = any(store.has(path, "mask") for path in files.values())
    shown = _of_masks(files, table, data) if masked else _without_masks(files, data)
    named = shown[0].what != _COVERAGE  # names of classes may be long, and are slanted then
    folds = list(dict.fromkeys(labels["fold"]))
    widths = [max(3.6, 0.5 * len(folds)), *map(_width, shown), 3.4]
    height = 3.6 + 0.25 * labels["series"].nunique() + (0.7 if named else 0)
    title = _title(table, labels, _training(data, masked), offered, masked)
    with style.figure(out, title, sum(widths), height) as made:
        first, *others, last = made.subplots(1, len(widths), width_ratios=widths)
        _counts(first, labels, folds)
        style.legend(made, first.get_legend_handles_labels()[0], 4)
        for axes, one in zip(others, shown, strict=True):
            _compare(axes, one)
        levels = 100 * table["confidence"].to_numpy(np.float64)
        last.hist(levels, bins=20, color=style.SKY, edgecolor=style.BLUE, linewidth=0.6)
        kinds = ["boxes", "labels"]
        held = [kind for kind in kinds if any(store.has(path, kind) for path in files.values())]
        sure = "pixels" if masked else " and ".join(held)
        last.set(
            xlabel=f"confidence (% of the {sure}\nthat are sure)",
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
    """What there is to find in the images of one file, NaN of labels alone, and confidence."""
    count = store.length(path)
    amount = np.full(count, np.nan)
    if store.has(path, "mask"):
        for rows, masks in store.blocks(path, "mask"):
            masks = masks if masks.ndim == 4 else masks[..., None]
            amount[rows] = masks.any(axis=-1).mean(axis=(1, 2))
    elif store.has(path, "boxes"):
        amount[:] = store.read(path, "table/boxes")
    confidence = store.read(path, "confidence").astype(np.float64)
    return pd.DataFrame({"label": label, "amount": amount, "confidence": confidence})


def _training(data: str | None, masked: bool) -> np.ndarray | None:
    """Give how much there is to find in the training images, as far as it is known, (N,)."""
    if data is None:
        return None
    table = store.table(data)
    column = "coverage" if masked else "boxes"
    if column not in table:
        return None
    amount = table[column].to_numpy(np.float64)
    return amount if masked else amount[amount >= 0]


def _of_masks(files: Mapping[str, str], table: pd.DataFrame, data: str | None) -> list[Shares]:
    """Count images by the classes that they hold, or by class of coverage."""
    several = max(classes_.count(path) for path in files.values())
    if several == 1:
        true = _training(data, True)
        names = [class_name(number) for number in range(6)]
        admitted = _shares(coverage_class(table["amount"].to_numpy()), 6)
        training = None if true is None or not len(true) else _shares(coverage_class(true), 6)
        return [Shares(_COVERAGE, names, admitted, training)]
    presence = np.concatenate([classes_.presence(path) for path in files.values()])
    training, names = None, [f"class {number + 1}" for number in range(several)]
    if data is not None:
        training = _with_none(classes_.presence(data))
        names = classes_.mask_names(data, several)
    what = "classes that the image holds"
    return [Shares(what, ["none", *names], _with_none(presence), training)]


def _without_masks(files: Mapping[str, str], data: str | None) -> list[Shares]:
    """Count images by their boxes, or by the classes of these, and by their labels."""
    paths = [path for path in files.values() if store.length(path)]
    admitted = [known.read(path, store.read(path, "id").tolist()) for path in paths]
    training = None if data is None else known.read(data, store.read(data, "id").tolist())
    if training is not None and not training.ids:
        training = None
    shown = []
    if admitted[0].boxes is not None:
        shown.append(_of_boxes(admitted, training))
    if admitted[0].labels.shape[1]:
        names = (training or admitted[0]).label_names
        mean = np.concatenate([one.labels for one in admitted]).mean(axis=0)
        true = None if training is None else np.nanmean(training.labels, axis=0)
        shown.append(Shares("labels of the image (means)", names, mean, true))
    return shown


def _of_boxes(admitted: Sequence[Known], training: Known | None) -> Shares:
    """Count images by the classes of their boxes, or by their number where there is one class."""
    named = [*admitted, *([] if training is None else [training])]
    names = max((one.box_names for one in named), key=len)
    if training is not None and training.box_names:
        names = training.box_names
    if len(names) > 1:
        holds = np.zeros((sum(len(one.ids) for one in admitted), len(names)), bool)
        start = 0
        for one in admitted:
            there = one.holds()
            holds[start : start + len(there), : there.shape[1]] = there
            start += len(there)
        true = None
        if training is not None:
            true = _with_none(training.holds()[training.counts != known.UNKNOWN])
        what = "classes of boxes that the image holds"
        return Shares(what, ["none", *names], _with_none(holds), true)
    labels = known.count_names()[:-1]
    counts = known.count_class(np.concatenate([one.counts for one in admitted]))
    true = None
    if training is not None:
        given = training.counts[training.counts != known.UNKNOWN]
        true = _shares(known.count_class(given), len(labels))
    return Shares("boxes of the image", labels, _shares(counts, len(labels)), true)


def _shares(classes: np.ndarray, count: int) -> np.ndarray:
    """Give the share of each class, (count,)."""
    shares: np.ndarray = np.bincount(classes, minlength=count) / max(len(classes), 1)
    return shares


def _with_none(there: np.ndarray) -> np.ndarray:
    """Give the share of images without anything, then with each kind; of `there` (N, K)."""
    return np.array([(~there.any(axis=1)).mean(), *there.mean(axis=0)])


def _width(shares: Shares) -> float:
    """Inches of a panel."""
    names = len(shares.names)
    if shares.what == _COVERAGE:
        return 4.2
    return max(4.2, 0.42 * (names - 1))


def _compare(axes: Axes, shares: Shares) -> None:
    """Set the admitted images beside the training images."""
    shown = [("admitted", shares.admitted, style.SKY, style.BLUE, "")]
    if shares.training is not None:
        shown.insert(0, ("training", shares.training, "#f4d9a6", "#8a5f00", "///"))
    count = len(shares.names)
    wide = 0.8 / len(shown)
    how: dict[str, Any] = {"linewidth": 0.8} if shares.what == _COVERAGE else {}
    for place, (name, share, face, edge, hatch) in enumerate(shown):
        at = np.arange(count) - 0.4 + wide * (place + 0.5)
        axes.bar(
            at,
            100 * share,
            wide,
            color=face,
            edgecolor=edge,
            hatch=hatch or None,
            label=name,
            **how,
        )
    style.named_ticks(axes, shares.names, 0.5)
    axes.set(xlabel=shares.what, ylabel="% of images")
    axes.legend(fontsize=9)


def _title(
    table: pd.DataFrame,
    labels: pd.DataFrame,
    true: np.ndarray | None,
    offered: set[int | None],
    masked: bool,
) -> str:
    total = offered.pop() if len(offered) == 1 else None
    among = "" if total is None else f" of {total:,}"
    low, high = int(labels["count"].min()), int(labels["count"].max())
    many = f"{high:,}" if low == high else f"{low:,} to {high:,}"
    text = f"{many}{among} test images admitted per fold"
    if table["amount"].isna().all():
        return text
    empty = style.percent(float((table["amount"] == 0).mean()))
    text += f", {empty} of them {'empty' if masked else 'without boxes'}"
    if true is not None and len(true):
        text += f" (training: {style.percent(float((true == 0).mean()))})"
    return text
