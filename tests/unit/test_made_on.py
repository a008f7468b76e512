"""Weights and predictions say on what they were made; a blend of different ones says so, too."""

import contextlib

import numpy as np
import pandas as pd
import training
from training import Competition

from foldbelt import runtime, store
from foldbelt.store import weights
from foldbelt.store.predictions import made_on, mixed
from foldbelt.train.loop import Trainer

OLD = {"device": "GPU A", "python": "3.11", "torch": "2.9", "timm": "1.0", "cuda": "12.6"}
NEW = {**OLD, "torch": "2.11"}


def test_weights_say_what_trained_them(tmp_path):
    arguments = Competition(tmp_path).arguments("w")
    training.run(**arguments)
    (machine,) = weights.load(arguments["weights"])[1]["made_on"]
    assert set(machine) == set(OLD)
    assert machine["cuda"] is None
    assert all(isinstance(value, str) for key, value in machine.items() if key != "cuda")


def test_a_training_that_went_on_elsewhere_says_both(tmp_path, monkeypatch):
    arguments = Competition(tmp_path).arguments("w")

    class Stopped(Exception):
        pass

    step, here = Trainer._step, runtime.made_on

    def stop(self):
        if self.progress.epoch == 1:
            self.state.save(self._pack())
            raise Stopped
        step(self)

    monkeypatch.setattr(Trainer, "_step", stop)
    monkeypatch.setattr("foldbelt.train.loop.made_on", lambda device: OLD)
    with contextlib.suppress(Stopped):
        training.run(**arguments)
    monkeypatch.setattr(Trainer, "_step", step)
    monkeypatch.setattr("foldbelt.train.loop.made_on", here)
    lines = []
    training.run(**arguments, log=lines.append)
    known = weights.load(arguments["weights"])[1]["made_on"]
    assert known[0] == OLD
    assert len(known) == 2
    assert any("before, it was" in line and "GPU A" in line for line in lines)


def written(path, *machines):
    table = pd.DataFrame({"id": ["a"]})
    attrs = {"made_on": list(machines)} if machines else {}
    store.write(path, {"prob": np.zeros((1, 4, 4), np.uint8)}, table, attrs)
    return path


def test_members_of_different_versions_are_told_apart(tmp_path):
    paths = [
        written(tmp_path / "a.h5", OLD, OLD),
        written(tmp_path / "b.h5", OLD, NEW),
        written(tmp_path / "external.h5"),
    ]
    machines = made_on(paths)
    assert [(machine["torch"], machine["files"]) for machine in machines] == [
        ("2.9", 2),
        ("2.11", 1),
    ]
    assert mixed(machines).startswith("made with different torch (2.9, 2.11)")
    assert mixed(machines[:1]) == ""
    assert mixed([]) == ""
