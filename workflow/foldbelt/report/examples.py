"""The contact sheet of training images, with their masks outlined."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from foldbelt import store
from foldbelt.report import classes as classes_
from foldbelt.report import style
from foldbelt.report.coverage import BOUNDS, class_name, coverage_class

ROWS = 6
LABEL_INCHES, WIDEST_LABEL = 0.95, 2.0
_ROWS_OF_COVERAGE = (
    "Rows: share of the image that the mask covers; images drawn at random within a row."
)
_ROWS_OF_CLASSES = (
    "Rows: the rarest class that an image holds, drawn at random within a row; in brackets the "
    "share of all images that hold the class, be it their rarest or not."
)


def draw(data: str, out: str, seed: int = 0) -> None:
    """Draw a contact sheet of training images, a row (or more) for each class of coverage.

    Where there are several classes of masks, a row is of the images that hold one of them; an image
    that holds several is shown with the rarest.

    Parameters
    ----------
    data
        The training data, data/train.h5.
    out
        A PNG.
    seed
        Which images of each class are shown.
    """
    table = store.table(data).sort_values("id", kind="stable", ignore_index=True)
    if not len(table):
        style.message(out, "No training images")
        return
    count = classes_.count(data)
    if count == 1:
        classes = coverage_class(table["coverage"].to_numpy(np.float64))
        names = [class_name(number) for number in range(len(BOUNDS))]
        shares = [float((classes == number).mean()) for number in range(len(BOUNDS))]
    else:
        there = classes_.presence(data, table["id"].tolist())
        classes = classes_.kinds(there)
        shares = [float((classes == 0).mean()), *there.mean(axis=0).tolist()]
        names = ["nothing", *classes_.mask_names(data, count)]
    sizes = store.original_sizes(data)
    aspect = float(np.median(sizes[:, 0] / sizes[:, 1]))
    across = 8 if aspect > 0.6 else 4
    most = ROWS if count == 1 else (count + 1) * (2 if count <= 6 else 1)
    rows = _choose(classes, across, seed, most)
    across = max(4, max(map(len, rows)))
    ids = table["id"].to_numpy()
    wanted = [str(name) for row in rows for name in ids[row]]
    images = store.read(data, "image", wanted)
    truths = list(store.truth(data, wanted))
    cell = 10.4 / across if aspect <= 0.6 else 1.3
    names = [style.fit(name, WIDEST_LABEL - 0.1) for name in names]
    label = max(LABEL_INCHES, *(0.1 + style.inches(name) for name in names))
    width, height = label + across * cell, len(rows) * (cell * min(aspect, 1.4) + 0.05) + 0.4
    low = cell * aspect < 0.7  # no room for three lines beside it
    with style.figure(out, _title(table, sizes, count), width, height, **style.TIGHT) as made:
        grid = made.subplots(
            len(rows), across + 1, squeeze=False, width_ratios=[label, *[cell] * across]
        )
        for axes in grid.flat:
            style.bare(axes)
        at, before, hidden = 0, -1, False
        for line, row in zip(grid, rows, strict=True):
            for axes in line[1 : 1 + len(row)]:
                truth, ignored = truths[at]
                style.tile(axes, images[at], truth.shape[:2])
                for channel in range(count):
                    style.outline(axes, truth[..., channel], *classes_.look(channel))
                style.hatch(axes, ignored)
                hidden |= ignored is not None
                at += 1
            number = int(classes[row[0]])
            if number != before:
                share = style.percent(shares[number])
                text = f"{names[number]}\n({share}" + (")" if low else "\nof images)")
                line[0].text(
                    1,
                    1,
                    text,
                    transform=line[0].transAxes,
                    ha="right",
                    va="top",
                    size=9 if low else None,
                )
            before = number
        _legend(made, data, count, hidden)


def _choose(classes: np.ndarray, across: int, seed: int, most: int = ROWS) -> list[np.ndarray]:
    """Pick rows of the contact sheet: positions of up to `across` images each, classes in order."""
    present = np.unique(classes)
    each = max(1, most // max(1, len(present)))
    random = np.random.default_rng(seed)
    rows = []
    for number in present:
        members = np.flatnonzero(classes == number)
        picked = random.permutation(members)[: each * across]
        rows += [picked[at : at + across] for at in range(0, len(picked), across)]
    return rows


def _legend(made: Figure, data: str, count: int, ignored: bool) -> None:
    names = ["outline of the mask"] if count == 1 else classes_.mask_names(data, count)
    looks = map(classes_.look, range(count))
    handles: list = [
        style.key(colour, name, line) for name, (colour, line) in zip(names, looks, strict=True)
    ]
    if ignored:
        handles.append(style.ignored_patch())
    style.legend(made, handles, 6)


def _title(table: pd.DataFrame, sizes: np.ndarray, count: int) -> str:
    coverage = table["coverage"].to_numpy(np.float64)
    filled = coverage[coverage > 0]
    empty = style.percent(float((coverage == 0).mean())) if (coverage == 0).any() else "none"
    low, high = sizes.min(axis=0), sizes.max(axis=0)
    size = f"{low[0]}×{low[1]} pixels"
    if (low != high).any():
        size = f"From {size} to {high[0]}×{high[1]}"
    covered = "there is nothing to find"
    if len(filled):
        those = "the median" + (" of the others" if len(filled) < len(table) else "")
        covered = f"{those} is covered by {style.percent(float(np.median(filled)))}"
    return (
        f"{style.plural(len(table), 'training image')}: {empty} empty, {covered}\n"
        f"{size} (height × width). {_ROWS_OF_COVERAGE if count == 1 else _ROWS_OF_CLASSES}"
    )
