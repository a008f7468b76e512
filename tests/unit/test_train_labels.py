"""A model of labels alone: what it learns from, how it is judged, what its file says."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import training
from sklearn.metrics import average_precision_score
from torch.nn import functional
from training import MODEL, STAGE, Competition

from foldbelt import config, models, registry
from foldbelt.config import stages
from foldbelt.files import InputError
from foldbelt.models._saved import load_model
from foldbelt.store import weights
from foldbelt.train import Job, evaluation, labels, task
from foldbelt.train.data import Source
from foldbelt.train.objective import Objective

CLASSIFIER = {"name": "classifier", "encoder": "test_resnet", "label_dropout": 0.1, "weights": None}


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path, classes=3, ignore=True)


def train(competition, name="w", **changes):
    arguments = competition.arguments(name)
    outside = {key: changes.pop(key) for key in ("model", "start") if key in changes}
    arguments |= {"model": CLASSIFIER, **outside}
    arguments["stage"] = {**arguments["stage"], **changes}
    lines = []
    training.run(**arguments, log=lines.append)
    return Path(arguments["weights"]).read_bytes(), lines


def objective(loss):
    return Objective(training.settings(loss=loss), 3, main="label")


def test_it_gives_labels_and_nothing_else():
    model = models.build(CLASSIFIER, 2, 4, 3)
    for size in ((32, 32), (31, 100)):
        outputs = model(torch.randn(2, 2, *size))
        assert {name: tuple(value.shape) for name, value in outputs.items()} == {"label": (2, 3)}
    assert next(model.encoder.parameters()).requires_grad
    assert not registry.predicts_masks(CLASSIFIER)
    assert all(registry.predicts_masks({"name": name}) for name in ("unet", "fpn", "vanilla"))
    assert registry.predicts_masks({"name": "smp/Unet"})
    with pytest.raises(InputError, match="this data has none"):
        models.build(CLASSIFIER, 2, 4, 0)


def test_late_channels_enter_late():
    model = models.build({**CLASSIFIER, "late_channels": 1}, 3, 1, 2).eval()
    x = torch.randn(1, 3, 32, 32)
    other = x.clone()
    other[:, 2] += 1
    seen = []
    model.encoder.register_forward_hook(lambda _, given, out: seen.append(given[0].shape))
    assert not torch.equal(model(x)["label"], model(other)["label"])
    assert seen == [(1, 2, 32, 32)] * 2


@pytest.mark.parametrize("by_output", [False, True])
def test_the_loss_of_labels_alone_may_be_named_or_not(by_output):
    torch.manual_seed(0)
    outputs = {"label": torch.randn(5, 3)}
    label = (torch.rand(5, 3) < 0.5).float()
    target = torch.full((5, 3, 4, 4), 77, dtype=torch.uint8)  # never looked at
    spec = {"bce": {"weight": 2, "pos_weight": [1, 2, 4]}}
    loss = objective({"label": spec, "mask": {"dice": 1}} if by_output else spec)
    expected = 2 * functional.binary_cross_entropy_with_logits(
        outputs["label"], label, pos_weight=torch.tensor([1.0, 2.0, 4.0])
    )
    assert float(loss(outputs, target, label)) == pytest.approx(float(expected))
    focal = objective({"focal": {"weight": 1, "gamma": 0, "alpha": None}})
    plain = functional.binary_cross_entropy_with_logits(outputs["label"], label)
    assert float(focal(outputs, target, label)) == pytest.approx(float(plain))


def test_losses_of_masks_are_refused_before_training(tiny):
    with pytest.raises(InputError, match=r"stages\.bce\.loss\.dice.*labels alone; take bce or fo"):
        train(tiny, loss={"bce": 1, "dice": 1})
    recipe = {
        "run": "small",
        "data": {"path": "somewhere"},
        "stages": {"one": {"loss": {"bce": 1, "lovasz": 1}, "epochs": 1}},
        "models": {
            "cls": {"stages": ["one"], "architecture": {"name": "classifier"}},
            "net": {"stages": ["one"], "architecture": {"name": "vanilla"}},
        },
    }
    with pytest.raises(InputError, match=r"1 problem\n  stages\.one\.loss\.lovasz: .*'cls'"):
        config.resolve(recipe)
    for name in registry.known("losses"):
        able = not list(
            stages.unlearnable(training.settings(loss={name: 1}), {"name": "classifier"})
        )
        assert able == registry.constant(f"foldbelt.losses.{name}", "LABELS", False), name
    for name, able in {"bce": True, "focal": True, "dice": False, "lovasz": False}.items():
        assert registry.constant(f"foldbelt.losses.{name}", "LABELS", False) == able


@pytest.mark.parametrize("names", [None, ["1", "2", "3"], ["front", "back", "side"]])
def test_pseudo_masks_tell_labels_only_where_these_name_classes(tiny, names):
    """A view or a diagnosis does not follow from a mask: of it nothing is known."""
    tiny.write_pseudo()
    if names:
        told = {"class_names": ["1", "2", "3"], "label_names": names}
        with h5py.File(tiny.path["train.h5"], "a") as file:
            file.attrs.update({key: json.dumps(value) for key, value in told.items()})
    sources = [
        Source(tiny.path["x_train.h5"], tiny.path["train.h5"], tiny.train_ids[:12]),
        Source(tiny.path["x_train.h5"], tiny.path["train.h5"], tiny.train_ids[12:]),
        Source(tiny.path["x_test.h5"], tiny.path["pseudo.h5"], tiny.test_ids[:7]),
    ]
    job, stage = Job("m", 0, 0, "bce", seed=1), training.settings(**STAGE | {"augment": []})
    made, _ = task.load(sources, job, stage, MODEL, "salt_score", 1.0, torch.device("cpu"))
    label = made.samples.__getitems__([(0, row) for row in range(19)])["label"].numpy()
    shown = tiny.mask[:12].any(axis=(1, 2))
    assert np.array_equal(label[:12], shown)
    derived = tiny.test_mask[:7].any(axis=(1, 2)).astype(float)
    expected = np.full((7, 3), np.nan) if names == ["front", "back", "side"] else derived
    np.testing.assert_array_equal(label[12:], expected)


def test_average_precision_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    truth = (random.random((60, 4)) < [0.05, 0.3, 0.9, 0.5]).astype(int)
    score = random.integers(0, 12, (60, 4)) / 10 + 0.5 * truth  # with ties
    expected = [average_precision_score(truth[:, k], score[:, k]) for k in range(4)]
    assert labels.average_precision(truth, score) == pytest.approx(np.mean(expected))
    truth[:, 1] = 0  # a label that the fold lacks
    del expected[1]
    assert labels.average_precision(truth, score) == pytest.approx(np.mean(expected))
    assert labels.average_precision(np.zeros((5, 2)), np.zeros((5, 2))) == 0


def test_it_learns_and_is_judged_by_its_ranking(tiny):
    random = np.random.default_rng(1)
    tiny.mask[:] = 0
    for row in range(18):
        for k in range(3):
            tiny.mask[row, 2:9, 3:8, k] = random.random() < 0.5
    tiny.image = 60 * tiny.mask[..., :2] + random.integers(0, 60, tiny.image.shape).astype(np.uint8)
    tiny.write()
    _, lines = train(tiny, epochs=14, optimizer={"name": "adamw", "lr": 0.01}, select="best")
    table = pd.read_csv(tiny.root / "w.csv")
    assert table["train_loss"].iloc[-1] < 0.85 * table["train_loss"].iloc[0]
    assert table["valid_metric"].max() > 0.6
    assert any("average_precision" in line for line in lines)
    metadata = weights.load(tiny.root / "w.safetensors")[1]
    assert metadata["masks"] is False
    assert (metadata["mask_channels"], metadata["label_classes"]) == (3, 3)
    assert metadata["best_epoch"] == table["valid_metric"].argmax() + 1
    module, _ = load_model(tiny.root / "w.safetensors")
    assert set(module(torch.zeros(1, 2, 16, 16))) == {"label"}


def test_what_gives_masks_does_not_say_so(tmp_path):
    tiny = Competition(tmp_path)
    for given in ({}, {"exclusive": False}):
        arguments = tiny.arguments(epochs=1)
        arguments["model"] = {**arguments["model"], **given}
        training.run(**arguments, log=lambda text: None)
        metadata = weights.load(arguments["weights"])[1]
        assert "masks" not in metadata
        assert "exclusive" not in metadata["architecture"]


@pytest.mark.parametrize(
    "change",
    [
        {"crop": {"size": [8, 12], "positive": 0.5}, "blackout": 0.5},
        {"sampler": {"name": "hard", "strength": 1}, "early_stopping": {"patience": 1}},
        {"swa": 0.3, "mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1},
        {"ema": 0.9, "freeze_encoder": 1, "accumulate": 2},
    ],
)
def test_everything_a_stage_may_ask_works_without_masks(tiny, change):
    first, _ = train(tiny, "a", epochs=2, **change)
    assert train(tiny, "b", epochs=2, **change)[0] == first
    assert train(tiny, "c", epochs=2)[0] != first


def test_label_smoothing_softens_what_is_learnt_and_not_what_is_judged(tiny, monkeypatch):
    seen = []
    real = Objective.forward

    def note(self, outputs, target, label, depth=None, box=None):
        seen.append(sorted({round(float(value), 3) for value in label.flatten()}))
        return real(self, outputs, target, label, depth)

    monkeypatch.setattr(Objective, "forward", note)
    train(tiny, epochs=1, label_smoothing=0.1)
    assert seen == 3 * [[0.1, 0.9]] + 2 * [[0.0, 1.0]]


@pytest.mark.parametrize("memory", [0.0, 1.0])
@pytest.mark.parametrize(
    "model", [CLASSIFIER, {**MODEL, "label_head": False}], ids=["label", "mask"]
)
def test_validation_reads_masks_only_where_they_are_learnt(tiny, monkeypatch, model, memory):
    sizes = []
    real = evaluation.batches

    def note(sets, size):
        for rows, batch in real(sets, size):
            sizes.append((sets[0].mask is None, *batch["target"].shape[1:]))
            yield rows, batch

    monkeypatch.setattr(evaluation, "batches", note)
    training.run(**tiny.arguments(epochs=1, validate_batch_size=2, model=model, memory_gib=memory))
    assert sizes == 3 * [(True, 16, 16, 0) if model is CLASSIFIER else (False, 16, 16, 4)]


def test_errors_count_labels_wrongly_given(tiny, monkeypatch):
    outputs = {"label": torch.tensor([[9.0, -9.0, 9.0]])}

    class Stepper:
        class task:
            true, batch, main = 2, 1, "label"

        model = torch.nn.Identity()

        def outputs(self, model, batch):
            return outputs

        def judge(self, outputs, batch):
            return torch.tensor(1.0)

    batches = [
        (np.array([0]), {"label": torch.tensor([[1.0, 0.0, 1.0]])}),
        (np.array([1]), {"label": torch.tensor([[1.0, 0.0, 0.0]])}),
    ]
    Stepper.task.samples = type("S", (), {"sets": [None]})
    monkeypatch.setattr(evaluation, "batches", lambda sets, size: batches)
    errors = evaluation.errors(Stepper(), lambda: None)
    assert errors[1] / errors[0] == pytest.approx(4 / 3)
