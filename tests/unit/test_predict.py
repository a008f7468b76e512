"""Prediction: probabilities at storage size, averaged over flips, whatever the batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
import training
from training import SIZE, STORED, Competition

from foldbelt import predict, store
from foldbelt.files import InputError
from foldbelt.models._saved import load_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    tiny = Competition(tmp_path_factory.mktemp("trained"))
    training.run(**tiny.arguments(epochs=4), log=lambda text: None)
    return tiny


def call(tiny, name="p.h5", **changes):
    arguments = {
        "channels": tiny.path["x_train.h5"],
        "data": tiny.path["train.h5"],
        "ids": None,
        "weights": str(tiny.root / "w.safetensors"),
        "tta": ["none"],
        "batch_size": 4,
        "out": str(tiny.root / name),
        "cpu_threads": 1,
        "device": "cpu",
        **changes,
    }
    predict.run(**arguments)
    return Path(arguments["out"])


def by_hand(tiny, flip=()):
    """Sigmoids (N,1,H,W) of the network for all training tiles."""
    module, meta = load_model(tiny.root / "w.safetensors")
    x = torch.from_numpy(store.read(tiny.path["x_train.h5"], "x")).permute(0, 3, 1, 2).float()
    x = x * meta["scale"][0] + meta["offset"][0]
    with torch.no_grad():
        outputs = module(x.flip(flip) if flip else x)
    mask = torch.sigmoid(outputs["mask"])
    return (mask.flip(flip) if flip else mask), torch.sigmoid(outputs["label"])


def test_probabilities_are_cropped_rounded_sigmoids(trained):
    out = call(trained)
    prob, label = store.read(out, "prob"), store.read(out, "label_prob")
    expected, expected_label = by_hand(trained)
    top = (SIZE[0] - STORED[0]) // 2
    crop = expected[:, 0, top : top + STORED[0], top : top + STORED[1]].numpy()
    assert prob.shape == (18, *STORED)
    assert prob.dtype == np.uint8
    assert np.abs(prob - crop * 255).max() <= 0.501
    assert np.allclose(label, expected_label, atol=1e-5)
    assert store.table(out)["id"].tolist() == trained.train_ids
    assert prob.std() > 3  # else this shows nothing


def test_flips_are_undone_and_averaged_before_rounding(trained):
    out = call(trained, tta=["none", "hflip", "vflip"])
    views = [by_hand(trained, flip) for flip in ((), (3,), (2,))]
    mean = sum(view[0] for view in views) / 3
    crop = mean[:, 0, 1:14, 1:14].numpy()
    assert np.abs(store.read(out, "prob") - crop * 255).max() <= 0.501
    label = sum(view[1] for view in views) / 3
    assert np.allclose(store.read(out, "label_prob"), label, atol=1e-5)
    assert not np.array_equal(store.read(out, "prob"), store.read(call(trained), "prob"))


def test_ids_are_predicted_in_the_order_asked_for(trained):
    ids = ["t11", "t03", "t17"]
    out = call(trained, "some.h5", ids=ids)
    everything = store.read(call(trained), "prob")
    assert store.table(out)["id"].tolist() == ids
    assert np.abs(store.read(out, "prob") - everything[[11, 3, 17]].astype(int)).max() <= 1


def test_the_same_call_gives_the_same_bytes(trained):
    assert call(trained, "a.h5").read_bytes() == call(trained, "b.h5").read_bytes()


@pytest.mark.parametrize("ids", [[], None])
def test_no_test_images_give_an_empty_file(trained, tmp_path, ids):
    path = {"channels": trained.path["x_test.h5"], "data": trained.path["test.h5"]}
    if ids is None:
        table = store.table(path["data"], [])
        store.write(tmp_path / "d.h5", {"image": np.zeros((0, *STORED), np.uint8)}, table, {})
        attrs = store.attrs(path["channels"])
        x = np.zeros((0, *SIZE, 2), np.uint8)
        store.write(tmp_path / "x.h5", {"x": x}, table, attrs)
        path = {"channels": str(tmp_path / "x.h5"), "data": str(tmp_path / "d.h5")}
    out = call(trained, "none.h5", ids=ids, **path)
    assert store.read(out, "prob").shape == (0, *STORED)
    assert store.read(out, "label_prob").shape == (0, 1)


def test_several_classes_come_as_planes(tmp_path):
    tiny = Competition(tmp_path, classes=3)
    training.run(**tiny.arguments(epochs=1), log=lambda text: None)
    out = call(tiny)
    assert store.read(out, "prob").shape == (18, *STORED, 3)
    assert store.read(out, "label_prob").shape == (18, 3)


def test_other_channels_and_unknown_views_are_refused(trained, tmp_path):
    attrs = store.attrs(trained.path["x_test.h5"]) | {"names": ["image", "depth"]}
    x = store.read(trained.path["x_test.h5"], "x")
    store.write(tmp_path / "x.h5", {"x": x}, store.table(trained.path["x_test.h5"]), attrs)
    with pytest.raises(InputError, match=r"trained on names.*copy"):
        call(trained, channels=str(tmp_path / "x.h5"), data=trained.path["test.h5"])
    with pytest.raises(InputError, match="'flip'"):
        call(trained, tta=["none", "flip"])
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"bad\.safetensors"):
        call(trained, weights=str(tmp_path / "bad.safetensors"))
