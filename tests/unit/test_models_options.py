"""Networks' options: what each adds, and that it adds nothing where it is off."""

import math

import pytest
import torch
from torch import nn

from foldbelt import models
from foldbelt.files import InputError
from foldbelt.models._blocks import (
    AttentionGate,
    DecoderBlock,
    Hypercolumn,
    conv_norm_act,
    upsample_linear,
    upsample_to,
)

TINY = {"name": "unet", "encoder": "test_resnet", "decoder_channels": [16, 16, 8, 8, 8]}
PLAIN = {"name": "vanilla", "width": 8, "depth": 3}
PYRAMID = {"name": "fpn", "encoder": "test_resnet", "pyramid_channels": 16}
EACH = pytest.mark.parametrize("spec", [TINY, PLAIN, PYRAMID], ids=["unet", "vanilla", "fpn"])
ENCODED = pytest.mark.parametrize("spec", [TINY, PYRAMID], ids=["unet", "fpn"])
NORMS = (nn.BatchNorm2d, nn.GroupNorm)
EVERYTHING = {
    "norm": "group",
    "attention": True,
    "hypercolumn": True,
    "deep_supervision": True,
    "late_channels": 1,
    "scse": True,
    "label_head": True,
    "depth_head": True,
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def _decoders(model):
    """Everything but the encoder and the late channels' embedding."""
    return [part for name, part in model.named_children() if name not in ("encoder", "late")]


def _norms(model, kinds=NORMS):
    return [part for top in _decoders(model) for part in top.modules() if isinstance(part, kinds)]


# Dropout, and blocks that are skipped

SMP = {"name": "smp/Unet", "encoder": "resnet18"}


@pytest.mark.parametrize("spec", [TINY, PLAIN, PYRAMID, SMP], ids=lambda spec: spec["name"])
def test_channels_are_dropped_whole_before_the_mask_in_training_alone(spec):
    networks = []
    for share in ({}, {"mask_dropout": 0.0}, {"mask_dropout": 0.5}):
        torch.manual_seed(1)
        networks.append(models.build({**spec, **share}, 1, 1, 0))
    states = [network.state_dict() for network in networks]
    for other in states[1:]:
        assert list(other) == list(states[0])
        assert all(torch.equal(other[name], value) for name, value in states[0].items())
    network, seen = networks[2], []
    network.mask.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    image = torch.randn(4, 1, 64, 64)
    network.train()(image)
    empty = (seen[0] == 0).all(dim=(2, 3))
    assert 0.2 < empty.float().mean() < 0.8
    whole = network.eval()(image)["mask"]
    assert torch.equal(whole, network(image)["mask"])
    torch.manual_seed(1)
    plain = networks[1].train()
    state = torch.get_rng_state()
    plain(image)
    assert torch.equal(state, torch.get_rng_state())  # without it, nothing is drawn


@pytest.mark.parametrize(
    "spec",
    [
        TINY,
        PYRAMID,
        {"name": "classifier", "encoder": "test_resnet"},
        {"name": "detector", "encoder": "test_resnet", "pyramid_channels": 64, "levels": [8, 16]},
    ],
    ids=lambda spec: spec["name"],
)
def test_blocks_are_skipped_more_often_the_deeper(spec):
    networks = []
    for share in ({}, {"drop_path": 0.0}, {"drop_path": 0.6}):
        torch.manual_seed(1)
        networks.append(models.build({**spec, **share}, 1, 1, 2, box_classes=1).encoder)
    states = [network.state_dict() for network in networks]
    for other in states[1:]:
        assert list(other) == list(states[0])
        assert all(torch.equal(other[name], value) for name, value in states[0].items())
    shares = [layer.drop_prob for layer in networks[2].modules() if hasattr(layer, "drop_prob")]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(0.6)
    for layer in networks[2].modules():  # timm starts with blocks that add nothing
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
    image = torch.randn(1, 1, 64, 64)
    outputs = [networks[2].train()(image)[-1] for _ in range(8)]
    assert any(not torch.equal(outputs[0], each) for each in outputs[1:])
    assert torch.equal(networks[2].eval()(image)[-1], networks[2](image)[-1])


def test_encoders_whose_blocks_cannot_be_skipped_are_named():
    for encoder in ("densenet121", "inception_v3", "wide_resnet38"):
        spec = {**PYRAMID, "encoder": encoder, "drop_path": 0.1}
        with pytest.raises(
            InputError, match=rf"(drop_path: .*'{encoder}'|cannot make .*drop_path)"
        ):
            models.build(spec, 1, 1, 0)


# Normalisation


@ENCODED
def test_norm_says_how_the_decoder_normalises(spec):
    options = {"hypercolumn": True} if spec is TINY else {}
    made = {
        norm: models.build({**spec, **options, "norm": norm}, 1, 1, 0)
        for norm in ("batch", "group", "none")
    }
    assert _norms(made["none"]) == []
    assert len(_norms(made["batch"], nn.BatchNorm2d)) == len(_norms(made["batch"])) > 4
    assert len(_norms(made["group"], nn.GroupNorm)) == len(_norms(made["batch"]))
    assert _norms(made["group"], nn.BatchNorm2d) == []
    with pytest.raises(InputError, match="'layer' is unknown; take batch, group or none"):
        models.build({**spec, "norm": "layer"}, 1, 1, 0)


@ENCODED
@pytest.mark.parametrize(("norm", "alone"), [("batch", False), ("group", True), ("none", True)])
def test_in_training_an_image_sees_its_batch_through_batch_norm_only(spec, norm, alone):
    model = models.build({**spec, "norm": norm}, 1, 1, 0).train()
    model.encoder.eval()
    images = torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        together, single = model(images)["mask"][:1], model(images[:1])["mask"]
    assert torch.allclose(together, single, atol=1e-4) == alone


def test_group_norm_s_groups_have_sixteen_channels_where_they_divide():
    groups = {
        width: conv_norm_act(1, width, norm="group")[1].num_groups
        for width in (4, 16, 24, 64, 100, 256)
    }
    assert groups == {4: 1, 16: 1, 24: 1, 64: 4, 100: 2, 256: 16}


def test_without_normalisation_convolutions_have_a_bias():
    assert conv_norm_act(2, 3, norm="none")[0].bias is not None
    assert conv_norm_act(2, 3, norm="batch")[0].bias is None


# Attention gates


def test_an_attention_gate_is_the_paper_s_formula_with_its_parameters():
    skip, deeper, hidden = 8, 12, 4
    gate = AttentionGate(skip, deeper)
    assert _count(gate) == skip * hidden + deeper * hidden + hidden + hidden + 1
    x, g = torch.randn(2, skip, 6, 8), torch.randn(2, deeper, 3, 4)
    by_hand = torch.empty(2, 1, 6, 8)
    w_x, w_g, psi = (conv.weight[..., 0, 0] for conv in (gate.of_skip, gate.of_deeper, gate.psi))
    for row in range(6):
        for column in range(8):
            q = x[:, :, row, column] @ w_x.T + g[:, :, row // 2, column // 2] @ w_g.T
            q = torch.relu(q + gate.of_deeper.bias) @ psi.T + gate.psi.bias
            by_hand[:, :, row, column] = torch.sigmoid(q)
    found = gate.coefficients(x, g)
    torch.testing.assert_close(found, by_hand)
    assert 0 < found.min() < found.max() < 1
    torch.testing.assert_close(gate(x, g), x * by_hand)


def test_a_closed_gate_shuts_the_skip_connection_and_an_open_one_lets_it_through():
    block = DecoderBlock(12, 8, 16, attention=True).eval()
    x, skip = torch.randn(1, 12, 4, 4), torch.randn(1, 8, 7, 8)
    with torch.no_grad():
        block.gate.psi.weight.zero_()
        block.gate.psi.bias.fill_(-200.0)
        closed = block(x, skip, (7, 8))
        block.gate.psi.bias.fill_(200.0)
        opened = block(x, skip, (7, 8))
        block.gate = None
        assert torch.equal(closed, block(x, torch.zeros_like(skip), (7, 8)))
        assert torch.equal(opened, block(x, skip, (7, 8)))
    assert not torch.equal(closed, opened)


def test_every_skip_connection_of_the_unet_gets_a_gate():
    gated, plain = (models.build({**TINY, "attention": flag}, 1, 1, 0) for flag in (True, False))
    skips, deeper = reversed(gated.encoder.feature_info.channels()[:-1]), [64, 16, 16, 8]
    deeper[0] = gated.encoder.feature_info.channels()[-1]
    added = sum(_count(AttentionGate(*pair)) for pair in zip(skips, deeper, strict=True))
    assert _count(gated) - _count(plain) == added


# Hypercolumn


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_hypercolumn_is_a_convolution_of_all_maps_enlarged_and_concatenated(norm):
    column = Hypercolumn([6, 4, 2], 5, norm).eval()
    maps = [
        torch.randn(2, channels, *size)
        for channels, size in [(6, (3, 4)), (4, (5, 8)), (2, (9, 15))]
    ]
    joined = torch.cat([upsample_to(each, (9, 15)) for each in maps], dim=1)
    weight = torch.cat([conv.weight for conv in column.convs], dim=1)
    expected = torch.nn.functional.conv2d(joined, weight, column.convs[-1].bias)
    torch.testing.assert_close(column(maps), column.norm_act(expected))


def test_with_a_hypercolumn_the_mask_is_read_from_every_level():
    for flag in (True, False):
        model = models.build({**TINY, "hypercolumn": flag}, 1, 1, 0).eval()
        with torch.no_grad():
            maps = model.decoder(model.encoder(torch.randn(1, 1, 64, 64)), (64, 64))
        maps = [each.clone().requires_grad_() for each in maps]
        model.decode = lambda *_, given=maps: given
        model(torch.randn(1, 1, 64, 64))["mask"].square().sum().backward()
        reached = [each.grad is not None and bool(each.grad.any()) for each in maps]
        assert reached == [flag] * (len(maps) - 1) + [True]


# Deep supervision


@EACH
def test_deep_supervision_adds_a_mask_for_every_deeper_level_in_training_alone(spec):
    torch.manual_seed(1)
    plain = models.build({**spec, "label_head": True}, 1, 2, 1)
    torch.manual_seed(1)
    deep = models.build({**spec, "label_head": True, "deep_supervision": True}, 1, 2, 1)
    image = torch.randn(2, 1, 37, 64)
    levels = {"unet": 4, "vanilla": 2, "fpn": 4}[spec["name"]]
    outputs = deep(image)
    assert [each.shape for each in outputs["deep"]] == [(2, 2, 37, 64)] * levels
    assert set(plain(image)) == {"mask", "label"}
    # The same seed gives the same weights, and these the same mask.
    state = deep.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    with torch.no_grad():
        found, expected = deep.eval()(image), plain.eval()(image)
    assert set(found) == {"mask", "label"}
    assert torch.equal(found["mask"], expected["mask"])


@EACH
def test_every_deep_mask_comes_from_a_level_of_its_own(spec):
    model = models.build({**spec, "deep_supervision": True}, 1, 1, 0).train()
    maps = []
    decode = model.decode

    def kept(*given):
        maps[:] = decode(*given)
        return maps

    model.decode = kept
    deep = model(torch.randn(2, 1, 64, 64))["deep"]
    for level, logits in enumerate(deep):
        grads = torch.autograd.grad(logits.sum(), maps, retain_graph=True, allow_unused=True)
        assert grads[level] is not None
        assert all(grad is None for grad in grads[level + 1 :])


def test_linear_enlarging_is_bilinear_interpolation_cut_to_size():
    x = torch.randn(2, 3, 13, 7)
    expected = torch.nn.functional.interpolate(x, size=(104, 56), mode="bilinear")
    torch.testing.assert_close(upsample_linear(x, (101, 50)), expected[..., :101, :50])
    odd = torch.nn.functional.interpolate(x, size=(14, 20), mode="bilinear")
    torch.testing.assert_close(upsample_linear(x, (14, 20)), odd)
    assert torch.equal(upsample_linear(x, (13, 7)), x)


# Late channels


@EACH
def test_late_channels_join_after_the_encoder(spec):
    model = models.build({**spec, "late_channels": 2, "label_head": True}, 3, 1, 1).eval()
    seen = []
    encode = model.encode
    model.encode = lambda image: seen.append(image) or encode(image)
    image = torch.randn(1, 3, 64, 48)
    image[:, 1:] = torch.tensor([0.5, -1.0]).reshape(1, 2, 1, 1)
    deeper = image.clone()
    deeper[:, 1] = 2.0
    with torch.no_grad():
        one, other = model(image), model(deeper)
    assert seen[0].shape == (1, 1, 64, 48)
    assert torch.equal(seen[0], image[:, :1])
    assert torch.equal(seen[0], seen[1])
    assert not torch.allclose(one["mask"], other["mask"])
    assert not torch.allclose(one["label"], other["label"])


@ENCODED
def test_the_encoder_has_the_other_channels_only(spec):
    convs = [
        next(part for part in model.encoder.modules() if isinstance(part, nn.Conv2d))
        for model in (models.build({**spec, "late_channels": late}, 3, 1, 0) for late in (0, 2))
    ]
    assert [conv.in_channels for conv in convs] == [3, 1]


@EACH
def test_of_late_channels_only_their_mean_counts(spec):
    model = models.build({**spec, "late_channels": 1}, 2, 1, 0).eval()
    image = torch.randn(1, 2, 32, 32)
    flat = image.clone()
    flat[:, 1] = image[:, 1].mean()
    with torch.no_grad():
        torch.testing.assert_close(model(image)["mask"], model(flat)["mask"])


@EACH
@pytest.mark.parametrize("late", [2, 3, -1])
def test_late_channels_must_leave_some(spec, late):
    with pytest.raises(InputError, match=f"late_channels: {late} of 2 channels"):
        models.build({**spec, "late_channels": late}, 2, 1, 0)


# Depth head


@EACH
def test_the_depth_head_gives_one_number_an_image_and_never_sees_the_depth(spec):
    options = {"depth_head": True, "late_channels": 1}
    model = models.build({**spec, **options}, 2, 1, 0).eval()
    image = torch.randn(2, 2, 32, 40)
    deeper = image.clone()
    deeper[:, 1] += 3
    with torch.no_grad():
        outputs, others = model(image), model(deeper)
    assert set(outputs) == {"mask", "depth"}
    assert outputs["depth"].shape == (2, 1)
    assert torch.equal(outputs["depth"], others["depth"])
    assert outputs["depth"][0] != outputs["depth"][1]


def test_any_mix_of_heads_goes():
    image = torch.randn(2, 1, 32, 32)
    for label in (False, True):
        for depth in (False, True):
            spec = {**PLAIN, "label_head": label, "depth_head": depth}
            wanted = {"mask"} | ({"label"} if label else set()) | ({"depth"} if depth else set())
            assert set(models.build(spec, 1, 1, 3)(image)) == wanted


# All at once


@EACH
def test_with_everything_on_every_parameter_learns(spec):
    own = {
        key: value
        for key, value in EVERYTHING.items()
        if spec is TINY
        or key not in ("attention", "hypercolumn", "norm")
        or (spec is PYRAMID and key == "norm")
    }
    model = models.build({**spec, **own}, 2, 2, 2)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):  # timm closes residual branches at the start
            nn.init.ones_(part.weight)
    outputs = model(torch.randn(4, 2, 40, 64))
    values = [outputs["mask"], outputs["label"], outputs["depth"], *outputs["deep"]]
    sum(each.square().mean() for each in values).backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


@pytest.mark.parametrize("name", ["unet", "fpn", "vanilla"])
def test_with_a_prior_pixels_start_at_it(name: str) -> None:
    encoder = {} if name == "vanilla" else {"encoder": "resnet18"}
    means = {}
    for prior in (None, 0.01):
        torch.manual_seed(0)
        network = models.build({"name": name, "prior": prior, **encoder}, 1, 2, 0).eval()
        means[prior] = network(torch.rand(2, 1, 64, 64))["mask"].mean().item()
    assert means[0.01] - means[None] == pytest.approx(math.log(0.01 / 0.99), abs=1e-4)
