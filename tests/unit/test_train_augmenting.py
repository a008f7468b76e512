"""A stage that augments on the device: drawn by seed, epoch and id, with all that goes along."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training
from training import CLASSIFIER, DETECTOR, MODEL, Competition, Objects

from foldbelt import registry
from foldbelt.config import plan, resolve
from foldbelt.files import InputError, seed_for
from foldbelt.train import room
from foldbelt.train.arguments import Inputs, Job
from foldbelt.train.augmenting import DeviceAugment, DrawnSamples
from foldbelt.train.data import Samples
from foldbelt.train.held import HeldAugment, HeldSamples
from foldbelt.train.task import Task, load, sources_of, split

MOVES = [{"HorizontalFlip": {"p": 0.5}}, {"Affine": {"rotate": [-9, 9], "p": 0.5}}]
AWAY = [{"RandomResizedCrop": {"size": [16, 16], "scale": [0.01, 0.02]}}]
CPU = torch.device("cpu")


def task_of(
    made: Competition, model: dict[str, Any] = MODEL, pseudo: bool = False, **stage: Any
) -> Task:
    more = (
        {"pseudo": made.path["pseudo.h5"], "test_channels": made.path["x_test.h5"]}
        if pseudo
        else {}
    )
    names = {"start": None, "pseudo": None, "test_channels": None, **more}
    paths = {"channels": made.path["x_train.h5"], "data": made.path["train.h5"]}
    inputs = Inputs(**paths, folds=made.path["folds.csv"], **names)
    settings = training.settings(**{"augment": MOVES, "augment_on": "device", **stage})
    job = Job("m", 0, 1, "s", seed=5)
    return load(sources_of(inputs, *split(inputs.folds, 1)), job, settings, model, "", 1.0, CPU)[0]


def augmented(samples: Samples, items: list[tuple[int, ...]]) -> dict[str, torch.Tensor]:
    assert isinstance(samples, DrawnSamples)
    return DeviceAugment(samples, CPU)(samples.__getitems__(items))


def rows_of(batch: dict[str, torch.Tensor], rows: list[int]) -> list[torch.Tensor]:
    return [batch[name][rows] for name in ("x", "target", "label", "row")]


@pytest.mark.parametrize("crop", [None, {"size": [8, 12], "positive": 0.5}])
def test_what_a_sample_becomes_hangs_on_epoch_and_id_alone(tmp_path: Path, crop: Any) -> None:
    made = Competition(tmp_path)
    made.write_pseudo()
    samples = task_of(made, pseudo=True, crop=crop).samples
    assert len(samples.sets) == 2
    order = [*range(len(samples))]
    whole = augmented(samples, [(3, row, 0) for row in order])
    assert whole["x"].dtype == torch.uint8
    for rows in ([4], [len(order) - 1, 0, 7], order[::-1]):
        part = augmented(samples, [(3, row, 0) for row in rows])
        for one, other in zip(
            rows_of(part, [*range(len(rows))]), rows_of(whole, rows), strict=True
        ):
            assert torch.equal(one, other)
    assert not torch.equal(whole["x"], augmented(samples, [(4, row, 0) for row in order])["x"])
    made.write(np.arange(18)[::-1])  # in another order of the file
    again = task_of(made, pseudo=True, crop=crop).samples
    assert torch.equal(augmented(again, [(3, row, 0) for row in order])["x"], whole["x"])


def test_it_is_the_batched_form_of_what_the_host_would_augment(tmp_path: Path) -> None:
    made = Competition(tmp_path, classes=2, ignore=True)
    given = {"crop": {"size": [8, 12]}, "blackout": 0.5}
    samples = task_of(made, **given).samples
    assert isinstance(samples, DrawnSamples)
    plain = task_of(made, augment_on="host", augment=[], **given).samples
    items = [(2, row, 1) for row in range(12)]
    batch, before = augmented(samples, items), plain.__getitems__(items)
    names = [samples.sets[0].ids[row] for row in range(12)]
    seeds = [seed_for(*samples.parts, "augment", 2, name, 1) for name in names]
    drawn = torch.from_numpy(samples.batched.draw(seeds))
    x, target, _ = samples.batched(drawn, before["x"], before["target"])
    assert torch.equal(batch["x"], x)
    assert torch.equal(batch["target"], target)
    assert not torch.equal(x, before["x"])
    assert target.shape[3] == 3  # the ignored pixels, and what is padded, go along


@pytest.mark.parametrize(("classes", "augment"), [(1, AWAY), (2, MOVES), (9, MOVES)])
def test_what_the_device_holds_is_what_would_be_sent_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int, augment: Any
) -> None:
    made = Competition(tmp_path, classes=classes, ignore=True)
    made.write_pseudo()
    items = [(epoch, row, 0) for epoch in (0, 3) for row in (17, 4, 12, 0, 15)]
    sent = augmented(task_of(made, pseudo=True, augment=augment).samples, items)
    monkeypatch.setattr(room, "fits", lambda data, device: True)
    task = task_of(made, pseudo=True, augment=augment)
    assert isinstance(task.samples, HeldSamples)
    batch = task.samples.__getitems__(items)
    assert batch["x"].numel() == batch["target"].numel() == 0
    made_there = HeldAugment(task.samples, CPU)(batch)
    for name in ("x", "target", "label", "row"):
        assert torch.equal(made_there[name], sent[name]), name
    # Crops and blackouts need the pixels where batches are made.
    for stage in ({"crop": {"size": [8, 12]}}, {"blackout": 0.5}):
        assert not isinstance(task_of(made, **stage).samples, HeldSamples)


@pytest.mark.parametrize("classes", [1, 2])
def test_labels_go_with_the_masks_that_are_moved_out(tmp_path: Path, classes: int) -> None:
    made = Competition(tmp_path, classes=classes, ignore=True)
    samples = task_of(made, augment=AWAY).samples
    items = [(epoch, row) for epoch in range(4) for row in range(12)]
    batch, before = augmented(samples, items), samples.__getitems__(items)
    shows, showed = (
        ((part["target"][..., :classes] > 0) & (part["target"][..., -1:] == 0)).flatten(1, 2).any(1)
        for part in (batch, before)
    )
    assert torch.equal(batch["label"], torch.where(showed & ~shows, 0, before["label"]))
    assert (batch["label"] != before["label"]).any()
    assert (batch["label"] == 1).any()


def test_labels_of_their_own_and_depths_stay(tmp_path: Path) -> None:
    made = Objects(tmp_path)
    loss = {"label": {"cross_entropy": 1}}
    samples = task_of(made, CLASSIFIER, augment=AWAY, loss=loss).samples
    items = [(0, row) for row in range(12)]
    batch, before = augmented(samples, items), samples.__getitems__(items)
    assert torch.equal(batch["label"].nan_to_num(-1), before["label"].nan_to_num(-1))
    assert not torch.equal(batch["x"], before["x"])


def test_boxes_go_along_and_unknown_ones_stay_unknown(tmp_path: Path) -> None:
    made = Objects(tmp_path)
    flip = [{"HorizontalFlip": {"p": 1}}]
    samples = task_of(made, DETECTOR, augment=flip, loss={"box": 1}).samples
    items = [(0, row) for row in range(12)]
    batch, before = augmented(samples, items), samples.__getitems__(items)
    assert torch.equal(batch["x"], before["x"].flip(2))
    kinds, width = before["box"][..., 0], before["x"].shape[2]
    assert (kinds == -2).any()
    assert torch.equal(batch["box"][..., 0], kinds)
    there = kinds >= 0
    assert torch.equal(batch["box"][there][:, 1], width - before["box"][there][:, 3])
    assert torch.equal(batch["box"][~there], before["box"][~there])


RECIPE = {
    "run": "r",
    "data": {"path": "raw"},
    "models": {"net": {"stages": ["a"], "architecture": {"name": "vanilla"}}},
}


def config_of(**stage: Any) -> dict[str, Any]:
    return {**RECIPE, "stages": {"a": {"loss": {"bce": 1}, "epochs": 1, **stage}}}


def test_its_code_counts_for_stages_that_ask_for_it() -> None:
    modules = {}
    for where in ("host", "device"):
        recipes = plan.Plan(resolve(config_of(augment=MOVES, augment_on=where))).recipes
        modules[where] = recipes.training_modules("net", "a")
    assert set(modules["device"]) - set(modules["host"]) == {registry.BATCHED_AUGMENT}


def test_a_transform_without_batched_form_is_refused_when_the_config_is_read() -> None:
    one = {"OneOf": {"transforms": [{"Blur": {}}, {"Perspective": {}}]}}
    resolve(config_of(augment=[one, {"CLAHE": {}}]))
    with pytest.raises(InputError) as caught:
        resolve(config_of(augment=[one, {"CLAHE": {}}], augment_on="device"))
    text = str(caught.value)
    assert "stages.a.augment.0.OneOf.transforms.1.Perspective" in text
    assert "stages.a.augment.1.CLAHE" in text
    assert "RandomBrightnessContrast" in text


def test_arguments_without_batched_form_are_refused_before_training(tmp_path: Path) -> None:
    made = Competition(tmp_path)
    with pytest.raises(InputError, match="border_mode: 3"):
        task_of(made, augment=[{"Rotate": {"border_mode": 3}}])
    with pytest.raises(InputError, match="angle"):
        task_of(made, augment=[{"Rotate": {"angle": 3}}])
