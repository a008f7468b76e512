"""Boxes go through the batched transforms as they go through albumentations'."""

from typing import Any

import numpy as np
import pytest
import torch

from foldbelt.augment._batched.pipeline import BatchedAugment
from foldbelt.augment._transforms import Augment

SIZE = (40, 48)
BOXES = np.array(
    [[0, 3, 4, 12, 16], [1, 20, 10, 45, 30], [2, 30.5, 28.25, 47, 39], [0, 1, 30, 9, 40]],
    np.float32,
)
WARP = {"scale": {"x": [0.8, 0.8], "y": [1.2, 1.2]}, "rotate": [12, 12], "p": 1}
WARP |= {"translate_px": {"x": [6, 6], "y": [-9, -9]}, "shear": {"x": [5, 5], "y": [-8, -8]}}
FLIP, DOWN = {"HorizontalFlip": {"p": 1}}, {"VerticalFlip": {"p": 1}}
GRID = {
    "GridDistortion": {"distort_limit": [0.2, 0.2], "normalized": False, "num_steps": 4, "p": 1}
}
CASES: dict[str, list[dict[str, Any]]] = {
    "flipped": [FLIP],
    "turned around": [FLIP, DOWN],
    "affine": [{"Affine": WARP}],
    "flipped and affine": [FLIP, {"Affine": WARP}, DOWN],
    "twice": [
        {"Rotate": {"limit": [20, 20], "p": 1}},
        FLIP,
        {"Rotate": {"limit": [-35, -35], "p": 1}},
    ],
    "brighter": [{"RandomGamma": {"p": 1}}, DOWN, {"Blur": {"p": 1}}],
}


def run(spec: list, visible: float, boxes: np.ndarray, seeds: list[int]) -> list[np.ndarray]:
    """The boxes that are left in each sample."""
    augment = BatchedAugment(spec, SIZE, ["image"], visible)
    x = torch.zeros((len(seeds), *SIZE, 1), dtype=torch.uint8)
    given = torch.from_numpy(np.stack([boxes] * len(seeds)))
    *_, out = augment(torch.from_numpy(augment.draw(seeds)), x, x, given)
    assert out is not None
    assert (out.shape, out.dtype) == (given.shape, torch.float32)
    return [one[one[:, 0] >= 0].numpy() for one in out]


def theirs(spec: list, visible: float) -> np.ndarray:
    x = np.zeros((*SIZE, 1), np.uint8)
    return Augment(spec, SIZE, 1, 1, ["image"], visible).with_boxes(x, x, BOXES, 1)[2]


@pytest.mark.parametrize("visible", [0.0, 0.7])
@pytest.mark.parametrize("case", CASES)
def test_boxes_are_moved_and_dropped_as_albumentations_does(case: str, visible: float) -> None:
    expected = theirs(CASES[case], visible)
    found, same = run(CASES[case], visible, BOXES, [1, 2])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)
    assert np.array_equal(found, same)
    if visible and case in ("affine", "twice"):
        assert len(found) < len(BOXES)


@pytest.mark.parametrize("spec", [[GRID], [FLIP, GRID, {"Affine": WARP}]])
def test_boxes_follow_a_displacement_to_a_pixel(spec: list) -> None:
    # Albumentations moves a picture of the box, to whole pixels.
    expected = theirs(spec, 0.0)
    (found,) = run(spec, 0.0, BOXES, [1])
    np.testing.assert_allclose(found[:, 0], expected[:, 0])
    assert np.abs(found - expected).max() < (1.3 if spec == [GRID] else 3)


def test_boxes_in_a_crop_are_where_their_pixels_are() -> None:
    spec = [{"RandomResizedCrop": {"size": list(SIZE), "scale": [0.3, 0.8], "p": 1}}]
    augment = BatchedAugment(
        [*spec, FLIP, {"ElasticTransform": {"alpha": 8, "sigma": 5, "p": 1}}], SIZE, ["image"], 0.0
    )
    x = torch.zeros((20, *SIZE, 1), dtype=torch.uint8)
    kind, x1, y1, x2, y2 = BOXES[1].astype(int)
    x[:, y1:y2, x1:x2] = 1
    box = torch.from_numpy(np.stack([BOXES[1:2]] * 20))
    _, seen, out = augment(torch.from_numpy(augment.draw(range(20))), x, x, box)
    assert out is not None
    for mask, (found,) in zip(seen[..., 0].numpy(), out.numpy(), strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert found[0] == kind
        around = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(found[1:], around, rtol=0, atol=1.5)


@pytest.mark.parametrize("spec", CASES.values())
def test_rows_that_are_no_boxes_stay(spec: list) -> None:
    rows = np.array([[-2, 0, 0, 0, 0], [-1, -1, -1, -1, -1], *BOXES[1:2]], np.float32)
    augment = BatchedAugment(spec, SIZE, ["image"], 0.0)
    x = torch.zeros((1, *SIZE, 1), dtype=torch.uint8)
    *_, out = augment(torch.from_numpy(augment.draw([3])), x, x, torch.from_numpy(rows[None]))
    assert out is not None
    assert np.array_equal(out[0, :2].numpy(), rows[:2])
    assert out[0, 2, 0] == 1


def test_quarter_turns_turn_boxes() -> None:
    size, boxes = (40, 40), torch.tensor([[[1.0, 3, 4, 12, 16]]])
    x = torch.zeros((60, *size, 1), dtype=torch.uint8)
    x[:, 4:16, 3:12] = 1
    for spec in (
        [{"D4": {}}],
        [{"D4": {}}, {"Affine": {"p": 1}}],
        [{"Transpose": {}}, {"RandomRotate90": {}}],
    ):
        augment = BatchedAugment(spec, size, ["image"], 0.0)
        drawn = torch.from_numpy(augment.draw(range(60)))
        _, mask, out = augment(drawn, x, x, boxes.expand(60, -1, -1))
        assert out is not None
        kinds = set()
        for one, (found,) in zip(mask[..., 0].numpy(), out.numpy(), strict=True):
            rows, columns = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
            around = (1, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            np.testing.assert_allclose(found, around, rtol=0, atol=1e-3)
            kinds.add(around)
        assert len(kinds) == 8
