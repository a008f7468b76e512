"""Figures of what goes in: training images, and what networks see of them."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foldbelt import store
from foldbelt.report import classes as classes_
from foldbelt.report import style

# Upper bounds of the coverage classes; empty images are a class of their own.
BOUNDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
ROWS = 6
LABEL_INCHES = 0.95
_ROWS_TOLD = "Rows: share of the image that the mask covers; images drawn at random within a row."
_KINDS_TOLD = (
    "Rows: the rarest class that an image holds, drawn at random within a row; in brackets the "
    "share of all images that hold the class, be it their rarest or not."
)


def coverage_class(coverage: np.ndarray) -> np.ndarray:
    """Class of each coverage (N,) in [0, 1]: 0 for empty, then up to 10, 25, 50, 75 and 100 %."""
    return np.searchsorted(BOUNDS, np.asarray(coverage, np.float64), side="left").clip(0, 5)


def class_name(number: int) -> str:
    """Name a coverage class, as '10–25 %'."""
    if number == 0:
        return "empty"
    return f"{100 * BOUNDS[number - 1]:.0f}–{100 * BOUNDS[number]:.0f} %"


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


def examples(data: str, out: str, seed: int = 0) -> None:
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
    rows = _choose(classes, across, seed, ROWS if count == 1 else 2 * (count + 1))
    across = max(4, max(map(len, rows)))
    ids = table["id"].to_numpy()
    wanted = [str(name) for row in rows for name in ids[row]]
    images = store.read(data, "image", wanted)
    truths = list(store.truth(data, wanted))
    cell = 10.4 / across if aspect <= 0.6 else 1.3
    width, height = LABEL_INCHES + across * cell, len(rows) * (cell * min(aspect, 1.4) + 0.05) + 0.4
    low = cell * aspect < 0.7  # no room for three lines beside it
    with style.figure(out, _title(table, sizes, count), width, height, **style.TIGHT) as made:
        grid = made.subplots(
            len(rows), across + 1, squeeze=False, width_ratios=[LABEL_INCHES, *[cell] * across]
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


def _legend(made: Figure, data: str, count: int, ignored: bool) -> None:
    names = ["outline of the mask"] if count == 1 else classes_.mask_names(data, count)
    looks = map(classes_.look, range(count))
    handles: list = [
        style.key(colour, name, line) for name, (colour, line) in zip(names, looks, strict=True)
    ]
    if ignored:
        handles.append(style.ignored_patch())
    made.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))


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
        f"{size} (height × width). {_ROWS_TOLD if count == 1 else _KINDS_TOLD}"
    )


def preprocessing(data: str, channels: Mapping[str, str], out: str, count: int = 4) -> None:
    """Draw a few images, and each channel that a network is given of them.

    Parameters
    ----------
    data
        The training data, data/train.h5.
    channels
        Name of each recipe → its channels file.
    out
        A PNG.
    count
        How many images.
    """
    table = store.table(data).sort_values(["coverage", "id"], kind="stable", ignore_index=True)
    if not len(table) or not channels:
        style.message(out, "No training images" if channels else "No channels")
        return
    # Spread over the coverages, from the emptiest to the fullest.
    picks = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int))
    ids = [str(name) for name in table["id"].to_numpy()[picks]]
    images = store.read(data, "image", ids)
    recipes = {name: _recipe(path, ids) for name, path in channels.items()}
    width = 1 + sum(len(recipe["names"]) for recipe in recipes.values())
    aspect = images.shape[1] / images.shape[2]
    low = aspect < 0.4  # no room for an id beside it
    across = min(4.5, 13.5 / width) if low else 2.1
    tall = across * aspect + 0.4 if low else 2.0
    with style.figure(
        out, _channels_title(recipes), max(7.0, across * width), tall * len(ids) + 1.0
    ) as made:
        grid = made.subplots(len(ids), width, squeeze=False)
        for row, (name, image) in enumerate(zip(ids, images, strict=True)):
            style.tile(grid[row, 0], image)
            named = grid[row, 0].set_xlabel if low else grid[row, 0].set_ylabel
            named(style.shorten(name, 40 if low else 16), size=9)
            column = 1
            for recipe in recipes.values():
                for channel in range(len(recipe["names"])):
                    _channel(grid[row, column], recipe, row, channel)
                    column += 1
        heads = ["as stored"] + [
            f"{style.shorten(name, 14)}: {channel}\n" + f"{low:.2g} to {high:.2g}".replace("-", "−")
            for name, recipe in recipes.items()
            for channel, (low, high) in zip(recipe["names"], recipe["ranges"], strict=True)
        ]
        for axes, head in zip(grid[0], heads, strict=True):
            axes.set_title(head, size=10, loc="center")


def _recipe(path: str, ids: list[str]) -> dict:
    """Read one recipe: its values (n,H,W,C) float32 for the ids, names, and shown ranges."""
    attributes = store.attrs(path)
    scale, offset = (np.asarray(attributes[name], np.float32) for name in ("scale", "offset"))
    values = store.read(path, "x", ids) * scale + offset
    whiten = attributes.get("whiten", "none")
    if isinstance(whiten, str) and whiten.startswith("{"):
        whiten = json.loads(whiten)
    return {
        "values": values,
        "names": attributes["names"],
        "ranges": [np.quantile(values[..., c], [0.01, 0.99]) for c in range(values.shape[-1])],
        "whiten": whiten.get("method", "none") if isinstance(whiten, dict) else str(whiten),
        "resize_mode": attributes.get("resize_mode", ""),
        "size": attributes.get("size", values.shape[1:3]),
        "source": attributes.get("source", values.shape[1:3]),
    }


def _channel(axes: Axes, recipe: dict, row: int, channel: int) -> None:
    """Show one whitened channel, framed where the image ends and its padding begins."""
    low, high = recipe["ranges"][channel]
    high = max(high, low + 1e-6)
    values = recipe["values"][row, ..., channel]
    style.tile(axes, values, cmap="gray", vmin=low, vmax=high)
    (height, width), (h, w) = recipe["size"], recipe["source"]
    if recipe["resize_mode"].startswith("pad") and (h < height or w < width):
        top, left = (height - h) // 2, (width - w) // 2
        axes.plot(
            [left, left + w, left + w, left, left],
            [top, top, top + h, top + h, top],
            color=style.ORANGE,
            linestyle=(0, (4, 3)),
            linewidth=1.2,
        )


def _channels_title(recipes: Mapping[str, dict]) -> str:
    parts = []
    padded = False
    for name, recipe in recipes.items():
        (h, w), (height, width) = recipe["source"], recipe["size"]
        fit = "" if (h, w) == (height, width) else f", {recipe['resize_mode']} to {height}×{width}"
        padded |= bool(fit) and recipe["resize_mode"].startswith("pad")
        whiten = "not whitened" if recipe["whiten"] == "none" else f"{recipe['whiten']} whitening"
        parts.append(
            f"{name}: {style.plural(len(recipe['names']), 'channel')}, {whiten}, {h}×{w}{fit}."
        )
    frame = " Dashed: where the image ends and its padding begins." if padded else ""
    return (
        "What the networks see: each channel after whitening\n"
        + " ".join(parts)
        + f" Grey from the 1st to the 99th percentile of the images shown (numbers above).{frame}"
    )
