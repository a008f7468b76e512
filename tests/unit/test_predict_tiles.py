"""Windows: where they lie, what they count, and that blending leaves no trace of them."""

import itertools

import numpy as np
import pytest
import torch
from test_predict import call, trained  # noqa: F401
from torch import nn

from foldbelt import store
from foldbelt.files import InputError
from foldbelt.models import _saved
from foldbelt.predict.images import Predictor, sizes_at
from foldbelt.predict.windows import Windows, flanks, starts
from foldbelt.store import weights

CPU = torch.device("cpu")
SIDES = (8, 31, 64, 101, 256, 1600)


@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("window", [8, 30, 64, 400])
def test_windows_cover_the_side_overlap_enough_and_stay_inside(window, overlap):
    for side in SIDES:
        at = starts(side, window, overlap)
        own = min(side, window)
        assert at[0] == 0
        assert at[-1] + own == side
        steps = [b - a for a, b in itertools.pairwise(at)]
        assert all(0 < step <= max(1, window * (1 - overlap) + 1e-9) for step in steps)
        assert max(steps, default=0) - min(steps, default=0) <= 1
        # One fewer would not do, however they were placed.
        assert len(at) < 3 or (side - own) / (len(at) - 2) > np.floor(window * (1 - overlap) + 1e-9)


@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5, 0.75])
def test_weights_are_positive_and_sum_to_one_at_every_pixel(overlap):
    for image, size in (((40, 101), (16, 32)), ((256, 300), (256, 100)), ((9, 9), (64, 64))):
        total = np.zeros(image)
        for rows, columns, weight in Windows(size, overlap).of_image(image):
            assert weight.shape == total[rows, columns].shape
            assert weight.dtype == np.float32
            assert weight.min() > 0
            total[rows, columns] += weight
        np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weights_fall_to_edges_within_the_image_and_not_to_its_border():
    at = starts(100, 40, 0.25)
    assert at == [0, 30, 60]
    first, middle, last = flanks(at, 40)
    assert first[0] == last[-1] == 1
    assert (np.diff(first[30:]) < 0).all()
    assert (np.diff(middle[:10]) > 0).all()
    np.testing.assert_allclose(middle, middle[::-1])
    assert middle[0] < 0.03


class Local(nn.Module):
    """A 1×1 convolution; its label is the brightest pixel."""

    def __init__(self, classes=1):
        super().__init__()
        self.seen = []
        self.layer = nn.Conv2d(1, classes, 1)
        with torch.no_grad():
            self.layer.weight[:, 0, 0, 0] = torch.linspace(1, 2, classes)
            self.layer.bias[:] = 0.3

    def forward(self, x):
        self.seen.append(x)
        return {"mask": self.layer(x), "label": x.amax((2, 3))}


class Biased(nn.Module):
    """Says where in its window a pixel lies, whatever the image."""

    def forward(self, x):
        across = torch.linspace(-3, 3, x.shape[3]).expand(x.shape[0], 1, *x.shape[2:])
        return {"mask": across, "label": x.amax((2, 3))}


def predictor(module, size=(48, 200), tta=("none",), sizes=None, windows=None):
    attrs = {"resize_mode": "pad-edge", "source": size, "size": size}
    attrs |= {"scale": [1 / 64], "offset": [-2.0]}
    return Predictor(module, attrs, tta, CPU, sizes, windows)


def images(size=(48, 200), number=3):
    return np.random.default_rng(0).integers(0, 256, (number, *size, 1), np.uint8)


@pytest.mark.parametrize("tta", [("none",), ("none", "hflip", "vflip", "hvflip")])
@pytest.mark.parametrize("scales", [[1], [0.5, 1, 1.25]])
def test_of_a_local_network_windows_leave_no_trace(tta, scales):
    x, sizes = images(), sizes_at((48, 200), scales)
    whole, label, _ = predictor(Local(2), tta=tta, sizes=sizes)(x)
    for windows in (Windows((32, 64), 0.25), Windows((32, 33), 0.7), Windows((400, 50), 0)):
        made = predictor(Local(2), tta=tta, sizes=sizes, windows=windows)
        prob, largest, _ = made(x)
        np.testing.assert_array_equal(prob, whole)
        # The brightest pixel of an image is the brightest of one of its windows.
        np.testing.assert_array_equal(largest, label)
        shapes = {tuple(seen.shape[2:]) for seen in made.module.seen}
        every = {(min(h, windows.size[0]), min(w, windows.size[1])) for h, w in sizes}
        assert shapes == every
    assert whole.std() > 20


def test_a_label_is_the_largest_over_the_windows():
    x = np.zeros((2, 48, 200, 1), np.uint8)
    x[1, 3, 120] = 255  # a defect of one pixel
    made = predictor(Local(), windows=Windows((48, 64), 0.25))
    made.module.forward = lambda x: {"label": 8 * x.mean((2, 3)) + 13}
    prob, label, _ = made(x)
    assert prob is None
    by_window = [
        8 * (x[1, :, c].mean() / 64 - 2) + 13
        for _, c, _ in Windows((48, 64), 0.25).of_image((48, 200))
        for _, c, _ in Windows((48, 64), 0.25).of_image((48, 200))
    ]
    assert label[1, 0] == pytest.approx(1 / (1 + np.exp(-max(by_window))), abs=1e-5)
    assert max(by_window) > min(by_window) + 0.005
    assert label[0, 0] < label[1, 0]


def test_seams_are_continuous():
    jumps = {}
    for overlap in (0, 0.25, 0.5):
        x = images((48, 256))  # four windows, or more that have just so much in common
        prob, _, _ = predictor(Biased(), (48, 256), windows=Windows((48, 64), overlap))(x)
        jumps[overlap] = np.abs(np.diff(prob[0, 0, :, 0].astype(int))).max()
    assert jumps[0] > 200  # from the end of a window to the beginning of the next
    # Over 16 pixels in common a raised cosine falls by at most 255 · π/2 / 17 = 24 a pixel.
    assert jumps[0.25] < 30
    assert jumps[0.5] < 17


def test_tiles_of_the_whole_image_change_nothing_and_are_written_down(trained):  # noqa: F811
    plain = call(trained, "plain.h5")
    whole = call(trained, "whole.h5", windows={"size": 64, "overlap": 0.25})
    for name in ("prob", "label_prob"):
        np.testing.assert_array_equal(store.read(whole, name), store.read(plain, name))
    assert store.attrs(whole)["windows"] == {"size": 64, "overlap": 0.25}
    assert "windows" not in store.attrs(plain)
    parts = call(trained, "parts.h5", windows={"size": [8, 10], "overlap": 0.5})
    assert not np.array_equal(store.read(parts, "prob"), store.read(plain, "prob"))
    with pytest.raises(InputError, match=r"predict\.windows: windows of 0×8"):
        call(trained, windows={"size": [0, 8], "overlap": 0.25})


class Classifier(nn.Module):
    """A linear image classifier."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return {"label": self.layer(x.mean((2, 3)))}


def test_a_model_without_masks_writes_labels_alone(trained, monkeypatch):  # noqa: F811
    """The metadata says so; views are averaged as for others."""
    torch.manual_seed(0)
    module = Classifier()
    _, metadata = weights.load(trained.root / "w.safetensors")
    path = str(trained.root / "classifier.safetensors")
    weights.save(path, module.state_dict(), {**metadata, "masks": False})
    monkeypatch.setattr(_saved, "build", lambda *_, **__: Classifier())
    out = call(trained, "labels.h5", weights=path, tta=["none", "hflip"])
    assert not store.has(out, "prob")
    label = store.read(out, "label_prob")
    x = store.read(trained.path["x_train.h5"], "x").astype(np.float32) / 64 - 2
    expected = torch.sigmoid(module(torch.from_numpy(x).permute(0, 3, 1, 2))["label"])
    np.testing.assert_allclose(label, expected.detach().numpy(), atol=1e-5)
    assert store.table(out)["id"].tolist() == trained.train_ids
    empty = call(trained, "none.h5", weights=path, ids=[])
    assert store.read(empty, "label_prob").shape == (0, 3)
    blind = {**metadata, "masks": False}
    weights.save(path, {}, blind)
    monkeypatch.setattr(_saved, "build", lambda *_, **__: Blind())
    with pytest.raises(InputError, match="neither masks nor labels"):
        call(trained, "blind.h5", weights=path)


class Blind(nn.Module):
    """Predicts nothing."""

    def forward(self, x):
        return {}
