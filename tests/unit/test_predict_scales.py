"""Scales at test time, on networks whose answer is known; the middle of canvases; snapshots."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from test_predict import call, trained  # noqa: F401
from torch import nn
from training import SIZE, STORED

from foldbelt import store
from foldbelt.channels._resizing import Resizer
from foldbelt.files import InputError
from foldbelt.predict.predictor import VIEWS, Predictor, View, sizes_at
from foldbelt.store import weights

CPU = torch.device("cpu")


class Pointwise(nn.Module):
    """Logits that are a function of each pixel alone; notes what it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return {"mask": 3 * x[:, :1] - 1, "label": x.mean((2, 3))[:, :1]}


def predictor(size=(48, 64), sizes=None, tta=("none",), channels=1, source=None):
    attrs = {"resize_mode": "pad-edge", "source": source or size, "size": size}
    attrs |= {"scale": [1 / 64] * channels, "offset": [-2.0] * channels}
    return Predictor(Pointwise(), attrs, tta, CPU, sizes)


def test_table_and_schema_know_the_same_views():
    schema = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"
    assert re.findall(r"enum: \[(.*hvflip.*?)\]", schema.read_text()) == [", ".join(VIEWS)]


@pytest.mark.parametrize("name", VIEWS)
def test_what_is_predicted_for_a_view_is_brought_back(name):
    x = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 1), np.uint8)
    one, other = predictor(tta=(name,)), predictor()
    np.testing.assert_array_equal(one(x)[0], other(x)[0])
    shown = one.module.seen[0]
    assert shown.shape != other.module.seen[0].shape or (
        torch.equal(shown, other.module.seen[0]) == (name == "none")
    )


def test_a_view_is_one_entry_of_the_table(monkeypatch):
    turn = View(lambda x: torch.rot90(x, 1, (2, 3)), lambda x: torch.rot90(x, -1, (2, 3)))
    monkeypatch.setitem(VIEWS, "rot90", turn)
    x = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 1), np.uint8)
    turned = predictor(tta=("rot90",))
    np.testing.assert_array_equal(turned(x)[0], predictor()(x)[0])
    assert turned.module.seen[0].shape == (2, 1, 64, 48)


def test_sizes_are_multiples_near_the_scaled_ones():
    assert sizes_at((101, 101), [1]) == [(101, 101)]
    for side in (64, 101, 112, 128, 256):
        for scale in (0.5, 0.75, 1.25, 2):
            ((height, _),) = sizes_at((side, side), [scale])
            assert height % 8 == 0
            assert abs(height - side * scale) <= 4
    assert sizes_at((32, 32), [0.25], 32) == [(32, 32)]  # not none at all
    with pytest.raises(InputError, match=r"at 1 and 1\.1 .* 64×64 .* multiples of 32"):
        sizes_at((64, 64), [1, 1.1], 32)
    with pytest.raises(InputError, match="an empty list"):
        sizes_at((64, 64), [])


def test_scales_do_not_change_what_is_said_of_a_constant_image():
    sizes = sizes_at((48, 64), [0.5, 1, 1.25, 2])
    for value in (0, 77, 140, 255):
        x = np.full((2, 48, 64, 1), value, np.uint8)
        one, label, _ = predictor()(x)
        every, labels, _ = predictor(sizes=sizes, tta=("none", "hflip", "vflip"))(x)
        np.testing.assert_array_equal(every, one)
        np.testing.assert_allclose(labels, label, atol=1e-6)


def test_every_view_is_predicted_at_every_scale_and_brought_back():
    x = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 1), np.uint8)
    sizes = sizes_at((48, 64), [0.5, 1, 2])
    both = predictor(sizes=sizes, tta=("none", "hflip"))
    prob, *_ = both(x)
    assert [tuple(seen.shape[2:]) for seen in both.module.seen] == [
        size for size in sizes for _ in range(2)
    ]
    for seen, turned in zip(both.module.seen[::2], both.module.seen[1::2], strict=True):
        torch.testing.assert_close(turned, seen.flip(3))
    # The mean over all is that of the scales alone, and differs from each.
    alone = [predictor(sizes=[size])(x)[0].astype(float) for size in sizes]
    assert np.abs(prob - np.mean(alone, axis=0)).max() <= 1.01
    for one in alone:
        assert np.abs(prob - one).max() > 3


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.25, 2])
def test_scaled_predictions_lie_where_the_image_does(scale):
    """A smooth image looks the same at every scale: no shift, whatever the padding."""
    rows, columns = np.mgrid[0:44, 0:60]
    image = 128 + 80 * np.sin(rows / 9) * np.cos(columns / 11)
    smooth = np.pad(image, 2, mode="edge").round().astype(np.uint8)[None, ..., None]
    one, _, _ = predictor(source=(44, 60))(smooth)
    other, _, _ = predictor(source=(44, 60), sizes=sizes_at((48, 64), [scale]))(smooth)
    assert other.shape == (1, 44, 60, 1)
    inner = np.abs(one.astype(int) - other)[:, 4:-4, 4:-4]
    assert inner.max() <= 6
    assert np.abs(one.astype(int) - np.roll(one, 1, axis=1))[:, 4:-4, 4:-4].max() > 12


def test_constant_planes_stay_constant_in_every_view():
    """Depth as a plane, joined at the bottleneck, is read off any of its pixels."""
    x = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 2), np.uint8)
    x[..., 1] = np.array([3, 90, 250], np.uint8)[:, None, None]
    both = predictor(channels=2, sizes=sizes_at((48, 64), [0.5, 1, 2]), tta=("none", "hvflip"))
    both(x)
    planes = both.module.seen[2][:, 1, :1, :1]  # at scale 1, not turned
    assert planes.unique().numel() == 3
    for seen in both.module.seen:
        torch.testing.assert_close(seen[:, 1], planes.expand(seen[:, 1].shape))


def test_the_networks_own_size_alone_changes_no_byte(trained):  # noqa: F811
    plain = call(trained, "plain.h5")
    assert call(trained, "scale.h5", scales=[1]).read_bytes() == plain.read_bytes()
    assert set(store.attrs(plain)) == {"tta", "key", "made_on", "schema_version"}
    more = call(trained, "more.h5", scales=[1, 2])
    assert store.attrs(more)["scales"] == [1, 2]
    assert not np.array_equal(store.read(more, "prob"), store.read(plain, "prob"))


def test_a_larger_canvas_is_predicted_in_its_middle(trained, tmp_path):  # noqa: F811
    """Random offsets need more padding than the network sees; prediction takes none of it."""
    fit = Resizer("pad-reflect", STORED, SIZE, offset="random")
    assert fit.canvas == (19, 19)
    attrs = {**store.attrs(trained.path["x_train.h5"]), **fit.attrs()}
    del attrs["schema_version"]
    table = store.table(trained.path["x_train.h5"])
    x = fit.images(trained.image)
    store.write(tmp_path / "x.h5", {"x": x}, table, attrs)
    plain = store.read(call(trained, "plain.h5"), "prob")
    found = store.read(call(trained, "canvas.h5", channels=str(tmp_path / "x.h5")), "prob")
    np.testing.assert_array_equal(found, plain)


def test_enlarged_images_are_brought_back():
    """A smooth image says the same when enlarged before it is padded, 22 → 44 → 48."""
    rows, columns = np.mgrid[0:22, 0:30]
    image = (128 + 80 * np.sin(rows / 5) * np.cos(columns / 6)).round().astype(np.uint8)[None]
    found = []
    for fit in (
        Resizer("pad-edge", (22, 30), (48, 64)),
        Resizer("pad-edge", (22, 30), (48, 64), 2),
    ):
        attrs = {**fit.attrs(), "scale": [1 / 64], "offset": [-2.0]}
        predict = Predictor(Pointwise(), attrs, ["none"], CPU, sizes_at((48, 64), [1, 2]))
        found.append(predict(fit.images(image)[..., None])[0].astype(int))
    assert found[0].shape == (1, 22, 30, 1)
    assert np.abs(found[0] - found[1]).max() <= 6
    assert np.abs(found[0] - np.roll(found[0], 1, axis=1)).max() > 12


def test_a_snapshot_predicts_with_its_own_weights(trained):  # noqa: F811
    tensors, metadata = weights.load(trained.root / "w.safetensors")
    early = {name: value * 0.5 for name, value in tensors.items()}
    paths = {name: str(trained.root / f"{name}.safetensors") for name in ("both", "early")}
    both = weights.with_snapshots(tensors, {1: early, 2: tensors})
    weights.save(paths["both"], both, {**metadata, "snapshots": 2})
    weights.save(paths["early"], early, metadata)

    def prob(**changes):
        return store.read(call(trained, "snap.h5", **changes), "prob")

    final = prob()
    assert not np.array_equal(prob(weights=paths["early"]), final)
    np.testing.assert_array_equal(prob(weights=paths["both"]), final)
    np.testing.assert_array_equal(
        prob(weights=paths["both"], snapshot=1), prob(weights=paths["early"])
    )
    np.testing.assert_array_equal(prob(weights=paths["both"], snapshot=2), final)
    with pytest.raises(InputError, match="3"):
        prob(weights=paths["both"], snapshot=3)
