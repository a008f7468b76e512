"""Augmentation: the sample and its seed decide; masks move with the image; names are checked."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from foldbelt.augment._transforms import Augment
from foldbelt.files import InputError

SIZE = (32, 32)
FLIPS = [{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}]
RICH = [
    *FLIPS,
    {"Affine": {"rotate": [-10, 10], "p": 1.0}},
    {"RandomSizedCrop": {"min_max_height": [16, 32], "size": [32, 32], "p": 0.5}},
    {"OneOf": {"transforms": [{"RandomGamma": {"p": 1}}, {"GaussNoise": {"p": 1}}], "p": 0.5}},
]


def sample(channels=2, planes=2):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*SIZE, channels)).astype(np.uint8)
    return image, (random.random((*SIZE, planes)) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_the_seed_alone_decides(channels):
    image, mask = sample(channels)
    augment = Augment(RICH, SIZE, channels, 2)
    expected = augment(image, mask, 7)
    for seed in range(20):
        augment(image, mask, seed)
    for one in (augment, Augment(RICH, SIZE, channels, 2)):
        assert all(np.array_equal(a, b) for a, b in zip(one(image, mask, 7), expected, strict=True))
    assert expected[0].shape == image.shape
    assert expected[0].dtype == np.uint8
    assert set(np.unique(expected[1])) <= {0, 1}
    assert not np.array_equal(augment(image, mask, 8)[0], expected[0])


def test_flips_are_independent_of_each_other():
    # albumentations' own set_random_seed gives all transforms one stream: both flips or none.
    augment = Augment(FLIPS, SIZE, 1, 1)
    image = np.zeros((*SIZE, 1), np.uint8)
    mask = np.zeros((*SIZE, 1), np.uint8)
    image[0, 0] = mask[0, 0] = 1
    corners = Counter()
    for seed in range(400):
        moved, moved_mask = augment(image, mask, seed)
        assert np.array_equal(moved, moved_mask)
        corners[tuple(np.argwhere(moved[..., 0])[0])] += 1
    assert len(corners) == 4
    assert min(corners.values()) > 70


def test_all_planes_move_alike():
    _, mask = sample()
    augment = Augment([{"Affine": {"rotate": [-45, 45], "p": 1}}], SIZE, 1, 2)
    twice = np.repeat(mask[..., :1], 2, axis=2)
    _, moved = augment(mask[..., :1] * 255, twice, 3)
    assert np.array_equal(moved[..., 0], moved[..., 1])
    assert not np.array_equal(moved, twice)


def test_nothing_asked_is_nothing_done():
    image, mask = sample()
    augment = Augment([], SIZE, 2, 2)
    assert not augment
    assert augment(image, mask, 1)[0] is image


def test_all_bad_names_and_arguments_are_listed():
    spec = [
        {"HorizontlFlip": {}},
        {"VerticalFlip": {"chance": 1}},
        {"RandomGamma": {"p": 2}},
        {"OneOf": {"transforms": [{"Inner": {}}]}},
    ]
    with pytest.raises(InputError) as error:
        Augment(spec, SIZE, 1, 1)
    for word in ("HorizontlFlip", "chance", "RandomGamma", "Inner"):
        assert word in str(error.value)


def test_what_does_not_suit_the_images_is_refused_before_training():
    spec = [
        {"RandomSizedCrop": {"min_max_height": [8, 32], "size": [16, 32], "p": 0.01}},
        {"ToGray": {"p": 0.01}},
        {"ToFloat": {"p": 0.01}},
        {"HorizontalFlip": {}},
    ]
    with pytest.raises(InputError) as error:
        Augment(spec, SIZE, 2, 1)
    for word in ("16×32", "ToGray", "float32"):
        assert word in str(error.value)
    assert "HorizontalFlip" not in str(error.value)


def test_no_update_check_and_no_albumentations_in_prediction():
    code = "import sys, foldbelt.predict; assert 'albumentations' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
