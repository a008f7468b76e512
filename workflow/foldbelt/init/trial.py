"""How fast this machine trains what a recipe says: some steps on random images."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from foldbelt import losses, models
from foldbelt.augment import Augment
from foldbelt.runtime import halved, prepare, without_compiler

STEPS = 3
"""Measured, after one that warms up."""

Clock = Callable[[], float]


class Speed(NamedTuple):
    """What was measured.

    Parameters
    ----------
    image_seconds
        Of one training image, preparation and step together, in one training.
    parameters
        Of the network.
    gpu_gib
        Memory of the GPU that was taken at most; 0 on a CPU.
    """

    image_seconds: float
    parameters: int
    gpu_gib: float


def measure(
    recipe: Mapping[str, Any],
    shape: tuple[int, int, int],
    classes: int,
    clock: Clock | None = None,
    steps: int = STEPS,
) -> Speed:
    """Take some steps of a recipe's model ``base``.

    Parameters
    ----------
    recipe
        Resolved.
    shape
        (height, width, channels) of what is trained on.
    classes
        Of masks, labels or boxes.
    clock
        Gives seconds. By default those of this process alone on a CPU, where a training has one
        thread, so that what else is running does not count; on a GPU those that pass.
    steps
        So many are measured.
    """
    stage, spec = recipe["stages"]["base"], recipe["models"]["base"]["architecture"]
    device = prepare(recipe["cpu_threads"], "cpu" if recipe["device"] == "cpu" else None)
    clock = clock or (time.process_time if device.type == "cpu" else time.monotonic)
    torch.manual_seed(0)
    height, width, channels = shape
    kind = {"classifier": "label", "detector": "box"}.get(spec["name"], "mask")
    given = {"mask": (classes, 0, 0), "label": (0, classes, 0), "box": (0, 0, classes)}[kind]
    network = models.build({**spec, "weights": None}, channels, *given).train()
    network = network.to(device).to(memory_format=torch.channels_last)
    optimiser = without_compiler(torch.optim.AdamW)(network.parameters(), fused=True)
    criterion = losses.build(stage["loss"].get("mask", stage["loss"])) if kind == "mask" else None
    augment = Augment(stage["augment"], (height, width), channels, max(classes, 1))
    random = np.random.default_rng(0)
    image = random.integers(0, 255, shape, dtype=np.uint8)
    mask = (random.random((height, width, max(classes, 1))) < 0.1).astype(np.uint8)
    size, began = stage["batch_size"], 0.0
    for step in range(steps + 1):
        if step == 1:
            _wait(device)
            began = clock()
        for sample in range(size):
            augment(image, mask, step * size + sample)
        batch = torch.randn(size, height, width, channels, device=device).permute(0, 3, 1, 2)
        with torch.autocast(device.type, torch.bfloat16, enabled=halved(stage["amp"], device)):
            output = network(batch)
        if criterion is not None:
            target = torch.from_numpy(mask).permute(2, 0, 1).to(device, torch.float32)
            loss = criterion(output["mask"], target.expand(size, -1, -1, -1))
        else:
            loss = sum((part.float() ** 2).mean() for part in _tensors(output))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    _wait(device)
    taken = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    seconds = max((clock() - began) / (steps * size), 1e-6)
    return Speed(seconds, sum(part.numel() for part in network.parameters()), taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _tensors(output: Any) -> list[torch.Tensor]:
    """Give all tensors of an output, however nested."""
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() and output.requires_grad else []
    parts = output.values() if isinstance(output, Mapping) else output
    if not isinstance(parts, str) and hasattr(parts, "__iter__"):
        return [tensor for part in parts for tensor in _tensors(part)]
    return []
