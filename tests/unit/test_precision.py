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
