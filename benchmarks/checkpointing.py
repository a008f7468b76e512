"""What checkpointing saves and costs: memory and time of a step of a large classifier.

    python benchmarks/checkpointing.py [--encoder NAME] [--size N] [--batch N] [--threads N]
                                       [--reduction N] [--limit GIB]

One step (forward, loss of labels and masks, backward, AdamW) with and without, on the CPU and from
random weights, each in a process of its own, whose largest memory is printed. A process that would
need more than the limit is stopped, and said to.
"""

import argparse
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection

import torch
from torch import nn

from foldbelt import models
from foldbelt.config import complete
from foldbelt.config.stage_settings import StageSettings
from foldbelt.train.objective import Objective

GIB = 2**30
LOSS = {"label": {"cross_entropy": 1}, "mask": {"bce": 4}}
LABELS = 4


def step(network: nn.Module, size: int, batch: int) -> float:
    """Take one step on noise; give its loss."""
    settings = StageSettings.of(complete("stage", {"loss": LOSS, "epochs": 1}))
    objective = Objective(settings, 1, "label")
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    images = torch.randn(batch, 1, size, size)
    target = torch.zeros(batch, 1, size, size, dtype=torch.uint8)
    target[:, :, size // 4 : size // 2, size // 4 : size // 2] = 1
    label = torch.eye(LABELS)[torch.arange(batch) % LABELS]
    loss = objective(network(images), target, label)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def measure(given: argparse.Namespace, checkpointing: bool, back: Connection) -> None:
    """Send a step's seconds, those of the processor, the largest memory in GiB and the loss."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    limit = int(given.limit * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    spec = {"name": "classifier", "encoder": given.encoder, "mask_reduction": given.reduction}
    groups = [list(range(LABELS))]
    spec["checkpointing"] = checkpointing
    network = models.build(spec, 1, 1, LABELS, label_groups=groups).train()
    start, busy = time.perf_counter(), time.process_time()
    try:
        loss = step(network, given.size, given.batch)
    except RuntimeError as error:  # torch's allocator says so
        back.send(str(error).splitlines()[0])
        return
    took = time.perf_counter() - start, time.process_time() - busy
    back.send((*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, loss))


def main() -> None:
    """Print a line with checkpointing and one without."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="tf_efficientnet_b7")
    parser.add_argument("--size", type=int, default=896)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reduction", type=int, default=16)
    parser.add_argument("--limit", type=float, default=16.0)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for checkpointing in (True, False):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=measure, args=(given, checkpointing, there))
        process.start()
        there.close()
        try:
            found = here.recv()
        except EOFError:
            found = f"ended with code {process.exitcode}"
        process.join()
        how = "with checkpointing" if checkpointing else "without"
        where = f"{given.encoder}, {given.batch} × {given.size}², {how}"
        if isinstance(found, str):
            print(f"{where}: not within {given.limit:g} GiB ({found})", flush=True)
        else:
            seconds, busy, peak, loss = found
            took = f"{seconds:.0f} s ({busy:.0f} of the processor)"
            print(f"{where}: {took}, {peak:.2f} GiB, loss {loss:.6f}", flush=True)


if __name__ == "__main__":
    main()
