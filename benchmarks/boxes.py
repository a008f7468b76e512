"""Time scoring and fusion of boxes against peers, on the same boxes in the same run.

Peers: `metrics.mean_average_precision`, the definition on tables, which matches anew each time; and
weighted boxes fusion box by box in Python, as published code has it. Both must give the same.

    python benchmarks/boxes.py [--images 6334] [--loop 300] [--patients 3261]

Boxes: six classes, one to three true ones an image, three members of 20 boxes an image. Prints
seconds on one core, the ratios, and the seconds of the interval over patients (1,000 draws).
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from foldbelt import metrics
from foldbelt.bootstrap import Resampling
from foldbelt.boxes import Boxes
from foldbelt.boxes.fusion import fuse
from foldbelt.decide import boxes as decide
from foldbelt.metrics.ranked import Ranking

NAMES = ["negative", "typical", "indeterminate", "atypical", "none", "opacity"]
MEMBERS, EACH = 3, 20


def made(images: int) -> tuple[Boxes, list[Boxes]]:
    """Make true boxes, and members that find them more or less well among others."""
    random = np.random.default_rng(0)
    truth: list[np.ndarray] = []
    members: list[list[np.ndarray]] = [[] for _ in range(MEMBERS)]
    for _ in range(images):
        n = random.integers(1, 4)
        corner, side = random.random((n, 2)) * 400, 60 + random.random((n, 2)) * 150
        name = random.integers(0, len(NAMES), (n, 1))
        truth.append(np.hstack([name, corner, corner + side, np.ones((n, 1))]))
        for rows in members:
            near = truth[-1][random.integers(0, n, EACH // 2)]
            near[:, 1:5] += random.normal(0, 8, (len(near), 4)).clip(-25, 25)
            near[:, 5] = random.beta(4, 3, len(near))
            at = random.random((EACH - len(near), 2)) * 400
            name = random.integers(0, len(NAMES), (len(at), 1))
            stray = np.hstack([name, at, at + 100, random.beta(2, 5, (len(at), 1))])
            rows.append(np.concatenate([near, stray]))
    return Boxes.join(truth), [Boxes.join(rows) for rows in members]


def loop_fusion(members: list[Boxes], iou: float) -> list[list[list[float]]]:
    """Fuse box by box: of each image [class, x1, y1, x2, y2, score], in any order."""
    images = []
    for n in range(len(members[0])):
        rows = [row for boxes in members for row in boxes.image(n).astype(float).tolist()]
        clusters: list[list[Any]] = []  # [box, class, sum of scores, weighted sums, number]
        for name, x1, y1, x2, y2, score in sorted(rows, key=lambda row: -row[5]):
            best, at = iou, None
            for cluster in clusters:
                (a1, b1, a2, b2), other = cluster[:2]
                width, height = min(x2, a2) - max(x1, a1), min(y2, b2) - max(y1, b1)
                if other == name and width > 0 and height > 0:
                    inter = width * height
                    overlap = inter / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inter)
                    if overlap > best:
                        best, at = overlap, cluster
            if at is None:
                parts = [score * x for x in (x1, y1, x2, y2)]
                clusters.append([[x1, y1, x2, y2], name, score, parts, 1])
            else:
                at[2] += score
                at[3] = [s + score * x for s, x in zip(at[3], (x1, y1, x2, y2), strict=True)]
                at[4] += 1
                at[0] = [s / at[2] for s in at[3]]
        share = [min(c[4], len(members)) / len(members) / c[4] for c in clusters]
        images.append([[c[1], *c[0], c[2] * s] for c, s in zip(clusters, share, strict=True)])
    return images


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Give what `work` gives, and the seconds that it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def scoring(truth: Boxes, pred: Boxes, patients: int) -> None:
    """Time one score, and an interval."""
    ids = [str(n) for n in range(len(truth))]
    ranking, match = timed(lambda: Ranking.match(truth, pred, len(NAMES)))
    score, once = timed(ranking.score)
    tables = truth.frame(ids, NAMES), pred.frame(ids, NAMES)
    expected, slow = timed(lambda: metrics.mean_average_precision(*tables))
    if score != expected:
        raise SystemExit(f"the ranking scores {score}, the tables {expected}")
    print(f"mAP of {len(truth)} images, {len(pred.classes)} boxes: {score:.4f}, both forms")
    print(f"  matching            {match:8.4f} s, once")
    print(f"  score               {once:8.4f} s")
    print(f"  on tables           {slow:8.4f} s, {slow / once:.0f} times as long as a score,")
    print(f"                      {slow / (match + once):.1f} times as long as both")
    groups = np.random.default_rng(1).integers(0, patients, len(truth))
    resampling = Resampling(groups)
    (low, high), seconds = timed(lambda: resampling.ranked(ranking.score, len(truth)))
    drawn = len(np.unique(groups))
    print(f"  interval            {seconds:8.4f} s, 1000 draws of {drawn} patients on one core:")
    print(f"                      {low:.4f} to {high:.4f}")


def fusing(members: list[Boxes], number: int) -> None:
    """Time fusion of all images, and of some of them by both ways."""
    few = [boxes.take(range(number)) for boxes in members]
    weights = [1.0] * len(members)
    fused, fast = timed(lambda: fuse(few, weights, "wbf", 0.55))
    expected, slow = timed(lambda: loop_fusion(few, 0.55))
    for n, rows in enumerate(expected):
        ours = fused.image(n)
        by = np.lexsort(np.round(ours, 2).T), np.lexsort(np.round(rows, 2).T)
        if not np.allclose(np.sort(ours[:, 5]), np.sort(np.array(rows)[:, 5]), atol=1e-5):
            raise SystemExit(f"image {n}: {ours[by[0]]}, not {np.array(rows)[by[1]]}")
    print(f"fusion of {number} images, {len(members)} members of {EACH} boxes:")
    print(f"  abreast             {fast:8.3f} s")
    print(f"  loop over boxes     {slow:8.3f} s, {slow / fast:.1f} times as long")
    for fusion in ("wbf", "nms"):
        whole, seconds = timed(lambda name=fusion: fuse(members, weights, name, 0.55))
        print(
            f"  {fusion}, {len(whole)} images   {seconds:6.3f} s, {len(whole.classes)} boxes left"
        )


def deciding(truth: Boxes, members: list[Boxes], patients: int) -> None:
    """Time a search over fusions and weights, five folds."""
    folds = np.random.default_rng(2).integers(0, 5, len(truth))
    groups = np.random.default_rng(1).integers(0, patients, len(truth))
    space = {"fusion": ["nms", "wbf"], "iou": [0.4, 0.5, 0.6, 0.7], "weights": "fitted"}
    named = {f"member {n}": boxes for n, boxes in enumerate(members)}
    (decision, _), seconds = timed(
        lambda: decide.search(
            named,
            {},
            truth,
            np.ones(len(truth), bool),
            NAMES,
            folds,
            space,
            Resampling(groups),
        )
    )
    print(f"decision, 8 fusions and 15 weights in each of five folds: {seconds:.1f} s")
    print(f"  score {decision['score']:.4f}, best member {max(decision['members'].values()):.4f}")


def main() -> None:
    """Time all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=6334)
    parser.add_argument("--loop", type=int, default=300, help="images on which the loop runs")
    parser.add_argument("--patients", type=int, default=3261)
    given = parser.parse_args()
    truth, members = made(given.images)
    scoring(truth, members[0], given.patients)
    fusing(members, min(given.loop, given.images))
    deciding(truth, members, given.patients)


if __name__ == "__main__":
    main()
