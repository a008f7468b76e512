"""What a job takes of the memory, told and checked before the first image is read."""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from foldbelt import store
from foldbelt.channels._resizing import Resizer
from foldbelt.files import InputError
from foldbelt.train.columns import row_bytes
from foldbelt.train.data_source import Source

COPIES = 8
"""Of a batch's masks in float32: target, logits, their gradients, and what a loss makes of them.

Measured: 8 to 12, with 33 classes, 512×512 pixels and 8 images on a CPU. The least is asked for,
so that nothing is refused that would fit; what the network itself takes comes on top.
"""

SHARE = 0.3
"""Of a GPU's free memory that images and masks may take: the network needs the rest."""
GIB = 2**30


def data_bytes(
    sources: Sequence[Source], resizer: Resizer, planes: int, classes: int, judged: bool = True
) -> int:
    """Tell what images and masks take if they are held in memory.

    Parameters
    ----------
    sources
        The sets; the second one is validated on.
    resizer
        How masks come to network size.
    planes
        Mask planes: classes, and perhaps one of ignored pixels.
    classes
        Mask classes.
    judged
        Whether masks are validated on; none is held for that else.

    Returns
    -------
    int
        A byte a pixel and channel, a bit a pixel and plane. Masks to validate on are held at
        storage size, too, unless they are a window of those at network size.
    """
    total = 0
    for place, source in enumerate(sources):
        channels = len(store.attrs(source.channels)["names"])
        row = math.prod(resizer.canvas) * channels
        if judged or place != 1:
            row += row_bytes((*resizer.canvas, planes))
        if judged and place == 1 and resizer.crop is None:
            row += row_bytes((*resizer.source, classes + source.has_ignore()))
        total += len(source.ids) * row
    return total


def fits(data: int, device: torch.device) -> bool:
    """Tell whether images and masks take less than `SHARE` of what is free on a GPU."""
    return device.type == "cuda" and data < SHARE * torch.cuda.mem_get_info(device)[0]


def batch_bytes(images: int, classes: int, size: tuple[int, int]) -> int:
    """Tell what the masks of a batch take at least while it is trained on."""
    return COPIES * 4 * images * classes * size[0] * size[1]


def told(data: int, memory_gib: float, batch: int, device: torch.device) -> str:
    """Say what a job will take.

    Parameters
    ----------
    data, batch
        From `data_bytes` and `batch_bytes`.
    memory_gib
        Above this, images and masks are streamed.
    device
        Where batches are.

    Examples
    --------
    >>> told(3 * 2**30, 8, 2**28, torch.device("cpu"))
    'Memory: images and masks 3.0 GiB, held; masks of a batch at least 256.0 MiB; besides, the \
network and what it computes with.'
    >>> told(3 * 2**30, 2, 0, torch.device("cpu")).partition(";")[0]
    'Memory: images and masks 3.0 GiB, streamed (memory_gib: 2)'
    """
    kept = "held" if data <= memory_gib * GIB else f"streamed (memory_gib: {memory_gib:g})"
    where = "" if device.type == "cpu" else f" on {device.type}"
    masks = f"; masks of a batch at least {_spoken(batch)}{where}" if batch else ""
    return (
        f"Memory: images and masks {_spoken(data)}, {kept}{masks}; besides, the network and what "
        "it computes with."
    )


def _spoken(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def check_data(stage: str, data: int, memory_gib: float, batch: int, device: torch.device) -> None:
    """Refuse to hold images and masks for which there is no memory.

    Parameters
    ----------
    stage
        Its name.
    data, memory_gib, batch, device
        As for `told`.

    Raises
    ------
    InputError
        With what is needed, what there is, and the key to change.
    """
    have = _memory(torch.device("cpu"))
    if have is None or data > memory_gib * GIB:
        return
    beside = batch if device.type == "cpu" else 0
    if data + beside > have:
        raise InputError(
            f"Stage {stage}: memory_gib is {memory_gib:g}, so that {data / GIB:.1f} GiB of images "
            f"and masks would be held, and this job has {have / GIB:.1f} GiB of memory in all. Set "
            f"memory_gib below {data / GIB:.1f}: then they are streamed from their files; or ask "
            "for more memory."
        )


def check(
    stage: str, images: int, classes: int, size: tuple[int, int], device: torch.device
) -> None:
    """Refuse a batch whose masks alone take more than there is.

    Parameters
    ----------
    stage
        Its name.
    images
        In a batch.
    classes
        Mask channels; 0 where no masks are learnt.
    size
        (height, width) of what the network sees.
    device
        Where it computes.

    Raises
    ------
    InputError
        With what is needed and what there is.
    """
    need, have = batch_bytes(images, classes, size), _memory(device)
    if have is not None and need > have:
        raise InputError(
            f"Stage {stage}: training on batches of {images} masks of {classes} classes, "
            f"{size[0]}×{size[1]}, takes at least {need / 2**30:.1f} GiB, and there are "
            f"{have / 2**30:.1f} GiB. Set a smaller `batch_size` (and `accumulate`), `crop`, or a "
            "smaller `size` of the channels."
        )


def _memory(device: torch.device) -> int | None:
    """Bytes that this process may have on the device; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = _cgroup_limits()
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits, default=None)


def _cgroup_limits(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """Give the limits in bytes that a container or a scheduler has set (cgroup v2), if any."""
    try:
        lines = own.read_text().splitlines()
        (name,) = (line[3:].strip("/") for line in lines if line.startswith("0::"))
    except (OSError, ValueError):
        return []
    limits = []
    for folder in (root / name, *(root / name).parents):
        file = folder / "memory.max"
        if not folder.is_relative_to(root):
            break
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
    return limits
