"""Losses against their definitions, on small random images."""

import subprocess
import sys

import pytest
import torch

from foldbelt import losses, registry
from foldbelt.files import InputError
from foldbelt.losses import lovasz_hinge

MARGINS = {"relu": torch.relu, "elu": lambda error: torch.nn.functional.elu(error) + 1}
EVERY = {
    "bce": {"weight": 1.0, "pos_weight": [2.0, 0.5]},
    "focal": {"weight": 1.0, "gamma": 1.5, "alpha": 0.3},
    "dice": 1.0,
    "jaccard": {"weight": 1.0, "smooth": 0.5},
    "tversky": {"weight": 1.0, "alpha": 0.2, "beta": 0.9},
    "focal_tversky": {"weight": 1.0, "gamma": 2.0},
    "lovasz": {"weight": 1.0, "margin": "elu", "symmetric": True},
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _batch(count=3, classes=2, size=(7, 5)):
    logits = 2 * torch.randn(count, classes, *size)
    return logits, (torch.rand(count, classes, *size) < 0.4).float()


def _jaccard_loss(truth, wrong):
    """Jaccard loss of the prediction that errs on exactly the pixels `wrong` (two sets)."""
    predicted = truth ^ wrong
    union = len(truth | predicted)
    return 1 - len(truth & predicted) / union if union else 0.0


def _by_definition(logits, truth, margin):
    """Berman et al. (2018), equation 8: the sum over the sorted errors of one image, as a loop."""
    logits, truth = logits.flatten().double(), truth.flatten()
    errors = 1 - logits * (2 * truth.double() - 1)
    positives = {i for i, value in enumerate(truth.tolist()) if value}
    total, wrong = 0.0, set()
    for i in sorted(range(len(errors)), key=lambda i: -errors[i]):
        gain = _jaccard_loss(positives, wrong | {i}) - _jaccard_loss(positives, wrong)
        total += float(MARGINS[margin](errors[i])) * gain
        wrong.add(i)
    return total


@pytest.mark.parametrize("margin", ["relu", "elu"])
@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_lovasz_is_the_extension_of_the_jaccard_loss(margin, share):
    logits = 2 * torch.randn(4, 6, 5)
    truth = torch.rand(4, 6, 5) < share
    expected = sum(_by_definition(*pair, margin) for pair in zip(logits, truth, strict=True)) / 4
    assert lovasz_hinge(logits, truth, margin).item() == pytest.approx(expected, abs=1e-5)
    assert lovasz_hinge(logits[:, None], truth[:, None], margin).item() == pytest.approx(
        expected, abs=1e-5
    )


def test_lovasz_equals_the_jaccard_loss_at_errors_of_0_and_1():
    truth = torch.rand(1, 6, 6) < 0.5
    flipped = torch.rand(1, 6, 6) < 0.3
    logits = torch.where(flipped, 0.0, torch.where(truth, 1.0, -1.0))  # hinge errors 1 and 0
    predicted = truth ^ flipped
    expected = 1 - (truth & predicted).sum() / (truth | predicted).sum()
    assert lovasz_hinge(logits, truth).item() == pytest.approx(expected.item(), abs=1e-6)


def test_lovasz_of_an_empty_mask_is_its_worst_pixel():
    logits = torch.randn(1, 5, 5)
    expected = max(0.0, 1 + logits.max().item())
    assert lovasz_hinge(logits, torch.zeros(1, 5, 5)).item() == pytest.approx(expected)


@pytest.mark.parametrize("margin", ["relu", "elu"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_lovasz_gradient_by_finite_differences(margin, symmetric):
    logits = torch.randn(2, 4, 4, requires_grad=True)
    truth = torch.rand(2, 4, 4) < 0.5
    (gradient,) = torch.autograd.grad(lovasz_hinge(logits, truth, margin, symmetric), logits)
    step = 1e-2  # float32, but the loss is linear (relu) or smooth (elu) between ties
    for index in [(0, 0, 0), (0, 3, 1), (1, 2, 2), (1, 1, 3)]:
        values = []
        for sign in (1, -1):
            moved = logits.detach().clone()
            moved[index] += sign * step
            values.append(lovasz_hinge(moved, truth, margin, symmetric).item())
        assert gradient[index].item() == pytest.approx((values[0] - values[1]) / 2 / step, abs=2e-3)
    assert gradient.abs().sum() > 0


def test_symmetric_lovasz_does_not_know_which_class_is_which():
    logits, target = _batch()
    one = lovasz_hinge(logits, target, "elu", symmetric=True)
    other = lovasz_hinge(-logits, 1 - target, "elu", symmetric=True)
    assert one.item() == pytest.approx(other.item(), rel=1e-6)
    plain = lovasz_hinge(logits, target, "elu"), lovasz_hinge(-logits, 1 - target, "elu")
    assert one.item() == pytest.approx(sum(plain).item() / 2, rel=1e-6)
    assert abs(plain[0] - plain[1]) > 1e-3


def test_every_loss_of_separate_classes_takes_part():
    """Those of exclusive classes have tests of their own, test_exclusive.py."""
    together = {
        name
        for name in registry.known("losses")
        if not registry.constant(f"foldbelt.losses.{name}", "EXCLUSIVE", False)
    }
    assert set(EVERY) == together, "EVERY names what the tests below go over"


@pytest.mark.parametrize("spec", [{name: EVERY[name]} for name in EVERY], ids=list(EVERY))
def test_pixels_and_images_may_be_permuted(spec):
    loss = losses.build(spec)
    logits, target = _batch()
    pixels, images = torch.randperm(35), torch.randperm(3)

    def mix(tensor):
        return tensor.flatten(2)[..., pixels].reshape(tensor.shape)[images]

    assert loss(mix(logits), mix(target)).item() == pytest.approx(
        loss(logits, target).item(), rel=1e-5
    )


@pytest.mark.parametrize("spec", [{name: EVERY[name]} for name in EVERY], ids=list(EVERY))
def test_ignored_pixels_are_as_if_cut_away(spec):
    loss = losses.build(spec)
    logits, target = _batch(size=(6, 6))
    ignore = torch.zeros(3, 1, 6, 6, dtype=torch.bool)
    ignore[..., 4:] = True
    whole = logits.clone().requires_grad_()
    part = logits[..., :4].clone().requires_grad_()
    value, expected = loss(whole, target, ignore), loss(part, target[..., :4])
    value.backward()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(whole.grad[..., :4], part.grad)
    assert (whole.grad[..., 4:] == 0).all()


@pytest.mark.parametrize("junk", [1e9, -1e9, float("nan"), float("inf")])
@pytest.mark.parametrize("spec", [{name: EVERY[name]} for name in EVERY], ids=list(EVERY))
def test_what_ignored_pixels_hold_changes_nothing(spec, junk):
    loss = losses.build(spec)
    logits, target = _batch()
    ignore = torch.rand(3, 1, 7, 5) < 0.3
    results = []
    for filling in (0.0, junk):
        filled = logits.masked_fill(ignore, filling).requires_grad_()
        truth = target.masked_fill(ignore, 1.0 if filling else 0.0)
        value = loss(filled, truth, ignore)
        value.backward()
        results.append((value.detach(), filled.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("spec", [{name: EVERY[name]} for name in EVERY], ids=list(EVERY))
def test_images_without_any_label_leave_the_mean(spec):
    loss = losses.build(spec)
    logits, target = _batch()
    ignore = torch.zeros(3, 1, 7, 5, dtype=torch.bool)
    ignore[1] = True
    kept = [0, 2]
    assert loss(logits, target, ignore).item() == pytest.approx(
        loss(logits[kept], target[kept]).item(), rel=1e-6
    )
    logits.requires_grad_()
    nothing = loss(logits, target, torch.ones_like(ignore))
    nothing.backward()
    assert nothing.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("spec", [{name: EVERY[name]} for name in EVERY], ids=list(EVERY))
def test_half_precision_uint8_and_odd_layouts_change_nothing(spec):
    loss = losses.build(spec)
    logits, target = _batch()
    logits = logits.bfloat16()
    expected = loss(logits.float(), target)
    assert expected.dtype == torch.float32
    assert torch.equal(loss(logits, target.to(torch.uint8)), expected)
    last = [tensor.contiguous(memory_format=torch.channels_last) for tensor in (logits, target)]
    assert loss(*last).item() == pytest.approx(expected.item(), rel=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(logits, target), expected)


def test_bce_by_hand():
    logits, target = torch.tensor([0.0, 2.0, -1.0, 3.0]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    p = torch.sigmoid(logits)
    shaped = (logits.reshape(1, 1, 2, 2), target.reshape(1, 1, 2, 2))
    terms = -(target * p.log()), -((1 - target) * (1 - p).log())
    plain, weighted = (terms[0] + terms[1]).mean(), (3 * terms[0] + terms[1]).mean()
    assert losses.build({"bce": 1})(*shaped).item() == pytest.approx(plain.item(), rel=1e-5)
    for weight in (3, [3.0]):
        loss = losses.build({"bce": {"weight": 2, "pos_weight": weight}})
        assert loss(*shaped).item() == pytest.approx(2 * weighted.item(), rel=1e-5)


def test_dice_by_hand_and_image_by_image():
    p = torch.tensor([[0.9, 0.2, 0.5, 0.4], [0.1, 0.2, 0.0, 0.3]]).reshape(2, 1, 2, 2)
    truth = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 2, 2)
    loss = losses.build({"dice": {"weight": 1, "smooth": 0.5}})
    expected = [1 - (2 * 1.4 + 0.5) / (2 + 2 + 0.5), 1 - 0.5 / (0.6 + 0.5)]
    value = loss(torch.logit(p), truth).item()
    assert value == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_a_sum_is_the_sum_of_its_parts():
    logits, target = _batch()
    spec = {"bce": 0.75, "dice": 0.25, "lovasz": {"weight": 2, "symmetric": True}}
    parts = [
        0.75 * losses.build({"bce": 1})(logits, target),
        0.25 * losses.build({"dice": 1})(logits, target),
        2 * lovasz_hinge(logits, target, symmetric=True),
    ]
    assert losses.build(spec)(logits, target).item() == pytest.approx(sum(parts).item(), rel=1e-6)
    assert losses.build({"bce": 1, "dice": 0})(logits, target) == losses.build({"bce": 1})(
        logits, target
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"lovas": 1}, "did you mean 'lovasz'.*known are: bce, cross_entropy, dice, focal, fo"),
        ({"bce": "0.5"}, "bce.*must be a number, not '0.5'"),
        ({"bce": -1}, "not negative: -1"),
        ({"bce": float("nan")}, "finite"),
        ({"bce": 0}, "nothing would be learnt"),
        ({"lovasz": {"weight": 1, "marign": "elu"}}, "did you mean 'margin'"),
        ({"lovasz": {"weight": 1, "margin": "gelu"}}, "'relu' or 'elu', not 'gelu'"),
        ({"dice": {"smooth": 0}}, "smooth"),
        ({"dice": {"empty": "drop"}}, "dice: empty is 'score' or 'skip', not 'drop'"),
        ({"jaccard": {"smooth": 0}}, "jaccard: smooth must be finite and above 0, not 0"),
        ({"jaccard": {"empty": "drop"}}, "jaccard: empty is 'score' or 'skip', not 'drop'"),
        ({"tversky": {"alpha": -1}}, "tversky: alpha and beta must be .* not -1 and 0.7"),
        ({"tversky": {"alpha": 0, "beta": 0}}, "not both 0, not 0 and 0"),
        ({"tversky": {"empty": "drop"}}, "tversky: empty is 'score' or 'skip', not 'drop'"),
        ({"focal_tversky": {"gamma": 0}}, "focal_tversky: gamma must be finite and above 0, not 0"),
        ({"focal_tversky": {"beta": float("inf")}}, "focal_tversky: alpha and beta must be finite"),
        ({"lovasz": {"empty": "drop"}}, "lovasz: empty is 'score' or 'skip', not 'drop'"),
        ({"focal": {"gamma": -1}}, "gamma must be .* not negative, not -1"),
        ({"focal": {"alpha": 1.5}}, "alpha must lie between 0 and 1"),
        ({"focal": {"gamma": "2"}}, "'focal': {'gamma': '2'} cannot be used"),
        ({"bce": {"pos_weight": [1, -1]}}, "pos_weight"),
        ({}, "at least one"),
    ],
)
def test_a_wrong_spec_is_refused_with_its_cure(spec, message):
    with pytest.raises(InputError, match=message):
        losses.build(spec)


def test_shapes_that_do_not_fit_are_refused():
    logits, target = _batch()
    with pytest.raises(ValueError, match="must both be"):
        losses.build({"bce": 1})(logits, target[:, :1])
    with pytest.raises(ValueError, match="one shape"):
        lovasz_hinge(logits, target[:, 0])
    with pytest.raises(ValueError, match=r"bce: pos_weight has 2 values for 3 classes; give one"):
        losses.build({"bce": {"pos_weight": [1, 2]}})(*_batch(classes=3))


def test_modules_are_found_without_importing_torch_or_a_loss():
    code = (
        "import sys; from foldbelt import registry; "
        "print(registry.losses({'lovasz': 1, 'bce': {'weight': 1}}), 'torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['foldbelt.losses.bce', 'foldbelt.losses.lovasz'] False"
    code = (
        "import sys, foldbelt.losses; foldbelt.losses.build({'bce': 1}); "
        "print(sorted(name for name in sys.modules if name.startswith('foldbelt.losses.')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        shown.stdout.strip()
        == "['foldbelt.losses._building', 'foldbelt.losses._means', 'foldbelt.losses.bce']"
    )


def test_a_room_lists_its_members_and_not_their_helpers():
    assert {"unet", "vanilla"} <= set(registry.known("models"))
    assert not {"_blocks", "encoders", "__init__", "models"} & set(registry.known("models"))
    with pytest.raises(InputError, match="'foo', 'lovas' \\(did you mean 'lovasz'"):
        registry.losses({"foo": 1, "bce": 1, "lovas": 1})
