"""Best and worst images: truth and prediction outlined, with the probability beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foldbelt import store
from foldbelt.decide import load
from foldbelt.files import seed_for
from foldbelt.metrics import score_pairs
from foldbelt.report import style
from foldbelt.report.classes import mask_names
from foldbelt.report.scored import Predicted, by_fold, predict, score_rows

TRUTH, PREDICTION = (style.YELLOW, "-"), (style.BLUE, (0, (3, 1.6)))
MOST_CLASSES = 4  # panels beside one image
GAP = 0.12  # inches between images
SIZE = 9  # of the headings, in points


def rank(rows: pd.DataFrame, which: str, count: int, seed: int) -> pd.DataFrame:
    """Pick the images with the highest or the lowest scores.

    Parameters
    ----------
    rows
        From :func:`foldbelt.report.scored.score_rows`.
    which
        'best' (images that are not empty come first) or 'worst'.
    count
        How many; fewer where there are fewer.
    seed
        Draws among equal scores, of which there are many at 0 and 1.

    Returns
    -------
    DataFrame
        The picked rows, the most extreme first.
    """
    if which not in ("best", "worst"):
        raise ValueError(f"which = {which!r} is unknown; choose 'best' or 'worst'.")
    keys = rows.assign(
        draw=[seed_for(seed, name) for name in rows["id"]],
        last=(rows["coverage"] == 0) if which == "best" else False,
        order=rows["score"].round(9) * (-1 if which == "best" else 1),
    )
    picked = keys.sort_values(["last", "order", "draw", "id"], kind="stable").index[:count]
    return rows.loc[picked]


def draw(
    blend_oof: str,
    data: str,
    decision: str,
    folds: str,
    *,
    which: str,
    out: str,
    count: int = 12,
    seed: int = 0,
    mosaic: str | None = None,
) -> None:
    """Draw the best or the worst images at their original size, as they were scored.

    Parameters
    ----------
    blend_oof
        blend/round{r}/oof.h5.
    data
        data/train.h5.
    decision
        decision/round{r}.json; the parameters fitted without an image's fold are used for it.
    folds
        folds/{folds}.csv.
    which
        'best' or 'worst'.
    out
        A PNG.
    count
        How many.
    seed
        Draws among equal scores.
    mosaic
        The csv of mosaics, for steps that look at neighbours.
    """
    scored_rows = score_rows(blend_oof, data, decision, folds)
    rows = rank(scored_rows, which, count, seed)
    if not len(rows):
        style.message(out, "No out-of-fold predictions to show")
        return
    decisions = by_fold(load(decision))
    ids = rows["id"].tolist()
    shown = predict(blend_oof, data, [decisions[fold] for fold in rows["fold"]], ids, mosaic)
    images = store.read(data, "image", ids)
    classes = shown[0].truth.shape[-1]
    names = mask_names(data, classes)
    sizes = [prediction.truth.shape[:2] for prediction in shown]
    aspect = float(np.median([height / width for height, width in sizes]))
    wide = aspect < 0.4 and classes > 1  # then one class is shown large, rather than all tiny
    panels = 2 if wide else 1 + min(classes, MOST_CLASSES)
    across = 1 if wide else min(len(rows), max(1, round((8 if aspect >= 0.6 else 4) / panels)))
    down = -(-len(rows) // across)
    cell = min(5.6 if wide else 3.2, 13 / (across * panels))
    width = max(7.5, across * (panels * cell + GAP))
    room = width / (across * panels) - 0.15  # of the heading of a panel
    metric = load(decision).metric
    scored = [_scores(prediction, metric) for prediction in shown]
    chosen = [
        [_most_telling(prediction, scores)] if wide else _channels(prediction, panels - 1).tolist()
        for prediction, scores in zip(shown, scored, strict=True)
    ]
    headings = [
        [
            _image_heading(str(row.id), row.score, row.fold, room),
            *(
                _heading(prediction, k, scores[k], names if classes > 1 else (), room)
                for k in channels
            ),
        ]
        for row, prediction, scores, channels in zip(
            rows.itertuples(index=False), shown, scored, chosen, strict=True
        )
    ]
    tallest = max(len(lines) for image in headings for lines in image)
    height = down * (cell * min(aspect, 1.6) + 0.16 * tallest + 0.2) + 0.4
    missed = sum(map(_misses, shown, scored))
    title = _title(scored_rows, rows, which, wide, missed)
    with style.figure(out, title, width, height, **style.TIGHT) as made:
        # The last panel of each image is left empty: a gap to its neighbour.
        ratios = [*[cell] * panels, GAP] * across
        grid = made.subplots(down, len(ratios), squeeze=False, width_ratios=ratios)
        for axes in grid.flat:
            style.bare(axes)
        cells = grid.reshape(down * across, panels + 1)[:, :-1]
        for axes, prediction, image, channels, texts in zip(
            cells, shown, images, chosen, headings, strict=False
        ):
            colours = _colours(classes, channels)
            _image(axes[0], image, prediction, colours)
            for panel, channel in zip(axes[1:], channels, strict=True):
                _probability(panel, prediction, channel, colours[channel])
            for panel, lines in zip(axes, texts, strict=True):
                panel.set_title("\n".join(lines), size=SIZE, loc="center")
        _legend(made, names, any(prediction.ignore is not None for prediction in shown))


def _colours(classes: int, channels: Sequence[int]) -> list[str]:
    """Give each class its colour, (K,).

    Where there are more classes than colours, those with a panel of their own get one each, which
    the panel shows, and all others are pale.
    """
    if classes <= len(style.CLASS_COLOURS):
        return list(style.CLASS_COLOURS[:classes])
    colours = [style.PALE] * classes
    coloured = [colour for colour in style.CLASS_COLOURS if colour != style.WHITE]  # near to pale
    for channel, colour in zip(channels, coloured, strict=False):
        colours[channel] = colour
    return colours


def _channels(prediction: Predicted, count: int) -> np.ndarray:
    """Pick the classes to show: all, or those with the most pixels in truth and prediction."""
    area = (prediction.truth > 0).sum(axis=(0, 1)) + prediction.mask.sum(axis=(0, 1))
    return np.sort(np.argsort(-area, kind="stable")[:count])


def _scores(prediction: Predicted, metric: str) -> np.ndarray:
    """Score every class of an image, (K,)."""
    ignore = None if prediction.ignore is None else prediction.ignore[None]
    return score_pairs(metric, (prediction.truth > 0)[None], prediction.mask[None], ignore)[0]


def _misses(prediction: Predicted, scores: np.ndarray) -> bool:
    """Tell whether a class that the image holds scores nothing."""
    return bool(((prediction.truth > 0).any(axis=(0, 1)) & (scores == 0)).any())


def _most_telling(prediction: Predicted, scores: np.ndarray) -> int:
    """Pick the class that tells most: the lowest score, then the most pixels."""
    area = (prediction.truth > 0).sum(axis=(0, 1)) + prediction.mask.sum(axis=(0, 1))
    return int(np.lexsort([-area, scores.round(9)])[0])


def _image(axes: Axes, image: np.ndarray, prediction: Predicted, colours: Sequence[str]) -> None:
    """Show an image with the outlines of all classes, the pale ones first."""
    style.tile(axes, image, prediction.truth.shape[:2])
    style.hatch(axes, prediction.ignore)
    for channel in sorted(range(len(colours)), key=lambda k: colours[k] != style.PALE):
        _outlines(axes, prediction, channel, colours[channel], (2, 1.5))


def _probability(axes: Axes, prediction: Predicted, channel: int, colour: str) -> None:
    """Show the probability of one class, with the two outlines."""
    style.tile(axes, prediction.prob[..., channel])
    style.hatch(axes, prediction.ignore)
    _outlines(axes, prediction, channel, colour, (1.4, 1.3))


def _outlines(
    axes: Axes, prediction: Predicted, channel: int, colour: str, widths: tuple[float, float]
) -> None:
    """Outline truth and prediction of one class; of a single class in two colours."""
    style.outline(axes, prediction.truth[..., channel], colour, TRUTH[1], widths[0])
    dashes = PREDICTION[0] if prediction.truth.shape[-1] == 1 else colour
    style.outline(axes, prediction.mask[..., channel], dashes, PREDICTION[1], widths[1])


def _image_heading(name: str, score: Any, fold: Any, room: float) -> list[str]:
    return [style.fit(name, room, SIZE), *style.pack([f"score {score:.2f}", f"fold {fold}"], room)]


def _heading(
    prediction: Predicted, channel: int, score: float, names: Sequence[str], room: float
) -> list[str]:
    """Word name, score and covered shares of a class, in lines of at most `room` inches.

    `names` are those of the classes; of a single one, without names, the shares alone are given.
    """
    known = (
        np.ones(prediction.truth.shape[:2], bool)
        if prediction.ignore is None
        else ~prediction.ignore
    )
    true, predicted = (
        style.percent(float(mask[..., channel][known].mean())) if known.any() else "–"
        for mask in (prediction.truth > 0, prediction.mask)
    )
    shares = style.pack([f"true {true}", f"predicted {predicted}"], room, SIZE)
    if not names:
        return shares
    return [*style.pack([names[channel], f"score {score:.2f}"], room, SIZE), *shares]


def _legend(made: Figure, names: Sequence[str], ignored: bool) -> None:
    if len(names) == 1:
        handles: list = [
            style.key(TRUTH[0], "truth"),
            style.key(PREDICTION[0], "prediction", PREDICTION[1]),
        ]
    else:
        if len(names) <= len(style.CLASS_COLOURS):
            looks = zip(style.CLASS_COLOURS, names, strict=False)
            handles = [style.key(colour, name) for colour, name in looks]
        else:
            handles = [style.key(style.PALE, "classes without a panel")]
        handles += [
            style.key(style.GREY, "solid: truth"),
            style.key(style.GREY, "dashed: prediction", PREDICTION[1]),
        ]
    if ignored:
        handles.append(style.ignored_patch())
    style.legend(made, handles)


def _title(
    scored_rows: pd.DataFrame, rows: pd.DataFrame, which: str, wide: bool, missed: int
) -> str:
    low, high = rows["score"].min(), rows["score"].max()
    scores = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
    text = f"The {which} {len(rows)} of {style.plural(len(scored_rows), 'image')} score {scores}"
    if which == "worst":
        zero = int((scored_rows["score"] == 0).sum())
        missed = int(((scored_rows["score"] == 0) & (scored_rows["coverage"] > 0)).sum())
        if zero:
            text += (
                f"; {zero:,} score 0 ({missed:,} with something to find, {zero - missed:,} empty)"
            )
    else:
        perfect = int((scored_rows["score"] >= 1 - 1e-9).sum())
        filled = bool((rows["coverage"] > 0).all())
        text += f"; {perfect:,} in all are perfect"
        if missed:  # where there are many classes, an image scores well with one of them lost
            text += f"; in {missed:,} of these {len(rows)} a class that is there scores 0"
        if filled:
            text += ". Empty images are left out here"
    of = " of the class with the lowest score" if wide else ""
    return (
        f"{text}\nLeft: the image. Right: the predicted probability{of}, black 0 to white 1, "
        "with the covered shares of true and predicted mask. Decided without the image's own fold."
    )
