"""Reading, predicting and writing at once, views in one batch, and precision, change no answer."""

import threading
from itertools import count

import numpy as np
import pytest
import torch
from test_predict import call, trained  # noqa: F401
from test_predict_scales import CPU, Pointwise
from training import SIZE

from foldbelt import store
from foldbelt.channels._resizing import Resizer
from foldbelt.models._saved import load_model
from foldbelt.predict import predictor as module
from foldbelt.predict.overlapping import WAITING, overlapped
from foldbelt.predict.predictor import VIEWS, Averaged, Predictor, View
from foldbelt.store import weights


def make(resizer, tta=("none",), **more):
    attrs = {**resizer.attrs(), "scale": [1 / 64], "offset": [-2.0]}
    return Predictor(Pointwise(), attrs, tta, CPU, **more)


def test_blocks_keep_their_order_and_few_wait():
    events, threads = [], {}
    full = threading.Event()

    def note(what, number):
        events.append((what, number))
        threads[what] = threading.current_thread()
        return number

    def write(number):
        assert full.wait(10)  # until as much is computed as may be
        note("write", number)

    def compute(number):
        if number == WAITING:
            full.set()
        return note("compute", number)

    overlapped((note("read", number) for number in range(9)), compute, write)
    for what in ("read", "compute", "write"):
        assert [number for one, number in events if one == what] == list(range(9))
    assert len(set(threads.values())) == 3
    ahead = [sum(one == "read" for one, _ in events[: events.index(("write", 0))])]
    assert 2 <= ahead[0] <= WAITING + 3
    overlapped(iter(()), compute, write)


@pytest.mark.parametrize("broken", ["read", "compute", "write"])
def test_an_error_ends_it_whoever_meets_it(broken):
    done = {"read": [], "compute": [], "write": []}

    def step(what, number):
        if what == broken and number == 3:
            raise OSError(f"cannot {what}")
        done[what].append(number)
        return number

    numbers = (step("read", number) for number in count())
    with pytest.raises(OSError, match=f"cannot {broken}"):
        overlapped(numbers, lambda x: step("compute", x), lambda x: step("write", x))
    assert done["write"][:3] == [0, 1, 2][: len(done["write"])]
    assert len(done["read"]) <= 4 + WAITING + 2
    assert broken != "write" or len(done["compute"]) <= 4 + WAITING + 1


def test_what_cannot_be_written_leaves_no_file(trained, monkeypatch):  # noqa: F811
    real = store.Writer.put

    def put(self, name, start, array):
        if start >= 8:
            raise OSError("disk full")
        real(self, name, start, array)

    monkeypatch.setattr(store.Writer, "put", put)
    with pytest.raises(OSError, match="disk full"):
        call(trained, "full.h5", batch_size=4)
    assert not list(trained.root.glob("*full.h5*"))


RESIZERS = [
    Resizer("pad-reflect", (45, 51), (48, 64)),
    Resizer("resize", (48, 64), (48, 64)),
    Resizer("resize", (30, 70), (48, 64)),
    Resizer("pad-edge", (20, 30), (48, 64), 2),
]


@pytest.mark.parametrize("classes", [1, 3, 513])
@pytest.mark.parametrize("resizer", RESIZERS)
def test_rounding_on_the_device_is_rounding_on_the_host(resizer, classes):
    few = min(classes, 3) if resizer.tile != resizer.source else classes
    mean = torch.rand(2, few, *resizer.size, generator=torch.Generator().manual_seed(0))
    mean[0, 0] = (torch.arange(48 * 64).reshape(48, 64) % 255 + 0.5) / 255  # ties
    mean[1, -1, :2], mean[1, -1, 2:] = 0, 1
    expected = np.rint(resizer.undo(mean.permute(0, 2, 3, 1).numpy()) * 255).astype(np.uint8)
    found = make(resizer).finish(Averaged(mean, None, None)).masks
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.uint8
    assert found.flags["C_CONTIGUOUS"]


def test_views_in_one_batch_say_the_same(monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 1), np.uint8)
    turn = View(lambda x: torch.rot90(x, 1, (2, 3)), lambda x: torch.rot90(x, -1, (2, 3)))
    sizes = [(48, 64), (24, 32)]
    plain = Resizer("pad-edge", (48, 64), (48, 64))
    apart, joined = (make(plain, list(VIEWS), sizes=sizes, joined=one) for one in (False, True))
    for one, other in zip(joined(x)[:2], apart(x)[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert [len(seen) for seen in joined.module.seen] == [12, 12]
    assert [len(seen) for seen in apart.module.seen] == [3] * 8
    assert [len(seen) for seen in _seen(plain, x, None)] == [3, 3]  # a CPU keeps them apart
    monkeypatch.setattr(module, "JOINED_PIXELS", 3 * 2 * 48 * 64 - 1)
    assert [len(seen) for seen in _seen(plain, x, True)] == [3, 3]
    monkeypatch.setattr(module, "JOINED_PIXELS", 3 * 2 * 48 * 64)
    assert [len(seen) for seen in _seen(plain, x, True)] == [6]
    monkeypatch.setitem(VIEWS, "hflip", turn)  # of another shape
    assert [len(seen) for seen in _seen(plain, x, True)] == [3, 3]


def _seen(resizer, x, joined):
    predict = make(resizer, ["none", "hflip"], joined=joined)
    predict(x)
    return predict.module.seen


def test_joined_views_of_a_network_differ_in_no_more_than_rounding(trained):  # noqa: F811
    attrs = store.attrs(trained.path["x_train.h5"])
    x = store.read(trained.path["x_train.h5"], "x")[:6]
    found = []
    for joined in (False, True):
        network = load_model(trained.root / "w.safetensors")[0]
        found.append(Predictor(network, attrs, ["none", "hflip"], CPU, joined=joined)(x))
    assert found[0].masks.shape[1:3] != SIZE
    assert np.abs(found[0].masks.astype(int) - found[1].masks).max() <= 1
    np.testing.assert_allclose(found[0].labels, found[1].labels, atol=1e-5)


def test_weights_predict_in_the_precision_of_their_training(trained):  # noqa: F811
    tensors, metadata = weights.load(trained.root / "w.safetensors")
    assert "amp" not in metadata  # trained on a CPU

    def prob(amp):
        path = str(trained.root / "amp.safetensors")
        weights.save(path, tensors, {**metadata, "amp": amp})
        return store.read(call(trained, "amp.h5", weights=path), "prob").astype(int)

    plain = store.read(call(trained), "prob")
    np.testing.assert_array_equal(prob(True), plain)  # of a GPU's training, on a CPU
    halved = prob("everywhere")
    assert 0 < np.abs(halved - plain).max() < 20
