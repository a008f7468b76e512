"""What judging masks costs beside the network: counted on the host as before, and where they are.

Logits and masks of 256×1600 pixels and four classes are random. The old way brings probabilities to
the host and counts them with `foldbelt.metrics.score_images`, those of empty masks, too; the new
one is the judge of validation. Both run in turn with one compute thread, and must give the same
score; what counts is the time of the process.

    OMP_NUM_THREADS=1 python benchmarks/validation.py

Prints milliseconds an image: the median of all turns, and their range.
"""

import argparse
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from foldbelt.channels import Resizer
from foldbelt.metrics import score_images
from foldbelt.train.masks import MaskJudge

METRIC = "mean_dice"


def old(valid: Any, logits: torch.Tensor, rows: np.ndarray) -> tuple[float, float]:
    """Score as it was done before, images first and classes last; give that of empty masks, too."""
    prob = valid.resizer.undo(torch.sigmoid(logits.permute(0, 2, 3, 1)).numpy())
    truth, ignore = valid.truth(rows)
    scores = score_images(METRIC, truth, prob > 0.5, ignore)
    empty = score_images(METRIC, truth, np.zeros(prob.shape, bool), ignore)
    return float(scores.mean()), float(empty.mean())


def new(valid: Any, logits: torch.Tensor, target: torch.Tensor, rows: np.ndarray) -> Any:
    """Score as validation does."""
    judge = MaskJudge(valid, METRIC)
    judge.add(rows, {"mask": logits}, {"target": target})
    return judge.score(), judge.constant()


def clocked(work: Callable[[], Any], images: int) -> tuple[float, Any]:
    """Milliseconds of the process an image, and what the work gave."""
    began = time.process_time()
    result = work()
    return (time.process_time() - began) * 1000 / images, result


def main() -> None:
    """Judge in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(256, 1600))
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--turns", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    size, random = tuple(given.size), np.random.default_rng(0)
    mask = random.random((given.images, *size, given.classes)) < 0.02
    logits = torch.randn(given.images, given.classes, *size) - 2
    target, rows = torch.from_numpy(mask.astype(np.uint8)), np.arange(given.images)
    valid = SimpleNamespace(
        resizer=Resizer("resize", size, size),
        classes=given.classes,
        truth=lambda rows: (target.numpy()[rows], None),
    )
    ways = {
        "on the host, classes last": lambda: old(valid, logits, rows),
        "where the logits are, planes first": lambda: new(valid, logits, target, rows),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.turns):
        results = {}
        for name, work in ways.items():
            took, results[name] = clocked(work, given.images)
            times[name].append(took)
        assert len(set(results.values())) == 1, f"the scores differ: {results}"
    print(f"{size[0]}×{size[1]}×{given.classes}, ms an image on one core:")
    for name, each in times.items():
        print(f"  {name}: {np.median(each):.2f} ({min(each):.2f} to {max(each):.2f})")


if __name__ == "__main__":
    main()
