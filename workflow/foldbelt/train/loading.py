"""Batches as an epoch asks for them, made in this process or in others."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from foldbelt.train.data import Batch, Item, Samples


class Plan:
    """The batches of one epoch, set anew for each: torch's batch sampler."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []

    def set(self, batches: Sequence[np.ndarray], epoch: int, done: int = 0) -> None:
        """Lay down batches of rows.

        Parameters
        ----------
        batches
            All of the epoch's, from its beginning: how often a row has come counts.
        epoch
            From 0.
        done
            So many of the batches are not asked for again.
        """
        counts: Counter[int] = Counter()
        self.batches = []
        for batch in batches:
            items: list[Item] = []
            for row in map(int, batch):
                items.append((epoch, row, counts[row]))
                counts[row] += 1
            self.batches.append(items)
        del self.batches[:done]

    def __iter__(self) -> Iterator[list[Item]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def loader(samples: Samples, plan: Plan, device: torch.device, workers: int) -> DataLoader[Batch]:
    """Make a loader of batches.

    Parameters
    ----------
    samples, plan
        What to load, and in which batches.
    device
        Where they go: for a GPU, they are put into pinned memory.
    workers
        Processes that prepare batches; 0 prepares them between the steps.

    Returns
    -------
    DataLoader
        It leaves torch's global random state alone.
    """
    return DataLoader(
        samples,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_same,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # else every epoch would draw from the global one
        worker_init_fn=_worker if workers else None,
    )


def _same(batch: Any) -> Batch:
    return batch


def _worker(number: int) -> None:
    """Let the trainer alone decide what a signal means; die of its SIGTERM only.

    A scheduler signals the whole process group, and the trainer still needs its workers to finish
    the step and save its state.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    trainer = os.getppid()

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    torch.set_num_threads(1)
