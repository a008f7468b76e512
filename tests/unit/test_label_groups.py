"""Labels of which some exclude each other, and models that predict some of them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import training
from test_pseudo_labels import SPEC
from torch.nn import functional
from training import CLASSIFIER, Objects

from foldbelt import models, predict, pseudo, store
from foldbelt.files import InputError
from foldbelt.models._heads import ImageHead, shares, within
from foldbelt.models._saved import load_model
from foldbelt.store import weights
from foldbelt.train import labels, lr_range
from foldbelt.train.mixing import Mixer
from foldbelt.train.objective import Objective

NAMES = ["left", "middle", "right", "bright"]
PARTLY = {"label_names": NAMES, "label_groups": [["left", "middle", "right"]]}
WHOLE = {"label_names": NAMES[:3], "exclusive_labels": True}
BCE, CE = {"label": {"bce": 1}}, {"label": {"cross_entropy": 1}}


class Grouped(Objects):
    """Objects whose fourth label is of no group; where a square lies is known as a whole."""

    def write_objects(self) -> None:
        bright = self.image[:, :, :, 0].mean(axis=(1, 2)) > 80
        self.labels = np.column_stack([self.labels, bright]).astype(np.float32)
        self.labels[3, 3] = np.nan
        super().write_objects()
        with h5py.File(self.path["train.h5"], "a") as file:
            del file.attrs["exclusive_labels"]
            file.attrs.update({key: json.dumps(value) for key, value in PARTLY.items()})


@pytest.fixture
def grouped(tmp_path):
    return Grouped(tmp_path)


def train(competition, name="w", labels=None, **changes):
    given = competition.arguments(name)
    model = given["model"] = changes.pop("model", CLASSIFIER)
    given["model"] = model if labels is None else {**model, "labels": labels}
    given["stage"] = {**given["stage"], "epochs": 2, **changes}
    training.run(**given)
    return Path(given["weights"]).read_bytes()


def predicted(competition, **changes):
    out = str(competition.root / "p.h5")
    given = {"channels": competition.path["x_test.h5"], "data": competition.path["test.h5"]}
    given |= {"ids": None, "weights": str(competition.root / "w.safetensors"), "out": out}
    given |= {"tta": ["none", "hflip"], "batch_size": 4, "cpu_threads": 1, "device": "cpu"}
    predict.run(**given | changes)
    return store.read(out, "labels"), store.attrs(out)


def test_members_of_a_group_share_one_probability_and_others_have_their_own():
    torch.manual_seed(0)
    numbers = (5 * torch.randn(6, 5)).requires_grad_()
    found = within(numbers, [[3, 0], [1, 4]]).sigmoid()
    for group in ([3, 0], [1, 4]):
        assert torch.allclose(found[:, group], numbers[:, group].softmax(dim=1), atol=1e-6)
    assert torch.equal(found[:, 2], numbers[:, 2].sigmoid())
    found.sum().backward()
    assert numbers.grad.isfinite().all()
    assert torch.equal(within(numbers, [range(5)]), shares(numbers))


def test_a_head_is_what_its_groups_say():
    torch.manual_seed(0)
    head, deep = ImageHead(4, 4), torch.randn(3, 4, 2, 2)
    plain = head(deep)
    for groups, expected in (
        ((), plain),
        ([[0, 1, 2, 3]], shares(plain)),
        ([[0, 1, 2]], torch.cat([shares(plain[:, :3]), plain[:, 3:]], dim=1)),
    ):
        head.groups = groups
        assert torch.allclose(head(deep), expected, atol=1e-6)
    built = models.build(CLASSIFIER, 1, 0, 4, label_groups=[[0, 2]])
    assert built.label.groups == [[0, 2]]


def test_what_is_learnt_of_some_labels():
    """The model tells members apart: of an image of another member it learns nothing."""
    nan = np.nan
    given = [[1, 0, 0, 1], [0, 1, 0, nan], [0, 0, 1, 0], [nan, nan, nan, 1], [0, nan, 1, 1]]
    values = np.array(given, np.float32)

    def taken(shape):
        return labels.predicted(values.copy(), shape).tolist()

    def same(found, expected):
        np.testing.assert_array_equal(np.array(found, float), np.array(expected, float))

    unknown = [nan, nan, nan]
    same(taken(PARTLY), [*given[:4], [*unknown, 1]])
    some = taken(PARTLY | {"labels": ["middle", "bright", "left"]})
    nobody = [nan, 1, nan]
    same(some, [[0, 1, 1], [1, nan, 0], [nan, 0, nan], nobody, nobody])
    soft = np.array([[0.2, 0.2, 0.6, 1], [0, 0.5, 0.5, 1]], np.float32)  # of pseudo-labels
    found = labels.predicted(soft, PARTLY | {"labels": ["middle", "right"]})
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.5, 0.5]], atol=1e-6)
    same(taken(PARTLY | {"labels": ["right"]}), [[0], [0], [1], [nan], [1]])
    same(taken({"label_names": NAMES}), given)  # independent: each by itself
    same(labels.predicted(values, {}), given)


def test_weights_say_of_labels_only_what_is_new(grouped, tmp_path):
    keys = {"label_names", "label_groups", "labels", "exclusive_labels"}

    def told(competition, **changes):
        train(competition, loss=BCE, epochs=1, **changes)
        metadata = weights.load(competition.root / "w.safetensors")[1]
        return {key: metadata[key] for key in keys & set(metadata)}, metadata["label_classes"]

    assert told(grouped) == (PARTLY, 4)
    assert told(grouped, labels=NAMES[1::2]) == (PARTLY | {"labels": ["middle", "bright"]}, 2)
    assert told(grouped, labels=NAMES) == (PARTLY, 4)
    other = tmp_path / "whole"
    other.mkdir()
    assert told(Objects(other)) == (WHOLE, 3)


@pytest.mark.parametrize("windows", [None, {"size": 8, "overlap": 0.5}])
@pytest.mark.parametrize(
    "chosen", [None, ["left", "middle", "right"], ["right", "bright", "left"], ["bright"]]
)
def test_predictions_have_all_labels_and_groups_sum_to_one(grouped, chosen, windows):
    train(grouped, labels=chosen, loss=BCE, epochs=1)
    found, attrs = predicted(grouped, windows=windows)
    assert found.shape == (10, 4)
    assert found.dtype == np.float32
    assert {key: attrs[key] for key in PARTLY} == PARTLY
    chosen = chosen or NAMES
    given = [name in chosen for name in NAMES]
    assert np.array_equal(np.isfinite(found), np.tile(given, (10, 1)))
    members = [place for place in range(3) if NAMES[place] in chosen]
    if members:
        np.testing.assert_allclose(found[:, members].sum(axis=1), 1, atol=1e-5)
    module = load_model(grouped.root / "w.safetensors")[0]
    assert module(torch.zeros(1, 2, 16, 16))["label"].shape == (1, len(chosen))


def test_every_column_is_the_label_that_was_learnt(grouped):
    """However a model orders its labels, each comes out in its own column."""
    grouped.labels[:] = [0, 0, 1, 0]
    grouped.labels[:, 3] = np.arange(18) % 2
    with h5py.File(grouped.path["train.h5"], "a") as file:
        file["labels"][:] = grouped.labels
    sgd = {"name": "adam", "lr": 0.02}
    train(grouped, labels=["right", "left"], loss=BCE, epochs=6, optimizer=sgd)
    found = predicted(grouped)[0]
    assert (found[:, 2] > 0.7).all()
    assert (found[:, 0] < 0.3).all()


def test_cross_entropy_is_of_labels_of_one_group(grouped):
    train(grouped, labels=["left", "middle", "right"], loss=CE)
    given = grouped.arguments()
    given["stage"]["loss"] = CE
    for chosen in (["left", "middle"], ["left"]):
        train(grouped, labels=chosen, loss=CE, epochs=1)
    for chosen in (None, ["left", "bright"], ["bright"]):
        with pytest.raises(InputError, match=r"loss\.label\.cross_entropy.*of one group"):
            train(grouped, labels=chosen, loss=CE)
    given["model"] = {**CLASSIFIER, "labels": ["left", "right"]}
    path = str(grouped.root / "rates.csv")
    assert len(training.run_range(**given, rates=path, steps=3)) >= 1
    assert lr_range.COLUMNS[0] == "step"


def test_a_model_is_judged_by_the_known_of_its_labels(grouped):
    chosen = ["bright", "left"]
    train(grouped, labels=chosen, loss=BCE, epochs=3, select="best", ema=0.5)
    history = pd.read_csv(grouped.root / "w.csv")
    ids = [grouped.train_ids[row] for row in np.flatnonzero(grouped.fold == 1)]
    files = {"channels": grouped.path["x_train.h5"], "data": grouped.path["train.h5"]}
    found = predicted(grouped, **files, ids=ids, tta=["none"])[0]
    truth = store.read(grouped.path["train.h5"], "labels", ids)
    assert np.isnan(truth).any()
    columns = [3, 0]
    best = labels.average_precision(truth[:, columns], found[:, columns])
    assert history["valid_metric"].max() == pytest.approx(best, abs=1e-6)
    assert best != pytest.approx(labels.average_precision(truth, np.nan_to_num(found)), abs=1e-3)


def test_labels_that_are_not_there_are_named(grouped, tmp_path):
    with pytest.raises(InputError, match=r"no label 'up', 'down' of its own.*left, middle"):
        train(grouped, labels=["up", "left", "down"], loss=BCE)
    other = tmp_path / "derived"
    other.mkdir()
    tiny = training.Competition(other, classes=3)
    with pytest.raises(InputError, match=r"no label '1'.*it has none"):
        train(tiny, labels=["1"], loss=BCE)


def test_the_loss_of_a_group_weighs_each_label_and_leaves_the_unknown():
    torch.manual_seed(0)
    raw = torch.randn(4, 3, requires_grad=True)
    kind = torch.tensor([0, 2, 1, 1])
    label = functional.one_hot(kind, 3).float()
    label[3] = torch.nan
    weight = [1.0, 2.0, 5.0]
    terms = {"cross_entropy": {"weight": 1, "class_weight": weight}}
    loss = Objective(training.settings(loss={"label": terms}), 0, main="label")
    value = loss({"label": shares(raw)}, torch.zeros(4, 0, 2, 2), label)
    each = functional.cross_entropy(raw[:3], kind[:3], torch.tensor(weight), reduction="none")
    assert float(value.detach()) == pytest.approx(float(each.mean().detach()), abs=1e-5)
    value.backward()
    assert (raw.grad[3] == 0).all()
    assert (raw.grad[:3] != 0).all()


@pytest.mark.parametrize("terms", [{"bce": 1}, {"focal": 1}, {"bce": 1, "focal": 2}])
def test_of_a_group_and_others_each_is_learnt_where_it_is_known(terms):
    torch.manual_seed(0)
    raw = torch.randn(3, 4, requires_grad=True)
    nan = torch.nan
    label = torch.tensor([[nan, nan, nan, 1.0], [0.0, 1.0, 0.0, nan], [nan] * 4])
    loss = Objective(training.settings(loss={"label": terms}), 0, main="label")
    loss({"label": within(raw, [[0, 1, 2]])}, torch.zeros(3, 0, 2, 2), label).backward()
    learnt = (raw.grad != 0).tolist()
    assert learnt == [[False] * 3 + [True], [True] * 3 + [False], [False] * 4]


@pytest.mark.parametrize("stage", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_what_is_mixed_with_the_unknown_teaches_only_what_is_known(stage):
    torch.manual_seed(0)
    label = torch.tensor([[1.0, 0, 0, 1], [torch.nan] * 4, [0, 1, 0, torch.nan], [0, 0, 1, 0]])
    target = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    mixing = training.settings(**stage, label_smoothing=0.1).mixing
    loss = Objective(training.settings(loss=BCE), 1, main="label")
    for seed in range(10):
        x, parts = Mixer(mixing, 1)(torch.rand(4, 1, 8, 8), target, label, seed)
        raw = torch.randn(4, 4, requires_grad=True)
        logits = {"label": within(raw, [[0, 1, 2]])}
        value = sum(share * loss(logits, truth, known) for share, truth, known in parts)
        value.backward()
        assert x.isfinite().all()
        assert raw.grad.isfinite().all()
        for _, _, known in parts:
            sums = known[:, :3].sum(dim=1)
            assert torch.allclose(sums[sums.isfinite()], torch.tensor(1.1))


def test_pasting_nothing_of_an_unknown_image_leaves_what_is_known():
    label = torch.tensor([[1.0, 0.0], [torch.nan, torch.nan]])
    mixing = training.settings(cutmix=1.0).mixing
    kept = 0
    for seed in range(40):
        x = torch.zeros(2, 1, 4, 4)
        [(_, _, known)] = Mixer(mixing, 1)(x, x.to(torch.uint8), label, seed)[1]
        pasted = np.random.default_rng(seed)
        pasted.permutation(2)
        small = pasted.beta(1.0, 1.0) < 1 / 16  # a box of no pixel
        kept += small
        assert bool(known[0].isfinite().all()) or not small
    assert kept


def test_decided_pseudo_labels_keep_groups_and_leave_what_nobody_predicts(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"]})
    nan = np.nan
    one = np.array([[0.45, 0.3, 0.25, nan], [0.1, 0.2, 0.7, nan]], np.float32)
    two = np.array([[nan, nan, nan, nan], [nan, nan, nan, nan]], np.float32)
    three = np.array([[0.4, 0.3, 0.3, nan], [0.1, 0.2, 0.7, nan]], np.float32)
    paths = [str(tmp_path / f"{number}.h5") for number in range(3)]
    for path, values in zip(paths, (one, two, three), strict=True):
        store.write(path, {"labels": values}, table, PARTLY)
    spec = {**SPEC, "rule": "everything", "box_score": 0.4}
    for soft, expected in (
        (False, [[1, 0, 0, nan], [0, 0, 1, nan]]),
        (True, [[0.425, 0.3, 0.275, nan], [0.1, 0.2, 0.7, nan]]),
    ):
        out = str(tmp_path / "out.h5")
        settings = {**spec, "soft": soft}
        pseudo.run(predictions=paths, settings=settings, fold=0, round=0, out=out)
        np.testing.assert_allclose(store.read(out, "labels"), expected, atol=1e-6)
