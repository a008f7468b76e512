"""The state is written beside the training, by time, and what is written is of one moment."""

import errno
import threading
import time

import pytest
import torch
import training
from training import Competition

from foldbelt.files import InputError
from foldbelt.train import saving
from foldbelt.train import state as state_module
from foldbelt.train.loop import Trainer
from foldbelt.train.saving import Saver, copied
from foldbelt.train.state import State

CPU = torch.device("cpu")


class Held(State):
    """A state whose writing waits until it is let go."""

    def __init__(self, folder):
        self.lines = []
        super().__init__(folder, self.lines.append)
        self.go, self.began = threading.Event(), threading.Event()

    def save(self, state):
        self.began.set()
        assert self.go.wait(20)
        super().save(state)


@pytest.fixture
def held(tmp_path):
    return Held(tmp_path)


@pytest.fixture
def always(monkeypatch):
    """No pause between two states."""
    monkeypatch.setattr(saving, "INTERVAL", 0.0)
    monkeypatch.setattr(saving, "SHARE", float("inf"))


def test_what_training_changes_later_is_not_in_the_state(held):
    layer = torch.nn.BatchNorm2d(3)
    rows, moments = [[1, 0.5]], [torch.zeros(2), torch.ones(2)]
    with Saver(held, CPU) as saver:
        saver.save({"model": layer.state_dict(), "rows": rows, "each": {1: tuple(moments)}})
        assert held.began.wait(20)
        with torch.no_grad():
            layer.weight.fill_(7)
            moments[0].fill_(7)
        rows.append([2, 0.25])
        held.go.set()
    read = held.load()
    assert read["model"]["weight"].tolist() == [1, 1, 1]
    assert read["rows"] == [[1, 0.5]]
    assert read["each"][1][0].tolist() == [0, 0]
    assert copied(layer.state_dict())._metadata == layer.state_dict()._metadata


def test_none_is_due_while_one_is_written(held, always):
    with Saver(held, CPU) as saver:
        assert saver.due()
        saver.save({"number": 1})
        assert held.began.wait(20)
        assert not saver.due()
        held.go.set()
        saver.wait()
        assert saver.due()
        assert held.load()["number"] == 1
        saver.save({"number": 2})
        saver.save({"number": 3})  # waits for the one before
    assert held.load()["number"] == 3


def test_states_are_written_by_time_and_take_a_small_share_of_it(held, monkeypatch):
    held.go.set()
    clock = [0.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: clock[0])
    real = State.save
    monkeypatch.setattr(State, "save", lambda self, state: (real(self, state), tick(clock, 2.0)))
    with Saver(held, CPU) as saver:
        dues = []
        for seconds in (0, 29, 1):
            tick(clock, seconds)
            dues.append(saver.due())
        assert dues == [False, False, True]
        saver.save({})
        saver.wait()  # it took two seconds: the next comes after 200
        for seconds in (199, 1):
            tick(clock, seconds)
            dues.append(saver.due())
        assert dues[3:] == [False, True]


def tick(clock, seconds):
    clock[0] += seconds


def full(content, path):
    """Fail as on a full disk, in the middle of the file."""
    path.write_bytes(b"half of it")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_of_the_thread_is_raised_and_the_state_before_stays(tmp_path, always, monkeypatch):
    state = State(tmp_path, print)
    saver = Saver(state, CPU)
    saver.save({"number": 1})
    saver.wait()
    monkeypatch.setattr(state_module.torch, "save", full)
    saver.save({"number": 2})
    with pytest.raises(InputError, match=r"state\.pt.*No space left"):
        any(saver.due() or time.sleep(0.01) for _ in range(2000))  # as a training asks
    assert state.load()["number"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
    with pytest.raises(InputError, match="No space left"), saver:
        saver.save({"number": 3})  # at the end at the latest


def test_a_training_on_a_full_disk_ends_in_that_error(tmp_path, always, monkeypatch):
    tiny = Competition(tmp_path)
    monkeypatch.setattr(state_module.torch, "save", full)
    with pytest.raises(InputError, match=r"state\.pt.*No space left"):
        training.run(**tiny.arguments())
    assert not (tmp_path / "w.safetensors").exists()


def stopped(saver):
    with saver:
        saver.save({"number": 1})
        raise KeyboardInterrupt


def test_a_training_ends_when_its_state_is_written(held):
    threading.Timer(0.2, held.go.set).start()
    with pytest.raises(KeyboardInterrupt):
        stopped(Saver(held, CPU))
    assert held.load()["number"] == 1


def test_a_short_training_writes_no_state(tmp_path, monkeypatch):
    monkeypatch.setattr(State, "save", lambda *given: pytest.fail("nobody asked for it"))
    training.run(**Competition(tmp_path).arguments())
    assert (tmp_path / "w.safetensors").exists()


def test_a_state_by_time_is_of_any_step(tmp_path, monkeypatch):
    tiny = Competition(tmp_path)
    training.run(**tiny.arguments("a", ema=0.9))
    monkeypatch.setattr(Saver, "due", lambda self: True)
    real, steps = Trainer._step, []

    def step(self):
        steps.append(None)
        if len(steps) == 6:  # the third of the second epoch
            raise KeyboardInterrupt
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step)
        with pytest.raises(KeyboardInterrupt):
            training.run(**tiny.arguments("b", ema=0.9))
    lines = []
    training.run(log=lines.append, **tiny.arguments("b", ema=0.9))
    assert "Resuming after epoch 1, step 2." in lines
    for end in ("safetensors", "csv"):
        assert (tmp_path / f"a.{end}").read_bytes() == (tmp_path / f"b.{end}").read_bytes()
