"""Time augmentation of a batch by albumentations against the batched form, in turns, in one run.

    python benchmarks/augmentation.py [--batch 32] [--size 128] [--channels 1] [--repeats 40]
                                      [--device cpu]

Each pipeline goes over the same images and one mask plane, from u8 to u8, on one thread. Times are
the process's own (`time.process_time`), so that other work on the machine does not count; on a GPU,
they are what launching costs the host, and the time until the device is done is given, too. Prints
medians, and the ratio of medians with the middle half of the ratios of pairs.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from foldbelt.augment import Augment
from foldbelt.augment._batched.pipeline import BatchedAugment

KEPT = 2**25 - 2**16  # just below what glibc never keeps
Spec = Sequence[dict[str, dict[str, Any]]]
AFFINE = {"Affine": {"rotate": [-10, 10], "scale": [0.9, 1.1], "translate_percent": 0.05, "p": 0.5}}
PIPELINES: dict[str, Spec] = {
    "flip, Affine, brightness": [
        {"HorizontalFlip": {"p": 0.5}},
        AFFINE,
        {"RandomBrightnessContrast": {"p": 0.5}},
    ],
    "flips": [{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}],
    "elastic": [{"ElasticTransform": {"alpha": 40, "sigma": 8, "p": 0.5}}],
    "noise, blur, holes": [
        {"GaussNoise": {"p": 0.3}},
        {"GaussianBlur": {"p": 0.3}},
        {"CoarseDropout": {"p": 0.3}},
    ],
}


def host(spec: Spec, x: np.ndarray, target: np.ndarray) -> Callable[[int], None]:
    """Give a function that augments the batch image by image."""
    augment = Augment(spec, x.shape[1:3], x.shape[3], target.shape[3])

    def work(turn: int) -> None:
        pairs = [
            augment(*pair, turn * len(x) + row)
            for row, pair in enumerate(zip(x, target, strict=True))
        ]
        np.stack([image for image, _ in pairs])
        np.stack([mask for _, mask in pairs])

    return work


def batched(spec: Spec, x: np.ndarray, target: np.ndarray, device: str) -> Callable[[int], None]:
    """Give a function that augments the batch at once, parameters included."""
    augment = BatchedAugment(spec, x.shape[1:3], [f"image{n}" for n in range(x.shape[3])])
    images, masks = torch.from_numpy(x).to(device), torch.from_numpy(target).to(device)

    def work(turn: int) -> None:
        drawn = augment.draw(range(turn * len(x), (turn + 1) * len(x)))
        augment(torch.from_numpy(drawn), images, masks)

    return work


def drawing(spec: Spec, x: np.ndarray) -> Callable[[int], None]:
    """Give a function that only draws the parameters, as a loader's process does."""
    augment = BatchedAugment(spec, x.shape[1:3], [f"image{n}" for n in range(x.shape[3])])

    def work(turn: int) -> None:
        augment.draw(range(turn * len(x), (turn + 1) * len(x)))

    return work


def timed(work: Callable[[int], None], turn: int, device: str) -> tuple[float, float]:
    """Give the process's milliseconds for one batch, and those until the device is done."""
    start, busy = time.perf_counter(), time.process_time()
    work(turn)
    busy = time.process_time() - busy
    if device != "cpu":
        torch.cuda.synchronize()
    return busy * 1e3, (time.perf_counter() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in (("batch", 32), ("size", 128), ("channels", 1), ("repeats", 40)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # As a network's activations do in training: once so large a block was freed, the C library
    # keeps what is freed, and does not ask the system for memory in every batch anew.
    torch.zeros(KEPT // 4)
    random, shape = np.random.default_rng(0), (given.batch, given.size, given.size)
    x = random.integers(0, 256, (*shape, given.channels)).astype(np.uint8)
    target = (random.random((*shape, 1)) < 0.3).astype(np.uint8)
    for name, spec in PIPELINES.items():
        ways = [host(spec, x, target), batched(spec, x, target, given.device), drawing(spec, x)]
        devices = ["cpu", given.device, "cpu"]
        rows = []
        for turn in range(given.repeats + 3):
            rows.append([timed(*each) for each in zip(ways, [turn] * 3, devices, strict=True)])
        busy = np.array(rows[3:])[..., 0]
        done = statistics.median(row[1][1] for row in rows[3:])
        one, other, draw = np.median(busy, axis=0)
        low, high = np.quantile(busy[:, 1] / busy[:, 0], [0.25, 0.75])
        print(
            f"{name}: albumentations {one:.2f} ms, batched {other:.2f} ms (drawing {draw:.2f} ms; "
            f"done after {done:.2f} ms), ratio {other / one:.2f} ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
