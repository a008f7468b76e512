"""Exclusive classes: logits whose sigmoids are a softmax, and the losses that are made for them."""

import numpy as np
import pytest
import torch
import training
from torch.nn import functional
from training import Competition

from foldbelt import config, losses, models
from foldbelt.files import InputError
from foldbelt.losses._exclusive import log_probabilities
from foldbelt.models._heads import exclusive

UNET = {"name": "unet", "encoder": "test_resnet", "decoder_channels": [8] * 5}
NETS = [UNET, {"name": "fpn", "encoder": "test_resnet"}, {"name": "vanilla", "width": 4}]
SMP = {"name": "smp/Unet", "encoder": "resnet18"}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def value(loss: torch.Tensor) -> float:
    return float(loss.detach())


def raw_logits(scale, classes=4, size=(6, 7), dtype=torch.float32):
    return (scale * torch.randn(3, classes, *size, dtype=dtype)).requires_grad_()


def with_background(raw):
    return torch.cat([torch.zeros_like(raw[:, :1]), raw], dim=1)


def hard(classes=4, size=(6, 7), count=3):
    """Class of every pixel, 0 the background, and its K masks."""
    index = torch.randint(classes + 1, (count, *size))
    masks = functional.one_hot(index, classes + 1).permute(0, 3, 1, 2)[:, 1:]
    return index, masks.to(torch.uint8)


@pytest.mark.parametrize("scale", [0, 1, 10, 60])
def test_sigmoids_are_the_softmax_with_a_background(scale):
    raw = raw_logits(scale)
    softmax = with_background(raw.double()).softmax(dim=1)
    found = exclusive(raw)
    assert torch.allclose(found.sigmoid().double(), softmax[:, 1:], atol=1e-6)
    logit = softmax[:, 1:].log() - (1 - softmax[:, 1:]).log()
    sure = logit.isfinite() & (logit.abs() < 25)
    assert torch.allclose(found.double()[sure], logit[sure], rtol=1e-4, atol=1e-4)
    assert found.isfinite().all()
    found.sum().backward()
    assert raw.grad.isfinite().all()


def test_one_class_alone_is_as_it_was():
    raw = raw_logits(3, classes=1)
    assert torch.equal(exclusive(raw), raw)


def test_the_layout_of_the_logits_changes_no_bit():
    raw = torch.randn(2, 5, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(exclusive(raw.to(memory_format=torch.channels_last)), exclusive(raw))


@pytest.mark.parametrize("spec", NETS, ids=lambda spec: spec["name"])
def test_every_mask_of_a_network_is_exclusive(spec):
    spec = {**spec, "deep_supervision": True, "label_head": True}
    found = []
    for given in ({}, {"exclusive": False}, {"exclusive": True}):
        torch.manual_seed(1)
        model = models.build({**spec, **given}, 1, 3, 2)
        found.append(model(torch.linspace(-3, 3, 40 * 70).reshape(1, 1, 40, 70).repeat(2, 1, 1, 1)))
    plain, same, other = found
    for name in ("mask", "label"):
        assert torch.equal(plain[name], same[name])
    assert torch.allclose(exclusive(plain["mask"]), other["mask"], atol=1e-5)
    assert not torch.allclose(plain["mask"], other["mask"], atol=1e-2)
    for one, two in zip(plain["deep"], other["deep"], strict=True):
        assert torch.allclose(exclusive(one), two, atol=1e-5)
    assert (other["mask"].sigmoid().sum(dim=1) < 1).all()


def test_networks_of_the_package_may_be_exclusive():
    model = models.build({**SMP, "exclusive": True}, 1, 3, 0).eval()
    with torch.no_grad():
        assert (model(torch.randn(1, 1, 37, 50))["mask"].sigmoid().sum(dim=1) < 1).all()


@pytest.mark.parametrize("scale", [0, 1, 3])
def test_cross_entropy_is_that_of_torch_on_the_raw_logits(scale):
    raw = raw_logits(scale)
    index, masks = hard()
    expected = functional.cross_entropy(with_background(raw), index)
    own = torch.autograd.grad(expected, raw)[0]
    loss = losses.build({"cross_entropy": 1})(exclusive(raw), masks)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert torch.allclose(torch.autograd.grad(loss, raw)[0], own, atol=1e-5)


def test_cross_entropy_weighs_classes_and_takes_soft_targets():
    raw = raw_logits(2)
    masks = torch.rand(3, 4, 6, 7) / 4
    probability = torch.cat([1 - masks.sum(dim=1, keepdim=True), masks], dim=1)
    weights = [2.0, 0.5, 3.0, 1.5]
    expected = functional.cross_entropy(
        with_background(raw), probability, weight=torch.tensor([1.0, *weights])
    )
    spec = {"cross_entropy": {"weight": 1, "class_weight": weights}}
    assert float(losses.build(spec)(exclusive(raw), masks).detach()) == pytest.approx(
        float(expected.detach()), rel=1e-4
    )


def test_a_pixel_of_two_masks_is_half_of_either():
    raw = raw_logits(2, classes=2)
    both = torch.ones(3, 2, 6, 7)
    loss = losses.build({"cross_entropy": 1})
    halves = [
        loss(exclusive(raw), both * torch.tensor(one)[:, None, None]) for one in ([1, 0], [0, 1])
    ]
    assert float(loss(exclusive(raw), both).detach()) == pytest.approx(
        float(sum(halves).detach()) / 2, rel=1e-5
    )


@pytest.mark.parametrize("raw", [[15.0, -5.0, -5.0], [40.0, -40.0, 0.0], [20.0, 19.9, -3.0]])
def test_a_background_taken_for_surely_something_still_learns(raw):
    raw = torch.tensor(raw).reshape(1, 3, 1, 1).requires_grad_()
    logits = exclusive(raw)
    loss = -log_probabilities(logits)[:, 0].sum()
    exact = -with_background(raw.double()).log_softmax(dim=1)[:, 0].sum()
    assert loss.item() == pytest.approx(exact.item(), rel=0.3)
    loss.backward()
    assert raw.grad.isfinite().all()
    if raw[0, 1] < 19:  # no two classes share it
        assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
        assert raw.grad.flatten()[0] == pytest.approx(1, abs=1e-3)


def jaccard_extension(errors, truth):
    """Σ of errors, falling, times what each pixel adds to the Jaccard loss of those before it."""
    order = np.argsort(-errors, kind="stable")
    total, wrong, before = 0.0, np.zeros(len(errors), bool), 0.0
    for pixel in order:
        wrong[pixel] = True
        predicted = truth ^ wrong
        union = (truth | predicted).sum()
        now = 1 - (truth & predicted).sum() / union
        total += errors[pixel] * (now - before)
        before = now
    return total


@pytest.mark.parametrize("classes", ["present", "all"])
@pytest.mark.parametrize("some", [False, True])
def test_lovasz_softmax_is_its_definition(classes, some):
    raw = raw_logits(2, classes=3, size=(3, 4))
    index, masks = hard(3, (3, 4))
    masks[0, 1] = 0  # a class that is not there
    index[0][index[0] == 2] = 0
    ignore = torch.rand(3, 1, 3, 4) < 0.3 if some else None
    probability = with_background(raw).softmax(dim=1).detach().numpy()
    each = []
    for image in range(3):
        counted = np.ones(12, bool) if ignore is None else ~ignore[image].flatten().numpy()
        terms = []
        for label in range(4):
            truth = (index[image] == label).flatten().numpy()[counted]
            errors = np.abs(truth - probability[image, label].flatten()[counted])
            if classes == "all" or truth.any():
                terms.append(jaccard_extension(errors, truth))
        each.append(np.mean(terms))
    spec = {"lovasz_softmax": {"weight": 1, "classes": classes}}
    found = losses.build(spec)(exclusive(raw), masks, ignore)
    assert float(found.detach()) == pytest.approx(np.mean(each), rel=1e-4)


@pytest.mark.parametrize("name", ["cross_entropy", "lovasz_softmax"])
def test_gradients_are_those_of_finite_differences(name):
    raw = raw_logits(1, classes=3, size=(3, 3))
    _, masks = hard(3, (3, 3))
    ignore = torch.zeros(3, 1, 3, 3, dtype=torch.bool)
    ignore[1, 0, 0] = True
    loss = losses.build({name: 1})
    (gradient,) = torch.autograd.grad(loss(exclusive(raw), masks, ignore), raw)
    assert (gradient[1, :, 0] == 0).all()
    step = 1e-2
    for place in [(0, 0, 1, 1), (1, 2, 2, 0), (2, 1, 0, 2), (1, 0, 0, 1)]:
        moved = []
        for sign in (1, -1):
            other = raw.detach().clone()
            other[place] += sign * step
            moved.append(value(loss(exclusive(other), masks, ignore)))
        assert float(gradient[place]) == pytest.approx((moved[0] - moved[1]) / 2 / step, abs=2e-3)


@pytest.mark.parametrize("name", ["cross_entropy", "lovasz_softmax"])
def test_ignored_pixels_count_nowhere(name):
    raw = raw_logits(2)
    _, masks = hard()
    ignore = torch.zeros(3, 1, 6, 7, dtype=torch.bool)
    ignore[..., 3:] = True
    loss = losses.build({name: 1})
    spoilt = raw.detach().clone()
    spoilt[..., 3:] = float("nan")
    other = masks.clone()
    other[..., 3:] = 1
    expected = loss(exclusive(raw[..., :3]), masks[..., :3])
    assert value(loss(exclusive(spoilt), other, ignore)) == pytest.approx(value(expected), rel=1e-5)
    assert value(loss(exclusive(raw), masks, torch.ones_like(ignore))) == 0
    # An image that may not be seen leaves the mean.
    ignore[:], ignore[0] = False, True
    assert value(loss(exclusive(raw), masks, ignore)) == pytest.approx(
        value(loss(exclusive(raw[1:]), masks[1:])), rel=1e-5
    )


def test_a_perfect_answer_costs_nothing_and_a_smoothed_target_is_a_target():
    _, masks = hard()
    masks[0] = 0
    sure = 40 * (2 * masks.float() - 1)
    for name in ("cross_entropy", "lovasz_softmax"):
        loss = losses.build({name: 1})
        assert value(loss(exclusive(sure), masks)) == pytest.approx(0, abs=1e-4)
        smooth = masks * 0.9 + 0.05
        assert torch.isfinite(loss(exclusive(sure / 10), smooth))
    rounded = losses.build({"lovasz_softmax": 1})
    raw = raw_logits(1)
    assert value(rounded(exclusive(raw), masks * 0.9 + 0.05)) == value(
        rounded(exclusive(raw), masks)
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"cross_entropy": {"weight": 1, "class_weight": [1, 0, 1, 1]}}, "above 0"),
        ({"lovasz_softmax": {"weight": 1, "classes": "some"}}, "'present' or 'all'"),
        (
            {"cross_entropy": {"weight": 1, "class_weight": [1, 2]}},
            "2 values for 4 classes; give one",
        ),
    ],
)
def test_options_that_mean_nothing_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        losses.build(spec)(exclusive(raw_logits(1)), hard()[1])


def test_the_losses_need_a_network_of_exclusive_classes(tmp_path):
    recipe = {
        "run": "small",
        "data": {"path": "somewhere"},
        "stages": {"one": {"loss": {"cross_entropy": 1, "bce": 1}, "epochs": 1}},
        "models": {
            "soft": {"stages": ["one"], "architecture": {"name": "unet", "exclusive": True}},
            "net": {"stages": ["one"], "architecture": {"name": "unet"}},
        },
    }
    with pytest.raises(InputError, match=r"1 problem\n  stages\.one\.loss\.cross_entropy: .*'net'"):
        config.resolve(recipe)
    recipe["models"].pop("net")
    config.resolve(recipe)
    tiny = Competition(tmp_path, classes=3, ignore=True)
    spec = {"cross_entropy": {"weight": 1, "class_weight": [1, 2, 3]}, "lovasz_softmax": 1}
    given = tiny.arguments(loss=spec, epochs=2)
    with pytest.raises(InputError, match=r"stages\.bce\.loss\.cross_entropy: is a loss of exclus"):
        training.run(**given, log=lambda text: None)
    given["model"] = {**given["model"], "exclusive": True}
    given["stage"] |= {"mixup": 0.4, "label_smoothing": 0.05}
    training.run(**given, log=lambda text: None)


def test_gradients_stay_finite_where_a_network_is_very_sure():
    for distance in (60.0, 89.0, 120.0, 1000.0):
        logits = torch.tensor([[distance, -distance]], requires_grad=True)
        loss = losses.build({"cross_entropy": 1})(logits[..., None, None], torch.ones(1, 2, 1, 1))
        loss.backward()
        assert torch.isfinite(logits.grad).all(), distance
