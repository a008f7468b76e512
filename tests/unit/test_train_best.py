"""Updates of a target batch, and the mean of the weights of the best validations."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import training
from training import Competition

import foldbelt.train
from foldbelt.models._saved import load_model
from foldbelt.store import weights
from foldbelt.train import evaluation
from foldbelt.train.checkpoint_averaging import BestCheckpoints

WILD = {"optimizer": {"name": "sgd", "lr": 1.0}, "schedule": {"name": "constant"}, "epochs": 7}


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path)


def train(competition, name="w", log=lambda text: None, **changes):
    arguments = competition.arguments(name)
    arguments["stage"] = {**arguments["stage"], **changes}
    training.run(**arguments, log=log)
    return weights.load(arguments["weights"])


def test_the_best_are_ranked_and_of_equal_ones_the_earlier_is_kept():
    best = BestCheckpoints(2)
    for epoch, score in enumerate([0.1, 0.3, math.nan, 0.3, 0.2, 0.3], start=1):
        weight = {"a": torch.tensor([float(epoch)])}
        best.offer(score, epoch, weight)
        weight["a"] += 100  # training goes on in place
        assert sorted(best.weights) == sorted(best.epochs)
    assert best.epochs == [2, 4]
    assert [float(best.weights[epoch]["a"]) for epoch in best.epochs] == [2, 4]
    again = BestCheckpoints(2)
    again.restore(best.state())
    assert again.scores == best.scores
    one = BestCheckpoints(1)
    for epoch, score in enumerate([0.1, 0.3, 0.3], start=1):
        one.offer(score, epoch, {"a": torch.zeros(1)})
    assert one.epochs == [2]


@pytest.mark.parametrize("count", [2, 3, 99])
def test_the_mean_is_of_the_epochs_that_validated_best(tiny, count):
    with training.weights_of_epochs() as found:
        kept, metadata = train(tiny, select="best", average_best=count, **WILD)
    metric = pd.read_csv(tiny.root / "w.csv")["valid_metric"].to_numpy()
    chosen = np.argsort(-metric, kind="stable")[:count]
    assert metadata["averaged_epochs"] == sorted(int(epoch) + 1 for epoch in chosen)
    assert metadata["best_epoch"] == int(metric.argmax()) + 1
    names = dict(load_model(tiny.root / "w.safetensors")[0].named_parameters())
    for name in names:
        mean = torch.stack([found[epoch][name] for epoch in chosen]).mean(dim=0)
        assert torch.allclose(kept[name], mean, atol=1e-6)
        assert not torch.allclose(kept[name], found[chosen[0]][name], atol=1e-6)


def test_the_mean_has_batch_norm_statistics_of_its_own(tiny, monkeypatch):
    plain = []
    settle = evaluation.settle

    def note(stepper, average):
        settle(stepper, average)
        sets, true = stepper.task.samples.sets, stepper.task.true
        ((_, batch),) = evaluation.batches(sets[:1], true)
        plain.append(stepper.task.normalise(batch["x"]))

    monkeypatch.setattr(evaluation, "settle", note)
    kept, _ = train(tiny, select="best", average_best=3, batch_size=12, **WILD)
    assert len(plain) == 1  # at the end, once
    model, _ = load_model(tiny.root / "w.safetensors")
    inner = model.down[0][0]
    seen = inner[0](plain[0])
    assert torch.allclose(kept["down.0.0.1.running_mean"], seen.mean(dim=(0, 2, 3)), atol=1e-5)
    assert int(kept["down.0.0.1.num_batches_tracked"]) == 1


def test_one_best_is_what_it_was(tiny):
    one, metadata = train(tiny, "a", select="best", average_best=1, **WILD)
    other, _ = train(tiny, "b", select="best", **WILD)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "averaged_epochs" not in metadata


def test_an_update_takes_its_target_in_as_few_batches_as_that_needs(tiny, monkeypatch):
    groups = []
    real = foldbelt.train.stepping.Stepper.gather

    def note(self, group, *rest):
        groups.append([len(rows) for rows in group])
        return real(self, group, *rest)

    monkeypatch.setattr(foldbelt.train.stepping.Stepper, "gather", note)
    for size, target, expected in [
        (4, 6, [[3, 3], [3, 3]]),
        (4, 12, [[4, 4, 4]]),
        (4, 10, [[3, 3], [3, 3]]),
        (4, 5, [[4], [4], [4]]),
        (2, 5, [[2, 2], [2, 2], [2, 2]]),
        (4, 99, [[4, 4, 4]]),
    ]:
        groups.clear()
        train(tiny, epochs=1, batch_size=size, target_batch=target)
        assert groups == expected


class Plain(torch.nn.Module):
    """A network without batch norm: nothing in it depends on the batch."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x):
        return {"mask": self.conv(x)}


def test_a_target_steps_like_a_batch_of_that_size(tiny, monkeypatch):
    monkeypatch.setattr("foldbelt.models.build", lambda *_, **__: Plain())
    settings = {"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 2}
    one, other, smaller = (
        train(tiny, batch_size=size, target_batch=target, **settings)[0]["conv.weight"]
        for size, target in [(6, None), (4, 6), (4, None)]
    )
    assert torch.allclose(one, other, atol=1e-6)
    assert not torch.allclose(one, smaller, atol=1e-6)
