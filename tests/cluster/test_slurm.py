"""The workflow on a SLURM cluster: every job by SLURM, one GPU each, the same bytes."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import slurm
from running import ROOT, TINY, Run

pytestmark = pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())

WEIGHTS = "results/tiny/models/small/round0/fold0/long.safetensors"
EPOCHS = 1000  # two minutes on one core, more or less
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


def long_run(folder: Path) -> Run:
    """Give a run whose one training takes longer than a minute."""
    stage = {"loss": {"bce": 1}, "epochs": EPOCHS, "batch_size": 4, "validate_every": 50}
    model = {"stages": ["long"], "architecture": TINY["models"]["small"]["architecture"]}
    config = {**TINY, **SMALL, "stages": {"long": stage}, "models": {"small": model}}
    return Run(folder, {**config, "pseudo": {"rounds": 0}})


def train(
    tmp_path: Path,
    arguments: list[str],
    environment: dict[str, str],
    disturb: Callable[[], None] | None = None,
) -> tuple[str, Run, Run]:
    """Train on the cluster, and at the same time without it; give the cluster's output and both."""
    local = long_run(tmp_path / "local")
    local.snakemake("--", "channels", "folds")
    remote = local.copy(tmp_path / "remote")
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(local.snakemake, "--", WEIGHTS, cores=1)]
        waiting += [pool.submit(disturb)] if disturb else []
        output = remote.snakemake(*arguments, "--", WEIGHTS, environment=environment)
        for one in waiting:
            one.result()
    return output, local, remote


def test_a_training_stopped_by_its_time_limit_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    limit = ["--set-resources", "train_stage:runtime=1", "--config", "retries=6"]
    output, local, remote = train(tmp_path, [*PROFILE, *limit], environment)
    assert output.count("has been submitted with SLURM jobid") > 1, output[-3000:]
    log = remote.results / "logs" / "train_stage" / "small" / "round0" / "fold0" / "long.log"
    assert "Resuming after epoch" in log.read_text()
    assert (remote.folder / WEIGHTS).read_bytes() == (local.folder / WEIGHTS).read_bytes()


def test_any_scheduler_with_a_submit_command_will_do(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    run = Run(tmp_path, {**TINY, **SMALL})
    folder = ROOT / "profiles" / "generic"
    profile = ["--workflow-profile", str(folder), "--latency-wait", "5"]
    profile += ["--cluster-generic-status-cmd", str(folder / "slurm-status.sh")]
    output = run.snakemake(*profile, "--", "channels", environment=environment)
    assert (run.results / "channels" / "base" / "test.h5").is_file()
    assert re.search(r"external jobid '\d+'", output), output[-3000:]


@pytest.mark.skipif("CLUSTER_LONG" not in os.environ, reason="make cluster-long runs it")
def test_preempted_and_requeued_three_times_it_ends_in_the_same_bytes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    def preempt() -> None:
        for _ in range(3):
            time.sleep(25)
            jobs = subprocess.run(
                ["squeue", "-h", "-t", "RUNNING", "-o", "%i"],
                env=environment, capture_output=True, text=True, check=True,
            ).stdout.split()  # fmt: skip
            for job in jobs:
                subprocess.run(["scontrol", "requeue", job], env=environment, check=True)

    arguments = [*PROFILE, "--slurm-requeue", "--config", "retries=6"]
    _, local, remote = train(tmp_path, arguments, environment, preempt)
    assert (remote.folder / WEIGHTS).read_bytes() == (local.folder / WEIGHTS).read_bytes()
