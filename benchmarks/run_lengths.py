"""Writing masks as run lengths: CPU time, against pycocotools where it is installed.

Masks are those of a folder of PNG files, or smooth shapes of 101×101 (39 % of them empty, as of
salt) and of 256×1600 (one defect in half of them). pycocotools writes a compressed form of its
own, which no competition takes; `naive` is plain NumPy and Python, and all that is written is read
again. The ways take turns; medians of seven passes.

    python benchmarks/run_lengths.py 1000 --folder masks
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from foldbelt import rle

try:
    from pycocotools import mask as coco
except ImportError:
    coco = None

PASSES = 7


def naive(mask: np.ndarray) -> str:
    """Write runs as most kernels do."""
    flat = np.concatenate([[0], mask.flatten(order="F"), [0]])
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges[1::2] -= edges[::2]
    return " ".join(str(number) for number in edges)


def shapes(count: int, size: tuple[int, int], window: int, empty: float) -> list[np.ndarray]:
    """Draw masks that are smooth within a window of some columns."""
    random = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        mask = np.zeros(size, np.uint8)
        if random.random() >= empty:
            noise = random.standard_normal((size[0], window))
            noise = cv2.GaussianBlur(noise, (0, 0), random.uniform(4, 14))
            left = int(random.integers(size[1] - window + 1))
            level = np.quantile(noise, random.uniform(0.5, 0.98))
            mask[:, left : left + window] = noise > level
        masks.append(mask)
    return masks


def compared(title: str, masks: list[np.ndarray]) -> None:
    """Print the CPU time of each way a mask."""
    ways: dict[str, Callable[[np.ndarray], object]] = {"foldbelt": rle.encode, "naive": naive}
    if coco is not None:
        ways["pycocotools"] = lambda mask: coco.encode(np.asfortranarray(mask))
    for mask in masks:
        text = rle.encode(mask)
        assert text == naive(mask)
        assert np.array_equal(rle.decode(text, mask.shape), mask)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(PASSES):
        for name, way in ways.items():
            start = time.process_time()
            for mask in masks:
                way(mask)
            took[name].append(1e6 * (time.process_time() - start) / len(masks))
    runs = np.mean([len(rle.encode(mask).split()) / 2 for mask in masks])
    ours = np.median(took["foldbelt"])
    print(f"{len(masks)} {title}, {runs:.0f} runs on average; µs a mask")
    for name, times in took.items():
        low, middle, high = np.quantile(times, [0, 0.5, 1])
        print(f"  {name:<12}{middle:9.1f} ({low:.1f} to {high:.1f}){middle / ours:8.2f}")


def main() -> None:
    """Compare on each kind of mask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("masks", type=int, help="how many small masks; a tenth are large")
    parser.add_argument("--folder", type=Path, help="PNG files of masks, instead of drawn ones")
    given = parser.parse_args()
    if given.folder:
        files = sorted(given.folder.glob("*.png"))[: given.masks]
        pixels = (cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files)
        compared(f"masks of {given.folder}", [(image > 0).astype(np.uint8) for image in pixels])
        return
    compared("masks of 101×101", shapes(given.masks, (101, 101), 101, 0.39))
    compared("masks of 256×1600", shapes(given.masks // 10, (256, 1600), 300, 0.5))


if __name__ == "__main__":
    main()
