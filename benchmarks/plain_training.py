"""The plain script that recipes are compared to: segmentation-models-pytorch and albumentations.

    python benchmarks/plain_training.py DATA --recipe init.yaml --folds base.csv --fold 0 \
        --seconds 240 --out fold0.npz

Trains one network for so many seconds of the processor and predicts a fold; from the recipe only
what the files are is taken. Everything else is as the package's own examples have it. `--out` has
the bits of each image's mask (h, w, K) at the original size.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import pandas as pd
import segmentation_models_pytorch as smp
import torch
import yaml

from foldbelt import competitions
from foldbelt.config.resolving import complete

SIDE, BATCH, RATE = 256, 8, 0.001


def main() -> None:
    """Train, predict, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    for name in ("recipe", "folds", "out", "weights"):
        parser.add_argument(f"--{name}", type=Path, required=name != "weights")
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    images, masks, held, sizes, ids = read(given)
    network = train(images[~held], masks[~held], given.seconds, given.weights)
    made: dict[str, np.ndarray] = {}
    for place in np.flatnonzero(held):
        with torch.no_grad():
            logits = network(tensor(images[place : place + 1]))[0].numpy()
        shape = sizes[place][::-1]
        planes = [cv2.resize(plane, shape) > 0 for plane in logits]
        made[ids[place]] = np.packbits(np.stack(planes, axis=-1))
    np.savez(given.out, **made)


def read(given: argparse.Namespace) -> tuple[Any, ...]:
    """Give images (N, side, side, 3) u8, masks (N, side, side, K) u8, which are held out, sizes."""
    recipe = yaml.safe_load(given.recipe.read_text(encoding="utf-8"))
    section = {key: value for key, value in recipe["data"].items() if key != "size"}
    settings = competitions.settings(complete("data", section))
    if recipe["competition"] == "folder":  # others have one size, and refuse another
        settings["size"] = settings["size"] or [SIDE, SIDE]
    reader = competitions.reader(recipe["competition"])
    listing = reader.scan(given.data, settings)
    listing = reader.settle(listing) if hasattr(reader, "settle") else listing
    folds = pd.read_csv(given.folds, dtype={"id": str}).set_index("id")["fold"]
    images, masks, sizes, ids = [], [], [], []
    for item in listing.train:
        sample = reader.read(item, listing)
        image = sample.image if sample.image.ndim == 3 else sample.image[..., None]
        image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        images.append(resized(image))
        masks.append(resized(np.asarray(sample.mask, np.uint8), cv2.INTER_NEAREST))
        sizes.append(image.shape[:2])
        ids.append(item.id)
    held = folds[ids].to_numpy() == given.fold
    return np.stack(images), np.stack(masks), held, sizes, ids


def resized(image: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Bring an image (h, w, C) to the side of the script."""
    made = cv2.resize(image, (SIDE, SIDE), interpolation=how) if image.shape[2] < 5 else np.stack(
        [cv2.resize(plane, (SIDE, SIDE), interpolation=how) for plane in np.moveaxis(image, 2, 0)],
        axis=2,
    )  # fmt: skip
    return made.reshape(SIDE, SIDE, -1)


def tensor(images: np.ndarray) -> torch.Tensor:
    """Bring images (n, h, w, C) u8 to what a network takes."""
    return torch.from_numpy(np.moveaxis(images, 3, 1).astype(np.float32) / 255)


def train(
    images: np.ndarray, masks: np.ndarray, seconds: float, weights: Path | None
) -> torch.nn.Module:
    """Train for so long, as the package's own examples do."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    network = smp.Unet("resnet18", encoder_weights=None, classes=masks.shape[3])
    if weights is not None:
        network.encoder.load_state_dict(torch.load(weights, weights_only=True))
    criterion = smp.losses.DiceLoss("multilabel", from_logits=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    augment = albumentations.Compose(
        [albumentations.HorizontalFlip(p=0.5), albumentations.RandomBrightnessContrast(p=0.2)]
    )
    end, epochs = time.process_time() + seconds, 0
    network.train()
    while time.process_time() < end:
        epochs += 1
        for rows in np.array_split(random.permutation(len(images)), -(-len(images) // BATCH)):
            pairs = [augment(image=images[row], mask=masks[row]) for row in rows]
            x = tensor(np.stack([pair["image"] for pair in pairs]))
            y = np.stack([pair["mask"].reshape(SIDE, SIDE, -1) for pair in pairs])
            loss = criterion(network(x), torch.from_numpy(np.moveaxis(y, 3, 1).astype(np.float32)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if time.process_time() > end:
                break
    print(f"{epochs} epochs of {len(images)} images in {seconds:.0f} s", flush=True)
    return network.eval()


if __name__ == "__main__":
    main()
