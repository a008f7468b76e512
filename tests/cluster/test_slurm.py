"""The workflow on a SLURM cluster: every job by SLURM, one GPU each, the same bytes."""

import re
import subprocess
import threading
from pathlib import Path

import pytest
import slurm
from running import ROOT, TINY, Run

pytestmark = pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())

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


def test_every_job_by_slurm_with_a_device_of_its_own_and_the_same_bytes(tmp_path: Path) -> None:
    models = {"small": TINY["models"]["small"]}
    config = {**TINY, "memory_gib": 1, "models": models, "pseudo": {"rounds": 0}}
    local = Run(tmp_path / "local", config)
    local.snakemake()
    remote = Run(tmp_path / "remote", config)
    with slurm.cluster(tmp_path / "slurm") as environment:
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
