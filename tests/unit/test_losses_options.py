"""Options of the losses: against their definitions by brute force, and what soft targets do."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import JaccardLoss, TverskyLoss
from torchvision.ops import sigmoid_focal_loss

from foldbelt import losses
from foldbelt.losses import lovasz_hinge

REGIONS = ["dice", "jaccard", "tversky", "focal_tversky", "lovasz"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _batch(count=4, classes=2, size=(6, 5), share=0.4):
    logits = 2 * torch.randn(count, classes, *size)
    return logits, (torch.rand(count, classes, *size) < share).float()


def _jaccard_loss(truth, wrong):
    """Jaccard loss of the prediction that errs on the pixels `wrong`; both bool vectors."""
    predicted = truth ^ wrong
    union = (truth | predicted).sum()
    return 1 - (truth & predicted).sum() / union if union else 0.0


def _extension(scores, truth, margin):
    """Lovász extension in float64 as an integral over levels, without a sort of the errors.

    Of errors m ≥ 0 it is ∫ Jaccard loss of {i: m_i > level} d level (Bach 2013, proposition 3.1),
    and the integrand is constant between two levels that errors take.
    """
    errors = 1 - scores * np.where(truth, 1.0, -1.0)
    if margin == "relu":
        errors = np.maximum(errors, 0)
    else:
        errors = np.where(errors > 0, errors + 1, np.exp(np.minimum(errors, 0)))
    levels = np.unique(np.concatenate([[0.0], errors]))
    return sum((high - low) * _jaccard_loss(truth, errors > low) for low, high in pairwise(levels))


def _lovasz(logits, target, margin, symmetric):
    total = []
    for scores, truth in zip(logits.reshape(-1, 30), target.reshape(-1, 30) > 0.5, strict=True):
        sides = [(scores, truth), (-scores, ~truth)] if symmetric else [(scores, truth)]
        total.append(np.mean([_extension(*side, margin) for side in sides]))
    return float(np.mean(total))


@pytest.mark.parametrize("margin", ["relu", "elu"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("share", [0, 0.4, 1])
def test_lovasz_and_its_gradient_are_those_of_the_definition(margin, symmetric, share):
    logits, target = _batch(2, 1, share=share)
    logits.requires_grad_()
    value = lovasz_hinge(logits, target, margin, symmetric)
    (gradient,) = torch.autograd.grad(value, logits)
    exact, truth = logits.detach().double().numpy(), target.numpy()
    assert value.item() == pytest.approx(_lovasz(exact, truth, margin, symmetric), rel=1e-5)
    step = 1e-7
    for place in np.ndindex(exact.shape):
        moved = [exact.copy(), exact.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (_lovasz(scores, truth, margin, symmetric) for scores in moved)
        assert gradient[place].item() == pytest.approx((high - low) / (2 * step), abs=1e-5)


def test_focal_is_the_papers_on_hard_targets():
    logits, target = _batch()
    for gamma, alpha in ((2.0, 0.25), (0.5, 0.9), (0.0, None)):
        ours = losses.build({"focal": {"gamma": gamma, "alpha": alpha}})(logits, target)
        theirs = sigmoid_focal_loss(
            logits, target, -1 if alpha is None else alpha, gamma, reduction="mean"
        )
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    bce = losses.build({"bce": 1})(logits, target)
    assert losses.build({"focal": {"gamma": 0, "alpha": None}})(logits, target) == bce


def test_focal_forgets_easy_pixels():
    target = torch.ones(1, 1, 1, 1)

    def ratio(gamma):
        loss = losses.build({"focal": {"gamma": gamma}})
        easy, hard = torch.full_like(target, 3.0), torch.full_like(target, -3.0)
        return (loss(easy, target) / loss(hard, target)).item()

    p = torch.sigmoid(torch.tensor(3.0)).item()
    assert ratio(2.0) / ratio(0.0) == pytest.approx(((1 - p) / p) ** 2, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_extreme_logits_is_finite(gamma):
    logits = torch.tensor([-300.0, 300.0, -300.0, 300.0]).reshape(1, 1, 2, 2).requires_grad_()
    target = torch.tensor([0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
    loss = losses.build({"focal": {"gamma": gamma}})(logits, target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("spec", [{"bce": {"pos_weight": 2}}, {"focal": 1}])
def test_soft_targets_are_shares_of_hard_ones(spec):
    loss = losses.build(spec)
    logits, one = _batch()
    other = (torch.rand_like(one) < 0.5).float()
    mixed = loss(logits, 0.3 * one + 0.7 * other)
    expected = 0.3 * loss(logits, one) + 0.7 * loss(logits, other)
    assert mixed.item() == pytest.approx(expected.item(), rel=1e-5)


def test_soft_targets_enter_dice_by_its_formula():
    logits, target = _batch(1, 1)
    soft = 0.1 + 0.8 * target
    p = torch.sigmoid(logits)
    expected = 1 - (2 * (p * soft).sum() + 1) / (p.sum() + soft.sum() + 1)
    assert losses.build({"dice": 1})(logits, soft).item() == pytest.approx(expected.item())


def test_lovasz_rounds_soft_targets():
    logits, target = _batch()
    for symmetric in (False, True):
        soft = lovasz_hinge(logits, 0.1 + 0.8 * target, symmetric=symmetric)
        assert torch.equal(soft, lovasz_hinge(logits, target, symmetric=symmetric))


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_empty_masks_may_be_left_out(name, smoothing):
    logits, target = _batch()
    target[1] = 0  # an image without any mask, and one class of another
    target[2, 0] = 0
    soft = smoothing + (1 - 2 * smoothing) * target
    score = losses.build({name: 1})
    skip = losses.build({name: {"empty": "skip"}})
    logits.requires_grad_()
    value = skip(logits, soft)
    pairs = [(0, 0), (0, 1), (2, 1), (3, 0), (3, 1)]
    alone = [score(logits[i : i + 1, k : k + 1], soft[i : i + 1, k : k + 1]) for i, k in pairs]
    assert value.item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-5)
    assert abs(value.item() - score(logits, soft).item()) > 1e-3
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient[1] == 0).all()
    assert (gradient[2, 0] == 0).all()
    assert (gradient[2, 1] != 0).any()


@pytest.mark.parametrize("name", REGIONS)
def test_a_batch_of_empty_masks_may_teach_nothing(name):
    logits, target = _batch(share=0)
    ignore = torch.zeros(4, 1, 6, 5, dtype=torch.bool)
    ignore[0, 0, 0] = True
    target[0, :, 0] = 1  # a mask of which nothing may be seen is empty
    logits.requires_grad_()
    loss = losses.build({name: {"empty": "skip"}})(logits, target, ignore)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_regions_by_hand_and_image_by_image():
    p = torch.tensor([[0.9, 0.2, 0.5, 0.4], [0.1, 0.2, 0.0, 0.3]]).reshape(2, 1, 2, 2)
    truth = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 2, 2)
    right, wrong, missed = 1.4, 0.6, 0.6  # of the first image; the second has .6 in vain

    def value(name, **options):
        return losses.build({name: options})(torch.logit(p), truth).item()

    jaccard = [1 - (right + 0.5) / (2.6 + 0.5), 1 - 0.5 / (0.6 + 0.5)]
    assert value("jaccard", smooth=0.5) == pytest.approx(sum(jaccard) / 2, rel=1e-5)
    errors = 0.2 * wrong + 0.9 * missed
    tversky = [1 - (right + 1) / (right + errors + 1), 1 - 1 / (0.2 * 0.6 + 1)]
    assert value("tversky", alpha=0.2, beta=0.9) == pytest.approx(sum(tversky) / 2, rel=1e-5)
    focal = value("focal_tversky", alpha=0.2, beta=0.9, gamma=4 / 3)
    assert focal == pytest.approx(sum(each**0.75 for each in tversky) / 2, rel=1e-5)


def test_regions_are_those_of_segmentation_models_pytorch():
    """Theirs sums over a whole batch, so that the two agree image by image."""
    logits, target = _batch(3, 1)
    for image, truth in zip(logits.split(1), target.split(1), strict=True):
        for alpha, beta, smooth in ((0.3, 0.7, 1.0), (1.0, 0.2, 0.01)):
            given = {"alpha": alpha, "beta": beta, "smooth": smooth}
            ours = losses.build({"tversky": given})(image, truth)
            assert ours.item() == pytest.approx(TverskyLoss("binary", **given)(image, truth).item())
            ours = losses.build({"focal_tversky": {**given, "gamma": 4 / 3}})(image, truth)
            theirs = TverskyLoss("binary", gamma=0.75, **given)(image, truth)
            assert ours.item() == pytest.approx(theirs.item())
        ours = losses.build({"jaccard": {"smooth": 0.3}})(image, truth)
        assert ours.item() == pytest.approx(JaccardLoss("binary", smooth=0.3)(image, truth).item())


def test_tversky_holds_dice_and_jaccard():
    logits, target = _batch()
    cases = (("dice", {"smooth": 2.0}, 0.5, 1.0), ("jaccard", {"smooth": 2.0}, 1.0, 2.0))
    for name, given, factor, smooth in cases:
        tversky = {"alpha": factor, "beta": factor, "smooth": smooth}
        ours = losses.build({"tversky": tversky})(logits, target)
        assert ours.item() == pytest.approx(losses.build({name: given})(logits, target).item())


@pytest.mark.parametrize("gamma", [0.5, 4 / 3, 3.0])
def test_focal_tversky_of_a_mask_that_is_right_has_a_finite_gradient(gamma):
    target = torch.zeros(2, 1, 3, 3)
    target[0] = 1
    logits = torch.where(target > 0, 300.0, -300.0).requires_grad_()
    loss = losses.build({"focal_tversky": {"gamma": gamma}})(logits, target)
    loss.backward()
    assert loss.item() < 0.011  # the cube root of the least loss
    assert (logits.grad == 0).all()


def test_combo_loss_is_a_sum_of_what_there_is():
    """Taghanaki et al. 2019, equation 1, of one image: modified cross-entropy less Dice."""
    logits, target = _batch(1, 1)
    alpha, beta, p = 0.4, 0.7, torch.sigmoid(logits)
    entropy = -(beta * target * p.log() + (1 - beta) * (1 - target) * (1 - p).log()).mean()
    dice = (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    combo = alpha * entropy - (1 - alpha) * dice
    terms = {"weight": alpha * (1 - beta), "pos_weight": beta / (1 - beta)}
    ours = losses.build({"bce": terms, "dice": 1 - alpha})(logits, target)
    assert ours.item() - (1 - alpha) == pytest.approx(combo.item(), rel=1e-5)
