"""Best and worst images with their true and predicted boxes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from foldbelt import store
from foldbelt.boxes import Boxes
from foldbelt.files import seed_for
from foldbelt.metrics.ranked import Ranking
from foldbelt.report import box_drawing, style
from foldbelt.report.box_drawing import casing
from foldbelt.report.classes import look
from foldbelt.report.confusion import above
from foldbelt.report.outputs import Boxed

SIZE, TEXT = 9, 7  # of headings, and of the texts beside boxes, in points
DASHED = (0, (3, 1.6))
SINGLE = (style.YELLOW, style.SKY)  # truth and prediction, where there is one class
LINE_INCHES = 0.13  # height of a text beside a box


def score_images(truth: Boxes, pred: Boxes) -> np.ndarray:
    """Score images by their boxes, (N,) from 0 to 1.

    For each class that an image holds or was given: twice the right boxes over the number of true
    and found ones (the Dice coefficient of boxes, F1); of that the mean over these classes. 1
    where there is nothing and nothing was found.

    Parameters
    ----------
    truth, pred
        Boxes of the same N images; `pred` holds those that count.
    """
    classes = 1 + max([0, *truth.classes.tolist(), *pred.classes.tolist()])
    size = len(truth) * classes
    right = Ranking.match(truth, pred, classes).right
    cells = [boxes.of() * classes + boxes.classes for boxes in (truth, pred)]
    hits = np.bincount(cells[1][right], minlength=size)
    both = np.bincount(np.concatenate(cells), minlength=size)
    share = np.divide(2 * hits, both, out=np.zeros(size), where=both > 0)
    share, there = share.reshape(-1, classes), (both > 0).reshape(-1, classes)
    count = there.sum(axis=1)
    mean = share.sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean, 1.0)


def rank(
    scores: np.ndarray, empty: np.ndarray, ids: Sequence[str], which: str, seed: int = 0
) -> np.ndarray:
    """Order images, the most extreme first, (N,) int64.

    Parameters
    ----------
    scores
        (N,).
    empty
        (N,) bool: images without truth, which come last among the best.
    ids
        (N,): draw the order among equals, so that it does not depend on that of the files.
    which
        'best' or 'worst'.
    seed
        Of these draws.
    """
    if which not in ("best", "worst"):
        raise ValueError(f"which = {which!r} is unknown; choose 'best' or 'worst'.")
    chance = np.array([seed_for(seed, name) for name in ids], object)
    sign, last = (-1, empty) if which == "best" else (1, np.zeros(len(ids), bool))
    keys = zip(last.tolist(), (sign * scores.round(9)).tolist(), chance, ids, strict=True)
    order = sorted(enumerate(keys), key=lambda pair: pair[1])
    return np.array([place for place, _ in order], np.int64)


def draw(
    boxed: Boxed,
    cuts: Sequence[float | None],
    data: str,
    *,
    which: str,
    out: str,
    count: int = 12,
    seed: int = 0,
) -> None:
    """Draw the best or the worst images with true and predicted boxes.

    Parameters
    ----------
    boxed
        From :func:`foldbelt.report.outputs.read_boxes`.
    cuts
        The score from which on boxes of each class count; None: none of it does.
    data
        data/train.h5, for the images.
    which
        'best' or 'worst'.
    out
        A PNG.
    count
        How many images.
    seed
        Draws among equal scores.
    """
    images = np.flatnonzero(boxed.labelled)
    if not len(images):
        style.message(out, "No image with known boxes to show")
        return
    truth, pred = boxed.truth.take(images), above(boxed.pred.take(images), cuts)
    scores = score_images(truth, pred)
    ids = [boxed.ids[n] for n in images]
    picked = rank(scores, np.diff(truth.start) == 0, ids, which, seed)[:count]
    shown = [ids[n] for n in picked]
    sizes = store.original_sizes(data, shown)
    pictures = store.read(data, "image", shown)
    grid_ = Grid.of(sizes)
    right = Ranking.match(truth, pred, len(boxed.names)).right
    title = _title(scores, picked, which, truth)
    with style.figure(out, title, grid_.width, grid_.height(2), **style.TIGHT) as made:
        cells = grid_.cells(made)
        for axes, n, picture, size in zip(cells, picked, pictures, sizes, strict=False):
            style.tile(axes, picture, size)
            part = slice(pred.start[n], pred.start[n + 1])
            _boxes(axes, truth.image(n), pred.image(n), boxed.names, grid_.scale(size))
            numbers = [f"{len(truth.image(n))} true", f"{len(pred.image(n))} found"]
            numbers.append(f"{int(right[part].sum())} right")
            room = grid_.cell - 0.3
            lines = [style.fit(ids[n], room, SIZE)]
            lines += style.pack([f"score {scores[n]:.2f}", *numbers], room, SIZE)
            axes.set_title("\n".join(lines), size=SIZE, loc="center")
        there = np.unique(
            np.concatenate([boxes.take(picked).classes for boxes in (truth, pred)])
        ).tolist()
        _legend(made, boxed.names, there)


class Grid:
    """Places of images, so large that all of them can be looked at.

    Attributes
    ----------
    across, down
        Number of images side by side, and of rows.
    cell
        Width of an image, inches.
    width
        Of the figure, inches.
    """

    def __init__(self, count: int, aspect: float) -> None:
        """Place so many images of a median height over width."""
        most = 4 if aspect >= 0.6 else 2
        self.across = min(count, most)
        self.down = -(-count // self.across)
        self.width = max(7.5, 13 * self.across / most)
        self.cell = min(self.width / self.across, 4.5 if aspect >= 0.6 else 6.5)
        self.aspect = min(aspect, 1.6)

    @classmethod
    def of(cls, sizes: np.ndarray) -> "Grid":
        """Place images of these heights and widths, (N, 2)."""
        return cls(len(sizes), float(np.median(sizes[:, 0] / sizes[:, 1])))

    def height(self, lines: int) -> float:
        """Give the height of the figure in inches, with so many lines over each image."""
        return self.down * (self.cell * self.aspect + 0.16 * lines + 0.25) + 0.5

    def cells(self, made: Figure) -> list[Axes]:
        """Give the axes of all images."""
        grid = made.subplots(self.down, self.across, squeeze=False)
        for axes in grid.flat:
            style.bare(axes)
        return list(grid.flat)

    def scale(self, size: Sequence[int]) -> float:
        """Give the inches that a pixel of an image (height, width) takes."""
        # A little less than planned: there are gaps between the images.
        return 0.92 * min(self.cell / size[1], self.cell * self.aspect / size[0])


def _boxes(
    axes: Axes, truth: np.ndarray, pred: np.ndarray, names: Sequence[str], scale: float
) -> None:
    """Draw boxes (m, 6) of an image: true solid, predicted dashed with class and score."""
    for boxes, line, width in ((truth, "-", 2.2), (pred, DASHED, 1.5)):
        for row in boxes:
            box_drawing.outline(
                axes, row, colour_of(int(row[0]), len(names), line == "-"), line, width
            )
    taken: list[tuple[float, ...]] = []
    for row in pred:  # by falling score: where room is short, the surest are named
        name = "" if len(names) == 1 else style.fit(names[int(row[0])], 0.9, TEXT) + ": "
        colour = colour_of(int(row[0]), len(names), False)
        _name(axes, row, f"{name}{row[5]:.2f}", colour, scale, taken)
    if len(names) > 1:
        for row in truth:
            text = style.fit(names[int(row[0])], 1.2, TEXT)
            _name(axes, row, text, colour_of(int(row[0]), len(names), True), scale, taken)


def _name(
    axes: Axes,
    row: np.ndarray,
    text: str,
    colour: str,
    scale: float,
    taken: list[tuple[float, ...]],
) -> None:
    """Write a text beside a box where no other text is; nowhere, if all places are taken."""
    width, height = (style.inches(text, TEXT) + 0.06) / scale, LINE_INCHES / scale
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()  # rows count downwards
    x, y, x_end, y_end = row[1:5].tolist()
    gap = 0.03 / scale
    left, right = x + gap, x_end - gap - width
    places = [(left, y - height), (left, y_end), (left, y + gap), (left, y_end - gap - height)]
    places += [(right, y - height), (right, y_end), (right, y + gap)]
    for at, line in places:
        at = min(max(at, low), high - width)
        place = (at, line, at + width, line + height)
        if at < low or line < top or place[3] > bottom or any(_touch(place, o) for o in taken):
            continue
        taken.append(place)
        size = (place[2] - at, height)
        axes.add_patch(Rectangle((at, line), *size, facecolor=colour, edgecolor="none"))
        axes.text(
            (at + place[2]) / 2,
            line + 0.76 * height,
            text,
            size=TEXT,
            color=casing(colour),
            ha="center",
            va="baseline",
        )
        return


def _touch(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def colour_of(k: int, classes: int, true: bool) -> str:
    """Colour of a class; where there is only one, truth and prediction have their own."""
    return SINGLE[0 if true else 1] if classes == 1 else look(k)[0]


def _legend(made: Figure, names: Sequence[str], there: Sequence[int]) -> None:
    if len(names) == 1:
        handles = [
            style.key(SINGLE[0], "true box"),
            style.key(SINGLE[1], "predicted box, with its score", DASHED),
        ]
    else:
        handles = [style.key(style.GREY, "solid: true box")]
        handles.append(style.key(style.GREY, "dashed: predicted box, with its score", DASHED))
        if len(names) <= len(style.CLASS_COLOURS):  # else colours repeat, and names stand beside
            handles += [style.key(look(k)[0], names[k]) for k in there]
    style.legend(made, handles)


def _title(scores: np.ndarray, picked: np.ndarray, which: str, truth: Boxes) -> str:
    low, high = scores[picked].min(), scores[picked].max()
    text = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
    title = f"The {which} {len(picked)} of {style.plural(len(scores), 'image')} score {text}"
    if len(scores) == 1:
        title = f"The only image scores {text}"
    holds = np.diff(truth.start) > 0
    if which == "worst":
        zero = scores == 0
        if zero.any():
            title += f"; {zero.sum():,} score 0 ({(zero & holds).sum():,} with something to find, "
            title += f"{(zero & ~holds).sum():,} empty)"
    else:
        title += f"; {(scores >= 1 - 1e-9).sum():,} in all are perfect"
        if holds[picked].all():
            title += ". Empty images are left out here"
    return (
        f"{title}\nScore of an image: for each class that it holds or was given, twice the right "
        "boxes over true and found ones; the mean over these classes. Right: IoU > .5 with a true "
        "box of the class. Predictions are out of fold and shown from the score on that gives "
        "their class its highest F1 over all images."
    )
