"""Tiny raw folders for the tests of competitions, ingest and submission."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from foldbelt import ingest, rle

SIDE = 101
TRAIN = ["a1", "b2", "c3", "d4"]
TEST = ["x8", "y9"]


def ingest_both(competition: str, root: Path, settings: dict[str, Any], out: Path) -> None:
    """Ingest both parts as the rules do: the test images after the training images."""
    parts = [out / "problems_train.csv", out / "problems_test.csv"]
    try:
        ingest.run(competition, root, settings, out / "train.h5", parts[0])
        train = out / "train.h5"
        ingest.run(competition, root, settings, out / "test.h5", parts[1], train=train)
    finally:
        made = [path for path in parts if path.exists()]
        if made:
            ingest.list_problems(made, out / "problems.csv")


def tile(seed: int, shape: tuple[int, ...] = (SIDE, SIDE)) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)


def salt_masks() -> dict[str, np.ndarray]:
    """One ragged, one vertical, two empty."""
    masks = {name: np.zeros((SIDE, SIDE), np.uint8) for name in TRAIN}
    masks["a1"][20:60, 3:40] = 1
    masks["a1"][30, 50] = 1
    masks["b2"][:, 70:] = 1
    return masks


def make_salt(root: Path) -> Path:
    """Make the salt layout with its quirks: RGB tiles, 16-bit masks unless empty, d4 black."""
    for folder in ("train/images", "train/masks", "test/images"):
        (root / folder).mkdir(parents=True)
    masks = salt_masks()
    for seed, name in enumerate(TRAIN):
        grey = tile(seed) * (name != "d4")
        save(root / f"train/images/{name}.png", np.repeat(grey[..., None], 3, axis=2))
        some = masks[name].any()
        stored = masks[name].astype(np.uint16) * 65535 if some else masks[name]
        save(root / f"train/masks/{name}.png", stored)
    for seed, name in enumerate(TEST):
        grey = tile(100 + seed)
        save(root / f"test/images/{name}.png", np.repeat(grey[..., None], 3, axis=2))
    runs = [rle.encode(masks[name]) for name in TRAIN]
    # rows of every table in an order of their own: nothing may lean on it
    save_table(root / "train.csv", {"id": TRAIN[::-1], "rle_mask": runs[::-1]})
    depths = {name: 50 + 10 * row for row, name in enumerate([*TEST, *TRAIN])}
    save_table(root / "depths.csv", {"id": list(depths), "z": list(depths.values())})
    save_table(root / "sample_submission.csv", {"id": TEST[::-1], "rle_mask": ["1 1"] * 2})
    return root


def make_folder(root: Path, sizes: dict[str, tuple[int, int]], test: bool = False) -> Path:
    """Make images/ and masks/ (values 0 and 255, a block in the upper left)."""
    for folder in ("images", "masks", *(["test"] if test else [])):
        (root / folder).mkdir(parents=True)
    for seed, (name, size) in enumerate(sizes.items()):
        save(root / f"images/{name}.png", tile(seed, size))
        save(root / f"masks/{name}.png", block(size) * 255)
        if test:
            save(root / f"test/test_{name}.png", tile(50 + seed, size))
    return root


def block(size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2, : size[1] // 4] = 1
    return mask


def save(path: Path, pixels: np.ndarray) -> None:
    """Write an image; colours are given as RGB."""
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    assert cv2.imwrite(str(path), pixels)


def save_table(path: Path, columns: dict) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def edit_table(path: Path, identity: str, column: str, value: str) -> None:
    table = pd.read_csv(path, dtype=str, na_filter=False)
    table.loc[table["id"] == identity, column] = value
    table.to_csv(path, index=False)


def add_row(path: Path, *values: str) -> None:
    with path.open("a") as file:
        file.write(",".join(values) + "\n")


def drop_row(path: Path, identity: str) -> None:
    table = pd.read_csv(path, dtype=str, na_filter=False)
    table[table["id"] != identity].to_csv(path, index=False)


def cut(path: Path) -> None:
    """Keep the first two thirds of a file: its header is whole, its pixels are not."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
