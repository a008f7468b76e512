"""One GPU a job: a lease by file lock, held for the life of the process.

Snakemake counts GPUs but assigns none, so two local jobs would both take device 0. A job therefore
locks one physical device before torch is imported and shows CUDA only that one. The kernel drops
a lock when its holder dies, however it dies, so there is nothing to clean up.

The lock files lie in one world-readable, sticky folder, not in a folder per user, since two users
of one machine must not meet on a device either. ``FOLDBELT_GPU_LOCKS`` names another folder,
``FOLDBELT_GPUS`` (``0,1``) replaces what ``nvidia-smi`` says.

Standard library only, because of what it has to run before.
"""

import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from foldbelt.files import InputError

_FOLDER = "/tmp/foldbelt-gpus"  # not TMPDIR, which differs between jobs and users
# Each sets its variable in every job. Without one, CUDA_VISIBLE_DEVICES was set by hand for the
# whole workflow, and its jobs must still not share the device.
_SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "OAR_JOB_ID", "FLUX_JOB_ID")
_POLL = 1.0  # seconds between two looks at the devices
_REMIND = 300.0  # seconds between two messages while waiting

Log = Callable[[str], None]


@dataclass
class Lease:
    """What a job may compute on. A context manager; the lock lasts until `close` or exit.

    Attributes
    ----------
    device
        ``"cuda"`` or ``"cpu"``.
    name
        The GPU as CUDA_VISIBLE_DEVICES names it; empty on the CPU.
    """

    device: str
    name: str = ""
    _descriptor: int | None = None

    def close(self) -> None:
        """Give the device back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def lease(mode: str, gpus_allowed: int, log: Log = print) -> Lease:
    """Take one GPU for this process, waiting for it if need be; or settle for the CPU, and say so.

    Sets CUDA_VISIBLE_DEVICES and CUBLAS_WORKSPACE_CONFIG (without which CUDA is not
    deterministic). Devices that a scheduler or the user has set in CUDA_VISIBLE_DEVICES are
    respected: a single one that a scheduler gave is left alone, of others one is leased.

    Parameters
    ----------
    mode
        ``"auto"``: a GPU, or the CPU where the machine has none; ``"gpu"``; ``"cpu"``.
    gpus_allowed
        How many GPUs the workflow engine granted this job; 0 means the CPU.
    log
        Takes the messages.

    Returns
    -------
    Lease
        Keep it as long as the device is in use.

    Raises
    ------
    InputError
        If `mode` is unknown, or is ``"gpu"`` and there is none or none was granted.
    """
    if mode not in ("auto", "gpu", "cpu"):
        raise InputError(f"device: {mode!r} is none of auto, gpu and cpu.")
    _refuse_late()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    reason = ""
    if mode == "cpu":
        reason = "the config asks for it"
    elif gpus_allowed <= 0:
        reason = "no GPU was granted to this job (--resources gpu=0)"
    else:
        candidates = _visible()
        if candidates is None:
            value = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            log(f"Device: GPU {value}, which the scheduler has allotted.")
            return Lease("cuda", value)
        if candidates:
            return _wait(candidates, log)
        reason = "this machine shows no GPU"
    if mode == "gpu":
        raise InputError(
            f"device: gpu is demanded, but {reason}. Grant one (--resources gpu=1), "
            "or set device: auto to let jobs fall back to the CPU."
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    log(f"Device: CPU, because {reason}.")
    return Lease("cpu")


def _refuse_late() -> None:
    """Stop if CUDA has been started: it would go on using the devices it has seen."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise RuntimeError("A GPU must be leased before torch has touched CUDA.")


def _visible() -> list[tuple[str, str]] | None:
    """List the devices to choose from as (value for CUDA, name of the lock).

    None stands for a scheduler's allotment of one device, to leave alone. A list of several in
    CUDA_VISIBLE_DEVICES is not: a whole workflow inside one allocation of two GPUs shows each of
    its jobs both.
    """
    physical = _physical()
    allotted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allotted is None:
        return None if os.environ.get("SLURM_JOB_GPUS") else physical
    values = [value.strip() for value in allotted.split(",") if value.strip()]
    if not values or values[0] == "-1":
        return []
    if len(values) == 1 and any(name in os.environ for name in _SCHEDULERS):
        return None
    # Inside a container of the scheduler, index 0 is another device in every job: lock the UUID.
    uuids = {str(index): uuid for index, (uuid, _) in enumerate(physical)}
    job = os.environ.get("SLURM_JOB_ID", "")
    return [(value, uuids.get(value, f"{job}{value}")) for value in values]


def _physical() -> list[tuple[str, str]]:
    """List all GPUs of the machine; empty where there is no driver."""
    given = os.environ.get("FOLDBELT_GPUS")
    if given is not None:
        return [(name.strip(), name.strip()) for name in given.split(",") if name.strip()]
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid,index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(",") for line in answer.splitlines() if "," in line]
    rows.sort(key=lambda row: int(row[1]))
    return [(row[0].strip(), row[0].strip()) for row in rows]


def _wait(candidates: list[tuple[str, str]], log: Log) -> Lease:
    """Lock the first free device; look again every second until there is one."""
    folder = _folder()
    began = time.monotonic()
    said = -_REMIND
    while True:
        for value, name in candidates:
            descriptor = _try(folder / f"{name.replace('/', '_')}.lock")
            if descriptor is not None:
                os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order of nvidia-smi
                os.environ["CUDA_VISIBLE_DEVICES"] = value
                log(f"Device: GPU {value}.")
                return Lease("cuda", value, descriptor)
        waited = time.monotonic() - began
        if waited - said >= _REMIND:
            names = ", ".join(value for value, _ in candidates)
            log(f"Waiting for a free GPU ({waited:.0f} s so far): {names} in use ({folder}).")
            said = waited
        time.sleep(_POLL)


def _folder() -> Path:
    """Make the folder of the locks, open to all users but a trap for none."""
    folder = Path(os.environ.get("FOLDBELT_GPU_LOCKS") or _FOLDER)
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o1777)  # mkdir's mode is cut by the umask
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise InputError(f"{folder} is no folder. Remove it, or set FOLDBELT_GPU_LOCKS to one.")
    return folder


def _try(path: Path) -> int | None:
    """Lock a file without waiting: its descriptor, or None if another process holds it."""
    # An existing file is opened without O_CREAT: in a sticky folder the kernel refuses O_CREAT on
    # other users' files. Reading rights are enough for a lock.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        try:
            descriptor = os.open(path, flags)
            break
        except FileNotFoundError:
            with suppress(FileExistsError):
                made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
                os.fchmod(made, 0o644)
                os.close(made)
        except OSError as error:
            raise InputError(
                f"{path} cannot be opened ({error.strerror}). "
                "Remove it, or set FOLDBELT_GPU_LOCKS to a folder of your own."
            ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
