"""Resuming: what a trainer has reached, in a folder keyed by everything that decides the result.

The folder is undeclared, so the workflow engine's clean-up of failed outputs leaves it alone. It
is locked while a trainer lives, the file is whole or not there, holds nothing but tensors and plain
values (``torch.load(weights_only=True)``), and goes when the job is done.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from foldbelt.files import TEMPORARY, InputError, PathLike, atomic, write_text

VERSION = 5  # of the layout of the state; another one starts over
FAILED = "failed.txt"
_REMIND = 300.0
_NO_MEMORY = ("DataLoader worker (pid", "can't allocate memory", "out of memory")

Log = Callable[[str], None]


def key_of(params: Mapping[str, Any]) -> str:
    """Digest what decides a job's result: its code, parameters and the contents of its inputs."""
    text = json.dumps(params, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class State:
    """The locked folder of one job. Get it from `locked`."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.path = folder / "state.pt"
        self.log = log

    def load(self) -> dict[str, Any] | None:
        """Read the state, or None where there is none or it cannot be read (which is said).

        Tensors stay on the CPU: modules and optimisers take them to where each belongs.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["version"] != VERSION:
                raise ValueError(f"version {state['version']}, not {VERSION}")
        except Exception as error:  # whatever a spoilt file makes torch raise
            reason = str(error).strip().split("\n")[0]
            self.log(f"Starting over: {self.path} cannot be used ({reason}).")
            return None
        return dict(state)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state, whole or not at all."""
        with atomic(self.path) as temporary:
            torch.save({"version": VERSION, **state}, temporary)


@contextmanager
def locked(root: PathLike, key: str, log: Log, attempt: int = 1) -> Iterator[State]:
    """Lock the state of one job, waiting for another trainer of the same one; remove it on success.

    Parameters
    ----------
    root
        Where all states lie.
    key
        From `key_of`.
    log
        Takes the messages.
    attempt
        Which attempt at the job this is, from 1. An error that is neither a signal nor a lack of
        memory is noted, so that further attempts fail at once.

    Yields
    ------
    State

    Raises
    ------
    InputError
        If the attempt before failed by such an error; with its message.
    """
    folder = Path(root) / key
    descriptor = _lock(folder, log)
    try:
        for half in folder.glob(f"{TEMPORARY}*"):  # of a trainer that was killed while it wrote
            half.unlink()
        _refuse_to_fail_again(folder / FAILED, attempt)
        try:
            yield State(folder, log)
        except Exception as error:  # signals end in SystemExit, which is none
            if not _lacks_memory(error):
                with suppress(OSError):  # a full disk has no room for the mark either
                    write_text(folder / FAILED, f"{type(error).__name__}: {error}")
            raise
        shutil.rmtree(folder)  # only on success
    finally:
        os.close(descriptor)


def _lacks_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or what it arose from, is a lack of memory: more may cure it."""
    while error is not None:
        text = str(error)
        if (
            isinstance(error, MemoryError | torch.OutOfMemoryError)
            or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
            # Torch has no kind of error for these: a loader's process that was killed or found no
            # shared memory (an error that it raised reads otherwise), and the CPU's allocator.
            or (isinstance(error, RuntimeError) and any(sign in text for sign in _NO_MEMORY))
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _refuse_to_fail_again(mark: Path, attempt: int) -> None:
    """Raise InputError where the attempt before failed by an error that this one would repeat."""
    if not mark.exists():
        return
    if attempt == 1:  # somebody asks anew, and may have corrected what was wrong
        mark.unlink()
        return
    raise InputError(
        f"the attempt before failed, and trying again would not help:\n{mark.read_text('utf-8')}"
    )


def _lock(folder: Path, log: Log) -> int:
    """Lock ``folder/lock``, making both."""
    path = folder / "lock"
    began = time.monotonic()
    said = -_REMIND
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # its holder finished and removed the folder just now
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            waited = time.monotonic() - began
            if waited - said >= _REMIND:
                log(f"Waiting for another trainer of the same job, {waited:.0f} s so far ({path}).")
                said = waited
            time.sleep(0.5)
            continue
        # The holder before may have removed the file we hold open: then it locks nothing.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


class Interrupted(SystemExit):
    """A signal asked the trainer to stop; the state has been saved. Exit status 128 + signal."""


class Signals:
    """Note SIGTERM and SIGINT instead of dying of them, so that the step at hand can be finished.

    A second SIGINT acts at once: somebody is waiting. Further SIGTERMs do not: schedulers send
    several (to the job, to its step, on behalf of both), and kill what takes too long. Outside the
    main thread nothing is caught.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        with suppress(ValueError):  # not the main thread
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught = number
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
