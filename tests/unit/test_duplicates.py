"""Near copies are found, and images that only look alike are not."""

import importlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from foldbelt import copies as duplicates
from foldbelt import synthetic
from foldbelt.copies import CopyFinder


def finder_of(images: list[np.ndarray]) -> CopyFinder:
    finder = CopyFinder()
    for image in images:
        finder.add(image)
    return finder


def grain(seed: int, shape: tuple[int, int] = (48, 160)) -> np.ndarray:
    """Noise smoothed a little about one brightness: a clean sheet with a texture of its own."""
    noise = np.random.default_rng(seed).normal(0, 30, shape).astype(np.float32)
    return np.clip(120 + cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def test_what_is_encoded_anew_brighter_or_shifted_is_a_copy() -> None:
    images = [grain(seed) for seed in range(30)]
    lamp = np.linspace(0, 60, 160, dtype=np.float32)[None]  # all under one lamp: their hashes agree
    images = [np.clip(image * 0.5 + lamp, 0, 255).astype(np.uint8) for image in images]
    copies = [encoded(images[3], 60), np.clip(images[7] * 1.05, 0, 255).astype(np.uint8)]
    copies += [images[12][:, [*range(1, 160), 159]]]
    found = list(finder_of([*images, *copies]).pairs(10))
    assert sorted(found) == [(3, 30), (7, 31), (12, 32)]


def test_the_hash_decides_how_far_brightness_may_differ() -> None:
    images = [np.clip(20 + grain(seed) * 0.5, 0, 255).astype(np.uint8) for seed in range(20)]
    lamps = cv2.resize(np.random.default_rng(9).normal(60, 30, (4, 6)), (160, 48))
    relit = np.clip(images[3] + lamps, 0, 255).astype(np.uint8)  # the same grain, another light
    look = finder_of([*images, relit])
    assert list(look.pairs(8)) == []
    assert list(look.pairs(64)) == [(3, 20)]


def test_images_that_look_alike_are_no_copies() -> None:
    """The hash alone takes all sheets under one lamp for copies; the grain tells them apart."""
    lamps = cv2.resize(np.random.default_rng(9).normal(0, 60, (6, 8)), (160, 48))
    images = [np.clip(60 + lamps + grain(n) * 0.2, 0, 255).astype(np.uint8) for n in range(40)]
    hashes = np.array([duplicates.perceptual_hash(image) for image in images], np.uint64)
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= 12
    assert near.mean() > 0.9
    assert list(finder_of(images).pairs(12)) == []


def test_what_all_images_share_is_no_evidence() -> None:
    """One part before one camera: edges that are the same on every image, or nearly."""
    edges = np.zeros((48, 160), np.float32)
    edges[:, 20:24] = edges[:, 90:93] = edges[10:13] = 70
    random = np.random.default_rng(0)
    images = [
        np.clip(60 + edges * random.uniform(0.8, 1.2) + grain(seed) * 0.3, 0, 255).astype(np.uint8)
        for seed in range(120)
    ]
    plain = np.stack([duplicates._thumbnail(image) for image in images])
    likeness = np.corrcoef(plain)
    assert np.median(likeness) > duplicates.ALIKE  # without a look at the set, all would be copies
    copy = encoded(images[5], 70)
    assert list(finder_of([*images, copy]).pairs(64)) == [(5, 120)]


def test_few_images_with_a_copy_keep_it() -> None:
    images = [grain(seed) for seed in range(4)]
    assert list(finder_of([*images, encoded(images[0], 80)]).pairs(10)) == [(0, 4)]
    assert list(finder_of([images[0], encoded(images[0], 80)]).pairs(10)) == [(0, 1)]
    assert list(finder_of([]).pairs(10)) == []
    assert finder_of([]).groups(10) == []


def test_images_of_one_grey_level_have_no_copies() -> None:
    black = np.zeros((48, 160), np.uint8)
    images = [black, grain(0), black, grain(1), grain(0)]
    assert finder_of(images).groups(8) == [None, 0, None, None, 0]


def test_copies_of_copies_are_one_group_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [grain(seed) for seed in range(24)]
    images[20] = encoded(images[2], 70)
    images[23] = encoded(images[20], 50)
    whole = finder_of(images).groups(10)
    assert [place for place, group in enumerate(whole) if group is not None] == [2, 20, 23]
    assert len({group for group in whole if group is not None}) == 1
    monkeypatch.setattr(duplicates, "_BLOCK", 5)
    assert finder_of(images).groups(10) == whole


def test_colour_is_looked_at_as_grey() -> None:
    images = [grain(seed) for seed in range(10)]
    colours = [np.repeat(image[..., None], 3, axis=2) for image in [*images, images[4]]]
    assert list(finder_of(colours).pairs(4)) == [(4, 10)]


def test_twins_of_synthetic_steel_are_found_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("foldbelt.synthetic.steel"), "TWINS", 0.1)
    synthetic.steel(tmp_path / "steel", 80, 0, (64, 400), 5)
    files = sorted((tmp_path / "steel" / "train_images").iterdir())
    places = {path.name: place for place, path in enumerate(files)}
    twins = pd.read_csv(f"{tmp_path / 'steel'}-twins.csv")
    wanted = {
        tuple(sorted((places[one], places[other]))) for one, other in twins.itertuples(index=False)
    }
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in files]
    assert len(wanted) >= 5
    assert set(finder_of(images).pairs(8)) == wanted
