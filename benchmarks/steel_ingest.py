"""Time and memory of ingesting steel at its original size, against merely decoding the files.

Draws some synthetic images of 256×1600, repeats each until there are as many as asked for (encoded
anew with a speck of its own, so that no two files are equal), ingests them in a process of its own,
and in another reads the same files with `cv2.imread` and decodes the same run lengths, one image
after the other. The ratio is what ingest adds: checks, columns, packing, compression, writing. CPU
seconds tell more where others use the machine.

    python benchmarks/steel_ingest.py 3000

Prints images, seconds, peak memory and file sizes, and what 12,568 + 5,506 images would take.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from processes import Took, measured

from foldbelt import ingest, rle, synthetic
from foldbelt.config import complete

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


def ingested(root: Path, out: Path) -> None:
    """Ingest the folder."""
    section, train = complete("data", {}), out / "train.h5"
    ingest.run("steel", root, section, train, out / "problems.csv")
    ingest.run("steel", root, section, out / "test.h5", out / "test_problems.csv", train)


def decoded(root: Path) -> None:
    """Read every image and every run length, and keep nothing."""
    cv2.setNumThreads(1)
    for path in sorted(root.glob("*_images/*.jpg")):
        assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
    for text in pd.read_csv(root / "train.csv")["EncodedPixels"]:
        rle.decode(text, SIZE)


def main() -> None:
    """Make the data, measure both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, help="images, of which 30 % are test images")
    parser.add_argument("--folder", type=Path, help="where room for 10 GiB is; a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        folder = Path(scratch)
        train_images = given.images - round(given.images * 0.3)
        synthetic.steel(folder / "drawn", min(DRAWN, given.images), 0, SIZE, 0, workers=2)
        raw, out = folder / "raw", folder / "out"
        repeat(folder / "drawn", raw, train_images, given.images - train_images)
        decode = measured(decoded, root=raw)  # first: it also warms the page cache for both
        decode = measured(decoded, root=raw)
        whole = measured(ingested, root=raw, out=out)
        report(given.images, train_images, raw, out, decode, whole)


def report(
    images: int,
    train_images: int,
    raw: Path,
    out: Path,
    decode: Took,
    whole: Took,
) -> None:
    """Print what was measured, and what the full set would take."""
    sizes = {path.name: path.stat().st_size / 2**20 for path in sorted(out.glob("*.h5"))}
    jpeg = sum(path.stat().st_size for path in raw.glob("*_images/*")) / 2**20
    full = sum(FULL)
    print(f"{images} images of {SIZE[0]}×{SIZE[1]}, {jpeg:.0f} MiB of JPEG, {train_images} train")
    print(f"{'':<18}{'s':>8}{'CPU s':>8}{'ms each':>9}{'CPU ms each':>13}{'peak MiB':>10}")
    for name, took in (("cv2.imread + RLE", decode), ("ingest", whole)):
        wall, busy = (1000 * value / images for value in (took.seconds, took.busy))
        print(
            f"{name:<18}{took.seconds:8.1f}{took.busy:8.1f}{wall:9.2f}{busy:13.2f}{took.peak:10.0f}"
        )
    ratios = whole.seconds / decode.seconds, whole.busy / decode.busy
    print(f"{'ratio':<18}{ratios[0]:8.2f}{ratios[1]:8.2f}")
    print(", ".join(f"{name} {size:.0f} MiB" for name, size in sizes.items()))
    share = (
        sizes["train.h5"] / train_images * FULL[0]
        + sizes["test.h5"] / (images - train_images) * FULL[1]
    )
    print(
        f"12,568 + 5,506 images: {whole.seconds / images * full / 60:.1f} min, "
        f"{share / 1024:.2f} GiB on disk, {np.prod(SIZE) * full / 2**30:.2f} GiB uncompressed"
    )


if __name__ == "__main__":
    main()
