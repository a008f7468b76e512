"""Every transform does what its name says, to what it should, with any number of channels."""

import numpy as np
import pytest

from foldbelt.augment._transforms import Augment
from foldbelt.files import InputError

SIZE = (32, 32)
NEAREST = {"interpolation": 0, "mask_interpolation": 0}
MOVING = {
    "HorizontalFlip": {},
    "VerticalFlip": {},
    "Transpose": {},
    "Rotate": {"limit": 10, **NEAREST},
    "ShiftScaleRotate": {
        "shift_limit": 0.1,
        "scale_limit": 0.2,
        "rotate_limit": 10,
        **NEAREST,
    },
    "Affine": {"scale": [0.8, 1.2], "translate_percent": 0.1, "rotate": [-10, 10], **NEAREST},
    "RandomResizedCrop": {"size": [32, 32], "scale": [0.25, 1.0], **NEAREST},
    "RandomSizedCrop": {"min_max_height": [16, 32], "size": [32, 32], **NEAREST},
    "ElasticTransform": {"alpha": 20, "sigma": 4, **NEAREST},
    "GridDistortion": {"distort_limit": 0.3, **NEAREST},
}
COLOURS = {
    "RandomBrightnessContrast": {"brightness_limit": 0.2, "brightness_by_max": True},
    "RandomGamma": {"gamma_limit": [60, 150]},
    "GaussianBlur": {"sigma_limit": [1.0, 2.0]},
    "GaussNoise": {"std_range": [0.1, 0.2]},
}
HOLES = {"CoarseDropout": {"num_holes_range": [2, 3], "fill": 255}}
EVERY = MOVING | COLOURS | HOLES
CHANNELS = {1: ["image"], 2: ["image", "depth"], 3: ["image0", "image1", "image2"]}
CHANNELS[5] = ["image", "row", "cumsum", "image_row", "depth"]


def one(name: str, channels: int, planes: int = 1, names: list[str] | None = None) -> Augment:
    """A pipeline of one transform, always applied."""
    return Augment([{name: {**EVERY[name], "p": 1.0}}], SIZE, channels, planes, names)


def masks(planes: int) -> np.ndarray:
    """Blobs without any symmetry; the second plane lies in the first."""
    rows, columns = np.mgrid[:32, :32]
    blob = ((rows - 10) ** 2 + (columns - 18) ** 2 < 40) | ((rows > 20) & (columns < 9))
    return np.stack([blob & (rows + columns > 28 * plane) for plane in range(planes)], -1).astype(
        np.uint8
    )


def images(channels: int) -> np.ndarray:
    return np.random.default_rng(3).integers(40, 200, (*SIZE, channels)).astype(np.uint8)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", EVERY)
def test_type_and_shape_stay_and_the_seed_decides(name, channels):
    image, mask = images(channels), masks(2)
    before = image.copy(), mask.copy()
    augment = one(name, channels, 2, CHANNELS[channels])
    seen = [augment(image, mask, seed) for seed in (1, 2, 3, 1)]
    for moved, moved_mask in seen:
        assert (moved.shape, moved.dtype) == (image.shape, np.uint8)
        assert (moved_mask.shape, moved_mask.dtype) == (mask.shape, np.uint8)
        assert set(np.unique(moved_mask)) <= {0, 1}
    assert all(np.array_equal(*pair) for pair in zip(seen[0], seen[3], strict=True))
    assert any(not np.array_equal(moved, image) for moved, _ in seen)
    if name not in ("HorizontalFlip", "VerticalFlip", "Transpose"):
        assert not np.array_equal(seen[0][0], seen[1][0])
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", MOVING)
def test_masks_move_with_their_image(name, channels):
    mask = masks(2)
    image = np.repeat(mask[..., :1] * 255, channels, axis=2)  # the image is its own mask
    augment = one(name, channels, 2)
    for seed in range(6):
        moved, moved_mask = augment(image, mask, seed)
        assert all(np.array_equal(moved[..., c] > 0, moved_mask[..., 0] > 0) for c in (0, -1))
        assert (moved_mask[..., 1] <= moved_mask[..., 0]).all()  # so does the ignored pixels' plane
        assert 0 < moved_mask[..., 1].sum() < moved_mask[..., 0].sum()


@pytest.mark.parametrize("name", ["HorizontalFlip", "VerticalFlip", "Transpose"])
def test_twice_is_not_at_all(name):
    image, mask = images(2), masks(2)
    augment = one(name, 2, 2)
    once = augment(image, mask, 0)
    axes = {"HorizontalFlip": image[:, ::-1], "VerticalFlip": image[::-1]}
    assert np.array_equal(once[0], axes.get(name, image.transpose(1, 0, 2)))
    again = augment(*once, 0)
    assert np.array_equal(again[0], image)
    assert np.array_equal(again[1], mask)


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("name", COLOURS)
def test_grey_values_change_in_images_alone(name, channels):
    image, mask = images(channels), masks(2)
    augment = one(name, channels, 2, CHANNELS[channels])
    for seed in range(4):
        changed, same = augment(image, mask, seed)
        assert not np.array_equal(changed[..., 0], image[..., 0])
        assert np.array_equal(changed[..., 1:], image[..., 1:])
        assert np.array_equal(same, mask)
    alone = one(name, 1, 2, ["image"])(image[..., :1], mask, 0)[0]
    assert (np.abs(alone.astype(int) - image[..., :1]) > 0).any()


def test_the_chance_is_that_of_the_config():
    image = images(2)
    augment = Augment([{"GaussNoise": {"p": 0.3}}], SIZE, 2, 1, ["image", "depth"])
    changed = [not np.array_equal(augment(image, masks(1), s)[0], image) for s in range(300)]
    assert 0.2 < np.mean(changed) < 0.4


def test_all_colours_of_an_image_change():
    image = images(4)
    augment = one("RandomGamma", 4, 1, ["image0", "image1", "image2", "depth"])
    changed, _ = augment(image, masks(1), 0)
    assert (changed != image).any(axis=(0, 1)).tolist() == [True, True, True, False]


@pytest.mark.parametrize("name", EVERY)
def test_a_constant_channel_that_is_no_image_stays_so(name):
    image = images(3)
    image[..., 2] = 77
    for seed in range(5):
        moved, _ = one(name, 3, 1, ["image", "cumsum", "depth"])(image, masks(1), seed)
        assert (moved[..., 2] == 77).all()
    if name == "CoarseDropout":  # a hole in the image is one in what was made of it
        hole = (moved[..., 0] == 255) & (image[..., 0] != 255)
        assert hole.any()
        assert (moved[..., 1][hole] == 255).all()


def test_brightness_is_added():
    image = np.repeat(np.arange(60, 92, dtype=np.uint8)[:, None], 32, axis=1)[..., None]
    spec = {"RandomBrightnessContrast": {"brightness_limit": 0.2, "contrast_limit": 0, "p": 1}}
    augment = Augment([spec], SIZE, 1, 1)
    shifts = []
    for seed in range(20):
        changed = augment(image, masks(1), seed)[0].astype(int)
        assert np.ptp(changed - image) <= 1
        shifts.append((changed - image).mean())
    assert -52 < min(shifts) < -20 < 20 < max(shifts) < 52


def test_rotation_stays_within_its_limit():
    image = np.zeros((*SIZE, 1), np.uint8)
    image[14:18, 26:30] = 255
    augment = one("Rotate", 1)
    angles = []
    for seed in range(60):
        moved = augment(image, masks(1), seed)[0][..., 0]
        row, column = np.argwhere(moved).mean(axis=0) - 15.5
        angles.append(np.degrees(np.arctan2(row, column)))
    assert np.abs(angles).max() < 11
    assert min(angles) < -7
    assert max(angles) > 7


@pytest.mark.parametrize("name", ["RandomSizedCrop", "RandomResizedCrop"])
def test_crops_show_half_of_each_side_at_least(name):
    rows = np.repeat(np.arange(32, dtype=np.uint8)[:, None] * 8, 32, axis=1)[..., None]
    image = np.concatenate([rows, rows.transpose(1, 0, 2)], axis=2)
    augment = one(name, 2, 1, ["image", "row"])
    extents = np.array(
        [np.ptp(augment(image, masks(1), s)[0], axis=(0, 1)) / 8 + 1 for s in range(60)]
    )
    # a ratio of sides other than 1 takes less of one side and more of the other
    assert (extents.prod(axis=1) >= 0.24 * 32**2).all()
    assert (extents.prod(axis=1) < 0.5 * 32**2).any()
    assert (extents.prod(axis=1) > 0.7 * 32**2).any()
    if name == "RandomSizedCrop":
        assert extents.min() >= 15


def test_holes_are_holes():
    image, mask = images(2), masks(2)
    for seed in range(4):
        holed, same = one("CoarseDropout", 2, 2)(image, mask, seed)
        hole = (holed != image).any(axis=2)
        assert (holed[hole] == 255).all()
        assert 0 < hole.mean() < 0.5
        assert np.array_equal(same, mask)  # what is hidden is still to be found


def test_members_of_a_choice_are_limited_and_tried_one_by_one():
    spec = {"OneOf": {"transforms": [{"RandomGamma": {"p": 1}}, {"GaussNoise": {"p": 3e-1}}]}}
    image = images(2)
    augment = Augment([spec, {"HorizontalFlip": {"p": 0}}], SIZE, 2, 1, ["image", "depth"])
    changed = [augment(image, masks(1), seed)[0] for seed in range(30)]
    assert all(np.array_equal(one[..., 1], image[..., 1]) for one in changed)
    share = np.mean([not np.array_equal(one, image) for one in changed])
    assert 0.2 < share < 0.8  # OneOf's own chance is one half
    choice = {"OneOf": {"transforms": [{"HorizontalFlip": {}}, {"ToGray": {}}, {"ToFloat": {}}]}}
    with pytest.raises(InputError, match=r"(?s)ToGray.*ToFloat: gives 32×32 float32"):
        Augment([choice], SIZE, 2, 1)
    sequence = {"Sequential": {"transforms": [{"RandomCrop": {"height": 16, "width": 16}}]}}
    sequence["Sequential"]["transforms"][0]["RandomCrop"]["p"] = 1
    with pytest.raises(InputError, match="Sequential: gives 16×16"):
        Augment([sequence], SIZE, 1, 1)
    sequence["Sequential"]["transforms"].append({"Resize": {"height": 32, "width": 32, "p": 1}})
    assert Augment([sequence], SIZE, 1, 1)


def test_without_an_image_there_is_nothing_to_brighten():
    with pytest.raises(InputError, match="RandomGamma: changes images only"):
        Augment([{"RandomGamma": {}}], SIZE, 2, 1, ["cumsum", "depth"])
    assert Augment([{"HorizontalFlip": {}}], SIZE, 2, 1, ["cumsum", "depth"])


@pytest.mark.filterwarnings("error")
def test_transforms_that_move_no_box_are_no_mistake_where_there_are_boxes():
    given = [{"RandomBrightnessContrast": {"p": 0.5}}]
    assert Augment(given, (32, 32), 1, 1, ["image"], visible=0.25)
