"""Time the one-pass decision search against loops over masks, on the same images in the same run.

Two loops: `grid` makes and scores masks at every point of the grid, as notebooks do; `thresholds`
makes and scores them once a threshold and derives the points that differ in smallest area and gate
from those scores. All three must choose the same parameters and give the same score.

    python benchmarks/decision_search.py [--tiles 4000] [--loop 100]

Prints seconds on `--loop` tiles (the loops are slow), the ratios, and the seconds of the search on
all `--tiles`.
"""

import argparse
import itertools
import time

import numpy as np

from foldbelt import decide, metrics

SPACE = {
    "threshold": [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7],
    "min_area": [0, 10, 20, 40, 80, 160, 320],
    "gate": [0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
}


def tiles(number: int, side: int = 101) -> tuple[np.ndarray, np.ndarray]:
    """Make probabilities and truth of tiles, 40 % of them empty."""
    random = np.random.default_rng(0)
    truth = np.zeros((number, side, side), np.uint8)
    for tile in truth[random.random(number) < 0.6]:
        tile[random.integers(side) :, random.integers(side) :] = 1
    noise = random.normal(0, 60, (64, side, side)).astype(np.float32)
    prob = np.empty_like(truth)
    for i, tile in enumerate(truth):
        bias = random.normal(60, 20)
        prob[i] = np.clip(bias + 100.0 * tile + noise[i % 64], 0, 255)
    return prob, truth


def loop(prob: np.ndarray, truth: np.ndarray, folds: np.ndarray, reuse: bool) -> tuple[list, float]:
    """Loop over masks; give the parameters without each fold and the leave-one-fold-out score."""
    points = list(itertools.product(*SPACE.values()))
    scores = np.empty((len(points), len(prob)))
    peaks = prob.max(axis=(1, 2)) / 255
    empty = metrics.salt_score(truth, np.zeros_like(truth))
    made = None
    for row, (threshold, least, gate) in enumerate(points):
        if threshold != made or not reuse:
            made = threshold
            masks = prob / 255 > threshold
            areas = masks.sum(axis=(1, 2))
            full = metrics.salt_score(truth, masks) if reuse else None
        keep = (areas >= least) & ((gate == 0) | (peaks > gate))
        if reuse:
            scores[row] = np.where(keep, full, empty)
        else:
            scores[row] = metrics.salt_score(truth, masks & keep[:, None, None])
    chosen, images = [], np.empty(len(prob))
    for fold in np.unique(folds):
        means = scores[:, folds != fold].mean(axis=1)
        best = int(np.flatnonzero(means > means.max() - 1e-9)[0])
        chosen.append(points[best])
        images[folds == fold] = scores[best, folds == fold]
    return chosen, float(images.mean())


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=4000)
    parser.add_argument("--loop", type=int, default=100, help="tiles on which the loops run")
    given = parser.parse_args()
    prob, truth = tiles(given.tiles)
    folds = np.arange(given.tiles) % 5
    few = prob[: given.loop], truth[: given.loop], folds[: given.loop]

    decide.search(*few, SPACE, "salt_score")  # what is imported at the first call is no search
    start = time.perf_counter()
    found = decide.search(*few, SPACE, "salt_score")
    fast = time.perf_counter() - start
    points = np.prod([len(values) for values in SPACE.values()])
    print(f"grid of {points} points, tiles of 101 × 101, five folds; {given.loop} tiles:")
    print(f"  one pass            {fast:8.3f} s")
    for name, reuse in (("loop over thresholds", True), ("loop over the grid", False)):
        start = time.perf_counter()
        chosen, score = loop(*few, reuse)
        slow = time.perf_counter() - start
        same = [tuple(one["params"].values()) for one in found.per_fold] == chosen
        if not same or abs(found.score - score) > 1e-12:
            raise SystemExit(f"{name}: found {chosen} at {score}, not {found.per_fold}")
        print(f"  {name:20}{slow:8.3f} s, {slow / fast:.1f} times as long")
    start = time.perf_counter()
    decide.search(prob, truth, folds, SPACE, "salt_score")
    print(f"{given.tiles} tiles: one pass {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
