"""A trainer that is killed, stopped or doubled ends in the bytes of one left in peace."""

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import training
from training import Competition

from foldbelt.files import TEMPORARY

# Processes of their own, forked from one that has imported torch but never computed.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["foldbelt.train.job"])
SETTINGS = {
    "epochs": 3,
    "ema": 0.9,
    "select": "best",
    "model": {"name": "vanilla", "width": 4, "depth": 2, "label_head": True, "label_dropout": 0.3},
}


def work(arguments, connection, halfway):
    """Train, asking leave before each optimiser step, so that it can be hit in mid-epoch.

    A state is written at every step, each when the one before is whole. That of epoch and step
    `halfway` is never whole: its thread says so and stops there.
    """
    import torch

    from foldbelt.train.loop import Trainer
    from foldbelt.train.saving import Saver

    write = torch.save

    def save(content, path):
        write(content, path)
        if halfway == tuple(content["progress"][key] for key in ("epoch", "step")):
            os.truncate(path, os.path.getsize(path) // 2)
            connection.send("half written")
            time.sleep(600)

    torch.save = save
    Saver.due = lambda self: self.wait() or True
    step = Trainer._step

    def ask(self):
        with suppress(EOFError, OSError):  # nobody there: go on
            connection.send(f"step {self.progress.epoch} {self.progress.step}")
            connection.recv()
        step(self)

    def log(text):
        with suppress(OSError):
            connection.send(text)

    Trainer._step = ask
    training.run(**arguments, log=log)


class Worker:
    """A trainer in a process of its own."""

    def __init__(self, arguments, halfway=None):
        self.connection, other = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=work, args=(arguments, other, halfway))
        self.process.start()
        other.close()

    def until(self, text):
        """Let it step on until it says `text`, where it then waits if that is a step."""
        while True:
            assert self.connection.poll(120), f"nothing heard while waiting for {text!r}"
            said = self.connection.recv()
            if text in said:
                return said
            if said.startswith("step"):
                self.connection.send("go")

    def hit(self, number):
        os.kill(self.process.pid, number)

    def end(self):
        """Let it go on alone; give its exit status."""
        self.connection.close()
        self.process.join(120)
        return self.process.exitcode


@pytest.fixture
def tiny(tmp_path):
    return Competition(tmp_path)


@pytest.fixture
def whole(tiny):
    arguments = tiny.arguments("whole", **SETTINGS)
    training.run(**arguments, log=lambda text: None)
    return results(arguments)


def results(arguments):
    return [Path(arguments[name]).read_bytes() for name in ("weights", "history")]


def resume(arguments):
    lines = []
    training.run(**arguments, log=lines.append)
    return lines


def test_killed_in_mid_epoch_it_resumes_to_the_same_bytes(tiny, whole):
    arguments = tiny.arguments("w", **SETTINGS)
    worker = Worker(arguments)
    worker.until("step 2 1")
    worker.hit(signal.SIGKILL)
    assert worker.end() != 0
    assert not Path(arguments["weights"]).exists()
    assert "Resuming after epoch 2, step" in "".join(resume(arguments))
    assert results(arguments) == whole
    assert not list(Path(arguments["state_root"]).iterdir())


def test_killed_while_it_writes_a_state_it_goes_on_from_the_one_before(tiny, whole):
    arguments = tiny.arguments("w", **SETTINGS)
    worker = Worker(arguments, halfway=(1, 2))
    worker.until("half written")
    worker.hit(signal.SIGKILL)
    assert worker.end() != 0
    (folder,) = Path(arguments["state_root"]).iterdir()
    half = [path for path in folder.iterdir() if path.name.startswith(f"{TEMPORARY}state.pt.")]
    assert len(half) == 1
    assert half[0].stat().st_size < (folder / "state.pt").stat().st_size
    told = []

    def log(text):
        if text.startswith("Resuming"):
            told.append((text, half[0].exists()))

    training.run(**arguments, log=log)
    assert told == [("Resuming after epoch 1, step 1.", False)]
    assert results(arguments) == whole
    assert not list(Path(arguments["state_root"]).iterdir())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_saves_the_step_it_is_at(tiny, whole, number, status):
    arguments = tiny.arguments("w", **SETTINGS)
    worker = Worker(arguments)
    worker.until("step 1 1")
    worker.hit(number)
    worker.connection.send("go")
    assert f"signal {int(number)} in epoch 2 after 2 steps" in worker.until("Stopped")
    assert worker.end() == status
    assert not Path(arguments["weights"]).exists()
    assert "Resuming after epoch 1, step 2." in resume(arguments)
    assert results(arguments) == whole


def test_a_second_trainer_of_the_same_job_waits_for_the_first(tiny, whole):
    arguments = tiny.arguments("w", **SETTINGS)
    first = Worker(arguments)
    first.until("step 0 0")
    second = Worker(arguments)
    second.until("Waiting for another trainer")
    assert first.end() == 0
    first_results = results(arguments)
    second.until("Stage bce")
    assert second.end() == 0
    assert results(arguments) == first_results == whole
