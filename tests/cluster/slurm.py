"""A SLURM cluster of one node with two simulated GPUs, for the time of a test.

Needs Debian's slurmctld, slurmd, slurm-client and munge, and root, with which slurmd starts jobs.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "sinfo")

CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={next_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MinJobAge=300
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Say what a one-node cluster lacks here; empty if nothing."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"needs {', '.join(absent)} (Debian: slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "needs root, which slurmd starts jobs with"


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster that keeps its files in `folder`, and stop it afterwards.

    Yields
    ------
    dict
        Environment variables for commands that are to use the cluster.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host = socket.gethostname().split(".")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 512
    conf = folder / "slurm.conf"
    cpus = os.cpu_count()
    conf.write_text(
        CONF.format(
            host=host, port=port, next_port=port + 1, folder=folder, cpus=cpus, memory=memory
        )
    )
    # With a count alone the node stays INVALID: it wants device files.
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/tty[0-1]\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    # Snakemake clears SLURM's variables for its jobs, so the commands themselves must know.
    commands = folder / "bin"
    commands.mkdir()
    for name in ("sbatch", "srun", "squeue", "scontrol", "sinfo", "scancel", "sacct"):
        wrapper = commands / name
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which(name)} "$@"\n')
        wrapper.chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"SLURM_CONF": str(conf), "PATH": path}
    folder.chmod(0o755)
    daemons = [
        [
            *("munged", "--foreground", "--force"),
            *(f"--key-file={key}", f"--socket={folder}/munge.socket"),
            *(f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log"),
            f"--seed-file={folder}/munge.seed",
        ],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf), "-N", host],
    ]
    with contextlib.ExitStack() as stack:
        for command in daemons:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            time.sleep(1)
        _wait_for_idle(environment, folder)
        yield environment


def _wait_for_idle(environment: dict[str, str], folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    state = ""
    while time.monotonic() < end:
        done = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True
        )
        state = (done.stdout + done.stderr).strip()
        if state == "idle":
            return
        time.sleep(1)
    logs = [path.read_text()[-2000:] for path in folder.glob("*.log")]
    raise RuntimeError(f"the node is {state!r}, not idle:\n" + "\n".join(logs))
