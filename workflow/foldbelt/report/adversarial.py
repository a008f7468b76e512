"""Training against test images: how well they can be told apart, by what, and examples."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec

from foldbelt import adversarial, store
from foldbelt.bootstrap import percent
from foldbelt.files import PathLike
from foldbelt.report import style

MOST_FEATURES = 12
_COLUMNS = {1.14: "train", 1.31: "test"}  # where in the axes each part's medians stand
_SIDES = {"least": "Least test-like training images", "most": "Most test-like training images"}


def draw(*, train: str, test: str, likeness: PathLike, report: PathLike, out: str) -> None:
    """Draw the test-likeness of all images, what separates them, and examples.

    Parameters
    ----------
    train, test
        The data files.
    likeness, report
        CSV and JSON that :func:`foldbelt.adversarial.run` wrote.
    out
        A PNG.
    """
    outcome = json.loads(Path(report).read_text(encoding="utf-8"))
    known = {part: adversarial.read(likeness, part) for part in ("train", "test")}
    sizes = store.original_sizes(train)
    aspect = float(np.median(sizes[:, 0] / sizes[:, 1]))
    down, across = (1, 5) if aspect > 0.6 else (2, 2) if aspect > 0.3 else (4, 1)
    width, top = 12.0, 3.9
    cell = (width - 0.4) / (2 * across)
    bottom = down * (cell * min(aspect, 1.6) + 0.32) + 0.45
    with style.figure(out, title(outcome), width, top + bottom) as made:
        grid = made.add_gridspec(2, 1, height_ratios=(top, bottom))
        upper = grid[0].subgridspec(1, 2, width_ratios=(1, 1))
        _histogram(made.add_subplot(upper[0]), known)
        _features(made.add_subplot(upper[1]), outcome["features"][:MOST_FEATURES])
        lower = grid[1].subgridspec(1, 2)
        order = known["train"].sort_index(kind="stable").sort_values(kind="stable")
        count = down * across
        for place, (side, chosen) in enumerate(
            (("least", order.iloc[:count]), ("most", order.iloc[::-1].iloc[:count]))
        ):
            _examples(made, lower[place], train, chosen, _SIDES[side], (down, across))


def title(outcome: Mapping[str, Any]) -> str:
    """Say what the adversarial stage found; its report as read from JSON."""
    low, high = outcome["interval"]
    if low <= 0.5:
        finding = "Training and test images cannot be told apart"
    elif outcome["auc"] < 0.65:
        finding = "Training and test images differ a little"
    elif outcome["auc"] < 0.9:
        finding = "Training and test images differ"
    else:
        finding = "Training and test images are of two kinds"
    images = outcome["images"]
    return (
        f"{finding}: AUC {outcome['auc']:.2f} ({percent()}: {low:.2f} to {high:.2f})\n"
        f"{images['train']:,} training and {style.plural(images['test'], 'test image')}, each "
        f"judged by a classifier ({outcome['classifier']}) that has not seen it; "
        f"{100 * outcome['accuracy']:.0f} % are told right, were both equally frequent. AUC: how "
        "often a test image looks more like one than a training image does; .5 is chance."
    )


def _histogram(axes: Axes, known: Mapping[str, pd.Series]) -> None:
    bins = np.linspace(0, 1, 26)
    looks: dict[str, dict[str, Any]] = {
        "train": {"color": style.SKY, "edgecolor": style.BLUE, "linewidth": 0.8},
        "test": {"histtype": "step", "edgecolor": style.RED, "linewidth": 2.2},
    }
    for part, values in known.items():
        share = np.full(len(values), 100 / len(values))
        name = "training images" if part == "train" else "test images"
        axes.hist(values, bins=list(bins), weights=share, label=name, **looks[part])
    axes.axvline(0.5, color=style.GREY, linestyle="--", linewidth=1.2)
    axes.set(
        title="Test-likeness",
        xlabel="probability of being a test image, were both equally frequent",
        ylabel="% of the training, or of the test, images",
        xlim=(0, 1),
    )
    # Above the axes: within them the bars may reach anywhere.
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        borderaxespad=0.2,
        handlelength=1.5,
        columnspacing=1.2,
        fontsize=9,
    )


def _features(axes: Axes, features: list[dict[str, Any]]) -> None:
    places = np.arange(len(features))
    alone = [row["auc_alone"] for row in features]
    axes.barh(places, np.array(alone) - 0.5, left=0.5, color=style.SKY, edgecolor=style.BLUE)
    for place, row in enumerate(features):
        axes.text(row["auc_alone"] + 0.008, place, f"{row['auc_alone']:.2f}", va="center", size=9)
        for column, part in _COLUMNS.items():
            text = "–" if row[part] is None else _number(row[part])
            where: dict[str, Any] = {
                "xycoords": ("axes fraction", "data"),
                "va": "center",
                "ha": "right",
            }
            axes.annotate(text, (column, place), size=9, **where)
    axes.set_yticks(places, [style.fit(row["meaning"], 2.6) for row in features])
    axes.set_ylim(len(features) - 0.4, -0.6)
    axes.set(title="What separates best", xlabel="AUC of this number alone", xlim=(0.5, 1))
    axes.grid(visible=False, axis="y")
    for column, part in _COLUMNS.items():
        axes.annotate(
            f"median\n{part}", (column, 1.01), xycoords="axes fraction", size=9, ha="right"
        )


def _number(value: float) -> str:
    digits = 3 if abs(value) >= 0.1 else 2
    return f"{value:.{digits}g}".replace("-", "−")


def _examples(
    made: Any,
    place: SubplotSpec,
    data: str,
    chosen: pd.Series,
    name: str,
    shape: tuple[int, int],
) -> None:
    ids = [str(key) for key in chosen.index]
    images = store.read(data, "image", ids)
    sizes = store.original_sizes(data, ids)
    heading = 0.25 if shape[0] == 1 else 0.2  # of the height of a row of images
    grid = place.subgridspec(1 + shape[0], shape[1], height_ratios=[heading, *[1] * shape[0]])
    above = made.add_subplot(grid[0, :])
    style.bare(above)
    above.text(0, 0, name, size=10, va="bottom", transform=above.transAxes)
    for number in range(shape[0] * shape[1]):
        axes = made.add_subplot(grid[1 + number // shape[1], number % shape[1]])
        style.bare(axes)
        if number < len(ids):
            style.tile(axes, images[number], sizes[number])
            axes.set_title(f"{chosen.iloc[number]:.2f}", size=9)
