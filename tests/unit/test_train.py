"""Training: the same inputs give the same bytes, and nothing else enters."""

import fcntl
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import training
from safetensors import safe_open
from training import MODEL, SIZE, STAGE, STORED, Competition

from foldbelt.augment._transforms import Augment
from foldbelt.channels._resizing import Resizer
from foldbelt.files import InputError
from foldbelt.store import weights
from foldbelt.train import labels, optimisers, samplers, schedules, state
from foldbelt.train.data import ImageSet, Samples, Source
from foldbelt.train.ema import MovingAverage
from foldbelt.train.saving import Saver


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path)


def train(competition, name="w", **changes):
    """Train quietly; give the bytes of the weights and the log."""
    lines = []
    arguments = competition.arguments(name, **changes)
    training.run(**arguments, log=lines.append)
    return Path(arguments["weights"]).read_bytes(), lines


def history(competition, name="w"):
    return pd.read_csv(competition.root / f"{name}.csv")


def test_the_same_inputs_give_the_same_bytes(tiny):
    first, lines = train(tiny, "a", ema=0.9, pseudo_ratio=0.5)
    assert train(tiny, "b", ema=0.9, pseudo_ratio=0.5)[0] == first
    assert (tiny.root / "a.csv").read_bytes() == (tiny.root / "b.csv").read_bytes()
    assert list(history(tiny, "a").columns) == [
        "epoch", "lr", "train_loss", "valid_loss", "valid_metric",
    ]  # fmt: skip
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == STAGE["epochs"]
    assert all("images/s" in line and "left" in line for line in epochs)


def test_neither_the_order_of_the_files_nor_streaming_matters(tiny):
    first, _ = train(tiny, "a")
    tiny.write(np.random.default_rng(1).permutation(18))
    assert train(tiny, "b")[0] == first
    assert train(tiny, "c", memory_gib=0.0)[0] == first


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"key": {"model": "tiny", "round": 1, "fold": 1}},
        {"stage_name": "lovasz"},
        {"loss": {"dice": 1}},
        {"loss": {"mask": {"bce": 1}, "label": {"bce": 0.2}}},
        {"accumulate": 2},
        {"clip": 0.01},
        {"ema": 0.9},
        {"augment": []},
        {"optimizer": {"name": "sgd", "lr": 0.01}},
        {"schedule": {"name": "constant"}},
    ],
)
def test_every_setting_is_used(tiny, change):
    assert train(tiny, "a", epochs=1)[0] != train(tiny, "b", epochs=1, **change)[0]


def test_the_validation_truth_enters_nothing_with_select_last(tiny):
    settings = {"ema": 0.9, "epochs": 2}
    first, _ = train(tiny, "a", **settings)
    tiny.mask[tiny.fold == 1] ^= 1
    tiny.write()
    assert train(tiny, "b", **settings)[0] == first
    assert history(tiny, "a")["valid_loss"].ne(history(tiny, "b")["valid_loss"]).all()
    tiny.mask[0] ^= 1  # a training mask
    tiny.write()
    assert train(tiny, "c", **settings)[0] != first


def test_validation_does_not_disturb_training(tiny):
    arguments = tiny.arguments("a", validate_every=3)
    training.run(**arguments, log=lambda text: None)
    assert Path(arguments["weights"]).read_bytes() == train(tiny, "b")[0]
    assert history(tiny, "a")["valid_loss"].notna().tolist() == [False, False, True]


def test_it_learns_and_keeps_the_scores_of_what_it_keeps(tiny):
    quick = {"optimizer": {"name": "adamw", "lr": 0.03}, "loss": {"lovasz": 1}}
    train(tiny, epochs=16, ema=0.5, **quick)
    table = history(tiny)
    assert table["train_loss"].iloc[-1] < 0.6 * table["train_loss"].iloc[0]
    assert table["valid_metric"].iloc[-1] > 0.5


def test_best_is_a_copy_of_the_best_epoch(tiny):
    wild = {"optimizer": {"name": "sgd", "lr": 1.0}, "schedule": {"name": "constant"}}
    train(tiny, "best", epochs=8, select="best", **wild)
    table = history(tiny, "best")
    best = int(table["valid_metric"].argmax()) + 1
    assert best < 8  # else the test tests nothing
    train(tiny, "short", epochs=best, **wild)
    (kept, meta), (short, _) = (
        weights.load(tiny.root / f"{name}.safetensors") for name in ("best", "short")
    )
    assert meta["best_epoch"] == best
    assert all(torch.equal(kept[name], short[name]) for name in kept)


def test_the_best_may_be_told_by_the_loss_and_early_stopping_keeps_it(tiny):
    wild = {"optimizer": {"name": "sgd", "lr": 1.0}, "schedule": {"name": "constant"}}
    stopping = {"patience": 2, "watch": "loss"}
    given = {"select": "best", "select_by": "loss", "early_stopping": stopping}
    train(tiny, "best", epochs=9, **given, **wild)
    table = history(tiny, "best")
    best = int(table["valid_loss"].argmin()) + 1
    assert best + 2 == len(table) < 9  # stopped, and what followed was worse
    assert table["valid_metric"].argmax() + 1 != best  # else the test tests nothing
    train(tiny, "short", epochs=best, **wild)
    (kept, meta), (short, _) = (
        weights.load(tiny.root / f"{name}.safetensors") for name in ("best", "short")
    )
    assert meta["best_epoch"] == best
    assert all(torch.equal(kept[name], short[name]) for name in kept)


def test_early_stopping_ends_after_patience_validations(tiny):
    frozen = {"optimizer": {"name": "sgd", "lr": 0.0}, "ema": 0.5}
    train(tiny, epochs=9, early_stopping={"patience": 2}, **frozen)
    assert len(history(tiny)) < 9


def test_metadata_is_one_sorted_key_without_paths(tiny):
    train(tiny, epochs=1)
    with safe_open(tiny.root / "w.safetensors", "pt") as file:
        everything = file.metadata()
    assert list(everything) == ["foldbelt"]
    meta = json.loads(everything["foldbelt"])
    assert everything["foldbelt"] == json.dumps(meta, sort_keys=True, separators=(",", ":"))
    assert str(tiny.root) not in everything["foldbelt"]
    assert meta["architecture"]["name"] == "vanilla"
    assert meta["best_epoch"] is None


def test_a_stage_starts_from_the_weights_before(tiny):
    train(tiny, "a")
    start = str(tiny.root / "a.safetensors")
    frozen = {"optimizer": {"name": "sgd", "lr": 0.0}, "epochs": 1}
    train(tiny, "b", start=start, **frozen)
    before, _ = weights.load(start)
    after, _ = weights.load(tiny.root / "b.safetensors")
    parameters = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(before[name], after[name]) for name in parameters)
    wide = {**MODEL, "width": 6}
    with pytest.raises(InputError, match=r"a\.safetensors does not fit"):
        train(tiny, "c", start=start, model=wide)


def test_pseudo_labels_join_the_training(tiny):
    tiny.write_pseudo()
    more = {"pseudo": tiny.path["pseudo.h5"], "test_channels": tiny.path["x_test.h5"]}
    first, lines = train(tiny, "a", epochs=1, **more)
    assert "12 + 7 pseudo-labelled" in lines[1]
    assert train(tiny, "b", epochs=1)[0] != first
    assert train(tiny, "c", epochs=1, memory_gib=0.0, **more)[0] == first
    tiny.write_pseudo(0)  # none admitted
    assert train(tiny, "d", epochs=1, **more)[0] == train(tiny, "e", epochs=1)[0]


def test_pseudo_labels_alone_need_pseudo_labels(tiny):
    arguments = tiny.arguments("a", epochs=1)
    arguments["stage"]["train_on"] = "pseudo"
    lines = []
    training.run(**arguments, log=lines.append)
    assert "12 images" in lines[1]
    assert "no pseudo-labels; this trains on the truth" in lines[2]
    assert (tiny.root / "a.safetensors").read_bytes() == train(tiny, "b", epochs=1)[0]


def test_several_classes_are_read_and_streamed_alike(tmp_path):
    tiny = Competition(tmp_path, classes=3, ignore=True)
    assert train(tiny, "a", epochs=1)[0] == train(tiny, "b", epochs=1, memory_gib=0.0)[0]


def test_ignored_pixels_change_no_loss(tmp_path):
    tiny = Competition(tmp_path, classes=2, ignore=True)
    settings = {"loss": {"mask": {"bce": 1}, "label": {"bce": 0}}, "epochs": 2}
    first, _ = train(tiny, "a", **settings)
    tiny.mask[tiny.ignore] ^= 1
    tiny.write()
    assert train(tiny, "b", **settings)[0] == first
    assert (tiny.root / "a.csv").read_bytes() == (tiny.root / "b.csv").read_bytes()


def test_divergence_says_where_and_what_to_do(tiny):
    explode = {"optimizer": {"name": "sgd", "lr": 1e30}, "schedule": {"name": "constant"}}
    with pytest.raises(InputError, match=r"Stage bce, epoch \d, learning rate 1e\+30.*Lower"):
        train(tiny, **explode)
    assert not (tiny.root / "w.safetensors").exists()


def test_the_state_goes_on_success(tiny):
    train(tiny, epochs=1)
    assert list((tiny.root / "state").iterdir()) == []


def test_a_spoilt_state_starts_over(tiny, monkeypatch):
    whole, _ = train(tiny, "a")
    monkeypatch.setattr(Saver, "due", lambda self: True)
    explode = tiny.arguments("b")

    def stop(text):
        if text.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(**explode, log=stop)
    (file,) = (tiny.root / "state").glob("*/state.pt")
    file.write_bytes(file.read_bytes()[:1000])
    again, lines = train(tiny, "b")
    assert again == whole
    assert any("Starting over" in line for line in lines)


def test_a_lock_on_a_removed_file_is_no_lock(tmp_path, monkeypatch):
    real, calls = fcntl.flock, []

    def flock(descriptor, operation):
        if not calls:  # its holder finishes just now, and removes it
            shutil.rmtree(tmp_path / "key")
        calls.append(operation)
        real(descriptor, operation)

    monkeypatch.setattr(state.fcntl, "flock", flock)
    with (
        state.locked(tmp_path, "key", print),
        (tmp_path / "key" / "lock").open() as other,
        pytest.raises(BlockingIOError),
    ):
        real(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert len(calls) == 2


def test_what_decides_the_result_decides_the_state(tiny):
    keys = set()
    original = state.key_of
    try:
        state.key_of = lambda params: keys.add(original(params)) or original(params)
        train(tiny, "a", epochs=1)
        train(tiny, "b", epochs=1)  # another place: the same state
        assert len(keys) == 1
        train(tiny, "b", epochs=1, fingerprint="new code")
        tiny.mask[0] ^= 1
        tiny.write()
        train(tiny, "b", epochs=1)
        assert len(keys) == 3
    finally:
        state.key_of = original


def test_tensorboard_gets_the_curves(tiny):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tiny.root / "events"
    train(tiny, epochs=2, tensorboard=str(folder))
    events = EventAccumulator(str(folder))
    events.Reload()
    scalars = events.Scalars("loss/train")
    assert [event.step for event in scalars] == [1, 2]
    assert scalars[1].value == pytest.approx(history(tiny)["train_loss"][1])


def test_every_true_tile_comes_once_an_epoch_and_pseudo_ones_in_proportion():
    parts = (1, "m", 0, 0, "s")
    plain = {"keep": training.settings().images, "sampler": training.settings().sampler}
    rows = samplers.epoch_rows(10, 30, 0.5, 0, parts, **plain)
    assert sorted(rows[rows < 10]) == list(range(10))
    assert len(rows) == 15
    assert len(set(rows)) == 15
    other = samplers.epoch_rows(10, 30, 0.5, 1, parts, **plain)
    assert set(rows[rows >= 10]) != set(other[other >= 10])
    assert len(samplers.epoch_rows(10, 3, 1.0, 0, parts, **plain)) == 13
    epochs = [samplers.epoch_rows(10, 30, 0.5, epoch, parts, **plain) for epoch in range(60)]
    seen = np.concatenate(epochs)
    assert set(seen) == set(range(40))


@pytest.mark.parametrize(("count", "size"), [(17, 16), (33, 16), (16, 16), (5, 16), (267, 16)])
def test_batches_hold_all_rows_and_differ_by_one(count, size):
    parts = samplers.batches(np.arange(count), size)
    lengths = [len(part) for part in parts]
    assert np.concatenate(parts).tolist() == list(range(count))
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert len(parts) == math.ceil(count / size)


def schedule(epochs, **settings):
    return schedules.build(training.settings(schedule=settings).schedule, epochs)


def test_schedules_rise_fall_and_respect_the_floor():
    cosine = schedule(10, name="cosine", warmup=2, floor=0.1)
    factors = [cosine.factor(position) for position in np.arange(0.05, 10, 0.1)]
    peak = int(np.argmax(factors))
    assert 1.9 <= 0.05 + 0.1 * peak <= 2.1
    assert np.all(np.diff(factors[:peak]) > 0)
    assert np.all(np.diff(factors[peak + 1 :]) < 0)
    assert factors[-1] == pytest.approx(0.1, abs=0.01)
    assert schedule(10, name="constant").factor(7.3) == 1


@pytest.mark.parametrize("watch", ["loss", "metric"])
def test_plateau_agrees_with_torch(watch):
    values = np.random.default_rng(0).random(40).cumsum() % 1.7
    ours = schedule(40, name="plateau", patience=2, factor=0.5, floor=0.01)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    mode, sign = ("min", 1) if watch == "loss" else ("max", -1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode, patience=2, factor=0.5, min_lr=0.01
    )
    for epoch, value in enumerate(values):
        ours.observe(sign * float(value))
        theirs.step(float(value))
        assert ours.factor(epoch + 1.0) == pytest.approx(optimiser.param_groups[0]["lr"])


def test_what_has_no_value_is_no_better_and_forgotten():
    ours = schedule(40, name="plateau", patience=1, factor=0.5)
    for value in (math.nan, 3.0, math.nan, 2.0, math.nan):
        ours.observe(value)
    assert ours.factor(39.0) == 1
    ours.observe(2.0)
    assert ours.factor(39.0) == 0.5


@pytest.mark.parametrize("watch", ["loss", "metric"])
def test_the_rate_follows_what_the_schedule_watches(tiny, watch):
    given = {"name": "plateau", "watch": watch, "patience": 0, "factor": 0.5, "warmup": 0}
    train(tiny, epochs=8, schedule=given, optimizer={"name": "sgd", "lr": 1.5})
    table = history(tiny)
    ours = schedule(8, **{**given, "floor": 0.0})
    for _, row in table.iterrows():
        assert row["lr"] == pytest.approx(1.5 * ours.factor(row["epoch"] - 0.5))
        ours.observe(row["valid_loss"] if watch == "loss" else -row["valid_metric"])
    assert table["lr"].iloc[-1] < 1.5


def test_unknown_names_are_listed_with_the_known():
    with pytest.raises(InputError, match=r"'cosin'.*constant, cosine"):
        schedule(3, name="cosin")
    unknown = training.settings(optimizer={"name": "lamb"}).optimizer
    with pytest.raises(InputError, match=r"'lamb'.*adam"):
        optimisers.build(unknown, torch.nn.Linear(1, 1))


class Plain(torch.nn.Module):
    """A network without batch norm: nothing in it depends on the batch."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x):
        return {"mask": self.conv(x)}


def test_accumulated_batches_step_like_a_large_one(tiny, monkeypatch):
    monkeypatch.setattr("foldbelt.models.build", lambda *_, **__: Plain())
    settings = {"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 2}
    found = []
    for size, accumulate in [(8, 1), (4, 2), (3, 2), (6, 1)]:
        train(tiny, batch_size=size, accumulate=accumulate, **settings)
        found.append(weights.load(tiny.root / "w.safetensors")[0]["conv.weight"])
    # 12 tiles: 6+6 | (4+4), 4: other groups | (3+3), (3+3) | 6, 6
    assert torch.allclose(found[0], found[2], atol=1e-6)
    assert torch.allclose(found[0], found[3], atol=1e-6)
    assert not torch.allclose(found[0], found[1], atol=1e-6)


def test_the_average_follows_and_copies_counters():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    average = MovingAverage(model, 0.9)
    for _ in range(200):
        model(torch.randn(4, 1, 3, 3))
        average.update()
    target = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model[0].weight.add_(1.0)
    average.update()
    moved = average.module.state_dict()
    assert torch.allclose(moved["0.weight"], target["0.weight"] + 0.1, atol=1e-4)
    assert moved["1.num_batches_tracked"] == 200
    assert torch.allclose(moved["1.running_mean"], target["1.running_mean"], atol=0.1)
    assert not average.module.training


def test_targets_are_fitted_like_images(tmp_path):
    tiny = Competition(tmp_path, ignore=True)
    source = Source(tiny.path["x_train.h5"], tiny.path["train.h5"], tiny.train_ids[4:9])
    fit = Resizer("pad-reflect", STORED, SIZE)
    for memory in (True, False):
        tiles = ImageSet(source, fit, 2, 1, np.zeros((5, 1), np.float32), memory)
        rows = np.array([3, 0, 3])
        target = tiles.targets(rows)
        assert np.array_equal(target[..., 0], fit.masks(tiny.mask[[7, 4, 7], ..., 0]))
        assert np.array_equal(target[..., 1], fit.masks(tiny.ignore[[7, 4, 7]]))
        truth, ignore = tiles.truth(rows)
        assert np.array_equal(truth, tiny.mask[[7, 4, 7]])
        assert np.array_equal(ignore, tiny.ignore[[7, 4, 7]])


def test_a_sample_does_not_depend_on_its_batch(tiny):
    source = Source(tiny.path["x_train.h5"], tiny.path["train.h5"], tiny.train_ids)
    tiles = ImageSet(source, Resizer("pad-reflect", STORED, SIZE), 1, 1, np.zeros((18, 1)), True)
    spec = [{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 1}}]
    samples = Samples([tiles], Augment(spec, SIZE, 2, 1), (1, "m", 0, 0, "s"))
    alone = samples.__getitems__([(2, 7)])
    among = samples.__getitems__([(2, 3), (1, 7), (2, 7)])
    assert torch.equal(alone["x"][0], among["x"][2])
    assert not torch.equal(among["x"][1], among["x"][2])  # another epoch
    before = tiles.x.array.copy()
    samples.__getitems__([(0, row) for row in range(18)])
    assert np.array_equal(tiles.x.array, before)  # augmented in a copy


def test_labels_are_derived_from_masks():
    mask = np.zeros((2, 3, 3, 2), np.uint8)
    mask[1, 0, 0, 1] = 1
    assert labels.of_masks(mask, 1).tolist() == [[0], [1]]
    assert labels.of_masks(mask, 2).tolist() == [[0, 0], [0, 1]]
    assert labels.of_masks(mask, 0).shape == (2, 0)


def test_a_model_that_has_learnt_nothing_is_named_with_what_helps(tiny):
    _, lines = train(tiny, "a", optimizer={"name": "sgd", "lr": 1e-9})
    told = [line for line in lines if "nothing learnt yet" in line]
    assert len(told) == 2, "once past the half, and at the end"
    assert "loss.dice.empty: skip" in told[0]
    _, lines = train(tiny, "b", epochs=30)
    assert "nothing learnt" not in lines[-1]
