"""How often an interval over groups holds the truth, and how wide it is; bootstrap-t and its peers.

    python benchmarks/interval_coverage.py [TRIALS]
    python benchmarks/interval_coverage.py ranked [TRIALS]

Prints a table for docs/benchmarks.md. The second form is for average precision of boxes, which is
no mean over images. Groups are of eight images; of unequal sizes (log-normal, sd
1); or 15 % of them are bad (mean .4 instead of .8), or very bad (.3 instead of .9, where with few
groups none of them may have been drawn, and no method can know). Peers: the percentile bootstrap,
and Student's t over groups.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from foldbelt import bootstrap
from foldbelt.metrics.ranked import Ranking

KINDS = {
    "equal groups": "equal",
    "unequal sizes": "unequal",
    "15 % bad groups": "bad",
    "15 % very bad groups": "very bad",
}
BAD = {"bad": (0.8, 0.4, 0.1), "very bad": (0.9, 0.3, 0.05)}
GROUPS = (5, 8, 20, 50)

Sample = tuple[np.ndarray, np.ndarray]
"""Scores of images, and the number of each one's group."""


def simulated(rng: np.random.Generator, groups: int, kind: str) -> Sample:
    """Draw scores of images in some groups."""
    sizes = np.full(groups, 8)
    if kind == "unequal":
        sizes = np.maximum(1, np.exp(rng.normal(np.log(8), 1, groups)).round().astype(int))
    middle = rng.normal(0.75, 0.15, groups)
    if kind in BAD:
        good, bad, spread = BAD[kind]
        middle = np.where(rng.random(groups) < 0.15, bad, good) + rng.normal(0, spread, groups)
    index = np.repeat(np.arange(groups), sizes)
    return np.clip(rng.normal(np.clip(middle, 0, 1)[index], 0.15), 0, 1), index


def truth(kind: str) -> float:
    """Give the mean that such scores come from."""
    return float(simulated(np.random.default_rng(99), 200_000, kind)[0].mean())


def percentile(values: np.ndarray, index: np.ndarray, seed: int) -> tuple[float, float]:
    """Resample groups, and take the quantiles of the means."""
    total, size = np.bincount(index, values), np.bincount(index)
    drawn = np.random.default_rng(seed).integers(len(size), size=(1000, len(size)))
    low, high = np.quantile(total[drawn].sum(axis=1) / size[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def student(values: np.ndarray, index: np.ndarray, seed: int) -> tuple[float, float]:
    """Take Student's t over groups."""
    reach = stats.t.ppf(0.975, index.max()) * bootstrap.standard_error(values, index)
    return max(0, values.mean() - reach), min(1, values.mean() + reach)


def bootstrap_t(values: np.ndarray, index: np.ndarray, seed: int) -> tuple[float, float]:
    """Do as foldbelt does."""
    low, high = bootstrap.interval(values, index, seed=seed) or (np.nan, np.nan)
    return low, high


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int], tuple[float, float]]] = {
    "percentile": percentile,
    "Student's t": student,
    "bootstrap-t": bootstrap_t,
}


def trials(kind: str, groups: int, count: int) -> Iterator[Sample]:
    """Give so many samples."""
    rng = np.random.default_rng(groups)
    return (simulated(rng, groups, kind) for _ in range(count))


def coverage(kind: str, groups: int, count: int, method: str) -> tuple[float, float]:
    """Give the share of trials whose interval holds the truth, and the mean width."""
    true = truth(kind)
    made = [METHODS[method](*one, i) for i, one in enumerate(trials(kind, groups, count))]
    held = [low <= true <= high for low, high in made]
    return float(np.mean(held)), float(np.mean([high - low for low, high in made]))


def ranking(rng: np.random.Generator, groups: int) -> tuple[Ranking, np.ndarray]:
    """Draw boxes of one class of patients who differ in how well they can be read.

    One to four images a patient, no, one or two true boxes an image, each found with the patient's
    own chance, one false box an image on average, whose scores are lower by the patient's own
    distance. The ranking is made as matching would make it. Also gives each image's patient.
    """
    skill, apart = rng.normal(0.8, 0.1, groups).clip(0, 1), rng.normal(1.5, 0.5, groups)
    index = np.repeat(np.arange(groups), rng.integers(1, 5, groups))
    true = np.repeat(np.arange(len(index)), rng.integers(0, 3, len(index)))
    found = true[rng.random(len(true)) < skill[index[true]]]
    false = np.repeat(np.arange(len(index)), rng.poisson(1, len(index)))
    image = np.concatenate([found, false])
    right = np.arange(len(image)) < len(found)
    score = rng.normal(0, 1, len(image)) + right * apart[index[image]]
    order = np.argsort(-score, kind="stable")
    hits = (np.flatnonzero(right[order]),)
    place = np.array([0, len(image)])
    return Ranking(right, image[order], place, hits, (true,), len(index)), index


def ranked_coverage(groups: int, count: int, draws: int = 1000) -> tuple[float, float, float]:
    """Give the share of trials whose interval holds the truth, its standard error, and the width.

    Parameters
    ----------
    groups
        Number of patients.
    count
        Number of trials.
    draws
        Of each interval.
    """
    rng = np.random.default_rng(groups)
    whole = ranking(np.random.default_rng(99), 100_000)[0].score()
    held, widths = [], []
    for i in range(count):
        made, index = ranking(rng, groups)
        low, high = bootstrap.ranked_interval(made.score, index, draws, seed=i) or (np.nan, np.nan)
        held.append(low <= whole <= high)
        widths.append(high - low)
    share = float(np.mean(held))
    return share, float(np.sqrt(share * (1 - share) / count)), float(np.mean(widths))


def main_ranked(count: int = 1000) -> None:
    print(f"Average precision: share of {count} trials held at {bootstrap.percent()}.\n")
    print("| patients | interval | held | width |\n|---|---|---|---|")
    for groups in (*GROUPS, 60, 200):
        method = "percentile" if groups >= bootstrap.MANY else "bootstrap-t"
        share, error, width = ranked_coverage(groups, count)
        print(f"| {groups} | {method} | {share:.3f} ± {error:.3f} | {width:.2f} |", flush=True)


def main(count: int = 2000) -> None:
    print(f"Share of {count} trials held at {bootstrap.percent()}, and the mean width.\n")
    print(f"| groups | of | {' | '.join(METHODS)} |\n|---|---|{'---|' * len(METHODS)}")
    for name, kind in KINDS.items():
        for groups in GROUPS:
            cells = [coverage(kind, groups, count, method) for method in METHODS]
            texts = [f"{share:.3f} ({width:.2f})" for share, width in cells]
            print(f"| {groups} | {name} | {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["ranked"]:
        main_ranked(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
