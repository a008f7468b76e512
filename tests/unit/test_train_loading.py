"""Whoever prepares the batches, the weights are the same."""

from pathlib import Path

import pytest
import training
from training import Competition

from foldbelt.train import loading, loop
from foldbelt.train.saving import Saver

SETTINGS = {
    "epochs": 3,
    "augment": [{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 0.9}}],
}


def train(tiny: Competition, name: str, log=lambda text: None, **stage: str) -> bytes:
    arguments = tiny.arguments(name, **SETTINGS, **stage)
    training.run(**arguments, log=log)
    return Path(arguments["weights"]).read_bytes()


def with_workers(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Prepare batches as beside a GPU, which is not there."""

    def loader(samples, plan, device, workers):
        return loading.loader(samples, plan, device, count)

    monkeypatch.setattr(loop, "loader", loader)


@pytest.fixture
def tiny(tmp_path: Path) -> Competition:
    return Competition(tmp_path)


@pytest.mark.parametrize(("count", "where"), [(1, "host"), (2, "host"), (2, "device")])
def test_the_number_of_loaders_changes_no_weights(tiny, monkeypatch, count, where) -> None:
    alone = train(tiny, "alone", augment_on=where)
    with_workers(monkeypatch, count)
    assert train(tiny, "helped", augment_on=where) == alone


def test_a_training_goes_on_with_another_number_of_loaders(tiny, monkeypatch) -> None:
    monkeypatch.setattr(Saver, "due", lambda self: True)
    whole = train(tiny, "whole")
    with_workers(monkeypatch, 2)

    def stop(text: str) -> None:
        if text.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny, "parts", stop)
    with_workers(monkeypatch, 0)
    said: list[str] = []
    assert train(tiny, "parts", said.append) == whole
    assert any("Resuming after epoch 2" in text for text in said)
