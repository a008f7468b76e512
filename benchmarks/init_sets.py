"""What `foldbelt init` is worth: its recipe, today's folder.yaml and a plain script on data sets.

    python benchmarks/init_sets.py resources/a resources/b … --hours 0.2 --out results/sets.csv

For each set, in a folder of its own below --work: the recipe of `foldbelt init`, run unchanged; the
recipe `config/folder.yaml` with only the path changed (and the competition, and what its masks
mean); and a plain script of segmentation-models-pytorch and albumentations with its usual defaults,
on the same folds and with the same minutes. One table: set, images, all empty, score and interval
of each, seconds. What is finished is not run again.

The plain script: U-Net on resnet18 from scratch (or from `--weights FILE`), images resized to 256,
Dice loss, Adam 0.001, flips and brightness, batches of 8, threshold .5, one network a fold. It is
scored at the size at which the recipe of `foldbelt init` stores the images, the others at that of
the originals.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import albumentations
import cv2
import h5py
import numpy as np
import pandas as pd
import torch
import yaml

from foldbelt import bootstrap, store
from foldbelt.init.layout import detect
from foldbelt.metrics import masks as metrics
from foldbelt.registry import metric as metric_of

ROOT = Path(__file__).parents[1]
SIDE, BATCH, RATE = 256, 8, 0.001
BEFORE = "config/folder.yaml"
"""The recipe that somebody would have taken before."""


def main() -> None:
    """Run what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--hours", type=float, default=0.2)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("results/init_sets"))
    parser.add_argument("--out", type=Path, default=Path("results/init_sets.csv"))
    parser.add_argument("--weights", type=Path, help="of the plain script's encoder")
    given = parser.parse_args()
    rows = []
    for path in given.sets:
        rows += compare(path.resolve(), given)
        pd.DataFrame(rows).to_csv(given.out, index=False)
    print(pd.DataFrame(rows).to_string(index=False))


def compare(path: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Give the rows of one set."""
    place = (given.work / path.name).resolve()
    place.mkdir(parents=True, exist_ok=True)
    mine, before = place / "init.yaml", place / "before.yaml"
    if not mine.exists():
        command = [sys.executable, "-m", "foldbelt.cli", "init", str(path), "--out", str(mine)]
        command += ["--run", "init", "--hours", str(given.hours), "--cores", str(given.cores)]
        subprocess.run(command, check=True, cwd=ROOT)
    before.write_text(yaml.safe_dump(recipe_before(path)), encoding="utf-8")
    rows = [row(path, "init", *run(mine, place, given.cores))]
    rows.append(row(path, "before", *run(before, place, given.cores)))
    rows.append(row(path, "plain", *plain(place, given)))
    return rows


def recipe_before(path: Path) -> dict[str, Any]:
    """Give the recipe that there was, with the path, and what without it could not be read."""
    layout = detect(path)
    recipe = yaml.safe_load((ROOT / BEFORE).read_text(encoding="utf-8"))
    recipe |= {"run": "before", "competition": layout.competition}
    kept = {"size": recipe["data"]["size"]} if layout.competition == "folder" else {}
    recipe["data"] = {"path": str(path), **kept, **layout.section()}
    return dict(recipe)


def run(recipe: Path, place: Path, cores: int) -> tuple[dict[str, Any], float]:
    """Run a recipe in a place; give its scores and the seconds, those of the first time."""
    name = yaml.safe_load(recipe.read_text(encoding="utf-8"))["run"]
    scores, taken = place / "results" / name / "scores.json", place / f"{name}.seconds"
    if not scores.exists():
        began = time.monotonic()
        command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores)]
        log = place / f"{name}.log"
        with log.open("w", encoding="utf-8") as file:
            subprocess.run([*command, "--configfile", str(recipe)], check=True, cwd=place,
                           stdout=file, stderr=file)  # fmt: skip
        taken.write_text(f"{time.monotonic() - began:.0f}")
    return json.loads(scores.read_text(encoding="utf-8")), float(taken.read_text())


def row(path: Path, what: str, scores: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Give one row of the table."""
    low, high = scores["interval"] or (float("nan"), float("nan"))
    return {
        "set": path.name,
        "recipe": what,
        "images": scores.get("images", ""),
        "empty": round(scores["baseline"], 4),
        "score": round(scores["score"], 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "seconds": round(seconds),
    }


def plain(place: Path, given: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """Train the plain script on the folds of the run `init`, and score it as that is scored."""
    done = place / "plain.json"
    if not done.exists():
        began = time.monotonic()
        data = place / "results" / "init" / "data" / "train.h5"
        folds = pd.read_csv(place / "results" / "init" / "folds" / "base.csv", dtype={"id": str})
        table = folds.set_index("id").loc[store.read(data, "id").astype(str)]
        minutes = given.hours * 60 * 0.6 * min(given.cores, table["fold"].nunique())
        scores = cross_validated(data, table, minutes / table["fold"].nunique(), given.weights)
        name = metric_of(store.attrs(data)["config"]["competition"])
        ignore = store.read(data, "ignore").astype(bool) if has(data, "ignore") else None
        images = metrics.score_images(name, *scores, ignore)
        interval = bootstrap.interval(images, table["group"].to_numpy(), seed=1)
        empty = metrics.score_images(name, scores[0], np.zeros_like(scores[1]), ignore)
        made = {
            "score": float(images.mean()),
            "interval": None if interval is None else list(interval),
            "baseline": float(empty.mean()),
            "seconds": time.monotonic() - began,
        }
        done.write_text(json.dumps(made))
    found = json.loads(done.read_text(encoding="utf-8"))
    return found, found["seconds"]


def has(data: Path, name: str) -> bool:
    """Tell whether a file of data has a dataset."""
    with h5py.File(data) as file:
        return name in file


def cross_validated(
    data: Path, table: pd.DataFrame, minutes: float, weights: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Give truth and out-of-fold masks (N, H, W, K), bool, at storage size."""
    images, truth = store.read(data, "image"), store.read(data, "mask").astype(bool)
    images = images if images.ndim == 4 else images[..., None]
    truth = truth if truth.ndim == 4 else truth[..., None]
    small = np.stack([resized(image) for image in images])
    target = np.stack([resized(mask.astype(np.uint8), cv2.INTER_NEAREST) for mask in truth])
    predicted = np.zeros_like(truth)
    for fold in sorted(table["fold"].unique()):
        held = table["fold"].to_numpy() == fold
        network = train(small[~held], target[~held], minutes, weights)
        for place in np.flatnonzero(held):
            with torch.no_grad():
                logits = network(tensor(small[place : place + 1]))[0].numpy()
            shape = truth.shape[2], truth.shape[1]
            for k, plane in enumerate(logits):
                predicted[place, ..., k] = cv2.resize(plane, shape) > 0
    return truth, predicted


def resized(image: np.ndarray, how: int = cv2.INTER_AREA) -> np.ndarray:
    """Bring an image (h, w, C) to the side of the script."""
    made = cv2.resize(image, (SIDE, SIDE), interpolation=how)
    return made.reshape(SIDE, SIDE, -1)


def tensor(images: np.ndarray) -> torch.Tensor:
    """Bring images (n, h, w, C) u8 to what a network takes."""
    return torch.from_numpy(np.moveaxis(images, 3, 1).astype(np.float32) / 255)


def train(
    images: np.ndarray, masks: np.ndarray, minutes: float, weights: Path | None
) -> torch.nn.Module:
    """Train for so many minutes, as the package's own examples do."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(0)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=images.shape[3],
                       classes=masks.shape[3])  # fmt: skip
    if weights is not None:
        network.encoder.load_state_dict(torch.load(weights, weights_only=True))
    criterion = smp.losses.DiceLoss("multilabel", from_logits=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    augment = albumentations.Compose(
        [albumentations.HorizontalFlip(p=0.5), albumentations.RandomBrightnessContrast(p=0.2)]
    )
    end = time.monotonic() + 60 * minutes
    network.train()
    while time.monotonic() < end:
        for rows in np.array_split(random.permutation(len(images)), -(-len(images) // BATCH)):
            pairs = [augment(image=images[row], mask=masks[row]) for row in rows]
            x = tensor(np.stack([pair["image"].reshape(SIDE, SIDE, -1) for pair in pairs]))
            y = np.stack([pair["mask"].reshape(SIDE, SIDE, -1) for pair in pairs])
            loss = criterion(network(x), torch.from_numpy(np.moveaxis(y, 3, 1).astype(np.float32)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if time.monotonic() > end:
                break
    return network.eval()


if __name__ == "__main__":
    main()
