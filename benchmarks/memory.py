"""Memory of a training's images and masks as their number doubles three times.

Writes files of blank images with speckled masks of four classes, and loads them to train on, each
time in a process of its own: as foldbelt holds them (a byte a pixel, a bit a pixel and class), and
as it did before (masks unpacked, at storage size and at that of the network). CPU seconds are of
loading, and of taking batches of 32 masks afterwards.

    python benchmarks/memory.py 250

Prints the peak of each process, less that of one that loads a single image, and bytes a pixel.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from processes import measured

from foldbelt import store
from foldbelt.channels._resizing import Resizer
from foldbelt.train.data import ImageSet
from foldbelt.train.data_source import Source

SIZE, CLASSES, BATCH = (128, 800), 4, 32
SETTLE = 0.3  # seconds: the memory is looked at ten times a second


def write(folder: Path, count: int) -> None:
    """Write images and masks, block by block."""
    table = pd.DataFrame({"id": [f"{number:06}" for number in range(count)]})
    random = np.random.default_rng(0)
    masks = (random.random((16, *SIZE, CLASSES)) < 0.1).astype(np.uint8)
    attrs = {"names": ["image"], **Resizer("resize", SIZE, SIZE).attrs()}
    with (
        store.Writer(folder / "x.h5", table, attrs) as channels,
        store.Writer(folder / "data.h5", table, {}, CLASSES) as data,
    ):
        channels.create("x", (*SIZE, 1), np.uint8)
        data.create("mask", (*SIZE, CLASSES), np.uint8)
        for start in range(0, count, len(masks)):
            part = masks[: count - start]
            channels.put("x", start, part[..., :1])
            data.put("mask", start, part)


def packed(folder: Path, ids: list[str]) -> None:
    """Load and take batches as a training does."""
    start = time.process_time()
    source = Source(str(folder / "x.h5"), str(folder / "data.h5"), ids)
    labels = np.zeros((len(ids), CLASSES), np.float32)
    resizer = Resizer("resize", SIZE, SIZE)
    held = ImageSet(source, resizer, CLASSES, CLASSES, labels, memory=True, judged=True)
    loaded = time.process_time()
    for rows in batches(ids):
        held.images(rows), held.targets(rows)
    told(loaded - start, time.process_time() - loaded, len(ids))


def unpacked(folder: Path, ids: list[str]) -> None:
    """Load and take batches as it was done before."""
    start = time.process_time()
    images = store.read(folder / "x.h5", "x", ids)
    masks = store.read(folder / "data.h5", "mask", ids)
    targets = np.zeros((len(ids), *SIZE, CLASSES), np.uint8)
    for first in range(0, len(ids), 256):
        targets[first : first + 256] = masks[first : first + 256]
    loaded = time.process_time()
    for rows in batches(ids):
        images[rows], targets[rows]
    told(loaded - start, time.process_time() - loaded, len(ids))


def batches(ids: list[str]) -> list[np.ndarray]:
    """Lay out an epoch."""
    order = np.random.default_rng(0).permutation(len(ids))
    return np.array_split(order, -(-len(ids) // BATCH))


def told(loading: float, taking: float, count: int) -> None:
    """Print CPU times, and stay until the memory has been looked at."""
    load, take = (1000 * seconds / count for seconds in (loading, taking))
    print(f"  {load:7.3f} ms to load{take:9.3f} ms to take", end="")
    time.sleep(SETTLE)


def main() -> None:
    """Measure both at each number of images, in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, help="the smallest number of images")
    least = parser.parse_args().images
    pixels = np.prod(SIZE)
    print(f"images of {SIZE[0]}×{SIZE[1]}, one channel, {CLASSES} classes; CPU ms are of an image")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, 8 * least)
        ids = [f"{number:06}" for number in range(8 * least)]
        for work in (unpacked, packed):
            print(f"{work.__name__:<9} {1:6}", end="", flush=True)
            base = measured(work, folder=folder, ids=ids[:1]).peak
            print(f"{base:9.0f} MiB in all")
            for count in (least, 2 * least, 4 * least, 8 * least):
                print(f"{work.__name__:<9} {count:6}", end="", flush=True)
                peak = measured(work, folder=folder, ids=ids[:count]).peak - base
                print(f"{peak:9.0f} MiB more {peak * 2**20 / count / pixels:6.2f} bytes a pixel")


if __name__ == "__main__":
    main()
