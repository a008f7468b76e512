"""An interrupted run ends in the bytes of one left in peace, whatever it has to remember."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import training
from training import CLASSIFIER, DETECTOR, Competition, Objects

from foldbelt.train import masks
from foldbelt.train.loop import Trainer
from foldbelt.train.saving import Saver
from foldbelt.train.state import Interrupted


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path)


def arguments(competition, name, **changes):
    """Give arguments of `training.run`; keys that STAGE lacks go into the stage, too."""
    given = competition.arguments(name, **changes)
    others = [key for key in changes if key in given and key in SWITCHES]
    given["stage"] |= {key: given.pop(key) for key in others}
    return given


def train(competition, name="w", **changes):
    lines = []
    given = arguments(competition, name, **changes)
    training.run(**given, log=lines.append)
    return Path(given["weights"]).read_bytes(), lines


def history(competition, name="w"):
    return pd.read_csv(competition.root / f"{name}.csv")


@pytest.mark.parametrize("select", ["last", "best"])
def test_an_interrupted_run_ends_in_the_same_bytes(tiny, monkeypatch, select):
    settings = {"epochs": 6, "select": select, "ema": 0.9, "early_stopping": {"patience": 4}}
    watch = {"last": "loss", "best": "metric"}[select]
    settings["schedule"] = {"name": "plateau", "patience": 0, "factor": 0.5, "warmup": 1}
    settings["schedule"]["watch"] = watch
    settings["optimizer"] = {"name": "sgd", "lr": 1.5}  # so much that the loss rises now and then
    whole, _ = train(tiny, "a", **settings)
    assert history(tiny, "a")["lr"][2] < 1.5  # the schedule has something to remember

    def stop(text):
        if text.startswith("epoch 3"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Saver, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        training.run(**arguments(tiny, "b", **settings), log=stop)
    again, lines = train(tiny, "b", **settings)
    assert any("Resuming after epoch 3" in line for line in lines)
    assert again == whole
    assert (tiny.root / "a.csv").read_bytes() == (tiny.root / "b.csv").read_bytes()


SWITCHES = ("swa", "freeze_encoder", "sampler", "mixup", "cutmix", "label_smoothing", "train_on")
SWITCHES += ("crop", "blackout", "average_best", "target_batch", "amp", "augment_on")
HARD = {"sampler": {"name": "hard", "strength": 1.0, "share": 0.5}}
MIXED = {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.05}
RADAM = {"name": "radam", "lr": 0.02, "weight_decay": 0.01, "encoder_factor": 1}
CYCLIC = {"name": "cyclic", "warmup": 1, "floor": 0.1, "cycles": 2, "snapshots": 2}
BY_CLASS = {"sampler": {"name": "balanced", "share": 0.9, "classes": True}}
CROPS = {"crop": {"size": [8, 12], "positive": 0.5, "dark": 0.9}, "blackout": 0.4}
ON_DEVICE = [
    {"HorizontalFlip": {"p": 0.5}},
    {"Affine": {"rotate": [-10, 10], "scale": [0.9, 1.1], "p": 0.5}},
    {"ElasticTransform": {"alpha": 9, "sigma": 3, "p": 0.5}},
    {"RandomBrightnessContrast": {"p": 0.5}},
    {"OneOf": {"transforms": [{"GaussNoise": {"p": 1}}, {"Blur": {"p": 1}}], "p": 0.5}},
]
EVERYTHING = {
    # Two of the images are empty, and come again and again: their windows differ by number.
    "crops, averaged": {"select": "best", "average_best": 2, "ema": 0.5, **CROPS, **BY_CLASS},
    "crops, target": {"select": "best", "average_best": 9, "target_batch": 7, **CROPS, **BY_CLASS},
    "snapshots and ema": {"schedule": CYCLIC, "ema": 0.9, **HARD, **MIXED},
    "snapshots": {"schedule": CYCLIC, "accumulate": 2, **HARD, **MIXED},
    "on the device": {
        "augment": ON_DEVICE,
        "augment_on": "device",
        "accumulate": 2,
        **CROPS,
        **MIXED,
    },
    "swa": {"schedule": {**CYCLIC, "snapshots": 0}, "swa": 0.3, **HARD, **MIXED},
    "half": {"amp": "everywhere", "ema": 0.9, "epochs": 3},
    "frozen": {
        "model": {
            "name": "unet",
            "encoder": "test_resnet",
            "decoder_channels": [8, 8, 8, 8, 8],
            "weights": None,
        },
        "freeze_encoder": 2,
        "optimizer": {**RADAM, "encoder_factor": 0.1},
        "epochs": 3,
    },
}


@pytest.fixture(params=sorted(EVERYTHING))
def settings(request):
    return {"epochs": 5, "optimizer": RADAM, **EVERYTHING[request.param]}


def interrupted(competition, monkeypatch, module, name, wanted, **settings):
    """Train until a function is called for the `wanted`-th time; a signal then comes after it."""
    real, calls = getattr(module, name), []

    def work(*given, **named):
        result = real(*given, **named)
        calls.append(None)
        if len(calls) == wanted:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, name, work)
        with pytest.raises(Interrupted):
            train(competition, "b", **settings)
    assert len(calls) >= wanted  # the batch at hand is finished


def test_a_signal_at_any_step_changes_nothing(tiny, monkeypatch, settings):
    whole, _ = train(tiny, "a", **settings)
    for wanted in (2, 4, 2):  # in the first epoch, then later, with more to remember
        interrupted(tiny, monkeypatch, Trainer, "_step", wanted, **settings)
    again, lines = train(tiny, "b", **settings)
    assert any("Resuming after epoch" in line for line in lines)
    assert again == whole
    assert (tiny.root / "a.csv").read_bytes() == (tiny.root / "b.csv").read_bytes()


def test_a_signal_in_a_validation_changes_nothing(tiny, monkeypatch, settings):
    whole, _ = train(tiny, "a", **settings)
    score = (masks, "count")
    interrupted(tiny, monkeypatch, *score, 3, **settings)  # of two batches each: the second's
    interrupted(tiny, monkeypatch, *score, 4, **settings)
    again, _ = train(tiny, "b", **settings)
    assert again == whole
    assert (tiny.root / "a.csv").read_bytes() == (tiny.root / "b.csv").read_bytes()


def test_a_signal_while_errors_are_mined_changes_nothing(tiny, monkeypatch):
    settings = {"epochs": 2, **HARD}
    whole, _ = train(tiny, "a", **settings)
    interrupted(tiny, monkeypatch, masks, "false_positives", 5, **settings)
    assert train(tiny, "b", **settings)[0] == whole


ACCUMULATED = {"epochs": 4, "optimizer": RADAM, "ema": 0.9, "accumulate": 2}
TURNED = [{"HorizontalFlip": {"p": 0.5}}, {"Affine": {"rotate": [-10, 10], "p": 0.5}}]
BOXES = {"model": DETECTOR, "loss": {"box": 1}, "augment": TURNED, "crop": {"size": [12, 16]}}
OUTPUTS = {
    "boxes": {**BOXES, **ACCUMULATED},
    "boxes on the device": {**BOXES, **ACCUMULATED, "augment_on": "device"},
    "labels": {
        **{"model": CLASSIFIER, "loss": {"label": {"cross_entropy": 1}}, "mixup": 0.4},
        **ACCUMULATED,
    },
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_signal_changes_nothing_for_labels_and_boxes(tmp_path, monkeypatch, output):
    objects, settings = Objects(tmp_path), OUTPUTS[output]
    whole, _ = train(objects, "a", **settings)
    for wanted in (1, 3):  # in the first epoch of two steps, then in a later one
        interrupted(objects, monkeypatch, Trainer, "_step", wanted, **settings)
    again, lines = train(objects, "b", **settings)
    assert any("Resuming after epoch" in line for line in lines)
    assert again == whole
    assert (objects.root / "a.csv").read_bytes() == (objects.root / "b.csv").read_bytes()
