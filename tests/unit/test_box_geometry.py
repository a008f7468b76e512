"""Boxes to the network's input and back, flipped, and decoded from what a detector says."""

import numpy as np
import pytest
import torch

from foldbelt.channels._boxes import to_network, to_original
from foldbelt.channels._resizing import MODES, Resizer
from foldbelt.models._decoding import decode
from foldbelt.models.detector import anchors
from foldbelt.predict import VIEWS
from foldbelt.predict.boxes import flipped
from foldbelt.store.geometry import scaled

SIZES = [((100, 140), (50, 70), (64, 96)), ((60, 60), (60, 60), (61, 60)), ((33, 47), (66, 94))]
EVERY = [
    (Resizer(mode, stored, size[0] if size else (128, 128)), original)
    for mode in MODES
    for original, stored, *size in SIZES
]
EVERY += [(Resizer("pad-edge", (20, 30), (64, 96), scale=2), (40, 50))]
EVERY += [(Resizer("pad-edge", (40, 50), (64, 96), offset="random"), (80, 75))]
EACH = pytest.mark.parametrize(("resizer", "original"), EVERY)


def drawn(count, size, seed=0):
    """Whole-pixel boxes (m,6) of at least 6 pixels a side within an image."""
    random = np.random.default_rng(seed)
    low = (random.random((count, 2)) * np.subtract(size, 6)).astype(int)
    high = low + 6 + (random.random((count, 2)) * (np.subtract(size, 6) - low)).astype(int)
    xyxy = np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1)
    return np.column_stack([random.integers(5, size=count), xyxy, random.random(count)])


def shown(image):
    """The box around the pixels that are more than half on: x1, y1, x2, y2."""
    rows, columns = np.nonzero(image > 127)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@EACH
def test_there_and_back_is_the_same_box(resizer, original):
    boxes = drawn(200, original).astype(np.float32)
    back = to_original(to_network(boxes, resizer, original), resizer, original)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, boxes, rtol=0, atol=2e-5)
    assert np.array_equal(back[:, [0, 5]], boxes[:, [0, 5]])


@pytest.mark.parametrize(("resizer", "original"), EVERY[:-1])  # a canvas is tried below
def test_a_box_lies_where_the_resized_image_shows_it(resizer, original):
    for box in drawn(20, original, seed=1):
        image = np.zeros(original, np.uint8)
        x1, y1, x2, y2 = box[1:5].astype(int)
        image[y1:y2, x1:x2] = 255
        image = resizer.images(scaled(image, resizer.source)[None])[0]
        top, left = (np.subtract(resizer.size, resizer.tile)) // 2
        inner = image[top : top + resizer.tile[0], left : left + resizer.tile[1]]
        expected = np.add(shown(inner), [left, top, left, top])
        within = 0 if original == resizer.tile else 1
        found = to_network(box[None], resizer, original)[0, 1:5]
        np.testing.assert_allclose(found, expected, rtol=0, atol=within)


def test_every_window_on_the_canvas_shows_the_box_where_it_is_said_to_be():
    resizer = Resizer("pad-edge", (40, 50), (64, 96), offset="random")
    image = np.zeros((1, 40, 50), np.uint8)
    image[0, 5:20, 10:45] = 255
    canvas, random = resizer.images(image)[0], np.random.default_rng(0)
    central = to_network(np.array([[2, 10, 5, 45, 20]]), resizer, (40, 50))
    assert central.tolist() == [[2, 33, 17, 68, 32]]
    for _ in range(10):
        top, left = resizer.window(random)
        box = to_network(np.array([[2, 10, 5, 45, 20]]), resizer, (40, 50), (top, left))
        assert tuple(box[0, 1:]) == shown(canvas[top : top + 64, left : left + 96])


def test_images_of_many_sizes_are_brought_there_and_back_at_once():
    resizer = Resizer("resize", (64, 64), (96, 128))
    sizes = np.array([(100, 50), (64, 64), (30, 300)])
    boxes = np.concatenate([drawn(1, size, seed) for seed, size in enumerate(sizes)])
    alone = [
        to_network(box[None], resizer, size)[0] for box, size in zip(boxes, sizes, strict=True)
    ]
    there = to_network(boxes, resizer, sizes)
    assert np.array_equal(there, alone)
    np.testing.assert_allclose(to_original(there, resizer, sizes), boxes, atol=1e-4)


def test_what_lies_in_the_padding_is_cut_off_or_gone():
    resizer = Resizer("pad-edge", (40, 40), (64, 64))
    rows = [[1, 0, 0, 30, 30, 0.9], [0, 0, 0, 12, 64, 0.8], [2, 40, 50, 64, 64, 0.7]]
    found = to_original(np.array(rows), resizer, (80, 80))
    expected = [[1, 0, 0, 36, 36, 0.9], [2, 56, 76, 80, 80, 0.7]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert to_original(np.zeros((0, 6)), resizer, (80, 80)).shape == (0, 6)
    assert to_network(np.zeros((0, 5)), resizer, np.zeros((0, 2))).shape == (0, 5)


def test_boxes_of_another_scale_come_back_to_the_same_place():
    resizer = Resizer("pad-edge", (40, 60), (64, 96))
    boxes = drawn(30, (80, 120))
    there = to_network(boxes, resizer, (80, 120))
    there[:, 1:5] *= np.tile(np.array([72, 128]) / [96, 64], 2)
    back = to_original(there, resizer, (80, 120), at=(128, 72))
    np.testing.assert_allclose(back, boxes, atol=1e-4)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_shows_the_flipped_box(view):
    for box in drawn(10, (40, 60)):
        image = torch.zeros(1, 1, 40, 60)
        x1, y1, x2, y2 = box[1:5].astype(int)
        image[0, 0, y1:y2, x1:x2] = 255
        turned = flipped(box[None], view, (40, 60))
        assert tuple(turned[0, 1:5]) == shown(VIEWS[view].do(image)[0, 0].numpy())
        assert np.array_equal(flipped(turned, view, (40, 60)), box[None])


def said(classes, **boxes):
    """Outputs for one image of 64 pixels at stride 8: anchor → (class, left, …, bottom, p)."""
    outputs = {"anchors": anchors([(8, 8)], [8]), "levels": torch.tensor([64])}
    outputs |= {"logits": torch.full((1, 64, classes), -20.0), "offsets": torch.ones(1, 64, 4)}
    outputs["centreness"] = torch.full((1, 64, 1), 20.0)
    for anchor, (number, *offsets, score) in boxes.items():
        place = int(anchor[1:])
        outputs["logits"][0, place, number] = torch.logit(torch.tensor(score**2))
        outputs["offsets"][0, place] = torch.tensor(offsets)
    return outputs


def test_boxes_are_decoded_from_the_middle_of_their_anchors():
    outputs = said(3, a9=(2, 0.5, 1, 2, 3, 0.8), a36=(0, 1, 1, 9, 0.25, 0.6))
    (found,) = decode(outputs, (64, 64))
    expected = [[2, 4, 0, 24, 32, 0.8], [0, 24, 24, 64, 34, 0.6]]  # the second reached out
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_of_a_class_the_surest_of_boxes_that_overlap_stays():
    same = (1, 1, 2, 2)  # anchors 9 and 10 lie 8 pixels apart
    moved = (2, 1, 1, 2)
    outputs = said(2, a9=(0, *same, 0.5), a10=(0, *moved, 0.7), a45=(0, *same, 0.6))
    (found,) = decode(outputs, (64, 64))
    np.testing.assert_allclose(found[:, 5], [0.7, 0.6], atol=1e-4)
    outputs = said(2, a9=(0, *same, 0.5), a10=(1, *moved, 0.7))
    (found,) = decode(outputs, (64, 64))
    assert found[:, 0].tolist() == [1, 0]  # of two classes both stay
    assert np.array_equal(found[0, 1:5], found[1, 1:5])


def test_equal_scores_keep_the_order_of_anchors_and_few_are_given():
    outputs = said(2)
    outputs["logits"][:] = 0.0
    (found,) = decode(outputs, (64, 64), iou=1.0, most=10)
    assert found[:, 0].tolist() == [0, 1] * 5
    assert found[:, 1].tolist() == [0, 0, 0, 0, 8, 8, 16, 16, 24, 24]
    assert len(decode(outputs, (64, 64), iou=1.0, candidates=7)[0]) == 7


def test_no_score_no_area_no_number_no_box():
    outputs = said(2, a9=(0, 1, 1, 1, 1, 0.005), a18=(0, 0, 0, 0, 0, 0.9), a27=(1, 1, 1, 1, 1, 0.5))
    outputs["logits"][0, 27, 1] = torch.nan
    (found,) = decode(outputs, (64, 64))
    assert found.shape == (0, 6)
    assert len(decode(outputs, (64, 64), least=0.004)[0]) == 1
