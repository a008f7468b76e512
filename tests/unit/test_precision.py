"""In which numbers a training computes."""

import pytest
import torch
import training
from training import Competition

from foldbelt import runtime
from foldbelt.train import stepping


@pytest.mark.parametrize(
    ("amp", "kinds"), [(False, set()), (True, {"cuda"}), ("everywhere", {"cuda", "cpu"})]
)
def test_halved_where_the_stage_says(amp, kinds):
    devices = [torch.device("cpu"), torch.device("cuda")]
    assert {device.type for device in devices if runtime.halved(amp, device)} == kinds


@pytest.mark.parametrize("amp", [True, "everywhere"])
def test_logits_are_bfloat16_where_the_stage_computes_so(tmp_path, monkeypatch, amp):
    met, real = set(), stepping.Stepper.outputs

    def look(self, model, batch):
        outputs = real(self, model, batch)
        met.add(outputs["mask"].dtype)
        return outputs

    monkeypatch.setattr(stepping.Stepper, "outputs", look)
    given = Competition(tmp_path).arguments("w", epochs=1)
    given["stage"] |= {"amp": amp}
    training.run(**given)
    assert met == {torch.bfloat16 if amp == "everywhere" else torch.float32}


def test_networks_on_a_cpu_keep_channels_last(tmp_path, monkeypatch):
    kept, real = [], stepping.Stepper.outputs

    def look(self, model, batch):
        weight = next(part for part in model.parameters() if part.ndim == 4 and part.shape[1] > 1)
        kept.append(weight.is_contiguous(memory_format=torch.channels_last))
        return real(self, model, batch)

    monkeypatch.setattr(stepping.Stepper, "outputs", look)
    training.run(**Competition(tmp_path).arguments("w", epochs=1))
    assert kept
    assert all(kept)


def spoil_free_memory():
    """Leave NaN in the memory that is taken next."""
    sizes = [2**power for power in range(4, 20) for _ in range(4)]
    taken = [torch.full((size,), torch.nan) for size in sizes]
    del taken


def gradient(layer, x):
    """Of a convolution's weights, in bfloat16."""
    layer.zero_grad()
    spoil_free_memory()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    spoil_free_memory()
    (out * torch.arange(out.numel()).reshape(out.shape).sin()).sum().backward()
    return out.detach(), layer.weight.grad.clone()


@pytest.mark.parametrize("side", [(1, 1), (4, 1), (1, 4), (5, 2)])
@pytest.mark.parametrize("kernel", [3, 7])
def test_maps_of_one_column_have_gradients_in_bfloat16(side, kernel):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(32, 64, kernel, stride=2, padding=kernel // 2, bias=False)
    x = torch.randn(3, 32, *side)
    with torch.no_grad():
        plain = layer(x)
    runtime.mend_narrow_maps(layer)
    out, found = gradient(layer, x)
    torch.testing.assert_close(out.float(), plain, atol=0.05, rtol=0.02)
    weights = torch.arange(plain.numel()).reshape(plain.shape).sin()
    layer.zero_grad()
    (layer(x) * weights).sum().backward()
    torch.testing.assert_close(found, layer.weight.grad, atol=0.1, rtol=0.05)
    assert torch.equal(gradient(layer, x)[1], found)
    layer(torch.randn(1, 32, 9, 9))
    assert layer.stride == (2, 2)


def test_networks_whose_maps_shrink_to_a_pixel_learn_in_bfloat16(tmp_path, monkeypatch):
    real = stepping.Stepper.outputs, stepping.Stepper.judge

    def loss(self, batch, *seed):
        found = real[1](self, real[0](self, self.model, batch), batch)
        spoil_free_memory()
        return found

    monkeypatch.setattr(stepping.Stepper, "loss", loss)
    network = {
        "name": "unet",
        "encoder": "test_resnet",
        "weights": None,
    }  # 16 pixels, halved 5 times
    made = Competition(tmp_path)
    for name in ("a", "b"):
        training.run(**made.arguments(name, model=network, amp="everywhere", epochs=1))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
