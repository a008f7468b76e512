"""Time and memory of ingesting steel at its original size, against merely decoding the files.

Draws some synthetic images of 256×1600, repeats each until there are as many as asked for (encoded
anew with a speck of its own, so that no two files are equal), ingests them in a process of its own,
and in another reads the same files with `cv2.imread` and decodes the same run lengths, one image
after the other. The ratio is what ingest adds: checks, columns, packing, compression, writing. CPU
seconds tell more where others use the machine.

    python benchmarks/steel_ingest.py 3000 --folder /tmp/steel

Prints images, seconds, peak memory and file sizes, and what 12,568 + 5,506 images would take.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from foldbelt import ingest, rle, survey

SIZE = (256, 1600)
DRAWN = 200
FULL = (12_568, 5_506)


def repeat(drawn: Path, root: Path, images: int, test_images: int) -> None:
    """Make the large folder from the small one."""
    table = pd.read_csv(drawn / "train.csv")
    rows = []
    for part, count in (("train_images", images), ("test_images", test_images)):
        (root / part).mkdir(parents=True)
        originals = sorted((drawn / "train_images").iterdir())
        for number in range(count):
            source = originals[number % len(originals)]
            name = f"{part[:2]}{number:06}.jpg"
            image = cv2.imread(str(source))
            image[number % SIZE[0], number % SIZE[1]] = 255
            cv2.imwrite(str(root / part / name), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            if part == "train_images":
                rows.append(table[table["ImageId"] == source.name].assign(ImageId=name))
    pd.concat(rows).to_csv(root / "train.csv", index=False)


def work(task: str, root: Path, out: Path) -> None:
    """Do one of the two tasks in this process, and print its seconds and peak memory."""
    start, busy = time.perf_counter(), time.process_time()
    if task == "ingest":
        names = ("train.h5", "test.h5", "problems.csv")
        ingest.run("steel", root, {}, *(out / name for name in names))
    else:
        cv2.setNumThreads(1)
        for path in sorted(root.glob("*_images/*.jpg")):
            assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
        for text in pd.read_csv(root / "train.csv")["EncodedPixels"]:
            rle.decode(text, SIZE)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "busy": busy, "peak": peak}))


def measure(task: str, root: Path, out: Path) -> dict[str, float]:
    """Run a task in a new process."""
    command = [sys.executable, __file__, "0", "--task", task, "--folder", str(root)]
    done = subprocess.run([*command, "--out", str(out)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Make the data, measure both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, help="images, of which 30 % are test images")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "steel_ingest"))
    parser.add_argument("--task", choices=("ingest", "decode"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        work(given.task, given.folder, given.out)
        return
    given.folder.mkdir(parents=True)
    try:
        test_images = round(given.images * 0.3)
        train_images = given.images - test_images
        survey.steel(given.folder / "drawn", min(DRAWN, given.images), 0, SIZE, 0, workers=2)
        raw, out = given.folder / "raw", given.folder / "out"
        repeat(given.folder / "drawn", raw, train_images, test_images)
        decode = measure("decode", raw, out)  # first: it also warms the page cache for both
        decode = measure("decode", raw, out)
        whole = measure("ingest", raw, out)
        report(given.images, train_images, raw, out, decode, whole)
    finally:
        shutil.rmtree(given.folder)


def report(
    images: int,
    train_images: int,
    raw: Path,
    out: Path,
    decode: dict[str, float],
    whole: dict[str, float],
) -> None:
    """Print what was measured, and what the full set would take."""
    sizes = {path.name: path.stat().st_size / 2**20 for path in sorted(out.glob("*.h5"))}
    jpeg = sum(path.stat().st_size for path in raw.glob("*_images/*")) / 2**20
    full = sum(FULL)
    print(f"{images} images of {SIZE[0]}×{SIZE[1]}, {jpeg:.0f} MiB of JPEG, {train_images} train")
    print(f"{'':<18}{'s':>8}{'CPU s':>8}{'ms each':>9}{'CPU ms each':>13}{'peak MiB':>10}")
    for name, took in (("cv2.imread + RLE", decode), ("ingest", whole)):
        wall, busy = (1000 * took[key] / images for key in ("seconds", "busy"))
        print(
            f"{name:<18}{took['seconds']:8.1f}{took['busy']:8.1f}{wall:9.2f}{busy:13.2f}"
            f"{took['peak']:10.0f}"
        )
    ratios = [whole[key] / decode[key] for key in ("seconds", "busy")]
    print(f"{'ratio':<18}{ratios[0]:8.2f}{ratios[1]:8.2f}")
    print(", ".join(f"{name} {size:.0f} MiB" for name, size in sizes.items()))
    share = (
        sizes["train.h5"] / train_images * FULL[0]
        + sizes["test.h5"] / (images - train_images) * FULL[1]
    )
    print(
        f"12,568 + 5,506 images: {whole['seconds'] / images * full / 60:.1f} min, "
        f"{share / 1024:.2f} GiB on disk, {np.prod(SIZE) * full / 2**30:.2f} GiB uncompressed"
    )


if __name__ == "__main__":
    main()
