"""Masks that only teach: a classifier's at the size of a map, a network's beside its labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import training
from test_train_resume import RADAM, interrupted
from torch.nn import functional
from training import CLASSIFIER, Objects

from foldbelt import models, predict, registry, store
from foldbelt.files import InputError
from foldbelt.models._saved import load_model
from foldbelt.predict.predictor import Predictor
from foldbelt.store import weights
from foldbelt.train import evaluation
from foldbelt.train.loop import Trainer
from foldbelt.train.masks import at_map
from foldbelt.train.objective import Objective

AUX = {**CLASSIFIER, "mask_reduction": 4, "mask_width": 8}
UNET = {"name": "unet", "encoder": "test_resnet", "decoder_channels": [8] * 5, "weights": None}
UNET |= {"label_head": True, "auxiliary": ["mask"]}
BOTH = {"label": {"cross_entropy": 1}, "mask": {"bce": 4, "dice": 0.5}}


def objective(loss, classes=1, main="label"):
    return Objective(training.settings(loss=loss), classes, main=main)


def train(competition, name="w", **changes):
    given = competition.arguments(name)
    given |= {key: changes.pop(key) for key in ("model", "start") if key in changes}
    given["stage"] = {**given["stage"], "loss": BOTH, **changes}
    training.run(**given)
    return Path(given["weights"]).read_bytes()


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path)


@pytest.mark.parametrize(
    ("encoder", "reductions"),
    [("test_resnet", (8, 16, 32)), ("tf_efficientnet_b0", (8, 16)), ("densenet121", (32,))],
)
def test_masks_are_at_the_size_of_the_map_and_leave_the_other_weights(encoder, reductions):
    spec = {"name": "classifier", "encoder": encoder, "mask_width": 16}
    for reduction in reductions:
        given = []
        for masks in (None, reduction):
            torch.manual_seed(0)
            given.append(models.build({**spec, "mask_reduction": masks}, 1, 2, 4))
        plain, taught = given
        both = taught.state_dict()
        assert all(torch.equal(value, both[name]) for name, value in plain.state_dict().items())
        names = [name for name, _ in taught.named_parameters() if name.startswith("aux")]
        assert [name for name in names if "bias" not in name] == [
            *("aux.0.0.weight", "aux.0.1.weight", "aux.1.0.weight", "aux.1.1.weight"),
            "aux.2.weight",
        ]
        said = taught.eval()(torch.randn(1, 1, 64, 96))
        assert said["label"].shape == (1, 4)
        assert said["aux"].shape == (1, 2, 64 // reduction, 96 // reduction)


@pytest.mark.parametrize(
    ("encoder", "width"),
    [
        *(("tf_efficientnet_b3", 136), ("tf_efficientnet_b5", 176), ("tf_efficientnet_b7", 224)),
        *(("efficientnet_b3", 136), ("densenet201", 1792)),
    ],
)
def test_large_encoders_have_a_map_to_learn_from(encoder, width):
    spec = {"name": "classifier", "encoder": encoder, "mask_reduction": 16, "checkpointing": True}
    with torch.device("meta"):  # shapes alone
        network = models.build(spec, 1, 1, 4)
        said = network(torch.zeros(2, 1, 64, 96))
    assert network.aux[0][0].in_channels == width
    assert {name: value.shape for name, value in said.items()} == {
        "label": (2, 4),
        "aux": (2, 1, 4, 6),
    }


def test_of_two_maps_of_one_size_the_deeper_one_teaches():
    spec = {**AUX, "encoder": "resnet18", "stem_pool": False, "mask_reduction": 2}
    assert models.build(spec, 1, 1, 3).place == 1


def test_what_a_network_cannot_learn_masks_from_is_named():
    with pytest.raises(InputError, match=r"64 does not fit.*'test_resnet'.* 2, 4, 8, 16, 32 times"):
        models.build({**AUX, "mask_reduction": 64}, 1, 1, 3)
    # Without the pool every map is twice as large.
    spec = {**AUX, "encoder": "resnet18", "stem_pool": False, "mask_reduction": 32}
    with pytest.raises(InputError, match="32 does not fit"):
        models.build(spec, 1, 1, 3)
    with pytest.raises(InputError, match=r"data\.masks: from_boxes"):
        models.build(AUX, 1, 0, 3)
    with pytest.raises(InputError, match="at least a mask channel"):
        models.build(UNET, 1, 0, 3)


def test_a_cell_is_the_share_of_its_known_pixels():
    random = np.random.default_rng(0)
    truth = (random.random((2, 3, 24, 16)) < 0.4).astype(np.float32)
    ignore = random.random((2, 1, 24, 16)) < 0.5
    ignore[0, :, :8, :8] = True  # nothing is known of one cell

    def cells(values):
        return values.reshape(*values.shape[:2], 3, 8, 2, 8).sum(axis=(3, 5))

    found, hidden = at_map(torch.from_numpy(truth), torch.from_numpy(ignore), (3, 2))
    known = cells((~ignore).astype(float))
    expected = cells(truth * ~ignore) / np.maximum(known, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.array_equal(hidden, known == 0)
    assert hidden.sum() == 1
    whole, nothing = at_map(torch.from_numpy(truth), None, (3, 2))
    assert nothing is None
    np.testing.assert_allclose(whole, cells(truth) / 64, atol=1e-6)
    assert at_map(torch.from_numpy(truth), None, (5, 7))[0].shape == (2, 3, 5, 7)  # not divided


@pytest.mark.parametrize("terms", [{"bce": 4}, {"bce": 1, "dice": 1}, {"focal": 1}, {"lovasz": 1}])
def test_padding_teaches_nothing_and_all_else_does(terms):
    torch.manual_seed(0)
    loss = objective({"label": {"bce": 1}, "mask": terms})
    target = torch.zeros(2, 2, 16, 16, dtype=torch.uint8)
    target[:, 0, 4:9, 5:12] = 1
    target[:, 1, :, 11:] = 1  # the last cells of a row are padding, and a part of those before
    label = torch.tensor([[1.0, 0.0, 0.0]] * 2)
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    outputs = {"label": torch.zeros(2, 3), "aux": logits}
    value = loss(outputs, target, label)
    value.backward()
    assert (logits.grad[..., 3] == 0).all()
    seen = logits.grad[..., :3] != 0
    assert seen.any() if "lovasz" in terms else seen.all()
    other = target.clone()
    other[:, 0, :, 11:] = 1  # what is under the padding
    assert torch.equal(loss(outputs, other, label), value)
    other[:, 0, 12:, :4] = 1
    assert not torch.equal(loss(outputs, other, label), value)
    half = {"label": outputs["label"], "aux": logits.bfloat16()}
    assert loss(half, target, label).dtype == torch.float32


def test_the_loss_is_that_of_the_labels_and_of_the_map_in_their_weights():
    torch.manual_seed(0)
    outputs = {"label": torch.randn(3, 2), "aux": torch.randn(3, 1, 2, 2)}
    target = (torch.rand(3, 1, 8, 8) < 0.3).to(torch.uint8)
    label = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    share = target.float().reshape(3, 1, 2, 4, 2, 4).mean(dim=(3, 5))
    alone = float(functional.binary_cross_entropy_with_logits(outputs["label"], label))
    masks = float(functional.binary_cross_entropy_with_logits(outputs["aux"], share))
    for weight in (0, 1, 10):
        found = objective({"label": {"bce": 1}, "mask": {"bce": weight}})(outputs, target, label)
        assert float(found) == pytest.approx(alone + weight * masks)
    for loss in ({"bce": 1}, {"label": {"bce": 1}}):
        assert float(objective(loss)(outputs, target, label)) == pytest.approx(alone)
    outputs.pop("aux")  # a network without such a head
    found = objective({"label": {"bce": 1}, "mask": {"bce": 4}})(outputs, target, label)
    assert float(found) == pytest.approx(alone)


def test_gradients_of_the_masks_reach_head_and_encoder():
    torch.manual_seed(0)
    network = models.build({**AUX, "label_dropout": 0}, 1, 1, 3)
    target = (torch.rand(2, 1, 32, 32) < 0.3).to(torch.uint8)
    unknown = torch.full((2, 3), torch.nan)  # the labels teach nothing
    said = network(torch.randn(2, 1, 32, 32))
    objective({"label": {"bce": 1}, "mask": {"bce": 4}})(said, target, unknown).backward()
    reached = {
        name.partition(".")[0]
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and bool((parameter.grad != 0).any())
    }
    assert reached == {"aux", "encoder"}


def test_masks_teach_and_are_not_predicted(objects):
    train(objects, model=AUX, epochs=2)
    module, metadata = load_model(objects.root / "w.safetensors")
    assert metadata["masks"] is False
    assert metadata["architecture"]["mask_reduction"] == 4
    assert (metadata["mask_channels"], metadata["label_classes"]) == (2, 3)
    assert set(module(torch.zeros(1, 2, 16, 16))) == {"label", "aux"}
    predict.run(**prediction(objects))
    out = objects.root / "p.h5"
    assert store.has(out, "labels")
    assert not store.has(out, "prob")
    np.testing.assert_allclose(store.read(out, "labels").sum(axis=1), 1, atol=1e-5)


def prediction(competition, **changes):
    given = {"channels": competition.path["x_test.h5"], "data": competition.path["test.h5"]}
    given |= {"ids": None, "weights": str(competition.root / "w.safetensors")}
    given |= {"tta": ["none", "hflip"], "batch_size": 4, "cpu_threads": 1, "device": "cpu"}
    return given | {"out": str(competition.root / "p.h5")} | changes


def test_without_a_loss_of_masks_the_head_learns_nothing(objects):
    plain = {"optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0}, "model": AUX}
    heads = []
    for loss in (BOTH, {"label": {"cross_entropy": 1}}):
        for epochs in (1, 2):
            train(objects, loss=loss, epochs=epochs, **plain)
            heads.append(weights.load(objects.root / "w.safetensors")[0]["aux.2.weight"])
    assert not torch.equal(heads[0], heads[1])
    assert torch.equal(heads[2], heads[3])


def test_a_classifier_without_such_a_head_says_nothing_new(objects):
    bytes_of = []
    for more in ({}, {"mask_reduction": None, "mask_width": 128, "checkpointing": False}):
        bytes_of.append(train(objects, model={**CLASSIFIER, **more}, epochs=1))
    assert bytes_of[0] == bytes_of[1]


def test_a_network_with_masks_may_learn_them_and_answer_with_labels(objects, monkeypatch):
    assert registry.main_output(UNET) == "label"
    seen = []
    real = evaluation.WRONG["label"]
    monkeypatch.setitem(evaluation.WRONG, "label", lambda *given: seen.append(None) or real(*given))
    train(
        objects,
        model=UNET,
        epochs=2,
        select="best",
        early_stopping={"patience": 1},
        sampler={"name": "hard", "strength": 1},
    )
    assert len(seen) == 12  # the errors mined are those of labels
    module, metadata = load_model(objects.root / "w.safetensors")
    assert metadata["masks"] is False
    history = pd.read_csv(objects.root / "w.csv")
    assert history["valid_metric"].iloc[metadata["best_epoch"] - 1] == history["valid_metric"].max()
    assert set(module(torch.zeros(1, 2, 16, 16))) == {"mask", "label"}
    windows = {"size": 8, "overlap": 0.5}
    for more in ({}, {"windows": windows}):
        predict.run(**prediction(objects, **more))
        out = objects.root / "p.h5"
        assert not store.has(out, "prob")
        np.testing.assert_allclose(store.read(out, "labels").sum(axis=1), 1, atol=1e-5)
    attrs = store.attrs(objects.path["x_test.h5"])
    asked = [
        Predictor(module, attrs, ["none"], torch.device("cpu"), masks=masks)
        for masks in (True, False)
    ]
    given = [predictor(np.zeros((1, 16, 16, 2), np.uint8)).masks for predictor in asked]
    assert given[0] is not None
    assert given[1] is None
    # Its masks are learnt by the loss that the stage gives them, and by nothing else.
    heads = [weights.load(objects.root / "w.safetensors")[0]["mask.weight"]]
    sgd = {"optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0}}
    for epochs, loss in ((1, BOTH), (2, {"label": {"bce": 1}}), (1, {"label": {"bce": 1}})):
        train(objects, model=UNET, epochs=epochs, loss=loss, **sgd)
        heads.append(weights.load(objects.root / "w.safetensors")[0]["mask.weight"])
    assert torch.equal(heads[2], heads[3])
    assert not torch.equal(heads[1], heads[2])


@pytest.mark.parametrize("name", ["fpn", "vanilla", "smp/Unet"])
def test_every_network_with_a_label_head_may(objects, name):
    model = {"name": name, "label_head": True, "auxiliary": ["mask"], "weights": None}
    model |= {} if name == "vanilla" else {"encoder": "resnet18" if "/" in name else "test_resnet"}
    train(objects, model=model, epochs=1)
    assert weights.load(objects.root / "w.safetensors")[1]["masks"] is False
    predict.run(**prediction(objects))
    assert store.has(objects.root / "p.h5", "labels")
    assert not store.has(objects.root / "p.h5", "prob")


def test_deep_supervision_teaches_as_well(objects):
    deep = {**UNET, "deep_supervision": True}
    one, other = (train(objects, model=deep, epochs=1, deep_weight=w) for w in (0, 1))
    assert one != other


def test_masks_without_any_are_refused_by_name(objects):
    path = objects.path["train.h5"]
    table = store.table(path)
    arrays = {name: store.read(path, name) for name in ("image", "labels")}
    store.write(path, arrays, table, {"label_names": ["left", "middle", "right"]}, 1)
    with pytest.raises(InputError, match=r"'classifier' is to learn masks.*from_boxes"):
        train(objects, model=AUX, epochs=1, loss={"label": {"bce": 1}, "mask": {"bce": 1}})


EVERYTHING = {
    "ema, mixed": {"ema": 0.9, "mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.05},
    "swa": {"swa": 0.3, "select": "best"},
    "best, checkpointing": {"select": "best", "average_best": 2, "target_batch": 7},
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_signal_changes_nothing_for_masks_that_teach(objects, monkeypatch, name):
    model = {**AUX, "checkpointing": "checkpointing" in name}
    settings = {"epochs": 4, "optimizer": RADAM, "loss": BOTH, "model": model, **EVERYTHING[name]}
    whole = train(objects, "a", **settings)
    for wanted in (2, 4):
        interrupted(objects, monkeypatch, Trainer, "_step", wanted, **settings)
    assert train(objects, "b", **settings) == whole
