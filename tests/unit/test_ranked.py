"""Boxes that are matched once and scored often, against the definition written out plainly."""

from dataclasses import replace
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest

from foldbelt import metrics
from foldbelt.boxes import Boxes
from foldbelt.files import InputError
from foldbelt.metrics.ranked import Ranking

NAMES = ["a", "b", "c"]


def plain_iou(p, t):
    width = min(p[3], t[3]) - max(p[1], t[1])
    height = min(p[4], t[4]) - max(p[2], t[2])
    inter = Fraction(max(width, 0) * max(height, 0))
    areas = [(box[3] - box[1]) * (box[4] - box[2]) for box in (p, t)]
    union = sum(areas) - inter
    return inter / union if union else Fraction(0)


def plain_score(truth, pred, counts):
    """Follow the words of the definition, box by box, with whole numbers; images are copied."""
    scores = []
    for name in range(len(NAMES)):
        rows = [
            (image, copy, box)
            for image, boxes in enumerate(pred)
            for box in boxes
            for copy in range(counts[image])
            if box[0] == name
        ]
        rows.sort(key=lambda row: -row[2][5])  # stable
        number = sum(counts[i] * sum(t[0] == name for t in boxes) for i, boxes in enumerate(truth))
        if not number:
            continue
        claimed, hits = set(), []
        for image, copy, box in rows:
            best, at = Fraction(0), None
            for j, true in enumerate(truth[image]):
                if true[0] == name and plain_iou(box, true) > best:
                    best, at = plain_iou(box, true), j
            hit = best > Fraction(1, 2) and (image, copy, at) not in claimed
            hits.append(hit)
            if hit:
                claimed.add((image, copy, at))
        precisions = [Fraction(sum(hits[: i + 1]), i + 1) for i in range(len(hits))]
        area = sum(max(precisions[i:]) for i, hit in enumerate(hits) if hit)
        scores.append(Fraction(area) / number)
    return float(sum(scores) / len(scores)) if scores else float("nan")


def case(random):
    """Make boxes on a coarse lattice: many are equal, overlap by a half, or tie in score."""
    images, classes = random.integers(1, 5), random.integers(1, len(NAMES) + 1)
    truth, pred = [], []
    for _ in range(images):
        n = random.integers(0, 4)
        x, y, w, h = random.integers(0, 4, (4, n)) * 2
        true = np.stack([random.integers(0, classes, n), x, y, x + w, y + h, np.ones(n)], axis=1)
        near = true[random.integers(0, n, random.integers(0, 6))] if n else np.zeros((0, 6))
        near[:, 3:5] += random.integers(0, 2, (len(near), 2)) * 2
        near[random.random(len(near)) < 0.1, 0] = random.integers(classes)
        stray = np.tile([random.integers(classes), 0, 0, 4, 4, 0], (random.integers(0, 2), 1))
        boxes = np.concatenate([near, stray])
        boxes[:, 5] = random.integers(0, 5, len(boxes)) / 4
        truth.append(true)
        pred.append(random.permutation(boxes))
    return truth, pred, random.integers(0, 3, images)


def both(truth, pred):
    frames = [
        boxes.frame([f"i{n}" for n in range(len(boxes))], NAMES).astype({"image": str})
        for boxes in (truth, pred)
    ]
    return Ranking.match(truth, pred, len(NAMES)).score(), metrics.mean_average_precision(*frames)


def test_a_thousand_random_cases_follow_the_definition():
    random = np.random.default_rng(0)
    some = 0
    for _ in range(1000):
        truth, pred, counts = case(random)
        lists = (
            [[row.tolist() for row in image] for image in truth],
            [[row.tolist() for row in image] for image in pred],
        )
        ranking = Ranking.match(Boxes.join(truth), Boxes.join(pred), len(NAMES))
        once = np.ones(len(truth), int)
        expected = plain_score(*lists, once)
        assert ranking.score() == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert ranking.score(counts) == pytest.approx(
            plain_score(*lists, counts), abs=1e-12, nan_ok=True
        )
        some += 0 < expected < 1
    assert some > 300


def test_the_form_on_tables_gives_the_same_bits():
    random = np.random.default_rng(1)
    for _ in range(60):
        truths, preds, _ = zip(*(case(random) for _ in range(8)), strict=True)
        truth, pred = Boxes.join(chain(*truths)), Boxes.join(chain(*preds))
        scale = random.random(2).repeat(2).reshape(2, 2).T.ravel()  # not whole numbers any more
        truth, pred = (replace(b, xyxy=(b.xyxy * scale).astype(np.float32)) for b in (truth, pred))
        fast, slow = both(truth, pred)
        assert fast == slow
        assert 0 < fast < 1


def one(*rows):
    return Boxes.join([np.array(rows, np.float64).reshape(-1, 6)])


@pytest.mark.parametrize(
    ("pred", "expected"),
    [
        ([[0, 0, 0, 10, 10, 0.1]], 0.5),  # all of class 0, none of class 1
        ([[0, 0, 0, 10, 5, 0.9]], 0),  # an IoU of one half is not above it
        ([[0, 0, 0, 10, 10, 0.9], [0, 0, 0, 10, 10, 0.9]], 0.5),  # the copy comes after the hit
        ([[0, 5, 5, 6, 6, 0.9], [0, 0, 0, 10, 10, 0.9]], 0.25),  # ties in row order
        ([[0, 0, 0, 10, 10, 0.9], [0, 5, 5, 6, 6, 0.9]], 0.5),
        ([[0, 0, 0, 10, 9, 0.9], [0, 0, 0, 10, 10, 0.8]], 0.5),  # a better box comes too late
        ([[2, 0, 0, 10, 10, 0.9]], 0),  # a class without truth does not count
        ([], 0),
    ],
)
def test_by_hand(pred, expected):
    truth = one([0, 0, 0, 10, 10, 1], [1, 20, 20, 30, 30, 1])
    assert Ranking.match(truth, one(*pred), 3).score() == expected
    assert both(truth, one(*pred)) == (expected, expected)


def test_a_box_between_two_claims_the_first_only():
    truth = one([0, 0, 0, 10, 10, 1], [0, 2, 0, 12, 10, 1])
    pred = one([0, 1, 0, 11, 10, 0.9], [0, 2, 0, 12, 10, 0.8])
    assert Ranking.match(truth, pred, 1).right.tolist() == [True, True]
    assert both(truth, pred) == (1, 1)


def test_images_without_known_boxes_count_nowhere():
    random = np.random.default_rng(2)
    truth, pred, _ = zip(*(case(random) for _ in range(40)), strict=True)
    truth, pred = Boxes.join(chain(*truth)), Boxes.join(chain(*pred))
    known = random.random(len(truth)) < 0.5
    part = np.flatnonzero(known)
    expected = Ranking.match(truth.take(part), pred.take(part), 3).score()
    assert Ranking.match(truth, pred, 3, known).score() == expected
    assert Ranking.match(truth, pred, 3).score(known) == pytest.approx(expected, abs=1e-12)
    assert expected != Ranking.match(truth, pred, 3).score()
    assert not Ranking.match(truth, pred, 3, known).right[~known[pred.of()]].any()
    assert np.isnan(Ranking.match(truth, pred, 3).score(np.zeros(len(truth))))


def test_spoilt_boxes_are_refused():
    good = one([0, 0, 0, 1, 1, 1])
    for bad in ([0, 2, 0, 1, 1, 1], [3, 0, 0, 1, 1, 1], [0, 0, 0, 1, np.nan, 1]):
        with pytest.raises(InputError, match="images 0"):
            Ranking.match(good, one(bad), 3)
    with pytest.raises(InputError, match="1 images and pred has 2"):
        Ranking.match(good, Boxes.empty(2), 3)
