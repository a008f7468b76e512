"""Measure a function in a process of its own, so that its memory is nobody else's."""

import multiprocessing
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil

_EVERY = 0.1  # seconds between two looks at the memory


@dataclass(frozen=True)
class Took:
    """What a function took, without what its process imported before it.

    Attributes
    ----------
    seconds
        Wall time.
    busy
        CPU seconds, of the process and its children.
    peak
        MiB of all its processes, with what they imported. Pages that they share (libraries, what
        was there before a fork) count in each by halves, thirds …: proportional set sizes.
    """

    seconds: float
    busy: float
    peak: float


def measured(work: Callable[..., Any], **arguments: Any) -> Took:
    """Call a module's function in a new process.

    Parameters
    ----------
    work
        The function; what it imports itself counts, what its module imports does not.
    **arguments
        What it is called with.

    Raises
    ------
    SystemExit
        If it fails.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_timed, args=(there, work, arguments))
    process.start()
    there.close()
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(_EVERY):
            peak = max(peak, _memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        seconds, busy = here.recv()
    except EOFError:
        raise SystemExit(f"{work.__name__} failed") from None
    finally:
        process.join()
        done.set()
        watcher.join()
    return Took(seconds, busy, peak / 2**20)


def _timed(told: Connection, work: Callable[..., Any], arguments: dict[str, Any]) -> None:
    start, busy = time.perf_counter(), _busy()
    work(**arguments)
    told.send((time.perf_counter() - start, _busy() - busy))


def _busy() -> float:
    every = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in every)


def _memory(pid: int | None) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    for one in family:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total
