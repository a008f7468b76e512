"""The images whose labels were predicted most confidently, rightly and wrongly."""

import numpy as np

from foldbelt import store
from foldbelt.report import style
from foldbelt.report.box_examples import SIZE, Grid, rank
from foldbelt.report.outputs import Labels


def given(labels: Labels) -> np.ndarray:
    """Tell which labels each image was given, (N, L) bool: the most probable, or all above."""
    if labels.exclusive:
        return _likeliest(labels.prob)
    with np.errstate(invalid="ignore"):
        chosen = labels.prob > labels.cut
    for group in map(list, labels.apart):
        chosen[:, group] = _likeliest(labels.prob[:, group])
    return chosen


def _likeliest(prob: np.ndarray) -> np.ndarray:
    """Tell which label is the most probable of each image; none where nobody predicted it."""
    best = np.where(np.isnan(prob), -np.inf, prob).argmax(axis=1)
    return (best[:, None] == np.arange(prob.shape[1])) & ~np.isnan(prob).all(axis=1)[:, None]


def believed(labels: Labels) -> np.ndarray:
    """Give the probability that each image's truth was given, (N,); NaN where it is unknown.

    Of labels that exclude each other: the probability of the true one. Of others: the lowest, over
    its known labels, of the probability that it has (or has not) the label, as is true; soft truth
    counts by its distance.
    """
    known = np.isfinite(labels.truth)
    truth = np.where(known, labels.truth, 0)
    if labels.exclusive:
        prob = labels.prob[np.arange(len(truth)), truth.argmax(axis=1)]
        return np.where(known.all(axis=1), prob, np.nan)
    near = np.where(known, 1 - np.abs(truth - labels.prob), np.inf).min(axis=1, initial=np.inf)
    return np.where(known.any(axis=1), near, np.nan)


def draw(
    labels: Labels, data: str, *, which: str, out: str, count: int = 12, seed: int = 0
) -> None:
    """Draw the images of which the truth was believed most, or least.

    Parameters
    ----------
    labels
        From :func:`foldbelt.report.outputs.read_labels`.
    data
        data/train.h5, for the images.
    which
        'best' (images with a label come first) or 'worst'.
    out
        A PNG.
    count
        How many images.
    seed
        Draws among equals.
    """
    belief = believed(labels)
    images = np.flatnonzero(np.isfinite(belief))
    if not len(images):
        style.message(out, "No image with known labels to show")
        return
    has = (labels.truth[images] > 0.5).any(axis=1)  # NaN is not
    ids = [labels.ids[n] for n in images]
    picked = rank(belief[images], np.logical_not(has), ids, which, seed)[:count]
    shown = [ids[n] for n in picked]
    sizes = store.original_sizes(data, shown)
    pictures = store.read(data, "image", shown)
    grid = Grid.of(sizes)
    room = grid.cell - 0.3
    headings = [_heading(labels, n, room, float(belief[n])) for n in images[picked]]
    tallest = max(map(len, headings))
    title = _title(labels, belief, images[picked], which)
    with style.figure(out, title, grid.width, grid.height(tallest), **style.TIGHT) as made:
        for axes, picture, size, lines in zip(
            grid.cells(made), pictures, sizes, headings, strict=False
        ):
            style.tile(axes, picture, size)
            axes.set_title("\n".join(lines), size=SIZE, loc="center")


def wrong(labels: Labels) -> np.ndarray:
    """Tell which images were given a label that they lack, or not one that they have, (N,) bool."""
    known = np.isfinite(labels.truth)
    has = labels.truth > 0.5
    if labels.exclusive:
        best = np.where(known, labels.truth, 0).argmax(axis=1)
        has = best[:, None] == np.arange(known.shape[1])
        known = np.repeat(known.all(axis=1)[:, None], known.shape[1], axis=1)
    return (known & (has != given(labels))).any(axis=1)


def _heading(labels: Labels, n: int, room: float, belief: float) -> list[str]:
    """Word the name of an image, its true labels, and the probabilities of what was predicted."""
    known = np.isfinite(labels.truth[n])
    truth = np.where(known, labels.truth[n], 0)
    chosen = given(labels)[n]
    true = np.flatnonzero(truth > 0.5)
    if labels.exclusive:
        true = np.array([truth.argmax()])
    found = np.flatnonzero(chosen)
    found = found[np.argsort(-labels.prob[n, found], kind="stable")]
    lines = [style.fit(labels.ids[n], room, SIZE)]
    lines.append(_listed("true: ", [labels.names[k] for k in true], room))
    texts = [f"{labels.names[k]} ({labels.prob[n, k]:.2f})" for k in found]
    lines.append(_listed("predicted: ", texts, room))
    if labels.exclusive:
        lines.append(f"probability of the true one {belief:.2f}")
    else:
        near = np.where(known, np.abs(truth - labels.prob[n]), -1)
        k = int(near.argmax())
        text = f"furthest off: {labels.names[k]} ({labels.prob[n, k]:.2f})"
        lines.append(style.fit(text, room, SIZE))
    return lines


def _listed(what: str, texts: list[str], room: float) -> str:
    """Write as many texts as fit on a line of `room` inches, and how many more there are."""
    for count in range(len(texts), 1, -1):
        more = f" and {len(texts) - count} more" if count < len(texts) else ""
        line = what + ", ".join(texts[:count]) + more
        if style.inches(line, SIZE) <= room:
            return line
    more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    first = style.fit(texts[0] if texts else "none", room - style.inches(what + more, SIZE), SIZE)
    return what + first + more


def _title(labels: Labels, belief: np.ndarray, picked: np.ndarray, which: str) -> str:
    low, high = belief[picked].min(), belief[picked].max()
    text = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
    total = int(np.isfinite(belief).sum())
    failed = wrong(labels)
    side = "most" if which == "best" else "least"
    title = f"The {len(picked)} of {style.plural(total, 'image')} of which the truth was believed "
    title += f"{side} (with {text}); wrong are {failed[picked].sum():,} of these, "
    if total == 1:
        return f"The truth of the only image was believed with {text}\n{_how(labels)}"
    title += f"{failed.sum():,} in all"
    return f"{title}\n{_how(labels)}"


def _how(labels: Labels) -> str:
    if labels.exclusive:
        return "Out of fold. Belief in the truth: the probability of the true label."
    return (
        "Out of fold. Belief in the truth: the probability of the answer (with or without) that is "
        "true, of the label for which it is lowest. Wrong: any label is."
    )
