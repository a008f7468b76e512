"""How folds divide the images: a figure, and a page with the same as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foldbelt import store
from foldbelt.report import classes, known, pages, style
from foldbelt.report.scored import read_folds


@dataclass(frozen=True)
class Amount:
    """How much there is to find in an image, in words."""

    empty: str
    where: str
    unit: str
    nothing: str
    factor: float


_COVERED = Amount(
    "Empty images", "Coverage where not empty", "% of the image covered", "empty", 100
)
_COUNTED = Amount("Without boxes", "Boxes where any", "boxes in an image", "without boxes", 1)


@dataclass(frozen=True)
class Held:
    """Which kinds of things images hold: `there` (N, K) bool, in the order of the folds' table."""

    title: str
    heading: str
    names: list[str]
    there: np.ndarray


def draw(folds: str, data: str, out: str, table: str) -> None:
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
    from foldbelt.folds.splitting import balance as measure

    joined, amount, held = _joined(read_folds(folds), data)
    title = _title(joined, amount) if len(joined) else "No images in the folds"
    note = f"<p>{escape(title)}.</p>"
    if len(joined):
        note += "".join(_held(joined, one) for one in held)
    means = _means(measure(folds, data), store.table(data, joined["id"].tolist()))
    pages.page(table, "Balance of the folds", note + means)
    if not len(joined):
        style.message(out, title)
        return
    numbers = np.sort(joined["fold"].unique())
    strata = sorted(joined["strata"].unique())
    # In inches, colour bars and tick labels included.
    widths = [2.0, *([] if amount is None else [2.3, 3.1]), 3.8 if len(strata) > 1 else 2.6]
    widths += [max(3.4, 2.0 + 0.34 * len(one.names)) for one in held]
    height = 2.0 + 0.36 * len(numbers)
    with style.figure(out, title, sum(widths), height) as made:
        panels = list(made.subplots(1, len(widths), sharey=True, width_ratios=widths))
        first = panels.pop(0)
        parts = [joined[joined["fold"] == number] for number in numbers]
        sizes = [len(part) for part in parts]
        first.barh(numbers, sizes, color=style.SKY, edgecolor=style.BLUE, height=0.62)
        for number, size in zip(numbers, sizes, strict=True):
            first.text(size / 2, number, f"{size:,}", ha="center", va="center")
        first.set(title="Size", xlabel="images", ylabel="fold", yticks=numbers)
        first.invert_yaxis()
        if amount is not None:
            _empties(panels.pop(0), joined, parts, numbers, amount)
            _quantiles(panels.pop(0), joined, parts, numbers, amount)
        _strata(made, panels.pop(0), joined, numbers, strata)
        for axes, one in zip(panels, held, strict=True):
            counts = np.stack([one.there[joined["fold"] == n].sum(axis=0) for n in numbers])
            _heat(made, axes, counts, np.array(sizes), numbers, one.names, most=40)
            axes.set(title=one.title)


def _joined(scheme: pd.DataFrame, data: str) -> tuple[pd.DataFrame, Amount | None, list[Held]]:
    """Add to a table of folds the `amount` of what is to be found, and tell what images hold.

    The amount is NaN where nobody knows it; there is none of labels alone.
    """
    if store.has(data, "mask"):
        covered = store.table(data)[["id", "coverage"]].rename(columns={"coverage": "amount"})
        joined = scheme.merge(covered, on="id", validate="1:1")
        count = classes.count(data)
        if count == 1 or not len(joined):
            return joined, _COVERED, []
        names = classes.mask_names(data, count)
        there = classes.presence(data, joined["id"].tolist())
        return joined, _COVERED, [
            Held("Images with each class", "Images that hold each class", names, there)
        ]  # fmt: skip
    given = known.read(data, scheme["id"].tolist())
    boxed = given.boxes is not None
    counts = np.where(given.counts == known.UNKNOWN, np.nan, given.counts)
    joined = scheme.assign(amount=counts)
    held = []
    if len(given.box_names) > 1:
        heading = "Images that hold boxes of each class"
        held.append(Held("Images with each class", heading, given.box_names, given.holds()))
    if given.label_names:
        heading = "Images that have each label"
        held.append(Held("Images with each label", heading, given.label_names, given.has()))
    return joined, _COUNTED if boxed else None, held


def _held(joined: pd.DataFrame, held: Held) -> str:
    """Make the table of how many images hold each of some kinds, by fold."""
    there, names = held.there, held.names
    lines = [
        [fold, len(rows), *there[rows].sum(axis=0).tolist()]
        for fold, rows in joined.groupby("fold").indices.items()
    ]
    lines.append(["all", len(joined), *there.sum(axis=0).tolist()])
    head = ["fold", "images", *names]
    made = pages.rows(head, lines, [True] * len(head), [len(lines) - 1])
    several = held.title.rpartition(" ")[2]
    several += "es" if several.endswith("s") else "s"
    note = ""
    if (there.sum(axis=1) > 1).any() or several == "classes":
        note = f"<p>An image that holds several {several} counts in each of them.</p>"
    return f"<h2>{held.heading}</h2>{note}{made}"


def _means(measured: pd.DataFrame, images: pd.DataFrame) -> str:
    """Make the table of the means, without what is the same in all images and so tells nothing.

    `measured` is from :func:`foldbelt.folds.balance`, which marks names that it uses itself.
    """
    same = []
    for name in images:
        column = f"{name} (column)" if name in ("fold", "images", "groups") else name
        if len(images) > 1 and column in measured and images[name].nunique(dropna=False) == 1:
            measured = measured.drop(columns=column)
            same.append(f"{name} {pages.cell(images[name].iloc[0].item())}")
    note = f"<p>Left out, as the same in all images: {escape(', '.join(same))}.</p>" if same else ""
    return f"<h2>Sizes of the folds, and means over their images</h2>{pages.frame(measured)}{note}"


def _title(joined: pd.DataFrame, amount: Amount | None) -> str:
    by = joined.groupby("fold")
    sizes = by.size()
    empty = by["amount"].agg(lambda part: (part.dropna() == 0).mean())
    split = int((joined.groupby("group")["fold"].nunique() > 1).sum())
    largest = int(joined.groupby("group").size().max())
    shares = f"{style.percent(empty.min())} to {style.percent(empty.max())}"
    if style.percent(empty.min()) == style.percent(empty.max()):
        shares = style.percent(empty.min())
    groups = style.plural(joined["group"].nunique(), "group")
    grouping = f"{groups} (the largest of {largest}), none split"
    if split:
        grouping = f"{style.plural(split, 'group')} SPLIT between folds"
    elif largest == 1:
        grouping = "every image is its own group"
    many = f"{sizes.min():,} to {sizes.max():,}"
    many = many if sizes.min() < sizes.max() else f"{sizes.min():,}"
    nothing = "" if amount is None else f", {shares} of them {amount.nothing}"
    return f"{style.plural(by.ngroups, 'fold')} of {many} images{nothing}; {grouping}"


def _empties(
    axes: Axes,
    joined: pd.DataFrame,
    parts: Sequence[pd.DataFrame],
    numbers: np.ndarray,
    amount: Amount,
) -> None:
    overall = 100 * float((joined["amount"].dropna() == 0).mean())
    shares = [100 * float((part["amount"].dropna() == 0).mean()) for part in parts]
    axes.axvline(overall, color=style.GREY, linestyle="--", linewidth=1.2)
    axes.plot(shares, numbers, "o", color=style.BLUE, markersize=7)
    reach = max(5.0, 1.6 * max(abs(share - overall) for share in shares))
    axes.set_xlim(max(-1.0, overall - reach), min(101.0, overall + reach))
    axes.set(title=amount.empty, xlabel="% of the fold's images\n(dashed: all folds)")


def _quantiles(
    axes: Axes,
    joined: pd.DataFrame,
    parts: Sequence[pd.DataFrame],
    numbers: np.ndarray,
    amount: Amount,
) -> None:
    """Show the amounts of non-empty images as median, middle half and middle 80 %."""
    for part, number in zip(parts, numbers, strict=True):
        filled = amount.factor * part.loc[part["amount"] > 0, "amount"].to_numpy(np.float64)
        if not len(filled):
            axes.text(0, number, "no positives", va="center", color=style.RED)
            continue
        low, lower, middle, upper, high = np.quantile(filled, [0.1, 0.25, 0.5, 0.75, 0.9])
        axes.plot([low, high], [number, number], color=style.BLUE, linewidth=1.2)
        axes.plot(
            [lower, upper], [number, number], color=style.SKY, linewidth=7, solid_capstyle="butt"
        )
        axes.plot(middle, number, "o", color=style.BLUE, markersize=6)
    filled_all = amount.factor * joined.loc[joined["amount"] > 0, "amount"]
    if len(filled_all):
        axes.axvline(filled_all.median(), color=style.GREY, linestyle="--", linewidth=1.2)
    axes.set_xlim(left=0)
    axes.set(
        title=amount.where,
        xlabel=f"{amount.unit}\n(median, middle 50 and 80 %)",
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
    few = _heat(made, axes, counts, counts.sum(axis=1), numbers, strata)
    named = "" if few else f"{len(strata)} strata, in the order of their names"
    axes.set(title="Images by stratum" if few else "Strata", xlabel=named)


def _heat(
    made: Figure,
    axes: Axes,
    counts: np.ndarray,
    sizes: np.ndarray,
    numbers: np.ndarray,
    names: list[str],
    most: int = 8,
) -> bool:
    """Colour counts (folds, kinds) by what they have above an even share; tell if they are named.

    `sizes` (folds,) are the images of each fold. More than `most` kinds are not named.
    """
    expected = counts.sum(axis=0) * sizes[:, None] / sizes.sum()
    excess = counts - expected
    reach = max(2.0, np.ceil(np.abs(excess).max()))
    edges = np.arange(len(names) + 1) - 0.5
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
    few = len(names) <= most
    axes.set_xticks(range(len(names)) if few else [])
    if few:
        axes.set_xticklabels(
            [style.fit(name, 1.6, 9) for name in names],
            size=9,
            rotation=45,
            ha="right",
            rotation_mode="anchor",
        )
        for row, number in enumerate(numbers):
            for column in range(len(names)):
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
    made.colorbar(drawn, ax=axes, label="images more than\nan even share", shrink=0.9)
    return few
