"""Figures of what goes in: training images, what networks see of them, how folds divide them."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foldbelt import store
from foldbelt.plots import pages, style
from foldbelt.plots.scored import read_folds

# Upper bounds of the coverage classes; empty images are a class of their own.
BOUNDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
ROWS = 6
LABEL_INCHES = 0.95


def coverage_class(coverage: np.ndarray) -> np.ndarray:
    """Class of each coverage (N,) in [0, 1]: 0 for empty, then up to 10, 25, 50, 75 and 100 %."""
    return np.searchsorted(BOUNDS, np.asarray(coverage, np.float64), side="left").clip(0, 5)


def class_name(number: int) -> str:
    """Name a coverage class, as '10–25 %'."""
    if number == 0:
        return "empty"
    return f"{100 * BOUNDS[number - 1]:.0f}–{100 * BOUNDS[number]:.0f} %"


def mask_names(data: str, count: int) -> list[str]:
    """Names of the K mask channels, from the file's attributes where they are known."""
    attributes = store.attrs(data)
    names = attributes.get("class_names")
    if names is None or len(names) != count:
        names = [f"class {number + 1}" for number in range(count)]
    return [str(name) for name in names]


def _choose(classes: np.ndarray, across: int, seed: int) -> list[np.ndarray]:
    """Pick rows of the contact sheet: positions of up to `across` images each, classes in order."""
    present = np.unique(classes)
    each = max(1, ROWS // max(1, len(present)))
    random = np.random.default_rng(seed)
    rows = []
    for number in present:
        members = np.flatnonzero(classes == number)
        picked = random.permutation(members)[: each * across]
        rows += [picked[at : at + across] for at in range(0, len(picked), across)]
    return rows


def examples(data: str, out: str, seed: int = 0) -> None:
    """Draw a contact sheet of training images, a row (or more) for each class of coverage.

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
    coverage = table["coverage"].to_numpy(np.float64)
    classes = coverage_class(coverage)
    sizes = store.original_sizes(data)
    aspect = float(np.median(sizes[:, 0] / sizes[:, 1]))
    across = 8 if aspect > 0.6 else 4
    rows = _choose(classes, across, seed)
    across = max(4, max(map(len, rows)))
    ids = table["id"].to_numpy()
    wanted = [str(name) for row in rows for name in ids[row]]
    images = store.read(data, "image", wanted)
    truths = list(store.truth(data, wanted))
    count = truths[0][0].shape[-1]
    cell = 10.4 / across if aspect <= 0.6 else 1.3
    width, height = LABEL_INCHES + across * cell, len(rows) * (cell * min(aspect, 1.4) + 0.05) + 0.4
    with style.figure(out, _title(table, sizes), width, height, **style.TIGHT) as made:
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
                    style.outline(axes, truth[..., channel], *_look(channel))
                style.hatch(axes, ignored)
                hidden |= ignored is not None
                at += 1
            number = int(classes[row[0]])
            if number != before:
                share = style.percent(float((classes == number).mean()))
                text = f"{class_name(number)}\n({share}\nof images)"
                line[0].text(1, 1, text, transform=line[0].transAxes, ha="right", va="top")
            before = number
        _legend(made, data, count, hidden)


def _look(channel: int) -> tuple[str, object]:
    return (
        style.CLASS_COLOURS[channel % len(style.CLASS_COLOURS)],
        style.LINES[channel % len(style.LINES)],
    )


def _legend(made: Figure, data: str, count: int, ignored: bool) -> None:
    names = ["outline of the mask"] if count == 1 else mask_names(data, count)
    handles: list = [
        style.key(*_look(channel)[:1], name, _look(channel)[1])
        for channel, name in enumerate(names)
    ]
    if ignored:
        handles.append(style.ignored_patch())
    made.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))


def _title(table: pd.DataFrame, sizes: np.ndarray) -> str:
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
        f"{size} (height × width). Rows: share of the image that the mask covers; "
        "images drawn at random within a row."
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
    with style.figure(
        out, _channels_title(recipes), max(7.0, 2.1 * width), 2.0 * len(ids) + 1.0
    ) as made:
        grid = made.subplots(len(ids), width, squeeze=False)
        for row, (name, image) in enumerate(zip(ids, images, strict=True)):
            style.tile(grid[row, 0], image)
            grid[row, 0].set_ylabel(style.shorten(name, 16), size=9)
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
        "fit": attributes.get("fit", ""),
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
    if recipe["fit"].startswith("pad") and (h < height or w < width):
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
        fit = "" if (h, w) == (height, width) else f", {recipe['fit']} to {height}×{width}"
        padded |= bool(fit) and recipe["fit"].startswith("pad")
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


def balance(folds: str, data: str, out: str, table: str) -> None:
    """Draw how folds divide the images, and write the same as a page with a table.

    Parameters
    ----------
    folds
        The CSV of a fold scheme: id, fold, strata, group.
    data
        The training data, data/train.h5.
    out
        An SVG.
    table
        An HTML page.
    """
    from foldbelt.folds import balance as measure

    scheme = read_folds(folds)
    joined = scheme.merge(store.table(data)[["id", "coverage"]], on="id", validate="1:1")
    title = _balance_title(joined) if len(joined) else "No images in the folds"
    pages.frame(measure(folds, data), table, "Balance of the folds", title)
    if not len(joined):
        style.message(out, title)
        return
    numbers = np.sort(joined["fold"].unique())
    strata = sorted(joined["strata"].unique())
    height = 1.5 + 0.36 * len(numbers)
    with style.figure(out, title, 11, height) as made:
        first, second, third, fourth = made.subplots(
            1, 4, sharey=True, width_ratios=(1, 1, 1.4, 1.6 if len(strata) > 1 else 0.6)
        )
        parts = [joined[joined["fold"] == number] for number in numbers]
        sizes = [len(part) for part in parts]
        first.barh(numbers, sizes, color=style.SKY, edgecolor=style.BLUE, height=0.62)
        for number, size in zip(numbers, sizes, strict=True):
            first.text(size / 2, number, f"{size:,}", ha="center", va="center")
        first.set(title="Size", xlabel="images", ylabel="fold", yticks=numbers)
        first.invert_yaxis()
        _empties(second, joined, parts, numbers)
        _quantiles(third, joined, parts, numbers)
        _strata(made, fourth, joined, numbers, strata)


def _balance_title(joined: pd.DataFrame) -> str:
    by = joined.groupby("fold")
    sizes, empty = by.size(), by["coverage"].agg(lambda part: (part == 0).mean())
    split = int((joined.groupby("group")["fold"].nunique() > 1).sum())
    largest = int(joined.groupby("group").size().max())
    shares = f"{style.percent(empty.min())} to {style.percent(empty.max())}"
    if style.percent(empty.min()) == style.percent(empty.max()):
        shares = style.percent(empty.min())
    held = (
        f"{style.plural(joined['group'].nunique(), 'group')} (the largest of {largest}), none split"
        if split == 0
        else f"{style.plural(split, 'group')} SPLIT between folds"
    )
    return (
        f"{style.plural(by.ngroups, 'fold')} of {sizes.min():,} to {sizes.max():,} images, "
        f"{shares} of them empty; {held}"
    )


def _empties(
    axes: Axes, joined: pd.DataFrame, parts: list[pd.DataFrame], numbers: np.ndarray
) -> None:
    overall = 100 * float((joined["coverage"] == 0).mean())
    shares = [100 * float((part["coverage"] == 0).mean()) for part in parts]
    axes.axvline(overall, color=style.GREY, linestyle="--", linewidth=1.2)
    axes.plot(shares, numbers, "o", color=style.BLUE, markersize=7)
    reach = max(5.0, 1.6 * max(abs(share - overall) for share in shares))
    axes.set_xlim(max(-1.0, overall - reach), min(101.0, overall + reach))
    axes.set(title="Empty images", xlabel="% of the fold's images\n(dashed: all folds)")


def _quantiles(
    axes: Axes, joined: pd.DataFrame, parts: list[pd.DataFrame], numbers: np.ndarray
) -> None:
    """Show the coverage of non-empty images as median, middle half and middle 80 %."""
    for part, number in zip(parts, numbers, strict=True):
        filled = 100 * part.loc[part["coverage"] > 0, "coverage"].to_numpy(np.float64)
        if not len(filled):
            axes.text(0, number, "no positives", va="center", color=style.RED)
            continue
        low, lower, middle, upper, high = np.quantile(filled, [0.1, 0.25, 0.5, 0.75, 0.9])
        axes.plot([low, high], [number, number], color=style.BLUE, linewidth=1.2)
        axes.plot(
            [lower, upper], [number, number], color=style.SKY, linewidth=7, solid_capstyle="butt"
        )
        axes.plot(middle, number, "o", color=style.BLUE, markersize=6)
    every = 100 * joined.loc[joined["coverage"] > 0, "coverage"]
    if len(every):
        axes.axvline(every.median(), color=style.GREY, linestyle="--", linewidth=1.2)
    axes.set_xlim(left=0)
    axes.set(
        title="Coverage where not empty",
        xlabel="% of the image covered\n(median, middle 50 and 80 %)",
    )


def _strata(
    made: Figure, axes: Axes, joined: pd.DataFrame, numbers: np.ndarray, strata: list[str]
) -> None:
    """Show each stratum's count in each fold against its even share."""
    counts = (
        joined.groupby(["fold", "strata"])
        .size()
        .unstack(fill_value=0)
        .reindex(numbers, columns=strata)
    ).to_numpy(np.float64)
    expected = counts.sum(axis=0) * counts.sum(axis=1, keepdims=True) / counts.sum()
    excess = counts - expected
    reach = max(2.0, np.ceil(np.abs(excess).max()))
    edges = np.arange(len(strata) + 1) - 0.5
    drawn = axes.pcolormesh(
        edges,
        np.append(numbers - 0.5, numbers[-1] + 0.5),
        excess,
        cmap="PuOr_r",
        vmin=-reach,
        vmax=reach,
        edgecolors="white",
        linewidth=0.5,
    )
    axes.grid(False)
    few = len(strata) <= 8
    axes.set_xticks(range(len(strata)) if few else [])
    if few:
        axes.set_xticklabels(
            [style.shorten(name, 12) for name in strata],
            rotation=0 if len(strata) <= 3 else 45,
            ha="center" if len(strata) <= 3 else "right",
        )
        for row, number in enumerate(numbers):
            for column in range(len(strata)):
                dark = abs(excess[row, column]) > 0.6 * reach
                axes.text(
                    column,
                    number,
                    f"{counts[row, column]:.0f}",
                    ha="center",
                    va="center",
                    size=9,
                    color="white" if dark else "black",
                )
    named = "" if few else f"{len(strata)} strata, in the order of their names"
    axes.set(title="Images by stratum" if few else "Strata", xlabel=named)
    made.colorbar(drawn, ax=axes, label="images more than\nan even share", shrink=0.9)
