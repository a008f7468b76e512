"""The metrics, against their definitions written out plainly and against cases worked by hand."""

import numpy as np
import pandas as pd
import pytest

from foldbelt import metrics
from foldbelt.files import InputError

THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


def plain_salt(truth, pred):
    """Score one image by the words of the competition."""
    if not truth.any() and not pred.any():
        return 1.0
    iou = (truth & pred).sum() / (truth | pred).sum()
    return sum(iou > t for t in THRESHOLDS) / 10


def masks(seed, shape=(60, 6, 7), density=0.5):
    random = np.random.default_rng(seed)
    truth = random.random(shape) < density
    pred = truth ^ (random.random(shape) < random.random((len(truth), *[1] * (len(shape) - 1))) / 3)
    truth[:5], pred[3:8] = False, False
    return truth, pred


def line(inter, union):
    """Masks of one row with that intersection; the truth is the union."""
    truth = np.ones((1, 1, union), bool)
    return truth, np.arange(union)[None, None] < inter


def test_salt_score_follows_the_definition():
    truth, pred = masks(0)
    expected = [plain_salt(t, p) for t, p in zip(truth, pred, strict=True)]
    assert len(set(expected)) > 5
    np.testing.assert_allclose(metrics.salt_score(truth, pred), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 3, 7])
@pytest.mark.parametrize("k", range(10, 20))
def test_an_iou_on_a_threshold_does_not_pass_it(k, scale):
    on, above = line(k * scale, 20 * scale), line(k * scale + 1, 20 * scale)
    assert metrics.salt_score(*on)[0] == (k - 10) / 10
    assert metrics.salt_score(*above)[0] == (k - 9) / 10


def test_empty_masks():
    empty, full = np.zeros((1, 4, 4), bool), np.ones((1, 4, 4), bool)
    one = empty.copy()
    one[0, 0, 0] = True
    for score in (metrics.salt_score, lambda t, p: metrics.mean_dice(t, p, per_image=True)):
        assert score(empty, empty).tolist() == [1]
        assert score(empty, one).tolist() == [0]
        assert score(one, empty).tolist() == [0]
        assert score(full, full).tolist() == [1]


def test_mean_dice_is_over_image_class_pairs():
    truth, pred = masks(1, (40, 5, 6, 3), 0.1)
    pairs = [
        [
            1.0 if not (t | p).any() else 2 * (t & p).sum() / (t.sum() + p.sum())
            for t, p in zip(np.moveaxis(one, -1, 0), np.moveaxis(two, -1, 0), strict=True)
        ]
        for one, two in zip(truth, pred, strict=True)
    ]
    assert metrics.mean_dice(truth, pred) == pytest.approx(np.mean(pairs), abs=1e-12)
    per_image = metrics.mean_dice(truth, pred, per_image=True)
    np.testing.assert_allclose(per_image, np.mean(pairs, axis=1), atol=1e-12)


@pytest.mark.parametrize("name", ["salt_score", "mean_dice"])
def test_memory_layout_and_dtype_do_not_matter(name):
    truth, pred = masks(2, (20, 6, 7, 2))
    expected = metrics.score_images(name, truth, pred)
    strided = np.zeros((20, 12, 7, 2), np.uint8)[:, ::2]
    strided[...] = pred
    for other in (np.asfortranarray(pred), pred.astype(np.uint8), strided):
        np.testing.assert_array_equal(
            metrics.score_images(name, truth.astype(int), other), expected
        )


@pytest.mark.parametrize("name", ["salt_score", "mean_dice"])
def test_ignored_pixels_count_nowhere(name):
    truth, pred = masks(3, (20, 6, 7, 2))
    ignore = np.zeros((20, 6, 7), np.uint8)
    ignore[:, :, 4:] = 1
    expected = metrics.score_images(name, truth[:, :, :4], pred[:, :, :4])
    np.testing.assert_array_equal(metrics.score_images(name, truth, pred, ignore), expected)


def test_what_is_no_mask_is_refused():
    mask = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(InputError, match="must agree"):
        metrics.salt_score(mask, mask[:1])
    with pytest.raises(InputError, match="not a mask"):
        metrics.salt_score(mask, mask + 255)
    with pytest.raises(InputError, match="not a mask"):
        metrics.mean_dice(mask, mask + 0.5)
    with pytest.raises(InputError, match="no image"):
        metrics.mean_dice(mask[:0], mask[:0])
    with pytest.raises(InputError, match=r"pixel counts; choose one of mean_dice, salt_score"):
        metrics.from_counts("mean_average_precision")


def boxes(rows, score=False):
    columns = ["image", "class", "x1", "y1", "x2", "y2", *(["score"] if score else [])]
    return pd.DataFrame(rows, columns=columns)


def plain_precision(truth, pred):
    """Follow VOC's own loop, box by box."""
    found = []
    for name in truth["class"].unique():
        true = truth[truth["class"] == name].to_numpy()
        rows = pred[pred["class"] == name].sort_values("score", ascending=False, kind="stable")
        claimed, hits = set(), []
        for image, _, x1, y1, x2, y2, _ in rows.to_numpy():
            best, at = 0.0, None
            for j, (other, _, a1, b1, a2, b2) in enumerate(true):
                if other != image:
                    continue
                inter = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
                iou = inter / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inter)
                if iou > best:
                    best, at = iou, j
            hits.append(best > 0.5 and at not in claimed)
            if hits[-1]:
                claimed.add(at)
        points = [(0.0, 0.0)]
        for i in range(len(hits)):
            points.append((sum(hits[: i + 1]) / len(true), sum(hits[: i + 1]) / (i + 1)))
        area = 0.0
        for i in range(1, len(points)):
            area += (points[i][0] - points[i - 1][0]) * max(p for _, p in points[i:])
        found.append(area)
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_follows_the_devkit(seed):
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(60):
        x, y = random.integers(0, 12, 2)
        w, h = random.integers(2, 8, 2)
        image, name = random.integers(0, 8), ("opacity", "none", "typical")[random.integers(3)]
        rows.append([f"i{image}", name, x, y, x + w, y + h])
    truth = boxes(rows[:25])
    guesses = [[*r[:2], *(np.array(r[2:]) + random.integers(-1, 2, 4) % 2)] for r in rows[:40]]
    pred = boxes([[*g, random.integers(0, 6) / 5] for g in guesses + rows[25:]], score=True)
    expected = plain_precision(truth, pred)
    assert 0 < expected < 1
    assert metrics.mean_average_precision(truth, pred) == pytest.approx(expected, abs=1e-12)


def test_average_precision_by_hand():
    truth = boxes([["a", "x", 0, 0, 10, 10], ["b", "x", 0, 0, 1, 1]])
    half = [["a", "x", 0, 0, 10, 5, 0.9], ["b", "x", 0, 0, 1, 1, 0.8]]
    assert metrics.mean_average_precision(truth, boxes(half, score=True)) == 0.25  # IoU .5: wrong
    twice = [["a", "x", 0, 0, 10, 10, 0.9], ["a", "x", 0, 0, 10, 9, 0.8]]
    assert metrics.mean_average_precision(truth, boxes(twice, score=True)) == 0.5
    tied = [["a", "x", 5, 5, 6, 6, 0.9], ["a", "x", 0, 0, 10, 10, 0.9]]
    assert metrics.mean_average_precision(truth, boxes(tied, score=True)) == 0.25
    assert metrics.mean_average_precision(truth, boxes(tied[::-1], score=True)) == 0.5
    other = [["a", "y", 0, 0, 10, 10, 0.9]]
    assert metrics.mean_average_precision(truth, boxes(other, score=True)) == 0
    assert metrics.mean_average_precision(truth, boxes([], score=True)) == 0


def test_spoilt_boxes_are_refused():
    truth, pred = boxes([["a", "x", 0, 0, 1, 1]]), boxes([["a", "x", 2, 0, 1, 1, 0.5]], score=True)
    with pytest.raises(InputError, match="rows 0"):
        metrics.mean_average_precision(truth, pred)
    with pytest.raises(InputError, match="lacks the columns score"):
        metrics.mean_average_precision(truth, truth)
    with pytest.raises(InputError, match="no box"):
        metrics.mean_average_precision(truth[:0], pred[:0])
