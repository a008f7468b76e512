"""Snakemake itself is killed: the way back that the README tells."""

import copy
import os
import signal
import subprocess
import time
from pathlib import Path

from running import TINY, Run

WEIGHTS = "results/tiny/models/plain/round0/fold0/bce.safetensors"


def recipe() -> dict:
    """Make a recipe of one model that trains for some seconds."""
    config = copy.deepcopy(TINY)
    config["models"] = {"plain": config["models"]["plain"]}
    config["stages"] = {"bce": {**config["stages"]["bce"], "epochs": 60, "validate_every": 60}}
    config["pseudo"] = {"rounds": 0}
    return config


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_after_killing_snakemake_unlock_and_the_same_command_go_on(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole", recipe())
    whole.snakemake("--", WEIGHTS)
    run = Run(tmp_path / "killed", recipe())
    log = run.results / "logs" / "train_stage" / "plain" / "round0" / "fold0" / "bce.log"
    environment = os.environ | {"PYTHONPATH": str(run.checkout / "workflow")}
    # A session of its own, so that the job it leaves behind can be killed with it.
    process = subprocess.Popen(
        run.command("--", WEIGHTS),
        cwd=run.checkout,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: log.exists() and "epoch 3/" in log.read_text())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (run.folder / WEIGHTS).exists()
    locked = run.snakemake("--", WEIGHTS, check=False)
    assert "--unlock" in locked, "Snakemake says what to do"
    run.snakemake("--unlock")
    run.snakemake("--", WEIGHTS)
    assert "Resuming after epoch" in log.read_text()
    assert (run.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()
