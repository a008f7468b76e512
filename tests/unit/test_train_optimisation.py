"""Optimisers, schedules, frozen encoders, averages and snapshots: each by what defines it."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import training
from training import Competition

import foldbelt.train
from foldbelt import models
from foldbelt.config import stages
from foldbelt.files import InputError
from foldbelt.models._saved import load_model
from foldbelt.store import weights
from foldbelt.train import Job, optimisers, schedules
from foldbelt.train.data import Samples
from foldbelt.train.loop import Trainer

UNET = {
    "name": "unet",
    "encoder": "test_resnet",
    "decoder_channels": [8, 8, 8, 8, 8],
    "weights": None,
}
CYCLIC = {"name": "cyclic", "warmup": 0, "floor": 0.0, "cycles": 3, "snapshots": 2}
STEADY = {"name": "constant", "warmup": 0, "floor": 0.0}


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path)


def train(competition, name="w", log=lambda text: None, **changes):
    """Train; give the tensors and metadata of the file, everything in it included."""
    arguments = competition.arguments(name, **changes)
    training.run(**arguments, log=log)
    return weights.load(arguments["weights"])


def states(competition, **changes):
    """Train, and give the model's weights at the end of every epoch, and what was kept."""
    with training.weights_of_epochs() as found:
        return found, train(competition, **changes)[0]


def optimiser(spec, module):
    return optimisers.build(training.settings(optimizer=spec).optimizer, module)


def schedule_of(spec, epochs):
    return schedules.build(training.settings(schedule=spec).schedule, epochs)


def learn(kind, module):
    """Take some steps of an optimiser, going on from a state half-way; give the weights."""
    made = kind(module)
    for step in range(4):
        module(torch.arange(6.0).reshape(2, 3) + step).pow(2).mean().backward()
        made.step()
        made.zero_grad()
        if step == 1:
            saved, made = made.state_dict(), kind(module)
            made.load_state_dict(saved)
    return [each.detach().clone() for each in module.parameters()]


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_an_optimiser_does_what_torchs_own_does_without_loading_its_compiler(name, monkeypatch):
    spec = {"name": name, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    begun = [each.detach().clone() for each in module.parameters()]
    own, always = optimisers.OPTIMISERS[name]
    given = {**always, "lr": 0.01, "weight_decay": 0.1}
    given |= {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
    expected = learn(lambda module: own(module.parameters(), **given), module)
    with torch.no_grad():
        for each, value in zip(module.parameters(), begun, strict=True):
            each.copy_(value)
    for method in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        # What its wrapper remembers once it has loaded the compiler.
        function = inspect.unwrap(getattr(own, method))
        monkeypatch.delattr(function, "__dynamo_disable", raising=False)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import fails
    found = learn(lambda module: optimiser(spec, module), module)
    assert all(map(torch.equal, found, expected))
    assert not any(map(torch.equal, found, begun))


class Halves(torch.nn.Module):
    """A network of an encoder and a decoder that learn alike."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)

    def step(self, **spec):
        """How far the weights of encoder and decoder go in one step."""
        made = optimiser({"name": "sgd", "lr": 0.1, "weight_decay": 0, **spec}, self)
        before = [part.weight.detach().clone() for part in (self.encoder, self.decoder)]
        for parameter in self.parameters():
            parameter.grad = torch.ones_like(parameter)
        made.step()
        after = (self.encoder.weight, self.decoder.weight)
        return [
            float((new - old).detach().mean()) for new, old in zip(after, before, strict=True)
        ], made


def test_the_encoder_may_learn_at_a_rate_of_its_own():
    (encoder, decoder), optimiser = Halves().step(encoder_factor=0.25, momentum=0)
    assert encoder == pytest.approx(0.25 * decoder)
    assert decoder == pytest.approx(-0.1)
    assert optimiser.param_groups[0]["lr"] == 0.1  # what the history shows
    (encoder, decoder), optimiser = Halves().step(encoder_factor=1, momentum=0)
    assert encoder == pytest.approx(decoder)
    assert len(optimiser.param_groups) == 1


def test_every_level_of_the_encoder_may_learn_slower_than_the_next_deeper():
    model = models.build(UNET, 2, 1, 0)
    made = optimiser({"lr": 0.1, "encoder_factor": 0.5, "layer_decay": 0.8}, model)
    rates = {id(one): group["lr"] for group in made.param_groups for one in group["params"]}
    found = {}
    for name, parameter in model.named_parameters():
        level = ".".join(name.split(".")[:2]) if name.startswith("encoder.") else "rest"
        found.setdefault(level, set()).add(round(rates[id(parameter)] / 0.1, 6))
    stem = {"encoder.conv1": {0.5 * 0.8**4}, "encoder.bn1": {0.5 * 0.8**4}}
    layers = {f"encoder.layer{level}": {0.5 * 0.8 ** (4 - level)} for level in (1, 2, 3, 4)}
    expected = {"rest": {1.0}, **stem, **layers}
    assert found == {name: {round(*rate, 6)} for name, rate in expected.items()}
    assert made.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "smp/Unet", "encoder": "resnet18"},
        {"name": "unet", "encoder": "efficientnet_b0", "checkpointing": True},
    ],
    ids=["smp", "checkpointing"],
)
def test_levels_hold_every_parameter_once_and_looking_changes_nothing(spec):
    encoder = models.build(spec, 3, 1, 0).encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    levels = optimisers.levels_of(encoder)
    assert len(levels) == 5
    each = [id(parameter) for level in levels for parameter in level]
    assert sorted(each) == sorted(id(parameter) for parameter in encoder.parameters())
    assert encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())


@pytest.mark.parametrize("factor", [1, 0.5])
def test_norms_and_biases_may_be_left_to_themselves(factor):
    module = torch.nn.ModuleDict(
        {"encoder": torch.nn.Conv2d(1, 2, 3), "norm": torch.nn.BatchNorm2d(2)}
    )
    spec = {"name": "adamw", "lr": 0.1, "weight_decay": 0.5, "encoder_factor": factor}
    for decay_norms in (True, False):
        before = {name: value.clone() for name, value in module.named_parameters()}
        made = optimiser({**spec, "decay_norms": decay_norms}, module)
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
        made.step()
        for name, value in module.named_parameters():
            share = factor if name.startswith("encoder") else 1
            decays = decay_norms or name == "encoder.weight"
            wanted = before[name] * (1 - 0.1 * share * 0.5 * decays)
            assert torch.allclose(value, wanted, rtol=1e-5), name
            assert decays == (not torch.equal(value, before[name])) or not before[name].any()


def test_a_schedule_keeps_the_factor_of_the_encoder(tiny, monkeypatch):
    rates = []
    step = Trainer._step

    def note(self):
        rates.append([group["lr"] for group in self.stepper.optimiser.param_groups])
        step(self)

    monkeypatch.setattr(Trainer, "_step", note)
    optimizer = {"name": "adamw", "lr": 0.01, "encoder_factor": 0.1}
    train(tiny, model=UNET, epochs=1, optimizer=optimizer)
    assert len({rate for rate, _ in rates}) == len(rates) > 1
    assert all(own == pytest.approx(0.1 * rate) for rate, own in rates)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": {"name": "sgd", "lr": 0.1, "encoder_factor": 0.5}},
        {"optimizer": {"name": "sgd", "lr": 0.1, "layer_decay": 0.5}},
        {"freeze_encoder": 1},
    ],
)
def test_a_network_without_an_encoder_says_so(tiny, change):
    with pytest.raises(
        InputError, match=r"(encoder_factor|layer_decay|freeze_encoder): .*'vanilla' has no enc"
    ):
        train(tiny, **change)


def test_radam_decays_weights_apart_from_the_gradient():
    module = torch.nn.Linear(2, 2)
    before = module.weight.detach().clone()
    radam = optimiser({"name": "radam", "lr": 0.1, "weight_decay": 0.5}, module)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(10):
        radam.step()
    assert torch.allclose(module.weight, before * (1 - 0.1 * 0.5) ** 10)


def test_a_frozen_encoder_stays_as_it_is_until_it_thaws(tiny):
    def encoder(found):
        return {name: value for name, value in found.items() if name.startswith("encoder.")}

    before = train(tiny, "a", model=UNET, epochs=1)[0]
    more = {"model": UNET, "start": str(tiny.root / "a.safetensors"), "freeze_encoder": 1}
    found, _ = states(tiny, epochs=2, **more)
    assert any("running_mean" in name for name in encoder(before))
    assert all(torch.equal(found[0][name], value) for name, value in encoder(before).items())
    assert not torch.equal(found[0]["mask.weight"], before["mask.weight"])
    changed = [not torch.equal(found[1][name], value) for name, value in encoder(before).items()]
    assert all(changed)


def factors(spec, epochs, count=5000):
    schedule = schedule_of(spec, epochs)
    positions = (np.arange(count) + 0.5) / count * epochs
    return positions, np.array([schedule.factor(float(position)) for position in positions])


def torchs(make, count=5000):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimiser)
    rates = []
    for _ in range(count):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return np.array(rates)


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        (
            {"name": "onecycle", "rise": 0.2, "floor": 0.001},
            lambda o: torch.optim.lr_scheduler.OneCycleLR(
                o, 1.0, 5000, pct_start=0.2, div_factor=25, final_div_factor=40,
                cycle_momentum=False,
            ),
        ),
        (
            {"name": "polynomial", "power": 0.9, "floor": 0},
            lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 5000, 0.9),
        ),
        (
            {"name": "cyclic", "cycles": 4, "floor": 0.1},
            lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 1250, eta_min=0.1),
        ),
    ],
)  # fmt: skip
def test_schedules_agree_with_torch(spec, make):
    assert np.abs(factors(spec, 20)[1] - torchs(make)).max() < 2e-3


@pytest.mark.parametrize("name", ["cosine", "polynomial", "cyclic"])
def test_schedules_warm_up_and_keep_to_the_floor(name):
    positions, values = factors({"name": name, "warmup": 2, "floor": 0.2}, 10)
    warm = positions >= 2
    assert np.allclose(values[~warm], positions[~warm] / 2)
    assert values[warm].min() >= 0.2
    assert values[warm].max() == pytest.approx(1, abs=1e-3)
    assert values[-1] == pytest.approx(0.2, abs=1e-2)


def test_cycles_are_equally_long_and_the_last_leave_snapshots():
    schedule = schedule_of({"name": "cyclic", "cycles": 4, "snapshots": 2, "warmup": 2}, 12)
    positions = [0.5, 2.5, 4.4, 4.6, 6.9, 7.1, 9.4, 9.6, 11.9, 12.0]
    cycles = [schedule.cycle(position) for position in positions]
    assert cycles == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert [schedule.snapshot(cycle) for cycle in range(4)] == [0, 0, 1, 2]


@pytest.mark.parametrize("ema", [None, 0.5])
def test_snapshots_are_the_weights_at_the_ends_of_the_last_cycles(tiny, ema):
    found, final = states(tiny, epochs=6, schedule=CYCLIC, ema=ema)
    path = tiny.root / "w.safetensors"
    first, second = (weights.load(path, number)[0] for number in (1, 2))
    assert sorted(first) == sorted(final) == sorted(found[0])
    assert all(torch.equal(second[name], value) for name, value in final.items())
    same = [torch.equal(first[name], value) for name, value in found[3].items()]
    assert all(same) if ema is None else not all(same)
    module, meta = load_model(path, snapshot=1)
    assert meta["snapshots"] == 2
    assert torch.equal(module.state_dict()["mask.weight"], first["mask.weight"])
    assert not torch.equal(first["mask.weight"], final["mask.weight"])
    with pytest.raises(InputError, match="has 2 snapshots, so none of number 3"):
        load_model(path, 3)
    # the stage after starts from the final weights
    frozen = {"optimizer": {"name": "sgd", "lr": 0.0}, "epochs": 1}
    after = train(tiny, "b", start=str(path), **frozen)[0]
    assert torch.equal(after["mask.weight"], final["mask.weight"])


def test_a_cycle_may_end_within_an_epoch(tiny):
    cyclic = {**CYCLIC, "cycles": 2, "snapshots": 2}
    found, _ = states(tiny, epochs=3, schedule=cyclic)
    first = weights.load(tiny.root / "w.safetensors", 1)[0]
    assert not any(torch.equal(first["mask.weight"], epoch["mask.weight"]) for epoch in found)


def test_epochs_after_the_share_are_averaged(tiny):
    found, kept = states(tiny, epochs=5, swa=0.4, schedule=STEADY, select="last")
    parameters = dict(load_model(tiny.root / "w.safetensors")[0].named_parameters())
    for name in parameters:
        mean = torch.stack([epoch[name] for epoch in found[2:]]).mean(dim=0)
        assert torch.allclose(kept[name], mean, atol=1e-6)
        assert not torch.allclose(kept[name], found[-1][name], atol=1e-6)


@pytest.mark.parametrize("validated", [True, False])
def test_an_average_of_weights_gets_statistics_of_its_own(tiny, monkeypatch, validated):
    """With one batch, they are exactly those of the plain training tiles."""
    if not validated:
        tiny.fold[tiny.fold == 1] = 0
        tiny.write()
    seen = {}
    settle = foldbelt.train.loop.evaluation.settle

    def keep(stepper, average):
        settle(stepper, average)
        batch = Samples(stepper.task.samples.sets, None, ()).__getitems__(
            [(0, row) for row in range(stepper.task.true)]
        )
        inner = average.module.down[0][0]
        seen["mean"] = inner[0](stepper.task.normalise(batch["x"])).mean(dim=(0, 2, 3))
        seen["own"] = inner[1].running_mean.clone()

    monkeypatch.setattr(foldbelt.train.loop.evaluation, "settle", keep)
    train(tiny, epochs=2, swa=0.0, batch_size=18)
    assert torch.allclose(seen["own"], seen["mean"], atol=1e-5)


def test_a_models_own_seed_matters_unless_it_is_0(tiny):
    plain, zero, one = (
        train(tiny, epochs=1, **seed)[0]["mask.weight"]
        for seed in ({}, {"model_seed": 0}, {"model_seed": 1})
    )
    assert torch.equal(plain, zero)
    assert not torch.equal(plain, one)
    assert Job("m", 0, 1, "s", seed=5).seed_parts == (5, "m", 0, 1, "s")


GOOD = {"epochs": 6, "schedule": CYCLIC, "select": "last"}


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        ({"swa": 0.5, "ema": 0.9, "schedule": STEADY}, "swa", "ema"),
        ({"swa": 0.5, "freeze_encoder": 6, "schedule": STEADY}, "swa", "freeze_encoder"),
        ({"schedule": {"name": "onecycle", "warmup": 1}}, "schedule.warmup", "onecycle"),
        ({"epochs": 2}, "schedule", "3 cycles of `cyclic` in 2 epochs"),
        ({"schedule": {**CYCLIC, "name": "cosine"}}, "schedule.snapshots", "cyclic"),
        ({"schedule": {**CYCLIC, "snapshots": 4}}, "schedule.snapshots", "4 of 3 cycles"),
        ({"early_stopping": {"patience": 2}}, "schedule.snapshots", "early_stopping"),
        ({"select": "best"}, "schedule.snapshots", "select: best"),
        ({"swa": 0.0}, "schedule.snapshots", "swa"),
        ({"average_best": 3}, "average_best", "select: best"),
        ({"select_by": "loss"}, "select_by", "select: best"),
        ({"schedule": {"watch": "metric"}}, "schedule.watch", "plateau"),
        (
            {"average_best": 3, "select": "best", "schedule": STEADY, "freeze_encoder": 6},
            "average_best",
            "freeze_encoder: 6",
        ),
        ({"target_batch": 9, "batch_size": 4, "accumulate": 2}, "target_batch", "accumulate: 2"),
        ({"target_batch": 9, "batch_size": 10}, "target_batch", "batch_size: 9"),
        ({"sampler": {"name": "hard", "classes": True}}, "sampler.classes", "balanced"),
    ],
)
def test_settings_that_exclude_each_other_are_named(change, key, reason):
    assert not list(stages.contradictions(training.settings(**GOOD)))
    (found,) = stages.contradictions(training.settings(**{**GOOD, **change}))
    assert found[0] == key
    assert reason in found[1]


def test_a_contradicting_stage_does_not_start(tiny):
    with pytest.raises(InputError, match=r"stages\.bce\.swa.*ema"):
        train(tiny, swa=0.5, ema=0.9)
    assert not Path(tiny.root / "w.safetensors").exists()
