"""Starting from a checkpoint: what fits is taken, what does not is named, and nothing is a lie."""

from pathlib import Path

import numpy as np
import pytest
import torch
import training
from safetensors.torch import save_file
from training import Competition

from foldbelt import models
from foldbelt.files import InputError
from foldbelt.models import _starting
from foldbelt.store import weights

UNET = {"name": "unet", "encoder": "test_resnet", "decoder_channels": [8] * 5}
VANILLA = {"name": "vanilla", "width": 4, "depth": 2}
SMP = {"name": "smp/Unet", "encoder": "resnet18"}


def network(spec=UNET, channels=2, classes=1, seed=0):
    torch.manual_seed(seed)
    return models.build(spec, channels, classes, 0)


def state_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def saved(tensors, path):
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, path)
    return path


@pytest.mark.parametrize("before", ["", "module.", "module.model.", "_orig_mod."])
def test_what_stands_before_all_names_does_not_matter(before):
    file, here = state_of(network(seed=1)), network()
    found = _starting.fit(here, {before + name: value for name, value in file.items()})
    assert found.filled == list(file)
    assert [found.adapted, found.missing, found.misshapen, found.unused] == [[]] * 4
    assert all(torch.equal(value, file[name]) for name, value in here.state_dict().items())


def test_an_encoder_alone_fills_the_encoder():
    file, here = network(seed=1).encoder.state_dict(), network()
    before = state_of(here)
    found = _starting.fit(here, {**file, "fc.weight": torch.zeros(3, 5)})
    for name, value in here.state_dict().items():
        inside = name.startswith("encoder.")
        assert inside == (name in found.filled) != (name in found.missing)
        wanted = file[name.removeprefix("encoder.")] if inside else before[name]
        assert torch.equal(value, wanted)
    assert found.unused == ["fc.weight"]


def test_other_classes_leave_the_mask_head_and_colours_are_adapted(tmp_path):
    file, here = network(channels=3, classes=4, seed=1), network(channels=1)
    before = state_of(here)
    lines = _starting.begin(here, saved(file.state_dict(), tmp_path / "w.safetensors"))
    kept = {"mask.weight", "mask.bias"}
    first = next(name for name, value in before.items() if value.ndim == 4)
    for name, value in here.state_dict().items():
        if name in kept:
            assert torch.equal(value, before[name])
        elif name == first:
            assert torch.allclose(value, file.state_dict()[name].sum(dim=1, keepdim=True))
        else:
            assert torch.equal(value, file.state_dict()[name])
    text = "\n".join(lines)
    assert f"{len(before) - 2} of {len(before)} tensors fit" in text
    assert "mask 0 of 2" in text
    assert f"Adapted from three channels: {first}." in text
    assert "mask.weight ((4, 8, 1, 1) in the file, (1, 8, 1, 1) here)" in text


def test_half_precision_is_taken_as_float(tmp_path):
    file, here = network(VANILLA, seed=1).half().state_dict(), network(VANILLA)
    torch.save({"model": file}, tmp_path / "w.pt")
    _starting.begin(here, tmp_path / "w.pt", strict=True)
    assert all(
        torch.equal(value, file[name].to(value.dtype)) for name, value in here.state_dict().items()
    )


def test_a_file_of_which_nothing_fits_is_refused(tmp_path):
    path = saved(network(VANILLA).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"nothing in .*w.safetensors fits(.|\n)*not in the net"):
        _starting.begin(network(), path)
    with pytest.raises(InputError, match="no such file"):
        _starting.begin(network(), tmp_path / "none.safetensors")
    torch.save({"model": Path()}, tmp_path / "code.pt")
    with pytest.raises(InputError, match="no readable file of weights"):
        _starting.begin(network(), tmp_path / "code.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask.weight": None}, "not in the file: mask.weight"),
        ({"mask.weight": torch.zeros(3, 4, 1, 1)}, r"differ: mask.weight \(\(3, 4, 1, 1\) in"),
        ({"more.weight": torch.zeros(3, 4)}, "not in the network: more.weight"),
    ],
)
def test_strict_takes_all_or_nothing(tmp_path, change, message):
    file = {**state_of(network(VANILLA, seed=1)), **change}
    file = {name: value for name, value in file.items() if value is not None}
    path = saved(file, tmp_path / "w.safetensors")
    _starting.begin(network(VANILLA), path)
    with pytest.raises(InputError, match=rf"set strict: false(.|\n)*{message}"):
        _starting.begin(network(VANILLA), path, strict=True)


def test_training_starts_from_the_file_and_says_so(tmp_path):
    tiny = Competition(tmp_path)
    file = saved(network(VANILLA, 2, 1, seed=7).state_dict(), tmp_path / "start.safetensors")
    still = {"epochs": 1, "optimizer": {"name": "sgd", "lr": 0.0}, "model": VANILLA}

    def train(name, **more):
        lines = []
        training.run(**tiny.arguments(name, **still, **more), log=lines.append)
        return weights.load(tmp_path / f"{name}.safetensors")[0], "\n".join(lines)

    started, told = train("a", checkpoint=str(file), strict=True)
    plain, silent = train("b")
    expected = network(VANILLA, 2, 1, seed=7).state_dict()["mask.weight"]
    assert torch.equal(started["mask.weight"], expected)
    assert not torch.equal(plain["mask.weight"], expected)
    assert f"Starting from {file}.\n" in told
    assert "tensors fit" in told
    assert "tensors fit" not in silent
    rates = tiny.arguments("c", **{**still, "optimizer": {"name": "sgd", "lr": 0.1}})
    rates |= {"checkpoint": str(file), "rates": str(tmp_path / "r.csv"), "steps": 3}
    lines = []
    training.run_range(log=lines.append, **rates)
    assert any("tensors fit" in line for line in lines)


def test_smp_takes_a_network_of_its_package_or_an_encoder(tmp_path):
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(1)
    whole = smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=1)
    file = saved(whole.state_dict(), tmp_path / "whole.safetensors")
    for source, decoded in ((file, True), (tmp_path / "encoder.safetensors", False)):
        if not decoded:
            saved(whole.encoder.state_dict(), source)
        for channels in (3, 1) if decoded else (1,):
            found = network({**SMP, "weights": str(source)}, channels)
            plain = network(SMP, channels)
            for name, value in found.encoder.state_dict().items():
                wanted = whole.encoder.state_dict()[name]
                if channels == 1 and name == "conv1.weight":
                    wanted = wanted.sum(dim=1, keepdim=True)
                assert torch.allclose(value, wanted)
            others = {"decoder": plain.decoder, "mask": plain.mask}
            if decoded:
                others = {"decoder": whole.decoder, "mask": whole.segmentation_head}
            for part, other in others.items():
                wanted, given = other.state_dict(), getattr(found, part).state_dict()
                assert all(torch.equal(value, wanted[name]) for name, value in given.items())
    with pytest.raises(InputError, match=r"lacks \d+ of the \d+ parameters of the encoder"):
        network({**SMP, "encoder": "resnet34", "weights": str(file)}, 3)


def test_a_whole_network_of_the_package_may_be_started_from(tmp_path):
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(1)
    whole = smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=1).eval()
    found = network(SMP, 3)
    _starting.begin(found, saved(whole.state_dict(), tmp_path / "w.safetensors"), strict=True)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 64, 64))).float()
    with torch.no_grad():
        assert torch.equal(found.eval()(image)["mask"], whole(image))
