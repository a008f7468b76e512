"""Checkpointing: the same weights to the last bit, in less memory, or a refusal."""

import copy
from pathlib import Path

import pytest
import torch
import training
from training import Competition

from foldbelt import models
from foldbelt.files import InputError
from foldbelt.models import _checkpointing
from foldbelt.models.encoders import wide_resnet38
from foldbelt.store import weights

SPEC = {"name": "classifier", "mask_reduction": 16, "mask_width": 8, "label_dropout": 0.3}
UNET = {"name": "unet", "encoder": "test_resnet", "decoder_channels": [8] * 5, "weights": None}


def network(checkpointing, **spec):
    torch.manual_seed(0)
    return models.build({**SPEC, **spec, "checkpointing": checkpointing}, 1, 1, 3)


def learn(network, steps=2):
    """Take a few steps on noise."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    network.train()
    for step in range(steps):
        torch.manual_seed(step)
        outputs = network(torch.randn(2, 1, 64, 64))
        sum(value.square().sum() for value in outputs.values()).backward()
        optimiser.step()
        optimiser.zero_grad()
    return network


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.mark.parametrize("encoder", ["test_resnet", "tf_efficientnet_b0", "densenet121"])
def test_the_weights_are_the_same_to_the_last_bit(encoder):
    plain, again = (learn(network(given, encoder=encoder)) for given in (False, True))
    assert same(plain, again)
    counts = [v for k, v in again.state_dict().items() if k.endswith("num_batches_tracked")]
    assert {int(count) for count in counts} == {2}  # a batch counts once
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        one, other = (model.eval()(images)["label"] for model in (plain, again))
    assert torch.equal(one, other)


def test_it_keeps_less_for_the_backward_pass():
    kept = []
    for checkpointing in (False, True):
        module, sizes = network(checkpointing, encoder="efficientnet_b0").train(), []

        def note(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            module(torch.randn(2, 1, 64, 64))
        kept.append(sum(sizes))
    assert kept[1] < 0.3 * kept[0]


def test_a_copy_of_the_network_counts_for_itself():
    module = network(True, encoder="test_resnet").train()
    module(torch.randn(2, 1, 64, 64))["label"].sum()  # between the passes
    copied = copy.deepcopy(module)
    before = copy.deepcopy(copied.state_dict())
    learn(module)
    assert all(torch.equal(value, before[name]) for name, value in copied.state_dict().items())
    again = copy.deepcopy(network(True, encoder="test_resnet"))
    assert same(learn(again), learn(network(False, encoder="test_resnet")))


@pytest.mark.parametrize(
    "change", [{"ema": 0.9, "accumulate": 2}, {"swa": 0.3}, {"freeze_encoder": 1}]
)
def test_a_stage_writes_the_same_file(tmp_path, change):
    tiny, files = Competition(tmp_path), []
    for checkpointing in (False, True):
        given = tiny.arguments(epochs=2)
        given["model"] = {**UNET, "checkpointing": checkpointing}
        given["stage"] = {**given["stage"], **change}
        training.run(**given)
        files.append(Path(given["weights"]).read_bytes())
    assert files[0] == files[1]
    assert "checkpointing" not in weights.load(given["weights"])[1]["architecture"]


def test_options_that_are_idle_leave_no_trace(tmp_path):
    tiny, files = Competition(tmp_path), []
    for share in ({}, {"mask_dropout": 0, "drop_path": 0}, {"mask_dropout": 0.5}):
        given = tiny.arguments(epochs=1)
        given["model"] = {**UNET, **share}
        training.run(**given)
        files.append(Path(given["weights"]).read_bytes())
    assert files[0] == files[1] != files[2]
    assert weights.load(given["weights"])[1]["architecture"]["mask_dropout"] == 0.5


def test_encoders_of_our_own_have_it_too(monkeypatch):
    groups = [(count, tuple(width // 32 for width in widths), s) for count, widths, s in GROUPS]
    monkeypatch.setattr(wide_resnet38, "_GROUPS", groups)
    monkeypatch.setattr(wide_resnet38, "_STEM", 4)
    maps = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = wide_resnet38.build(1)
        if checkpointing:
            _checkpointing.checkpoint(encoder, "wide_resnet38")
        found = encoder(torch.randn(2, 1, 32, 32))
        found[-1].square().sum().backward()
        grads = [parameter.grad for parameter in encoder.parameters()]
        maps.append([found[-1].detach(), *grads, *encoder.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*maps, strict=True))


GROUPS = wide_resnet38._GROUPS


VANILLA = {"name": "vanilla", "width": 4, "depth": 2}
TIMMS = {"name": "smp/Unet", "encoder": "tu-test_resnet"}
SKIPPING = {**UNET, "drop_path": 0.5, "mask_dropout": 0.5}


@pytest.mark.parametrize("spec", [VANILLA, TIMMS, SKIPPING], ids=lambda spec: spec["name"])
def test_networks_of_masks_learn_the_same_in_less_memory(spec):
    networks, kept = [], []
    for checkpointing in (False, True):
        module, sizes = network(checkpointing, **spec), []

        def note(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            copy.deepcopy(module).train()(torch.randn(2, 1, 64, 64))
        kept.append(sum(sizes))
        networks.append(learn(module))
    assert same(*networks)
    assert kept[1] < 0.95 * kept[0]  # the decoders keep theirs


def test_encoders_that_cannot_are_named():
    for name in ("unet", "fpn", "classifier", "detector"):
        spec = {"name": name, "encoder": "xception41", "checkpointing": True}
        with pytest.raises(InputError, match="checkpointing: the encoder 'xception41' cannot"):
            models.build(spec, 1, 1, 3, box_classes=1)
    with pytest.raises(InputError, match=r"the encoder 'resnet18' cannot .*of smp, one whose name"):
        models.build({"name": "smp/Unet", "encoder": "resnet18", "checkpointing": True}, 1, 1, 3)
