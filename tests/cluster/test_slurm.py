"""The workflow on a SLURM cluster: every job by SLURM, one GPU each, the same bytes."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import slurm
from running import ROOT, TINY, Run

pytestmark = pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())

WEIGHTS = "results/tiny/models/small/round0/fold0/long.safetensors"
EPOCHS = 2000  # a minute or more on one core; stopped within half a minute
# This node has two cores.
SMALL = {"memory_gib": 1, "loader_workers": 0}
PROFILE = ["--workflow-profile", str(ROOT / "profiles" / "slurm")]
# This cluster keeps no accounts, and its file system is the machine's own.
PROFILE += ["--slurm-no-account", "--slurm-status-command", "squeue", "--latency-wait", "5"]
PROFILE += [
    "--slurm-init-seconds-before-status-checks",
    "2",
    "--seconds-between-status-checks",
    "1",
]

GENERIC = ["--workflow-profile", str(ROOT / "profiles" / "generic"), "--latency-wait", "5"]
GENERIC += [
    "--cluster-generic-status-cmd",
    str(ROOT / "profiles" / "generic" / "slurm-status.sh"),
]


class Watch(threading.Thread):
    """Ask SLURM again and again which job holds which device."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.environment = environment
        self.done = threading.Event()
        self.samples: list[dict[str, tuple[str, str]]] = []  # job: (its comment, devices)

    def run(self) -> None:
        while not self.done.wait(0.3):
            answer = subprocess.run(
                ["scontrol", "show", "job", "-d"],
                env=self.environment,
                capture_output=True,
                text=True,
            ).stdout
            sample = {}
            for block in answer.split("\n\n"):
                if "JobState=RUNNING" not in block:
                    continue
                job = re.search(r"JobId=(\d+)", block)
                device = re.search(r"GRES=gpu:\d+\(IDX:([\d,-]+)\)", block)
                comment = re.search(r"Comment=(\S+)", block)
                if job:
                    sample[job[1]] = (comment[1] if comment else "", device[1] if device else "")
            self.samples.append(sample)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give the environment of a cluster that all tests share."""
    with slurm.cluster(tmp_path_factory.mktemp("slurm") / "cluster") as variables:
        yield variables


def test_every_job_by_slurm_with_a_device_of_its_own_and_the_same_bytes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    models = {"small": TINY["models"]["small"]}
    config = {**TINY, **SMALL, "models": models, "pseudo": {"rounds": 0}}
    local = Run(tmp_path / "local", config)
    local.snakemake()
    remote = Run(tmp_path / "remote", config)
    watch = Watch(environment)
    watch.start()
    output = remote.snakemake(*PROFILE, environment=environment)
    watch.done.set()
    submitted = re.findall(r"Job \d+ has been submitted with SLURM jobid (\d+)", output)
    trained = [name for name in local.digests() if name.endswith(".safetensors")]
    assert len(submitted) > 2 * len(trained)
    held: dict[str, set[str]] = {}  # the devices of each training job
    for sample in watch.samples:
        devices = [device for _, device in sample.values() if device]
        assert len(devices) == len(set(devices)), f"two jobs on one device: {sample}"
        for job, (comment, device) in sample.items():
            if "train" in comment and device:  # a job that is starting or ending shows none
                held.setdefault(job, set()).add(device)
    assert len(held) >= len(trained) // 2, "the watch saw too few training jobs to say anything"
    assert all(some in ({"0"}, {"1"}) for some in held.values()), f"not one device each: {held}"
    assert local.digests() == remote.digests()


LOG = "results/tiny/logs/train_stage/small/round0/fold0/long.log"


def long_config(**stage: Any) -> dict[str, Any]:
    """Give a recipe of one training that takes a minute or more, with a loader's core."""
    stage = {"loss": {"bce": 1}, "epochs": EPOCHS, "batch_size": 4, "validate_every": 50, **stage}
    model = {"stages": ["long"], "architecture": TINY["models"]["small"]["architecture"]}
    config = {**TINY, **SMALL, "stages": {"long": stage}, "models": {"small": model}}
    return {**config, "loader_workers": 1, "pseudo": {"rounds": 0}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a run in which all is ready for training; tests copy it."""
    run = Run(tmp_path_factory.mktemp("prepared"), long_config())
    run.snakemake("--", "channels", "folds")
    return run


def interrupt(
    run: Run, environment: dict[str, str], times: int, how: Callable[[str], list[str]]
) -> list[str]:
    """Each time a training has begun, or gone on, do something to its job; give the jobs' numbers.

    Whatever the machine's speed, it is hit in the middle.
    """
    hit: list[str] = []
    for number in range(times):
        end = time.monotonic() + 300  # a requeued job waits two minutes
        while (job := _training(run, environment)) == "":
            assert time.monotonic() < end, f"no training goes on after {number} interruptions"
            time.sleep(0.5)
        subprocess.run(["scontrol", *how(job)], env=environment, check=True)
        hit.append(job)
        while _training(run, environment):  # slurmctld looks every half minute
            assert time.monotonic() < end, f"job {job} is not stopped"
            time.sleep(0.5)
    return hit


def _training(run: Run, environment: dict[str, str]) -> str:
    """Give the running job that has trained an epoch; empty if there is none."""
    command = ["squeue", "-h", "-t", "RUNNING", "-o", "%i %S"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    log = run.folder / LOG
    if not listed.stdout.strip() or not log.exists():
        return ""
    job, start = listed.stdout.split()
    begun = log.stat().st_mtime > datetime.fromisoformat(start).timestamp()
    return job if begun and "\nepoch " in log.read_text() else ""


def train(
    prepared: Run,
    tmp_path: Path,
    arguments: list[str],
    environment: dict[str, str],
    times: int,
    how: Callable[[str], list[str]],
) -> tuple[list[str], str]:
    """Train on the cluster, interrupted, and without it in peace; both give the same bytes.

    Returns
    -------
    tuple
        The jobs' numbers, and the training's log.
    """
    local, remote = prepared.copy(tmp_path / "local"), prepared.copy(tmp_path / "remote")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(local.snakemake, "--", WEIGHTS, cores=1)
        jobs = pool.submit(interrupt, remote, environment, times, how)
        remote.snakemake(*arguments, "--", WEIGHTS, environment=environment)
        waiting.result()
    assert (remote.folder / WEIGHTS).read_bytes() == (local.folder / WEIGHTS).read_bytes()
    return jobs.result(), (remote.folder / LOG).read_text()


def described(job: str, environment: dict[str, str]) -> str:
    command = ["scontrol", "show", "job", job]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def reach_time_limit(job: str) -> list[str]:
    return ["update", f"JobId={job}", "EndTime=now"]


def requeue(job: str) -> list[str]:
    return ["requeue", job]


LONG = pytest.mark.skipif("CLUSTER_LONG" not in os.environ, reason="make cluster-long runs it")


@pytest.mark.parametrize(
    ("profile", "times"),
    [
        pytest.param(PROFILE, 1, id="once"),
        pytest.param(PROFILE, 3, id="three times", marks=LONG),
        pytest.param(GENERIC, 3, id="three times, any scheduler", marks=LONG),
    ],
)
def test_a_training_stopped_by_its_time_limit_goes_on_and_ends_in_the_same_bytes(
    prepared: Run, tmp_path: Path, environment: dict[str, str], profile: list[str], times: int
) -> None:
    jobs, log = train(prepared, tmp_path, profile, environment, times, reach_time_limit)
    assert len(set(jobs)) == times
    for job in jobs:
        told = described(job, environment)
        assert "JobState=TIMEOUT" in told, told
        assert "NumCPUs=2" in told, f"one to compute, one to load: {told}"
    assert "Resuming after epoch" in log


@LONG
def test_preempted_and_requeued_three_times_it_ends_in_the_same_bytes(
    prepared: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    arguments = [*PROFILE, "--slurm-requeue"]
    jobs, log = train(prepared, tmp_path, arguments, environment, 3, requeue)
    assert len(set(jobs)) == 1, "one job, queued again"
    assert "Resuming after epoch" in log


@LONG
def test_a_training_that_fails_by_an_error_is_not_repeated(
    prepared: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    run = prepared.copy(tmp_path / "run")
    run.configure(long_config(epochs=2, optimizer={"name": "sgd", "lr": 1e30}))
    output = run.snakemake(
        *PROFILE, "--config", "retries=1", "--", WEIGHTS, environment=environment, check=False
    )
    assert output.count("has been submitted with SLURM jobid") == 2, output[-3000:]
    log = (run.folder / LOG).read_text()
    assert "the attempt before failed" in log
    assert "epoch 1, learning rate" in log, "its message is told again"
    assert "million parameters" not in log, "nothing was trained"


def test_any_scheduler_with_a_submit_command_will_do(
    prepared: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    run = prepared.copy(tmp_path / "run")
    run.configure(long_config(epochs=1))
    output = run.snakemake(*GENERIC, "--", WEIGHTS, environment=environment)
    assert (run.folder / WEIGHTS).is_file()
    submitted = re.findall(r"external jobid '(\d+)'", output)
    assert len(submitted) == 1, output[-3000:]
    told = described(submitted[0], environment)
    assert "NumCPUs=2" in told, told
    assert "gpu" in told, told
