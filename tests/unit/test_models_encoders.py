"""WideResNet38 against its paper; timm's encoders that need care."""

import pytest
import timm
import torch
from torch import nn

from foldbelt import models, registry
from foldbelt.files import InputError
from foldbelt.models import _encoders
from foldbelt.models.encoders import wide_resnet38


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def _halves(size, times):
    return [-(-size // 2**level) for level in range(times)]


# WideResNet38


def test_wide_resnet38_has_the_paper_s_parameters_and_strides():
    with torch.device("meta"):  # half a gigabyte that is not needed
        model = wide_resnet38.build(3)
    # Wu et al., table 1, model A: kernels and channels of a unit, and how many units.
    table = [
        ([(3, 128), (3, 128)], 3),
        ([(3, 256), (3, 256)], 3),
        ([(3, 512), (3, 512)], 6),
        ([(3, 512), (3, 1024)], 3),
        ([(1, 512), (3, 1024), (1, 2048)], 1),
        ([(1, 1024), (3, 2048), (1, 4096)], 1),
    ]
    convolutions = 1
    parameters, before = 3 * 3 * 3 * 64, 64
    for layers, units in table:
        for _ in range(units):
            entering = before
            for kernel, channels in layers:
                parameters += 2 * before + kernel**2 * before * channels
                before = channels
                convolutions += 1
            if entering != before:
                parameters += entering * before  # the shortcut's 1×1 convolution
    parameters += 2 * before
    assert _count(model) == parameters
    assert convolutions + 1 == 38  # with the classifier
    sizes = [tuple(each.shape[1:]) for each in model(torch.empty(1, 3, 101, 64, device="meta"))]
    channels = [64, 128, 256, 512, 1024, 4096]
    assert sizes == list(zip(channels, _halves(101, 6), _halves(64, 6), strict=True))
    assert model.feature_info.channels() == channels
    assert model.feature_info.reduction() == [1, 2, 4, 8, 16, 32]


def test_a_unit_adds_to_its_input_what_is_normalised_before_every_convolution():
    unit = wide_resnet38.Unit(8, (8, 8), 1).eval()
    x = torch.randn(1, 8, 5, 5)
    with torch.no_grad():
        unit.rest[-1].weight.zero_()
        assert torch.equal(unit(x), x)
    kinds = [type(part) for part in unit.modules() if not list(part.children())]
    assert kinds == [nn.BatchNorm2d, nn.ReLU, nn.Conv2d] * 2
    bottleneck = wide_resnet38.Unit(8, (4, 6, 12), 2)
    assert [part.stride[0] for part in bottleneck.rest if isinstance(part, nn.Conv2d)] == [1, 2, 1]
    assert bottleneck(x).shape == (1, 12, 3, 3)
    with torch.no_grad():  # a shortcut starts where the convolutions start
        bottleneck.eval().rest[-1].weight.zero_()
        assert torch.equal(bottleneck(x), bottleneck.shortcut(bottleneck.first(x)))


@pytest.mark.parametrize("name", ["unet", "fpn"])
def test_wide_resnet38_goes_into_unet_and_pyramid(name):
    spec = {"name": name, "encoder": "wide_resnet38", "stem_pool": False}
    assert registry.models(spec) == [
        f"foldbelt.models.{name}",
        "foldbelt.models.encoders.wide_resnet38",
    ]
    with torch.device("meta"):
        model = models.build(spec, 2, 1, 0)
        image = torch.empty(2, 2, 50, 64)
        sizes = [each.shape[-1] for each in model.encoder(image)]
        assert model(image)["mask"].shape == (2, 1, 50, 64)
    assert sizes == [64, 64, 32, 16, 8, 4]
    with pytest.raises(InputError, match="no pretrained weights; set `weights: null`"):
        models.build({**spec, "weights": "some.safetensors"}, 1, 1, 0)


# Encoders of timm


def test_inception_s_maps_are_halved_exactly_at_odd_sizes():
    encoder = _encoders.make_encoder("inception_v3", 1, None, True).eval()
    plain = timm.create_model("inception_v3", features_only=True, in_chans=1)
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    for size in (33, 75, 101):
        with torch.no_grad():
            maps = encoder(torch.randn(1, 1, size, size))
        assert [each.shape[-1] for each in maps] == _halves(size, 6)[1:]


def test_inception_s_maps_lie_where_the_image_is():
    """What is bright at the right border is bright at the right border of every map."""
    encoder = _encoders.make_encoder("inception_v3", 1, None, True).eval()
    dark = torch.zeros(1, 1, 101, 101)
    with torch.no_grad():
        for place in (0, 100):
            bright = dark.clone()
            bright[..., place] = 5.0
            for one, other in zip(encoder(dark)[:3], encoder(bright)[:3], strict=True):
                changed = (one - other).abs().amax(dim=(0, 1, 2))
                assert changed[-1 if place else 0] > 0
                assert changed[0 if place else -1] == 0


def test_inception_without_its_first_pool_keeps_twice_the_size():
    encoder = _encoders.make_encoder("inception_v3", 1, None, False).eval()
    with torch.no_grad():
        maps = encoder(torch.randn(1, 1, 75, 75))
    assert [each.shape[-1] for each in maps] == [38, 38, 19, 10, 5]


@pytest.mark.parametrize(
    "encoder", ["resnext50_32x4d", "seresnext50_32x4d", "dpn92", "legacy_senet154"]
)
def test_the_field_s_encoders_go_into_the_unet_without_their_stem_pool(encoder):
    spec = {"name": "unet", "encoder": encoder, "stem_pool": False, "label_head": True}
    with torch.device("meta"):
        model = models.build(spec, 1, 1, 1)
        outputs = model(torch.empty(2, 1, 101, 75))
        sizes = [each.shape[-1] for each in model.encoder(torch.empty(2, 1, 128, 128))]
    assert outputs["mask"].shape == (2, 1, 101, 75)
    assert sizes == [64, 64, 32, 16, 8]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "encoder"), [("unet", "b1"), ("fpn", "b3"), ("classifier", "b1")])
def test_efficientnets_take_grey_and_colour(name, encoder, channels):
    given = {} if name == "classifier" else {"label_head": True, "exclusive": True}
    spec = {"name": name, "encoder": f"efficientnet_{encoder}", "weights": None, **given}
    model = models.build(spec, channels, 4, 4).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, channels, 32, 72))
    assert outputs.pop("label").shape == (1, 4)
    assert {key: tuple(value.shape) for key, value in outputs.items()} == (
        {} if name == "classifier" else {"mask": (1, 4, 32, 72)}
    )
