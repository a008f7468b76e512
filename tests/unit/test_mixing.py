"""Mixing: what is in an image is what its targets say, in the same shares."""

import numpy as np
import pytest
import torch
from training import settings

from foldbelt.train.mixing import Mixer

COUNT, SIDE = 6, 20


def mixer(stage: dict, classes: int | None = None) -> Mixer:
    return Mixer(settings(**stage).mixing, classes)


def batch(planes: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images that are their own masks: plane 0 of x is plane 0 of the target, and so on."""
    random = np.random.default_rng(0)
    target = torch.from_numpy((random.random((COUNT, planes, SIDE, SIDE)) < 0.4).astype(np.uint8))
    label = torch.from_numpy((random.random((COUNT, 3)) < 0.5).astype(np.float32))
    return target.float(), target, label


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one.float(), other.float(), rtol=0, atol=1e-6)


def test_nothing_asked_is_nothing_done():
    x, target, label = batch()
    for stage in ({}, {"mixup": None, "cutmix": None, "label_smoothing": 0}):
        mixed, shares = mixer(stage)(x, target, label, 1)
        assert mixed is x
        assert shares == [(1.0, target, label)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("stage", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1, "cutmix": 1}])
def test_the_targets_sum_to_what_is_in_the_images(stage, seed):
    x, target, label = batch()
    before = [part.clone() for part in (x, target, label)]
    mixed, shares = mixer(stage)(x, target, label, seed)
    assert sum(share for share, _, _ in shares) == pytest.approx(1)
    same(mixed, sum(share * part.float() for share, part, _ in shares))
    for part, old in zip((x, target, label), before, strict=True):
        assert torch.equal(part, old)  # the batch itself is left alone


@pytest.mark.parametrize("seed", range(8))
def test_mixup_keeps_image_mask_and_label_together(seed):
    x, target, label = batch()
    (first, *own), (second, *others) = mixer({"mixup": 0.4})(x, target, label, seed)[1]
    assert first + second == pytest.approx(1)
    assert own[0] is target
    assert own[1] is label
    order = [int((target == one).flatten(1).all(1).nonzero()) for one in others[0]]
    assert sorted(order) == list(range(COUNT))
    assert torch.equal(others[1], label[order])


def test_cutmix_pastes_one_box_and_shares_labels_by_its_area():
    pasted = []
    for seed in range(300):
        random = np.random.default_rng(seed)
        x = torch.from_numpy(random.random((COUNT, 1, SIDE, 30)).astype(np.float32))
        label = torch.eye(COUNT)
        target = (x > 0.5).to(torch.uint8)
        mixed, [(share, pixels, labels)] = mixer({"cutmix": 1.0})(x, target, label, seed)
        assert share == 1
        assert torch.equal(pixels, (mixed > 0.5).to(torch.uint8))
        changed = (mixed != x).any(dim=(0, 1)).numpy()
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = len(rows) * len(columns)
        assert changed.sum() == box  # a full rectangle
        if box:
            assert box == np.ptp(rows) * np.ptp(columns) + np.ptp(rows) + np.ptp(columns) + 1
            order = [int((x == one).any(dim=(1, 2, 3)).nonzero()[-1]) for one in mixed[:1]]
            assert len(order) == 1
            expected = (mixed == x).float().mean(dim=(1, 2, 3))
            same(labels.diagonal()[expected < 1], expected[expected < 1])
        same(labels.sum(1), torch.ones(COUNT))
        pasted.append(box / (SIDE * 30))
    # λ is uniform for a parameter of 1; what lies beyond the border is lost
    assert 0.25 < np.mean(pasted) < 0.45
    assert min(pasted) < 0.02
    assert max(pasted) > 0.8


@pytest.mark.parametrize("seed", range(8))
def test_ignored_pixels_follow_their_image(seed):
    x, target, label = batch(3)  # two classes and the plane of ignored pixels
    stage = {"cutmix": 1.0, "label_smoothing": 0.1}
    mixed, [(_, pixels, _)] = mixer(stage, classes=2)(x, target, label, seed)
    same(pixels[:, 2], mixed[:, 2])
    same(pixels[:, :2], mixed[:, :2] * 0.8 + 0.1)


def test_smoothing_moves_both_answers_alike():
    x, target, label = batch(1)
    mixed, [(_, pixels, labels)] = mixer({"label_smoothing": 0.05}, 1)(x, target, label, 0)
    assert mixed is x
    assert np.unique(pixels.numpy()).tolist() == pytest.approx([0.05, 0.95])
    assert np.unique(labels.numpy()).tolist() == pytest.approx([0.05, 0.95])
    same((pixels > 0.5), target)
    with pytest.raises(ValueError, match="which planes"):
        mixer({"label_smoothing": 0.05})


def test_the_seed_decides():
    x, target, label = batch()
    for stage in ({"mixup": 0.4}, {"cutmix": 1.0}):
        torch.manual_seed(0)
        first = mixer(stage)(x, target, label, 3)[0]
        torch.rand(5)
        assert torch.equal(mixer(stage)(x, target, label, 3)[0], first)
        assert any(not torch.equal(mixer(stage)(x, target, label, s)[0], first) for s in (4, 5))


def test_both_take_turns():
    x, target, label = batch()
    counts = [
        len(mixer({"mixup": 1, "cutmix": 1})(x, target, label, seed)[1]) for seed in range(200)
    ]
    assert 70 < counts.count(2) < 130


def test_one_sample_is_mixed_with_itself():
    x, target, label = (part[:1] for part in batch())
    for stage in ({"mixup": 0.4}, {"cutmix": 1.0}):
        same(mixer(stage)(x, target, label, 3)[0], x)


@pytest.mark.parametrize("seed", range(8))
def test_labels_of_masks_follow_from_what_was_pasted(seed):
    x, target, _ = batch(planes=3)
    target[:, :, :, 4:] = 0  # so that a paste can hide all of a class
    target[::2, 1] = 0
    ignored = torch.zeros_like(target[:, :1])
    ignored[1] = 1
    target = torch.cat([target, ignored], dim=1)
    for count in (3, 1):
        label = torch.full((COUNT, count), 0.25)
        made = Mixer(settings(cutmix=1.0).mixing, classes=3, derived=True)
        _, [(share, pasted, told)] = made(x, target, label, seed)
        shows = ((pasted[:, :3] > 0) & (pasted[:, 3:] == 0)).flatten(2).any(dim=2)
        expected = shows if count == 3 else shows.any(dim=1, keepdim=True)
        assert share == 1.0
        same(told, expected)
