"""What the batched transforms draw: as albumentations does, and of each sample's seed alone."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from foldbelt.augment._batched import choosing, drawing, warping
from foldbelt.augment._batched.pipeline import BatchedAugment
from foldbelt.augment._batched.warping import Warping
from foldbelt.augment._transforms import build

SIZE = (40, 48)
COUNT = 1500
BALANCED = {"scale": [0.5, 1.2], "balanced_scale": True}
DRAWN: dict[str, dict[str, Any]] = {
    "Rotate": {"limit": [-20, 50]},
    "ShiftScaleRotate": {},
    "Affine": {
        "scale": {"x": [0.7, 1.1], "y": [1, 1.5]},
        "translate_px": {"x": [-3, 9]},
        "shear": [-20, 5],
    },
    "Affine balanced": {**BALANCED, "translate_percent": [-0.2, 0.1]},
    "Affine kept": {**BALANCED, "keep_ratio": True, "rotate": [-9, 4]},
    "Affine lower": {"scale": [0.5, 0.9], "balanced_scale": True},
    "RandomSizedCrop": {"min_max_height": [12, 30], "size": list(SIZE), "w2h_ratio": 1.3},
    "RandomResizedCrop": {"size": list(SIZE), "scale": [0.2, 0.9]},
    "RandomResizedCrop tall": {"size": list(SIZE), "scale": [0.9, 1], "ratio": [0.5, 0.55]},
    "GridDistortion": {"distort_limit": [-0.1, 0.3]},
    "GridDistortion plain": {"distort_limit": [-0.1, 0.3], "normalized": False, "num_steps": 7},
    "RandomBrightnessContrast": {"brightness_limit": [-0.1, 0.3], "contrast_limit": [0.1, 0.5]},
    "RandomGamma": {"gamma_limit": [50, 130]},
    "Blur": {"blur_limit": [3, 9]},
    "GaussianBlur": {"blur_limit": [3, 9], "sigma_limit": [0.4, 2]},
    "GaussianBlur automatic": {"sigma_limit": [0.4, 2]},
    "MotionBlur": {"blur_limit": [3, 9]},
    "CoarseDropout": {"num_holes_range": [1, 4]},
    "CoarseDropout whole": {"hole_height_range": [2, 9], "hole_width_range": [3, 60]},
}


def theirs(spec: list, name: str) -> np.ndarray:
    """(n,D) what albumentations draws, as `ours` gives it."""
    (transform,) = build(spec)
    transform.set_random_state(np.random.default_rng(0), random.Random(0))
    data = {"image": np.zeros((*SIZE, 1), np.uint8)}
    given = {"shape": (*SIZE, 1)}
    drawn = []
    for _ in range(COUNT):
        new = transform.get_params() | transform.get_params_dependent_on_data(given, data)
        drawn.append(_flat(new, name))
    return np.array(drawn)


def _flat(new: dict[str, Any], name: str) -> np.ndarray:
    if "matrix" in new:
        return new["matrix"][:2].ravel()
    if "crop_coords" in new:
        left, top, right, bottom = new["crop_coords"]
        return np.array([left, right - 1, top, bottom - 1])
    if "map_x" in new:
        return np.concatenate([new["map_x"][0], new["map_y"][:, 0]])[::4]
    if "alpha" in new:
        return np.array([new["alpha"], new["beta"] / 255])
    if "gamma" in new:
        return np.array([new["gamma"]])
    if "holes" in new:
        holes = new["holes"]
        return np.array([len(holes), *holes[0, [0, 2, 1, 3]]])
    kernel = np.atleast_1d(new["kernel"])
    if name == "Blur":
        kernel = np.full(int(kernel[0]), 1 / kernel[0])
    return np.array([(kernel > 0).sum(), kernel.max()])


def ours(spec: list, name: str) -> np.ndarray:
    augment = BatchedAugment(spec, SIZE, ["image"])
    table = augment.draw(range(COUNT))
    (only,) = augment.passes
    if isinstance(only, Warping):
        (segment,) = only.segments
        if segment.window is not None:
            return table[:, segment.window]
        if segment.field is not None:
            places = np.concatenate([np.arange(SIZE[1]), np.arange(SIZE[0])])
            return (table[:, segment.field] + places)[:, ::4]
        return table[:, segment.forward]
    if name == "CoarseDropout":
        holes = table[:, 1:].reshape(COUNT, -1, 4)
        return np.column_stack([(holes[..., 1] > 0).sum(axis=1), holes[:, 0]])
    if "Blur" in name:
        return np.column_stack([(table[:, 1:] > 0).sum(axis=1), table[:, 1:].max(axis=1)])
    return table


@pytest.mark.parametrize("case", DRAWN)
def test_parameters_are_drawn_from_the_same_distribution(case: str) -> None:
    name = case.split()[0]
    spec = [{name: {**DRAWN[case], "p": 1}}]
    found, expected = ours(spec, name), theirs(spec, name)
    assert found.shape == expected.shape
    for column, (a, b) in enumerate(zip(found.T, expected.T, strict=True)):
        a, b = a.round(4), b.round(4)
        assert stats.ks_2samp(a, b).pvalue > 1e-4, (column, np.quantile(a, [0, 0.5, 1]), np.ptp(b))
        close = max(np.ptp(b) * 0.12, 1e-4)
        assert b.min() - close <= a.min() <= a.max() <= b.max() + close


def test_a_kept_ratio_scales_both_sides_alike() -> None:
    for given, alike in (({}, False), ({"keep_ratio": True}, True)):
        augment = BatchedAugment(
            [{"Affine": {"scale": [0.5, 1.5], **given, "p": 1}}], SIZE, ["image"]
        )
        (only,) = augment.passes
        assert isinstance(only, Warping)
        matrix = augment.draw(range(5))[:, only.segments[0].forward]
        assert np.allclose(matrix[:, 0], matrix[:, 4]) == alike


FLIPS = [{"HorizontalFlip": {"p": 0.3}}, {"VerticalFlip": {"p": 0.6}}]
ONE = {"OneOf": {"transforms": [{"Blur": {"p": 0.6}}, {"HorizontalFlip": {"p": 0.2}}], "p": 0.5}}
SOME = {"SomeOf": {"transforms": [*FLIPS, {"Blur": {"p": 1}}], "n": 2, "p": 0.5}}
TREE = [*FLIPS, ONE, {"Sequential": {"transforms": FLIPS, "p": 0.5}}, SOME]
# A flip goes before a blur of the same OneOf: fewer passes, and only one of them is applied.
CHANCES = [0.3, 0.6, 0.125, 0.375, 0.15, 0.3, 0.1, 0.2, 1 / 3]


def activity(count: int = 20000) -> np.ndarray:
    nodes = choosing.tree(build(TREE), {"HorizontalFlip": 0})
    stream = drawing.Stream(drawing.uniforms(range(count), 40))
    return np.array(choosing.chosen(nodes, stream))


def test_choices_apply_their_members_as_often_as_albumentations_does() -> None:
    active = activity()
    np.testing.assert_allclose(active.mean(axis=1), CHANCES, rtol=0, atol=0.015)
    assert not (active[2] & active[3]).any()  # one of them
    assert abs(np.corrcoef(active[0], active[1])[0, 1]) < 0.03  # independent of each other
    assert np.corrcoef(active[4], active[5])[0, 1] > 0.2  # of one sequence


def test_the_order_of_oneof_is_that_of_passes() -> None:
    augment = BatchedAugment([FLIPS[0], ONE, {"Affine": {}}], SIZE, ["image"])
    assert [node.name for node in augment.members] == [
        "HorizontalFlip",
        "HorizontalFlip",
        "Blur",
        "Affine",
    ]
    assert [type(step).__name__ for step in augment.passes] == ["Turning", "Box", "Warping"]


def test_numbers_are_even_independent_and_each_seed_has_its_own() -> None:
    seeds = [*range(2000), 2**63 - 1, 2**62]
    numbers = drawing.uniforms(seeds, 50)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(numbers.T) - np.eye(50)).max() < 0.1
    assert np.abs(np.corrcoef(numbers[:50]) - np.eye(50)).max() < 0.6
    assert len(np.unique(numbers)) == numbers.size
    assert np.array_equal(drawing.uniforms(seeds[7:9], 20), numbers[7:9, :20])


def test_noise_of_a_key_is_normal_and_its_own() -> None:
    keys = torch.tensor([0.0, 1.0, 2.0**53 - 1])
    noise = drawing.normals(keys, (3, 40, 41)).numpy()
    assert noise.shape == (3, 3, 40, 41)
    for one in noise:
        assert stats.kstest(one.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(noise.reshape(9, -1)) - np.eye(9)).max() < 0.1
    assert np.array_equal(drawing.normals(keys[1:2], (3, 40, 41)).numpy()[0], noise[1])
    even = drawing.levels(keys, (1, 50, 50)).numpy()
    assert stats.kstest(even.ravel(), "uniform").pvalue > 1e-3
    assert (even < 1).all()


RICH = [
    *FLIPS,
    {"Affine": {"rotate": [-20, 20], "p": 0.5}},
    {"ElasticTransform": {"alpha": 30, "sigma": 4, "p": 0.5}},
    {"GridDistortion": {"p": 0.5}},
    {"RandomResizedCrop": {"size": list(SIZE), "p": 0.5}},
    {"RandomBrightnessContrast": {"p": 0.5, "brightness_by_max": False}},
    {"GaussNoise": {"p": 0.5}},
    {
        "OneOf": {
            "transforms": [{"GaussianBlur": {}}, {"MotionBlur": {}}, {"RandomGamma": {}}],
            "p": 0.9,
        }
    },
    {"CoarseDropout": {"fill": "random", "p": 0.5}},
    {"Rotate": {"border_mode": 2, "p": 0.4}},
]


@pytest.mark.parametrize("selects", [True, False])  # as on a CPU, as on a GPU
def test_a_sample_does_not_depend_on_the_others_of_its_batch(
    monkeypatch: pytest.MonkeyPatch, selects: bool
) -> None:
    monkeypatch.setattr(warping, "selects", lambda device: selects)
    maker = np.random.default_rng(0)
    x = torch.from_numpy(maker.integers(0, 256, (16, *SIZE, 3)).astype(np.uint8))
    target = torch.from_numpy((maker.random((16, *SIZE, 2)) < 0.3).astype(np.uint8))
    augment = BatchedAugment(RICH, SIZE, ["image0", "image1", "row"])
    seeds = [*range(100, 116)]
    drawn = torch.from_numpy(augment.draw(seeds))
    whole = augment(drawn, x, target)
    again = BatchedAugment(RICH, SIZE, ["image0", "image1", "row"])(drawn, x, target)
    for rows in ([0], [3, 2], [*range(15, -1, -1)], [*range(5, 12)]):
        part = torch.from_numpy(augment.draw([seeds[row] for row in rows]))
        assert torch.equal(part, drawn[rows])
        for one, all_of_them, same in zip(
            augment(part, x[rows], target[rows]), whole, again, strict=True
        ):
            if one is not None:
                assert torch.equal(one, all_of_them[rows])
                assert torch.equal(all_of_them, same)
    assert len({image.numpy().tobytes() for image in whole[0]}) == 16
    assert set(whole[1].unique().tolist()) == {0, 1}
