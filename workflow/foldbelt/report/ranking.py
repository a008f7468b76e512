"""Precision and recall along a ranking, average precision, and how sure it is.

This is where the figures take their average precision from; whoever counts it in another way gives
the same `Curves`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtr, stdtrit

from foldbelt.bootstrap import FEWEST, Interval
from foldbelt.boxes import Boxes
from foldbelt.level import LEVEL
from foldbelt.metrics.ranked import Ranking

BLOCK = 2**22  # draws × predictions at a time


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class.

    Attributes
    ----------
    name
        Of the class.
    recall, precision
        (P,) float64, rising recall; precision of boxes is the envelope: the best at this recall or
        more.
    area
        Average precision; NaN where the class has no truth.
    interval
        Of the average precision, over groups.
    true, found
        Number of true ones, and of predictions.
    candidates
        Of how many the predictions were drawn, where that is known: images for labels. Their share
        that is true is what guessing would reach.
    cut
        The score from which on F1 is highest; None where nothing is right.
    at
        Recall and precision there, without the envelope.
    """

    name: str
    recall: np.ndarray
    precision: np.ndarray
    area: float
    interval: Interval
    true: int
    found: int
    candidates: int | None = None
    cut: float | None = None
    at: tuple[float, float] | None = None


@dataclass(frozen=True)
class Curves:
    """The curves of all classes, and the mean of their areas over the classes that have truth."""

    each: list[Curve]
    mean: float
    interval: Interval
    groups: int


def as_decided(curves: Curves, decision: str) -> Curves:
    """Give the mean the interval that the decision found of it, so that it has one alone.

    Parameters
    ----------
    curves
        With an interval of their own draws.
    decision
        decision/{output}/round{r}.json; one of another score changes nothing.
    """
    content = json.loads(Path(decision).read_text(encoding="utf-8"))
    interval = content.get("interval")
    same = math.isclose(content.get("score") or math.nan, curves.mean, abs_tol=1e-6)
    if interval is None or not same:
        return curves
    return replace(curves, interval=[float(end) for end in interval])


@dataclass(frozen=True)
class _Ranking:
    """Predictions of one class by falling score.

    right (M,) float64 0/1; of (M,) the image of each; ends (E,) the places after which a cut is
    possible; true (N,) the number of true ones in each image. Average precision of boxes takes the
    envelope of the precision (VOC 2010), that of labels does not (`foldbelt.metrics`).
    """

    scores: np.ndarray
    right: np.ndarray
    of: np.ndarray
    ends: np.ndarray
    true: np.ndarray
    envelope: bool


def of_boxes(
    truth: Boxes,
    pred: Boxes,
    names: Sequence[str],
    labelled: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Curves:
    """Rank boxes class by class, at IoU > .5 as VOC 2010 counts them.

    Parameters
    ----------
    truth, pred
        Boxes of the same N images.
    names
        Of the classes.
    labelled
        (N,) bool: the images that count; None: all.
    groups
        (N,) numbers or strings: what is drawn together; None: each image is its own.
    draws, seed
        Of the bootstrap.
    """
    count = len(truth)
    images = np.arange(count) if labelled is None else np.flatnonzero(labelled)
    rankings = _rank_boxes(truth.take(images), pred.take(images), len(names))
    return _curves(rankings, names, _numbers(groups, count)[images], None, draws, seed)


def of_labels(
    truth: np.ndarray,
    prob: np.ndarray,
    names: Sequence[str],
    groups: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Curves:
    """Rank images label by label; equal probabilities are one step, for no order is theirs.

    Parameters
    ----------
    truth, prob
        (N, L); truth above .5 has the label, NaN counts nowhere.
    names, groups, draws, seed
        As for `of_boxes`.
    """
    rankings, candidates = _rank_labels(truth, prob)
    return _curves(rankings, names, _numbers(groups, len(truth)), candidates, draws, seed)


def of_both(
    labels: tuple[np.ndarray, np.ndarray, Sequence[str]],
    boxes: tuple[Boxes, Boxes, Sequence[str], np.ndarray] | None,
    groups: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Curves:
    """Rank labels and boxes of the same N images; their mean is over the classes of both.

    A label is scored like a box of which each image has one: precision is the envelope, and images
    of equal probability stay in row order.

    Parameters
    ----------
    labels
        truth, prob and names, as for `of_labels`.
    boxes
        truth, pred, names and labelled, as for `of_boxes`; None: there are none.
    groups, draws, seed
        As for `of_boxes`.
    """
    truth, prob, label_names = labels
    rankings, candidates = _rank_labels(truth, prob, envelope=True)
    sizes: list[int | None] = [*candidates]
    names = list(label_names)
    if boxes is not None:
        true, pred, box_names, labelled = boxes
        there = np.asarray(labelled, bool)
        # Images that nobody labelled stay in the count, so that both have the same groups.
        kept = true.keep(there[true.of()]), pred.keep(there[pred.of()])
        rankings += _rank_boxes(*kept, len(box_names))
        sizes += [None] * len(box_names)
        names += list(box_names)
    return _curves(rankings, names, _numbers(groups, len(truth)), sizes, draws, seed)


def _rank_boxes(truth: Boxes, pred: Boxes, classes: int) -> list[_Ranking]:
    right = Ranking.match(truth, pred, classes).right
    of, true_of = pred.of(), truth.of()
    rankings = []
    for k in range(classes):
        rows = np.flatnonzero(pred.classes == k)
        rows = rows[np.argsort(-pred.scores[rows].astype(np.float64), kind="stable")]
        true = np.bincount(true_of[truth.classes == k], minlength=len(truth))
        ends = np.arange(len(rows))  # equal scores stay in row order, as the metric counts them
        rankings.append(_Ranking(pred.scores[rows], right[rows] * 1.0, of[rows], ends, true, True))
    return rankings


def _rank_labels(
    truth: np.ndarray, prob: np.ndarray, envelope: bool = False
) -> tuple[list[_Ranking], list[int]]:
    """Rank images label by label; give of each label how many images it is known of, too."""
    rankings, candidates = [], []
    for k in range(truth.shape[1]):
        known = np.flatnonzero(np.isfinite(truth[:, k]))
        of = known[np.argsort(-prob[known, k], kind="stable")]
        scores, has = prob[of, k], truth[:, k] > 0.5
        ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
        ends = np.arange(len(scores)) if envelope else ends
        true = has.astype(np.int64)
        rankings.append(_Ranking(scores, has[of] * 1.0, of, ends, true, envelope))
        candidates.append(len(known))
    return rankings, candidates


def _numbers(groups: np.ndarray | None, count: int) -> np.ndarray:
    return np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]


def _curves(
    rankings: Sequence[_Ranking],
    names: Sequence[str],
    groups: np.ndarray,
    candidates: Sequence[int | None] | None,
    draws: int,
    seed: int,
) -> Curves:
    groups = _numbers(groups, len(groups))
    number = int(groups.max()) + 1 if len(groups) else 0
    areas = [_areas(ranking, groups, np.ones((1, number)))[0] for ranking in rankings]
    enough = number >= FEWEST and len(rankings) > 0
    drawn = _drawn(rankings, groups, number, draws, seed) if enough else None
    each = []
    for k, (name, ranking) in enumerate(zip(names, rankings, strict=True)):
        interval = None if drawn is None else _interval(drawn[k], areas[k], number)
        size = None if candidates is None else candidates[k]
        each.append(_curve(name, ranking, float(areas[k]), interval, size))
    known = [area for area in areas if np.isfinite(area)]
    mean = float(np.mean(known)) if known else float("nan")
    interval = None if drawn is None or not known else _interval(_mean(drawn), mean, number)
    return Curves(each, mean, interval, number)


def _curve(
    name: str, ranking: _Ranking, area: float, interval: Interval, candidates: int | None
) -> Curve:
    hits = np.cumsum(ranking.right)[ranking.ends]
    found = ranking.ends + 1
    true = int(ranking.true.sum())
    precision = hits / found
    recall = hits / max(true, 1)
    envelope = precision
    if ranking.envelope:
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
    cut, at = None, None
    if true and hits.any():
        best = int((2 * hits / (found + true)).argmax())
        cut = float(ranking.scores[ranking.ends[best]])
        at = float(recall[best]), float(precision[best])
    # Of a stretch of equal precision the end is enough.
    steps = np.flatnonzero(np.diff(recall, prepend=0) > 0)
    steps = steps[np.diff(envelope[steps], append=-1) != 0]
    return Curve(
        name, recall[steps], envelope[steps], area, interval, true, len(ranking.scores),
        candidates, cut, at,
    )  # fmt: skip


def _areas(ranking: _Ranking, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Give the average precision (n,) of draws, of which `counts` (n, G) says what was drawn.

    NaN for a draw without truth of the class.
    """
    true = np.bincount(groups, ranking.true, minlength=counts.shape[1])
    total = (counts * true).sum(axis=1)  # no matrix product: its bytes vary with threads
    area = np.zeros(len(counts))
    if ranking.right.any():
        last = np.flatnonzero(ranking.right)[-1]
        ends = ranking.ends[: np.searchsorted(ranking.ends, last) + 1]  # later ones add nothing
        found = counts[:, groups[ranking.of[: ends[-1] + 1]]].astype(np.float64)
        hits = np.cumsum(found * ranking.right[: ends[-1] + 1], axis=1)[:, ends]
        found = np.cumsum(found, axis=1, out=found)[:, ends]
        precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
        if ranking.envelope:
            precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        area = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1)
    return np.divide(area, total, out=np.full(len(counts), np.nan), where=total > 0)


def _drawn(
    rankings: Sequence[_Ranking], groups: np.ndarray, number: int, draws: int, seed: int
) -> np.ndarray:
    """Give the average precision of every class in every draw of groups, (L, draws)."""
    random = np.random.default_rng(seed)
    longest = max([number, *(len(ranking.of) for ranking in rankings)])
    block = max(1, BLOCK // longest)  # bounds the memory; the stream does not depend on it
    parts = []
    for start in range(0, draws, block):
        size = min(block, draws - start)
        counts = random.multinomial(number, np.full(number, 1 / number), size)
        parts.append(np.stack([_areas(ranking, groups, counts) for ranking in rankings]))
    return np.concatenate(parts, axis=1)


def _mean(drawn: np.ndarray) -> np.ndarray:
    """Average over the classes that have truth in a draw, (draws,)."""
    there = np.isfinite(drawn)
    count = there.sum(axis=0)
    total = np.where(there, drawn, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _interval(drawn: np.ndarray, area: float, groups: int) -> Interval:
    """Give the expanded percentile interval of draws.

    A plain percentile interval is too narrow with few groups. Its tails are taken further out, so
    that it is as wide as Student's t would have it (the expanded percentile interval of Hesterberg,
    What Teachers Should Know About the Bootstrap, The American Statistician 69(4), 2015).
    """
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(area):
        return None
    student = stdtrit(groups - 1, (1 + LEVEL) / 2) * np.sqrt(groups / (groups - 1))
    low, high = np.quantile(drawn, [ndtr(-student), ndtr(student)])
    return [float(min(low, area)), float(max(high, area))]
