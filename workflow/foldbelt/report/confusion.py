"""Confusion: what there is against what was found, for labels and for boxes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from foldbelt.boxes import Boxes
from foldbelt.report import panels, style
from foldbelt.report.box_pairs import partners
from foldbelt.report.outputs import CUT, Boxed, Labels

CELL, LEAST_CELL = 0.62, 0.3  # inches
WIDEST, NUMBERED = 11.0, 20  # inches of the matrix; more rows are drawn without numbers
SMALL, SMALL_ACROSS = 2.1, 5  # inches of a two-by-two, and how many side by side
SHADES = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", style.SKY, style.BLUE])
NOTHING = "nothing"


def of_boxes(
    truth: Boxes,
    pred: Boxes,
    classes: int,
    cuts: Sequence[float | None],
    labelled: np.ndarray | None = None,
) -> np.ndarray:
    """Count which class was found where which is, at IoU > .5.

    Each predicted box claims a true one of its class, as for average precision; those that get none
    then claim what is left of other classes, by falling score.

    Parameters
    ----------
    truth, pred
        Boxes of the same N images.
    classes
        K.
    cuts
        The score from which on boxes of each class count; None: none of it does.
    labelled
        (N,) bool: the images that count; None: all.

    Returns
    -------
    ndarray
        (K + 1, K + 1) int64: true class × found class; the last of each is nothing.
    """
    images = np.arange(len(truth)) if labelled is None else np.flatnonzero(labelled)
    truth, pred = truth.take(images), above(pred.take(images), cuts)
    claimed = partners(truth, pred)
    there = np.full(len(pred.scores), classes)
    there[claimed >= 0] = truth.classes[claimed[claimed >= 0]]
    missed = np.ones(len(truth.scores), bool)
    missed[claimed[claimed >= 0]] = False
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(counts, (there, pred.classes), 1)
    np.add.at(counts[:, classes], truth.classes[missed], 1)
    return counts


def above(pred: Boxes, cuts: Sequence[float | None]) -> Boxes:
    """Keep the boxes whose score reaches the cut of their class; of a class with None, none."""
    least = np.array([np.inf if cut is None else cut for cut in cuts], np.float32)
    return pred.keep(pred.scores >= least[pred.classes])


def of_classes(truth: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Count images by true and predicted label, both the largest of each image (first of equals).

    Parameters
    ----------
    truth, prob
        (N, L); images with NaN in the truth count nowhere.

    Returns
    -------
    ndarray
        (L, L) int64: true × predicted.
    """
    known = np.isfinite(truth).all(axis=1)
    counts = np.zeros((truth.shape[1], truth.shape[1]), np.int64)
    np.add.at(counts, (truth[known].argmax(axis=1), prob[known].argmax(axis=1)), 1)
    return counts


def of_labels(truth: np.ndarray, prob: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Count images by whether they have each label and were given it.

    Parameters
    ----------
    truth, prob, cut
        (N, L): truth above .5 has the label, NaN counts nowhere; a probability above the cut gives
        it.

    Returns
    -------
    ndarray
        (L, 2, 2) int64: label × (without, with) in truth × in prediction.
    """
    known, has, given = np.isfinite(truth), truth > 0.5, prob > cut
    planes = [
        [(known & (has == true) & (given == found)).sum(axis=0) for found in (False, True)]
        for true in (False, True)
    ]
    return np.array(planes, np.int64).transpose(2, 0, 1)


def draw(shown: Labels | Boxed, out: str, cuts: Sequence[float | None] | None = None) -> None:
    """Draw the confusion of labels or of boxes.

    Labels that exclude each other and boxes give one matrix, other labels a small one each; where
    there are both they stand side by side.

    Parameters
    ----------
    shown
        From :mod:`foldbelt.report.outputs`.
    out
        An SVG.
    cuts
        Of boxes: the score from which on those of each class count; None among them: none does. By
        default all count.
    """
    if isinstance(shown, Boxed):
        least = [0.0] * len(shown.names) if cuts is None else cuts
        classes = len(shown.names)
        counts = of_boxes(shown.truth, shown.pred, classes, least, shown.labelled)
        _draw_boxes(counts, shown.names, out)
    elif not np.isfinite(shown.truth).any():
        style.message(out, "No labels to compare", "No image has a known label.")
    elif shown.exclusive:
        _draw_exclusive(shown, out)
    elif shown.apart:
        _draw_grouped(shown, out)
    else:
        _draw_independent(shown, out)


def _draw_boxes(counts: np.ndarray, names: Sequence[str], out: str) -> None:
    classes = len(names)
    if not counts.sum():
        style.message(out, "No boxes to compare", "There is no true box, and no found one counts.")
        return
    true, found = int(counts[:classes].sum()), int(counts[:, :classes].sum())
    right = int(np.trace(counts[:classes, :classes]))
    wrong = int(counts[:classes, :classes].sum()) - right
    title = "There is no true box"
    if true:
        noun = "box" if true == 1 else "boxes"
        title = f"Of {true:,} true {noun} {style.percent(right / true)} are found"
        title += f", {style.percent(wrong / true)} as another class" if classes > 1 else ""
    if not found:
        title += "; none was found"
    else:
        title += (
            f"; of {found:,} found, {style.percent(counts[-1].sum() / found)} are where nothing is"
        )
    title += (
        "\nOut of fold. Found at IoU > .5; each class from the score on that "
        f"gives its highest F1, chosen on these images. {_reading('boxes', len(counts))}; in the "
        "last row, of all that was found as this class."
    )
    _matrix(counts, [*names, NOTHING], title, ("true box", "found"), out, nothing=True)


def _draw_exclusive(labels: Labels, out: str) -> None:
    counts = of_classes(labels.truth, labels.prob)
    title = _finding(counts, labels.names, "image")
    title += "\nOut of fold, the label with the highest probability. "
    title += _reading("images", len(counts)) + "."
    _matrix(counts, labels.names, title, ("true label", "predicted label"), out)


def _finding(counts: np.ndarray, names: list[str], noun: str) -> str:
    """Say how often the label is right, and what is taken for what."""
    total, right = int(counts.sum()), int(np.trace(counts))
    wrong = counts - np.diag(np.diag(counts))
    title = f"{style.percent(right / max(total, 1))} of {style.plural(total, noun)} are given "
    title += "their true label"
    if wrong.any():
        there, given = np.unravel_index(int(wrong.argmax()), wrong.shape)
        title += f"; most often {names[there]} is taken for {names[given]}"
    return title


def _draw_grouped(labels: Labels, out: str) -> None:
    """Draw a matrix for each group of labels that exclude each other, and one for each other."""
    counts = [of_classes(labels.truth[:, g], labels.prob[:, g]) for g in map(list, labels.apart)]
    single = of_labels(labels.truth, labels.prob, labels.cut)
    alone = labels.alone()
    alone = [alone[k] for k in panels.choose(single[alone, 1].sum(axis=1).tolist())]
    named = [[style.fit(labels.names[k], 2.4, 9) for k in group] for group in labels.apart]
    label = max((style.inches(name, 9) for listed in named for name in listed), default=0.0)
    cells = [max(LEAST_CELL, min(CELL, WIDEST / len(listed))) for listed in named]
    widths = [len(c) * cell + label + 0.8 for c, cell in zip(counts, cells, strict=True)]
    widths += [SMALL] * len(alone)
    height = max(len(c) * cell for c, cell in zip(counts, cells, strict=True)) + 0.9 + label * 0.75
    first = [labels.names[k] for k in labels.apart[0]]
    title = _finding(counts[0], first, "answer")
    title += (
        "\nOut of fold. Of labels that exclude each other the one with the highest probability. "
        f"{_reading('answers', len(counts[0]))}. An answer is of an image, or of all images of a "
        "unit that share it."
    )
    with style.figure(out, title, max(7.0, sum(widths)), max(height, SMALL + 0.7)) as made:
        axes = made.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
        drawn = zip(axes, counts, named, cells, strict=False)
        for one, matrix, listed, cell in drawn:
            _cells(one, matrix, listed, cell, ("true label", "predicted label"))
        for one, k in zip(axes[len(counts) :], alone, strict=True):
            _two_by_two(one, single[k])
            one.set_xticks([0, 1], ["no", "yes"], size=9)
            one.set_yticks([0, 1], ["without", "with"], size=9)
            one.set_xlabel("predicted", size=9)
            panels.heading(one, labels.names[k], [_cut(labels.cut[:, k])], SMALL - 0.35)


def _reading(noun: str, size: int) -> str:
    """Say what the cells of a matrix of so many rows show."""
    numbers = f"Numbers are {noun}, colours" if size <= NUMBERED else "Colours are"
    return f"{numbers} the share of the row"


def _matrix(
    counts: np.ndarray,
    names: Sequence[str],
    title: str,
    sides: tuple[str, str],
    out: str,
    nothing: bool = False,
) -> None:
    """Draw counts, true × found; `nothing`: the last row and column are no class."""
    size = len(counts)
    cell = max(LEAST_CELL, min(CELL, WIDEST / size))
    named = [style.fit(name, 2.4, 9) for name in names]
    label = max(style.inches(name, 9) for name in named)
    width = max(7.0, size * cell + label + 1.0)
    height = size * cell + 0.9 + min(label, 2.4) * 0.75
    with style.figure(out, title, width, height) as made:
        _cells(made.subplots(), counts, named, cell, sides, nothing)


def _cells(
    axes: Axes,
    counts: np.ndarray,
    named: Sequence[str],
    cell: float,
    sides: tuple[str, str],
    nothing: bool = False,
) -> None:
    """Draw a matrix of counts, its cells so many inches wide."""
    size = len(counts)
    rows = counts.sum(axis=1, keepdims=True)
    if nothing:  # how much of it is nothing, says a found class
        rows = np.where(np.arange(size)[:, None] < size - 1, rows, counts.sum(axis=0))
    share = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    axes.imshow(share, cmap=SHADES, vmin=0, vmax=1)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(True)
    edges = np.arange(1, size) - 0.5
    axes.hlines(edges, -0.5, size - 0.5, color=style.PALE, linewidth=0.5)
    axes.vlines(edges, -0.5, size - 0.5, color=style.PALE, linewidth=0.5)
    if nothing:
        axes.axhline(size - 1.5, color=style.BLACK, linewidth=1.2)
        axes.axvline(size - 1.5, color=style.BLACK, linewidth=1.2)
        axes.text(size - 1, size - 1, "–", ha="center", va="center", color=style.GREY)
    axes.set_yticks(range(size), named, size=9)
    style.named_ticks(axes, named, cell * 0.92)
    axes.set_ylabel(sides[0])
    axes.set_xlabel(sides[1])
    if size <= NUMBERED:
        _numbers(axes, counts, share, cell)


def _numbers(axes: Axes, counts: np.ndarray, share: np.ndarray, cell: float) -> None:
    """Write the numbers into their cells; zeros are left out, so that the rest stands out."""
    widest = max(style.inches(f"{count:,}", 9) for count in counts.flat)
    size = min(9.0, 9 * (cell - 0.08) / widest)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = style.WHITE if share[row, column] > 0.7 else style.BLACK
            axes.text(column, row, f"{count:,}", ha="center", va="center", size=size, color=colour)


def _draw_independent(labels: Labels, out: str) -> None:
    counts = of_labels(labels.truth, labels.prob, labels.cut)
    picked = panels.choose(counts[:, 1].sum(axis=1).tolist())
    across = min(SMALL_ACROSS, len(picked))
    width = max(7.5, SMALL * across)
    height = -(-len(picked) // across) * (SMALL + 0.5)
    with style.figure(out, _title_of_independent(labels, counts), width, height) as made:
        cells = panels.grid(made, len(picked), across)
        for place, ((axes,), k) in enumerate(zip(cells, picked, strict=True)):
            _two_by_two(axes, counts[k])
            last, first = place >= len(picked) - across, place % across == 0
            axes.set_xticks([0, 1], ["no", "yes"] if last else ["", ""], size=9)
            axes.set_yticks([0, 1], ["without", "with"] if first else ["", ""], size=9)
            if last:
                axes.set_xlabel("predicted", size=9)
            room = width / across - 0.35
            panels.heading(axes, labels.names[k], [_cut(labels.cut[:, k])], room)


def _two_by_two(axes: Axes, counts: np.ndarray) -> None:
    rows = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, rows, out=np.zeros((2, 2)), where=rows > 0)
    axes.imshow(share, cmap=SHADES, vmin=0, vmax=1)
    axes.grid(False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set(visible=True, color=style.PALE)
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count:,}\n{style.percent(share[row, column]) if rows[row, 0] else '–'}"
        colour = style.WHITE if share[row, column] > 0.7 else style.BLACK
        axes.text(column, row, text, ha="center", va="center", size=9, color=colour)


def _cut(cuts: np.ndarray) -> str:
    low, high = f"{cuts.min():.2f}", f"{cuts.max():.2f}"
    return f"yes from {low}" + ("" if low == high else f" to {high}") + " on"


def _title_of_independent(labels: Labels, counts: np.ndarray) -> str:
    missed, false = counts[:, 1, 0].sum(), counts[:, 0, 1].sum()
    true = counts[:, 1].sum()
    text = f"Of {style.plural(int(true), 'true label')} {missed:,} are missed; "
    if not true:
        text = "No image has any of the labels; "
    text += f"{false:,} are given to images without them"
    how = "Out of fold. In each cell: images, and their share of the row."
    if labels.searched:
        how += " Thresholds were searched without an image's own fold, so folds may differ."
    else:
        how += f" The decision searched no threshold: {CUT:g} is taken."
    return f"{text}\n{how}{panels.left_out(len(counts), 'labels')}"
