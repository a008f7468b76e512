"""What a training job is given is taken from a rule's inputs and from the config."""

import pytest
from snakemake.iocontainers import InputFiles

from foldbelt.train import Inputs, Machine

NEEDED = {"channels": "c.h5", "data": "d.h5", "folds": "f.csv"}


def test_inputs_of_a_rule_are_taken_by_name_and_empty_ones_are_no_files():
    given = InputFiles(fromdict={"pretrained": "e", "start": [], **NEEDED, "pseudo": "p.h5"})
    assert Inputs.of(dict(given.items())) == Inputs("c.h5", "d.h5", "f.csv", pseudo="p.h5")


def test_what_decides_a_result_is_what_is_in_the_files(tmp_path):
    for name in ("c.h5", "d.h5", "f.csv", "w.pt"):
        (tmp_path / name).write_text(name)
    files = {name: str(tmp_path / file) for name, file in NEEDED.items()}
    started = Inputs(**files, checkpoint=str(tmp_path / "w.pt"), strict=True)
    assert set(started.digests()) == {*NEEDED, "checkpoint"}
    assert set(Inputs(**files).digests()) == set(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
def test_an_input_that_every_job_needs_is_not_left_out(name):
    with pytest.raises(TypeError, match=name):
        Inputs.of({**NEEDED, name: []})


@pytest.mark.parametrize(("mode", "device"), [("auto", None), ("cpu", None), ("gpu", "cuda")])
def test_only_a_demanded_gpu_is_asked_for_by_name(mode, device):
    config = {"device": mode, "memory_gib": 3.5, "loader_workers": 2, "cpu_threads": 8}
    assert Machine.of(config, cpu_threads=2) == Machine(2, 3.5, device, 2)
