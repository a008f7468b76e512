"""Reading, computing and writing at the same time, each block in its turn."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

import torch

WAITING = 2
"""Blocks that are computed, and not yet written, at most; one more is being read or has been."""

Read = TypeVar("Read")
Computed = TypeVar("Computed")


def overlapped(
    blocks: Iterator[Read],
    compute: Callable[[Read], Computed],
    write: Callable[[Computed], None],
) -> None:
    """Read in one thread, compute in this one, and write in another.

    HDF5 is called by one thread at a time: h5py holds a lock of its own, and lets Python go on
    meanwhile.

    Parameters
    ----------
    blocks
        What is read, block by block.
    compute
        Of every block, in their order, what is written.
    write
        Takes what is computed, in their order.

    Raises
    ------
    BaseException
        The first of any of the three; then nothing more is begun.
    """
    threads = torch.get_num_threads()  # a new thread of OpenMP's knows nothing of it
    with ExitStack() as stack:
        reader, writer = (
            ThreadPoolExecutor(1, name, torch.set_num_threads, (threads,))
            for name in ("reader", "writer")
        )
        for pool in (reader, writer):
            stack.callback(pool.shutdown, cancel_futures=True)
        read, written = reader.submit(next, blocks, None), deque[Future[None]]()
        while (block := read.result()) is not None:
            read = reader.submit(next, blocks, None)
            written.append(writer.submit(write, compute(block)))
            if len(written) > WAITING:
                written.popleft().result()
        for future in written:
            future.result()
