"""States written beside the training: copied at a step, then written by a thread.

Serialising and syncing the state of a U-Net on a ResNet34 takes .3 to .9 s, as long as an epoch of
small images takes on a GPU. So it is done by time and not by epochs, and training only waits for
the copy.
"""

import copy
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import torch

from foldbelt.files import InputError
from foldbelt.train.state import State

INTERVAL = 30.0
"""Least seconds between the end of one write and the beginning of the next."""
LONGEST = 300.0
"""Most of them, however slow the disk is."""
SHARE = 0.01
"""Of the time, what writing may take: a write of a second is followed by a pause of 100."""


class Saver:
    """Write the state of a training while it goes on; a context that ends when all is written.

    A state is copied when it is given, so nothing that training changes later is in it. While one
    is being written no other is due: there is one copy at most, and the file that counts is always
    a whole one (`State.save`). The thread's errors are raised in the training.

    Parameters
    ----------
    state
        Where to write.
    device
        Where the tensors are.
    """

    def __init__(self, state: State, device: torch.device) -> None:
        self.state, self.cuda = state, device.type == "cuda"
        # Its thread begins with the first state; Python itself waits for it before it ends.
        self._pool = ThreadPoolExecutor(1, "state")
        self._writing: Future[None] | None = None
        self._ended, self._pause = time.monotonic(), INTERVAL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._pool.shutdown(wait=True)
        try:
            self.wait()
        except InputError as error:
            if kind is None:
                raise
            self.state.log(str(error))  # beside what ended the training

    def due(self) -> bool:
        """Tell whether it is time to write a state.

        Raises
        ------
        InputError
            If the one before could not be written.
        """
        if self._writing is not None:
            if not self._writing.done():
                return False
            self.wait()
        return time.monotonic() - self._ended >= self._pause

    def save(self, state: Mapping[str, Any]) -> None:
        """Copy a state, and let it be written; if one is still being written, wait for it first.

        Parameters
        ----------
        state
            Tensors and plain values in dictionaries, lists and tuples.

        Raises
        ------
        InputError
            If the one before could not be written.
        """
        self.wait()
        began = time.monotonic()
        taken, ready = copied(state), None
        if self.cuda:
            ready = torch.cuda.Event(blocking=True)
            ready.record()
        self._writing = self._pool.submit(self._write, taken, ready, began)

    def wait(self) -> None:
        """Wait until what was given is written.

        Raises
        ------
        InputError
            If it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.result()
        except Exception as error:
            raise InputError(
                f"{self.state.path}: the state to resume from cannot be written "
                f"({type(error).__name__}: {error}). Make room there, or see to its permissions; "
                "the same command goes on from the state before."
            ) from error

    def _write(self, state: Mapping[str, Any], ready: Any, began: float) -> None:
        """Write a state, in the thread."""
        if ready is not None:
            ready.synchronize()  # the copies from the GPU have arrived
        self.state.save(state)
        self._ended = time.monotonic()
        self._pause = min(max(INTERVAL, (self._ended - began) / SHARE), LONGEST)


def copied(value: Any) -> Any:
    """Copy tensors and what holds them to the host's memory.

    Parameters
    ----------
    value
        A tensor, dictionary, list, tuple or plain value.

    Returns
    -------
    Any
        Of the same kind. Tensors of a GPU are on their way to pinned memory: they have arrived when
        the device has done what it was given before.
    """
    if isinstance(value, torch.Tensor):
        if value.device.type != "cuda":
            return value.detach().clone()
        pinned = torch.empty_like(value, device="cpu", pin_memory=True)
        return pinned.copy_(value.detach(), non_blocking=True)
    if isinstance(value, dict):
        out = copy.copy(value)  # with what a state_dict says of its modules' versions
        out.update((key, copied(each)) for key, each in value.items())
        return out
    if isinstance(value, list | tuple):
        return type(value)(copied(each) for each in value)
    return value
