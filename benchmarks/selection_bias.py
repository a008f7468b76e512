"""How much the score of a decision flatters that was selected by it; the truth is known to be .5.

    python benchmarks/selection_bias.py [TRIALS]

Prints a table for docs/benchmarks.md. An image in two is empty in truth and have a mask of any
area and any label probability, the other half a perfect one. So whatever a smallest area or a gate
removes, it is as often right as wrong, and every decision scores .5 on fresh images. "Reported" is
foldbelt's score, for which parts are selected without each fold; its peer is the score by which
they are selected for all folds together.
"""

import sys

import numpy as np

from foldbelt.bootstrap import Resampling
from foldbelt.decide.selection import select_axes
from foldbelt.search.counting import Counts
from foldbelt.search.gates import LEVELS
from foldbelt.search.space import Grid

NUMBERS = (60, 120, 400)
GRID = Grid.of(
    {"threshold": [0.5], "min_area": [0, 60, 80, 100, 120], "gate": [0, 0.2, 0.4, 0.6, 0.8]}
)


def worthless(rng: np.random.Generator, number: int) -> Counts:
    """Draw images on which no decision is better than another."""
    area = rng.integers(40, 141, number)
    truth = np.where(rng.random(number) < 0.5, area, 0)
    levels = np.arange(LEVELS)
    on = (levels <= 200)[None, None]
    pred, inter = (part[:, None, None] * on for part in (area, truth))
    return Counts(levels, pred, inter, truth[:, None], rng.random((number, 1)), "label")


def trial(seed: int, number: int) -> tuple[float, float]:
    """Give the score reported and the one by which parts were selected."""
    rng = np.random.default_rng(seed)
    counted, folds = worthless(rng, number), rng.permutation(number) % 5
    every = {None: counted, **dict.fromkeys(range(5), counted)}
    decision = select_axes(every, folds, GRID, "mean_dice", Resampling(draws=2))
    kept = [candidate["score"] for candidate in decision.selection if candidate["kept"]]
    return decision.score, kept[-1]


def bias(number: int, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Give what both scores are too high by, (2,), and the standard errors."""
    made = np.array([trial(seed, number) for seed in range(trials)]) - 0.5
    return made.mean(axis=0), made.std(axis=0, ddof=1) / np.sqrt(trials)


def main(trials: int = 400) -> None:
    print("| images | trials | reported, too high by | what selected, too high by |")
    print("|---|---|---|---|")
    for number in NUMBERS:
        mean, error = bias(number, trials)
        cells = [f"{m:+.4f} ± {e:.4f}" for m, e in zip(mean, error, strict=True)]
        print(f"| {number} | {trials} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
