"""Snakemake itself is killed: the way back that the README tells."""

import copy
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from running import ROOT, TINY, Run

WEIGHTS = "results/tiny/models/plain/round0/fold0/bce.safetensors"


def recipe() -> dict:
    """Make a recipe of one model that trains for some seconds."""
    config = copy.deepcopy(TINY)
    config["models"] = {"plain": config["models"]["plain"]}
    config["stages"] = {"bce": {**config["stages"]["bce"], "epochs": 60, "validate_every": 60}}
    config["pseudo"] = {"rounds": 0}
    return config


def eager(folder: Path) -> Path:
    """Give a copy of the workflow whose trainings write their state again and again."""
    for part in ("workflow", "profiles", "envs", "config"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Snakefile", folder)
    saving = folder / "workflow" / "foldbelt" / "train" / "saving.py"
    text = saving.read_text()
    for name, value in (("INTERVAL", "30.0"), ("LONGEST", "300.0")):
        assert f"\n{name} = {value}\n" in text
        text = text.replace(f"\n{name} = {value}\n", f"\n{name} = 0.0\n")
    saving.write_text(text)
    return folder


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_after_killing_snakemake_unlock_and_the_same_command_go_on(tmp_path: Path) -> None:
    checkout = eager(tmp_path / "checkout")
    whole = Run(tmp_path / "whole", recipe(), checkout)
    whole.snakemake("--", WEIGHTS)
    run = Run(tmp_path / "killed", recipe(), checkout)
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


def test_of_the_attempts_after_an_error_none_trains(tmp_path: Path) -> None:
    config = recipe()
    config["stages"]["bce"]["optimizer"] = {"name": "sgd", "lr": 1e30}
    run = Run(tmp_path / "failing", {**config, "retries": 2})
    log = run.results / "logs" / "train_stage" / "plain" / "round0" / "fold0" / "bce.log"
    output = run.snakemake("--", WEIGHTS, check=False)
    assert output.count("Trying to restart job") == 2, output[-3000:]
    assert "the attempt before failed" in log.read_text()
    assert "the training loss became" in log.read_text(), "the message is told again"
    assert "million parameters" not in log.read_text(), "the last attempt did not train"
    run.configure({**config, "retries": 0})
    run.snakemake("--", WEIGHTS, check=False)
    assert "million parameters" in log.read_text(), "it does when it is asked anew"
