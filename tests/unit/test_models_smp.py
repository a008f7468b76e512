"""Architectures of segmentation-models-pytorch, and what is said where it cannot be."""

import sys

import pytest
import torch
from torch import nn

from foldbelt import models
from foldbelt.files import InputError


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("variant", ["UnetPlusPlus", "FPN", "DeepLabV3Plus"])
def test_smp_is_the_package_s_own_network(variant):
    smp = pytest.importorskip("segmentation_models_pytorch")
    spec = {"name": f"smp/{variant}", "encoder": "resnet18", "label_head": True, "depth_head": True}
    model = models.build(spec, 2, 3, 2).eval()
    own = getattr(smp, variant)("resnet18", encoder_weights=None, in_channels=2, classes=3).eval()
    own.encoder.load_state_dict(model.encoder.state_dict())
    own.decoder.load_state_dict(model.decoder.state_dict())
    own.segmentation_head.load_state_dict(model.mask.state_dict())
    image = torch.randn(1, 2, 64, 96)
    with torch.no_grad():
        outputs = model(image)
        assert torch.equal(outputs["mask"], own(image))
        assert outputs["label"].shape == (1, 2)
        assert outputs["depth"].shape == (1, 1)
        below, right = -37 % model.stride, -50 % model.stride
        top, left = below // 2, right // 2
        sides = (left, right - left, top, below - top)
        odd = torch.randn(1, 2, 37, 50)
        padded = own(nn.functional.pad(odd, sides, mode="replicate"))
        assert torch.equal(model(odd)["mask"], padded[..., top : top + 37, left : left + 50])


def test_smp_needs_an_architecture_and_encoder_that_exist():
    pytest.importorskip("segmentation_models_pytorch")
    for name, encoder, message in [
        ("smp/UnetPlus", "resnet18", "did you mean 'Unet"),
        ("smp/DPT", "resnet18", "known are: DeepLabV3,"),
        ("smp/Unet", "resnet17", "cannot be made with encoder 'resnet17'"),
        ("smp", "resnet18", "say which, as smp/Unet"),
        ("unet/Plus", "test_resnet", "unet has no variants"),
    ]:
        with pytest.raises(InputError, match=message):
            models.build({"name": name, "encoder": encoder}, 1, 1, 0)


def test_without_the_package_smp_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(InputError, match="need the package segmentation-models-pytorch"):
        models.build({"name": "smp/Unet", "encoder": "resnet18"}, 1, 1, 0)
