"""Fusion of boxes, against the paper's algorithm written out box by box."""

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from foldbelt.boxes import Boxes
from foldbelt.boxes.fusion import KINDS, fuse, nms, weighted_boxes_fusion
from foldbelt.files import InputError


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0


def plain_fusion(members, weights, iou, least, kind):
    """Fuse boxes [class, x1, y1, x2, y2, score] of one image, as section 3 of the paper says."""
    boxes = [
        (row[5] * weight, row[0], row[1:5])
        for rows, weight in zip(members, weights, strict=True)
        for row in rows
        if row[5] >= least
    ]
    clusters = []  # [class, box, [(score, box)]]
    for score, name, box in sorted(boxes, key=lambda b: -b[0]):
        best, at = iou, None
        for cluster in clusters:
            if cluster[0] == name and overlap(cluster[1], box) > best:
                best, at = overlap(cluster[1], box), cluster
        if at is None:
            clusters.append([name, box, [(score, box)]])
        else:
            at[2].append((score, box))
            total = sum(s for s, _ in at[2])
            at[1] = [sum(s * b[i] for s, b in at[2]) / total for i in range(4)]
    made = []
    for name, box, parts in clusters:
        scores = [s for s, _ in parts]
        if kind == "max":
            score = max(scores) / max(weights)
        else:
            score = sum(scores) / len(scores) * min(len(parts), len(weights)) / sum(weights)
        made.append([name, *box, min(score, 1)])
    return made


def case(random, members=None):
    """Make the boxes of some members on some images, near common places; and their weights."""
    images, members = random.integers(1, 4), members or random.integers(1, 4)
    places = random.random((images, 3, 2)) * 0.5
    made = []
    for _ in range(members):
        rows = []
        for place in places:
            n = random.integers(0, 7)
            corner = place[random.integers(0, 3, n)] + random.normal(0, 0.02, (n, 2)).clip(
                -0.1, 0.1
            )
            corner, side = corner.clip(0, 0.7), random.random((n, 2)) * 0.1 + 0.2
            score = random.random((n, 1))
            rows.append(np.hstack([random.integers(0, 2, (n, 1)), corner, corner + side, score]))
        made.append(Boxes.join(rows))
    weights = random.integers(1, 4, members).astype(float) / 2
    return made, weights, random.random((members, images)) < 0.8


def compare(made, expected):
    """Compare boxes of one image, whatever the order of equals."""
    assert len(made) == len(expected)
    if len(made):
        expected = np.array(expected, np.float64)
        by = [np.lexsort(np.round(rows, 5).T) for rows in (made, expected)]
        np.testing.assert_allclose(made[by[0]], expected[by[1]], atol=2e-6)
        assert (np.diff(made[:, 5]) <= 0).all()


def with_reference(reference):
    random = np.random.default_rng(0)
    fewer = 0
    for number in range(1000):
        members, weights, known = case(random)
        iou, least = random.choice([0.3, 0.5, 0.6, 0.8]), random.choice([0, 0.1])
        kind = KINDS[number % 2]
        made = weighted_boxes_fusion(members, weights, iou, least, kind, known)
        for n in range(len(made)):
            there = np.flatnonzero(known[:, n])
            rows = [members[m].image(n).astype(np.float64).tolist() for m in there]
            expected = reference(rows, weights[there], iou, least, kind) if len(there) else []
            image = made.image(n)
            compare(image, expected)
            fewer += 0 < len(image) < sum(map(len, rows))
    assert fewer > 800


def test_a_thousand_random_cases_are_fused_as_the_paper_says():
    with_reference(plain_fusion)


def test_a_thousand_random_cases_are_fused_as_by_the_authors_package():
    package = pytest.importorskip("ensemble_boxes")

    def reference(rows, weights, iou, least, kind):
        parts = [np.array(r).reshape(-1, 6) for r in rows]
        boxes, scores, names = package.weighted_boxes_fusion(
            [p[:, 1:5] for p in parts],
            [p[:, 5] for p in parts],
            [p[:, 0] for p in parts],
            weights=weights.tolist(),
            iou_thr=iou,
            skip_box_thr=least,
            conf_type=kind,
        )
        return np.column_stack([names, boxes, np.minimum(scores, 1)]).tolist()

    with_reference(reference)


def test_suppression_is_that_of_torchvision():
    random = np.random.default_rng(1)
    dropped = 0
    for _ in range(200):
        members, _, _ = case(random, 1)
        made = nms(members[0], 0.5)
        for n in range(len(made)):
            rows = torch.from_numpy(members[0].image(n))
            kept = batched_nms(rows[:, 1:5].double(), rows[:, 5].double(), rows[:, 0].long(), 0.5)
            np.testing.assert_array_equal(made.image(n), rows[kept].numpy().reshape(-1, 6))
            dropped += len(rows) - len(kept)
    assert dropped > 100


def test_suppression_over_members_takes_weights_and_lacks_unknown_members():
    a = np.array([[0, 0, 0, 10, 10, 0.8]])
    b = np.array([[0, 0, 0, 10, 9, 0.6], [0, 20, 20, 30, 30, 0.5]])
    members = [Boxes.join([a, a]), Boxes.join([b, b])]
    known = np.array([[True, False], [True, True]])
    made = fuse(members, [1, 2], "nms", 0.5, least=0.55, known=known)
    np.testing.assert_allclose(made.image(0), [[0, 0, 0, 10, 9, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(made.image(1), [[0, 0, 0, 10, 9, 0.6]])
    made = fuse(members, [2, 1], "nms", 0.5)
    np.testing.assert_allclose(made.image(0)[:, 5], [0.8, 0.25])
    assert made.image(0)[0, 4] == 10


def test_fusion_by_hand():
    a, b = (
        Boxes.join([np.array([[0, 0, 0, 10, 10, 0.9]])]),
        Boxes.join([np.array([[0, 0, 0, 10, 8, 0.3], [1, 0, 0, 10, 10, 0.4]])]),
    )
    made = fuse([a, b], [1, 1], "wbf", 0.55).image(0)
    np.testing.assert_allclose(made, [[0, 0, 0, 10, 9.5, 0.6], [1, 0, 0, 10, 10, 0.2]])
    made = fuse([a, b], [1, 1], "wbf", 0.8).image(0)  # an IoU of .8 is not above .8
    np.testing.assert_allclose(made[:, 5], [0.45, 0.2, 0.15])
    made = fuse([a, b], [1, 1], "wbf", 0.55, known=np.array([[False], [True]])).image(0)
    np.testing.assert_allclose(made, [[1, 0, 0, 10, 10, 0.4], [0, 0, 0, 10, 8, 0.3]])
    three = [[0, 0, 0, 10, 10, 0.9], [0, 4, 0, 14, 10, 0.8], [0, 2, 0, 12, 10, 0.3]]
    made = fuse([Boxes.join([np.array(three)])], [1], "wbf", 0.5).image(0)
    np.testing.assert_allclose(made[:, 1], [4, 0.5])  # equally near to both, it joins the first
    half = np.array([[0, 0, 0, 10, 10, 0.9], [0, 0, 0, 10, 5, 0.8]])
    assert len(nms(Boxes.join([half]), 0.5).classes) == 2  # not above .5
    none = Boxes.join([np.array([[0, 0, 0, 10, 10, 0.0], [0, 0, 0, 10, 9, 0.0]])])
    np.testing.assert_allclose(fuse([none], [1], "wbf", 0.5).image(0), [[0, 0, 0, 10, 10, 0]])


@pytest.mark.parametrize("fusion", ["nms", "wbf"])
def test_ties_keep_the_order_of_members_and_rows(fusion):
    rows = [[0, i, 0, i + 10, 10, 0.5] for i in (2, 0, 1)]
    made = fuse([Boxes.join([np.array([r])]) for r in rows], [1, 1, 1], fusion, 0.9)
    assert made.image(0)[:, 1].tolist() == [2, 0, 1]
    made = fuse([Boxes.join([np.array(rows)])], [1], fusion, 0.9)
    assert made.image(0)[:, 1].tolist() == [2, 0, 1]


@pytest.mark.parametrize("fusion", ["nms", "wbf"])
def test_images_do_not_meet_and_a_weight_of_nothing_leaves_a_member_out(fusion):
    random = np.random.default_rng(3)
    members, weights, known = case(random, 3)
    whole = fuse(members, weights, fusion, 0.5, known=known)
    for n in range(len(whole)):
        part = [boxes.take([n]) for boxes in members]
        alone = fuse(part, weights, fusion, 0.5, known=known[:, [n]])
        np.testing.assert_array_equal(alone.image(0), whole.image(n))
    less = fuse(members, [*weights[:2], 0], fusion, 0.5, known=known)
    two = fuse(members[:2], weights[:2], fusion, 0.5, known=known[:2])
    for n in range(len(whole)):
        if known[:2, n].any():
            np.testing.assert_array_equal(less.image(n), two.image(n))
    alone = fuse(members, [1, 1, 0], fusion, 0.5, known=np.arange(3)[:, None] + 0 * known == 2)
    third = fuse(members[2:], [3], fusion, 0.5)  # who weighs nothing, but is alone, counts
    np.testing.assert_allclose(alone.scores, third.scores, rtol=1e-6)
    empty = fuse([Boxes.empty(4)] * 2, [1, 1], fusion, 0.5)
    assert len(empty) == 4
    assert not len(empty.classes)


def test_what_does_not_fit_is_refused():
    boxes = Boxes.empty(2)
    for given, match in (
        (([boxes, Boxes.empty(3)], [1, 1], "wbf", 0.5), r"\[2, 3\] images"),
        (([boxes], [1, 1], "wbf", 0.5), "2 weights"),
        (([boxes], [0], "nms", 0.5), "one above 0"),
        (([boxes], [1], "soft", 0.5), "choose one of nms, wbf"),
        (([boxes], [1], "wbf", 0.5, 0, np.ones((2, 2))), "known is"),
    ):
        with pytest.raises(InputError, match=match):
            fuse(*given)
    with pytest.raises(InputError, match="choose one of avg, max"):
        weighted_boxes_fusion([boxes], [1], 0.5, kind="sum")
