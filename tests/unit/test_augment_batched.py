"""Batched transforms do to pixels and masks what albumentations' do, with the same arguments."""

from typing import Any

import albumentations
import cv2
import numpy as np
import pytest
import torch

from foldbelt.augment._batched.distortions import Elastic
from foldbelt.augment._batched.pipeline import NAMES, BatchedAugment
from foldbelt.augment._batched.warping import Warping
from foldbelt.augment._transforms import Augment
from foldbelt.config import augmentation
from foldbelt.files import InputError

SIZE = (40, 48)
SQUARE = (40, 40)
COLOURS = ["image0", "image1"]


def sample(size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image, so that interpolation differs little, and two masks without symmetry."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 2)).astype(np.uint8)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 10, 245, cv2.NORM_MINMAX)
    y, x = np.mgrid[: size[0], : size[1]]
    blob = (y - 15) ** 2 + (x - 28) ** 2 < 120
    return smooth, np.stack([blob, (y > 25) & (x < 15)], -1).astype(np.uint8)


def run(
    augment: BatchedAugment, image: np.ndarray, mask: np.ndarray, seeds: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    x, target = (torch.from_numpy(np.stack([each] * len(seeds))) for each in (image, mask))
    before = x.clone(), target.clone()
    out, masks, _ = augment(torch.from_numpy(augment.draw(seeds)), x, target)
    assert torch.equal(x, before[0])
    assert torch.equal(target, before[1])
    assert (out.shape, out.dtype) == (x.shape, torch.uint8)
    assert (masks.shape, masks.dtype) == (target.shape, torch.uint8)
    return out.numpy(), masks.numpy()


def both(spec: list[dict[str, Any]], size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Image and mask by albumentations, and image and mask by the batched form."""
    image, mask = sample(size)
    expected = Augment(spec, size, 2, 2)(image, mask, 1)
    found, moved = run(BatchedAugment(spec, size, COLOURS), image, mask, [1, 2])
    assert np.array_equal(found[0], found[1])  # nothing is left to chance
    return [*expected, found[0], moved[0]]


ANGLE, OTHER, BRIGHT = [14, 14], [-33, -33], [0.1, 0.1]
WARP = {"scale": {"x": [0.8, 0.8], "y": [1.2, 1.2]}, "rotate": [12, 12]}
WARP |= {"translate_px": {"x": [3, 3], "y": [-5, -5]}, "shear": {"x": [5, 5], "y": [-8, -8]}}
MOVES = {
    "rotated": [{"Rotate": {"limit": ANGLE}}],
    "replicated": [{"Rotate": {"limit": OTHER, "border_mode": 1}}],
    "reflected": [{"Rotate": {"limit": OTHER, "border_mode": 2}}],
    "mirrored": [{"Rotate": {"limit": OTHER, "border_mode": 4}}],
    "filled": [{"Rotate": {"limit": OTHER, "fill": [200, 90], "fill_mask": 1}}],
    "nearest": [{"Rotate": {"limit": ANGLE, "interpolation": 0, "fill": 77}}],
    "affine": [{"Affine": WARP}],
    "kept ratio": [{"Affine": {"scale": [0.7, 0.7], "keep_ratio": True}}],
    "by share": [{"Affine": {"translate_percent": {"x": [0.13, 0.13], "y": [-0.07, -0.07]}}}],
    "shifted": [
        {
            "ShiftScaleRotate": {
                "shift_limit": [0.1] * 2,
                "scale_limit": [0.2] * 2,
                "rotate_limit": ANGLE,
            }
        }
    ],
    "stretched": [
        {"GridDistortion": {"num_steps": 4, "distort_limit": [0.2] * 2, "normalized": False}}
    ],
    "whole": [{"RandomResizedCrop": {"size": list(SIZE), "scale": [1, 1], "ratio": [1.2, 1.2]}}],
    "flipped first": [{"HorizontalFlip": {}}, {"Affine": WARP}, {"VerticalFlip": {}}],
    "flipped, filled": [{"VerticalFlip": {}}, {"Affine": {**WARP, "fill": 99}}],
    "one after the other": [
        {"Affine": {**WARP, "fill": 120}},
        {"HorizontalFlip": {}},
        {"Rotate": {"limit": ANGLE, "border_mode": 4}},
    ],
    "filled twice": [
        {"Affine": {**WARP, "fill": [250, 120], "fill_mask": 1}},
        {"Rotate": {"limit": OTHER, "fill": 130}},
    ],
    "stretched between": [
        {"HorizontalFlip": {}},
        {"GridDistortion": {"num_steps": 4, "distort_limit": [0.1] * 2, "normalized": False}},
        {"Rotate": {"limit": ANGLE, "border_mode": 1}},
    ],
}


HOLE = {"CoarseDropout": {"fill_mask": 1, "p": 1}}


@pytest.mark.parametrize("case", MOVES)
def test_what_moves_pixels_moves_them_as_albumentations_does(case: str) -> None:
    spec = [{name: {**given, "p": 1}} for each in MOVES[case] for name, given in each.items()]
    image, mask, found, moved = both(spec)
    difference = np.abs(found.astype(int) - image)
    # Albumentations interpolates anew, in steps of a 32nd of a pixel, at each transform.
    several = sum(name not in ("HorizontalFlip", "VerticalFlip") for each in spec for name in each)
    assert difference.mean() < (0.3 if several == 1 else 2.5)
    assert np.quantile(difference, 0.99) <= (2 if several == 1 else 16)
    assert (moved != mask).mean() < (0.006 if several == 1 else 0.02)
    assert np.abs(image.astype(int) - sample()[0]).mean() > 5 or case == "whole"


TURNS = {
    "HorizontalFlip": SIZE,
    "VerticalFlip": SIZE,
    "Transpose": SQUARE,
}


@pytest.mark.parametrize("name", TURNS)
def test_flips_and_transposition_are_exact(name: str) -> None:
    image, mask, found, moved = both([{name: {"p": 1}}], TURNS[name])
    assert np.array_equal(found, image)
    assert np.array_equal(moved, mask)


@pytest.mark.parametrize(("name", "count"), [("RandomRotate90", 4), ("D4", 8)])
@pytest.mark.parametrize("more", [[], [{"Affine": {"p": 1}}]])
def test_turns_reach_all_they_should_whatever_the_pass(name: str, count: int, more: list) -> None:
    image, mask = sample(SQUARE)
    host = Augment([{name: {"p": 1}}], SQUARE, 2, 2)
    expected = {b"".join(each.tobytes() for each in host(image, mask, seed)) for seed in range(80)}
    assert len(expected) == count
    pairs = run(
        BatchedAugment([{name: {"p": 1}}, *more], SQUARE, COLOURS), image, mask, [*range(80)]
    )
    assert {a.tobytes() + b.tobytes() for a, b in zip(*pairs, strict=True)} == expected


GREY = {
    "brightness": {
        "RandomBrightnessContrast": {"brightness_limit": BRIGHT, "contrast_limit": [0.2] * 2}
    },
    "by mean": {
        "RandomBrightnessContrast": {
            "brightness_limit": [-0.3] * 2,
            "contrast_limit": [-0.2] * 2,
            "brightness_by_max": False,
        }
    },
    "gamma": {"RandomGamma": {"gamma_limit": [70, 70]}},
    "blur": {"Blur": {"blur_limit": [5, 5]}},
    "gaussian": {"GaussianBlur": {"sigma_limit": [1.3, 1.3]}},
    "gaussian of a size": {"GaussianBlur": {"sigma_limit": [1.3, 1.3], "blur_limit": [4, 4]}},
    "motion": {
        "MotionBlur": {
            "blur_limit": [7, 7],
            "angle_range": [30, 30],
            "direction_range": [0.5, 0.5],
            "allow_shifted": False,
        }
    },
}


@pytest.mark.parametrize("case", GREY)
def test_grey_values_change_as_albumentations_changes_them(case: str) -> None:
    ((name, given),) = GREY[case].items()
    image, mask, found, moved = both([{name: {**given, "p": 1}}])
    assert np.abs(found.astype(int) - image).max() <= 1  # it cuts off where this rounds
    assert np.abs(image.astype(int) - sample()[0]).mean() > 3
    assert np.array_equal(moved, mask)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("RandomSizedCrop", {"min_max_height": [12, 30], "size": list(SIZE), "w2h_ratio": 1.3}),
        ("RandomResizedCrop", {"size": list(SIZE), "scale": [0.2, 0.7]}),
    ],
)
def test_a_crop_is_its_window_resized(name: str, given: dict) -> None:
    image, mask = sample()
    augment = BatchedAugment([{name: {**given, "p": 1}}], SIZE, COLOURS)
    found, moved = run(augment, image, mask, [1, 2, 3, 4])
    (warping,) = augment.passes
    assert isinstance(warping, Warping)
    windows = augment.draw([1, 2, 3, 4])[:, warping.segments[0].window].astype(int)
    assert len(set(map(tuple, windows))) == 4
    for window, a, b in zip(windows, found, moved, strict=True):
        left, right, top, bottom = window
        cut = slice(top, bottom + 1), slice(left, right + 1)
        expected = cv2.resize(image[cut], SIZE[::-1], interpolation=cv2.INTER_LINEAR)
        assert np.abs(expected.astype(int) - a).max() <= 2
        # OpenCV's nearest pixel is up to half a pixel off the image's; the exact one is not.
        masks = cv2.resize(mask[cut], SIZE[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        assert (masks != b).mean() < 0.01


def test_an_elastic_field_is_spread_as_albumentations_has_it() -> None:
    given = albumentations.ElasticTransform(alpha=30, sigma=4, p=1)
    given.set_random_state(np.random.default_rng(0), None)
    shape = {"shape": (*SIZE, 1)}
    theirs = []
    for _ in range(30):
        maps = given.get_params_dependent_on_data(shape, {})
        theirs.append(maps["map_x"] - np.arange(SIZE[1]))
    elastic = Elastic(given, SIZE)
    host = torch.tensor([[1.0, key] for key in range(40)] + [[0.0, 3]], dtype=torch.float64)
    field = elastic.displacement(host.float(), host).numpy()
    assert not field[-1].any()
    inner = np.s_[..., 12:-12, 12:-12]
    assert field[:-1][inner].std() == pytest.approx(np.stack(theirs)[inner].std(), rel=0.1)
    assert len({each.tobytes() for each in field}) == 41
    assert abs(np.corrcoef(field[:, 0].ravel(), field[:, 1].ravel())[0, 1]) < 0.1


def test_a_displaced_image_is_read_where_the_field_says() -> None:
    image, mask = sample()
    spec = [{"ElasticTransform": {"alpha": 40, "sigma": 4, "p": 1}}]
    augment = BatchedAugment(spec, SIZE, COLOURS)
    found, moved = run(augment, image, mask, [5])
    (warping,) = augment.passes
    assert isinstance(warping, Warping)
    drawn = torch.from_numpy(augment.draw([5]))[:, warping.segments[0].field]
    move = warping.moves[0]
    assert isinstance(move, Elastic)
    x, y = move.displacement(drawn.float(), drawn)[0].numpy() + np.mgrid[: SIZE[0], : SIZE[1]][::-1]
    expected = cv2.remap(image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    assert np.abs(x - np.arange(SIZE[1])).max() > 0.5
    assert np.abs(expected.astype(int) - found[0]).max() <= 4
    masks = cv2.remap(mask, x.astype(np.float32), y.astype(np.float32), cv2.INTER_NEAREST)
    assert (masks != moved[0]).mean() < 0.002


def test_noise_has_the_spread_and_the_channels_asked_for() -> None:
    image, mask = np.full((*SIZE, 2), 128, np.uint8), sample()[1]
    for apart in (True, False):
        given = {"std_range": [0.05, 0.05], "mean_range": [0.1, 0.1], "per_channel": apart, "p": 1}
        found, moved = run(
            BatchedAugment([{"GaussNoise": given}], SIZE, COLOURS), image, mask, [1, 2]
        )
        noise = found.astype(float) - 128
        assert noise.mean() == pytest.approx(25.5, abs=0.7)
        assert noise.std() == pytest.approx(12.75, abs=0.5)
        assert not np.array_equal(found[0], found[1])
        assert np.array_equal(found[..., 0], found[..., 1]) != apart
        assert np.array_equal(moved[0], mask)


@pytest.mark.parametrize("sides", [[4, 9], [0.1, 0.3]])
def test_holes_are_as_many_and_as_large_as_asked_for(sides: list[float]) -> None:
    image, mask = np.full((*SIZE, 2), 50, np.uint8), np.ones((*SIZE, 2), np.uint8)
    ranges = {"hole_height_range": sides, "hole_width_range": sides, "num_holes_range": [1, 1]}
    spec = [{"CoarseDropout": {**ranges, "fill": [200, 10], "fill_mask": 0, "p": 1}}]
    found, moved = run(BatchedAugment(spec, SIZE, COLOURS), image, mask, [*range(60)])
    least, most = ([4, 9], [4, 9]) if sides[0] == 4 else ([4, 12], [4, 14])
    for axis, (low, high) in ((1, (least[0], least[1])), (2, (most[0], most[1]))):
        lengths = (found[..., 0] == 200).any(axis=3 - axis).sum(axis=1)
        assert lengths.min() >= low
        assert lengths.max() <= high
        assert len(set(lengths)) > 4
    assert np.array_equal(found[..., 0] == 200, found[..., 1] == 10)
    assert np.array_equal(found[..., 0] == 200, moved[..., 0] == 0)


def test_random_fill_lies_in_holes_alone() -> None:
    image, mask = np.full((*SIZE, 2), 50, np.uint8), np.ones((*SIZE, 2), np.uint8)
    spec = [{"CoarseDropout": {"num_holes_range": [2, 3], "fill": "random", "p": 1}}]
    found, moved = run(BatchedAugment(spec, SIZE, COLOURS), image, mask, [1, 2])
    share = (found != 50).mean()
    assert 0.005 < share < 0.13
    assert len(np.unique(found)) > 100
    assert np.array_equal(moved[0], mask)


def test_other_channels_move_and_keep_their_values() -> None:
    image, mask = sample()
    image[..., 1] = 7  # as a depth is
    spec = [
        {"Affine": {"rotate": [20, 20], "p": 1}},
        {"RandomGamma": {"gamma_limit": [50, 50], "p": 1}},
    ]
    found, _ = run(BatchedAugment(spec, SIZE, ["image", "depth"]), image, mask, [1])
    assert (found[0, ..., 1] == 7).all()
    expected = Augment(spec, SIZE, 2, 2, ["image", "depth"])(image, mask, 1)[0]
    assert np.abs(found[0].astype(int) - expected).mean() < 1
    image[..., 1] = sample()[0][..., 1]  # a channel that varies moves, and is not made brighter
    found, _ = run(BatchedAugment(spec, SIZE, ["image", "row"]), image, mask, [1])
    expected = Augment(spec, SIZE, 2, 2, ["image", "row"])(image, mask, 1)[0]
    assert np.abs(found[0].astype(int) - expected).mean() < 1


NOTHING: list[dict[str, Any]] = [{"OneOf": {"transforms": []}}]


@pytest.mark.parametrize(
    "spec", [[], NOTHING, [{"HorizontalFlip": {"p": 1}}, *MOVES["rotated"], HOLE]]
)
def test_there_may_be_no_masks_and_nothing_to_do(spec: list[dict[str, Any]]) -> None:
    image, mask = sample()
    found, moved = run(BatchedAugment(spec, SIZE, COLOURS), image, mask[..., :0], [1, 2, 3])
    assert moved.shape == (3, *SIZE, 0)
    assert np.array_equal(found[0], image) == (spec in ([], NOTHING))


def test_the_config_knows_what_has_a_batched_form() -> None:
    assert sorted(augmentation.BATCHED) == sorted(NAMES)


REFUSED = [
    ({"Perspective": {}}, "Perspective: has none"),
    ({"RandomOrder": {"transforms": [{"Blur": {}}]}}, "RandomOrder: has none"),
    ({"SomeOf": {"transforms": [{"Blur": {}}], "n": 1, "replace": True}}, "SomeOf: replace: true"),
    ({"Rotate": {"border_mode": 3}}, "border_mode: 3"),
    ({"Rotate": {"crop_border": True}}, "crop_border: true"),
    ({"Affine": {"fit_output": True}}, "fit_output: true"),
    ({"Affine": {"interpolation": 2}}, "interpolation: 2"),
    ({"ElasticTransform": {"mask_interpolation": 1}}, "mask_interpolation: 1"),
    ({"GridDistortion": {"num_steps": 45}}, "num_steps: 45 on 40 pixels"),
    (
        {"RandomResizedCrop": {"size": [40, 48], "area_for_downscale": "image"}},
        "area_for_downscale",
    ),
    ({"Transpose": {}}, "images of 40×48, which are not square"),
    ({"GaussNoise": {"noise_scale_factor": 0.5}}, "noise_scale_factor: 0.5"),
    ({"RandomBrightnessContrast": {"ensure_safe_range": True}}, "ensure_safe_range: true"),
    ({"Blur": {"blur_limit": [3, 99]}}, "a kernel of 99 pixels on images of 40"),
    ({"CoarseDropout": {"fill": "inpaint_ns"}}, "fill: inpaint_ns"),
]
BOXED = [
    ({"CoarseDropout": {}}, "has none for boxes, which holes cut"),
    ({"Rotate": {"border_mode": 4}}, "border_mode: 4 has none for boxes"),
    ({"Affine": {"rotate_method": "ellipse"}}, "rotate_method: ellipse has none for boxes"),
]


def test_what_has_no_batched_form_is_refused_by_name_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        BatchedAugment([spec for spec, _ in REFUSED], SIZE, COLOURS)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(REFUSED) + 2
    for line, (_, reason) in zip(lines[1:], REFUSED, strict=False):
        assert reason in line
    assert "augment_on: host" in lines[0]
    assert lines[-1].startswith("These have one: Affine, Blur,")


def test_what_boxes_cannot_go_through_is_refused_with_boxes_alone() -> None:
    spec = [spec for spec, _ in BOXED]
    BatchedAugment(spec, SIZE, COLOURS)
    with pytest.raises(InputError) as caught:
        BatchedAugment(spec, SIZE, COLOURS, visible=0.5)
    for line, (_, reason) in zip(str(caught.value).splitlines()[1:], BOXED, strict=False):
        assert reason in line
