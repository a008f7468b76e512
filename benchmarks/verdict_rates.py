"""How often a variant that changes nothing gets a verdict, and how often one that helps does.

    python benchmarks/verdict_rates.py [TRIALS]

Prints a table for docs/benchmarks.md: 60 groups of four images; trainings differ by a normal
shift of the whole score (their sd, of one training), and by regions. Peer: the percentile bootstrap
over groups of the mean over seeds, which counts no trainings.
"""

import sys

import numpy as np
from interval_coverage import percentile

from foldbelt import bootstrap
from foldbelt.evaluate import verdicts

NOISES = (0.0, 0.01, 0.02, 0.03)
SEEDS = (3, 5)
GAIN = 0.03


def compared(rng: np.random.Generator, seeds: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw differences (S, N) of a variant that changes nothing, and the images' groups."""
    groups, images = 60, 4
    index = np.repeat(np.arange(groups), images)
    shift = rng.normal(0, noise * np.sqrt(2), (seeds, 1))
    regions = rng.normal(0, 0.05, (seeds, groups))[:, index]
    return shift + regions + rng.normal(0, 0.1, (seeds, groups * images)), index


def rates(seeds: int, noise: float, count: int) -> dict[str, float]:
    """Give shares of trials with a verdict, and the mean half-width of the interval."""
    rng = np.random.default_rng(seeds)
    wrong = right = plain = width = 0.0
    for trial in range(count):
        values, index = compared(rng, seeds, noise)
        made = verdicts.difference(values, index.tolist())
        wrong += made.p < 1 - bootstrap.LEVEL
        width += (made.high - made.low) / 2
        right += verdicts.difference(values + GAIN, index.tolist()).p < 1 - bootstrap.LEVEL
        low, high = percentile(values.mean(axis=0), index, trial)
        plain += low > 0 or high < 0
    totals = {"percentile": plain, "false": wrong, "seen": right, "half-width": width}
    return {name: total / count for name, total in totals.items()}


def main(count: int = 2000) -> None:
    print(f"Shares of {count} trials.\n")
    print(
        "| seeds | sd of trainings | false verdicts, percentile over groups | false verdicts | "
        f"half-width | a gain of {GAIN} seen |\n|---|---|---|---|---|---|"
    )
    for seeds in SEEDS:
        for noise in NOISES:
            made = rates(seeds, noise, count)
            print(
                f"| {seeds} | {noise:g} | {made['percentile']:.3f} | {made['false']:.3f} | "
                f"{made['half-width']:.3f} | {made['seen']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
