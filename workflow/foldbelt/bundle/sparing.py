"""torch's settings of the whole process, left to whoever calls as they were.

A bundle computes as its run did (`foldbelt.runtime.prepare`): so many threads, deterministic. A
notebook or a service has settings of its own.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

MOST_THREADS = 4096
"""Beyond, a number is a slip: torch would start as many."""

_lock = threading.Lock()
_inside = 0
_before: dict[str, Any] = {}
_left_early = threading.local()  # what a thread had that left while others computed


@contextmanager
def spared() -> Iterator[None]:
    """Put back at the end what `foldbelt.runtime.prepare` sets.

    Where several threads compute, the last of them does so: the others' sums depend on it.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = _settings() | vars(_left_early)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside:
                _left_early.threads = _before["threads"]
            else:
                vars(_left_early).clear()
                _restore(_before)


def _settings() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "debug": torch.get_deterministic_debug_mode(),
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.backends.cudnn.deterministic,
        "fill": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    }


def _restore(given: dict[str, Any]) -> None:
    torch.set_num_threads(given["threads"])
    torch.set_deterministic_debug_mode(given["debug"])
    torch.backends.cudnn.benchmark = given["benchmark"]
    torch.backends.cudnn.deterministic = given["deterministic"]
    torch.utils.deterministic.fill_uninitialized_memory = given["fill"]  # type: ignore[attr-defined]
