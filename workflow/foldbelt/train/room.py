"""Whether a batch of masks of many classes fits into memory, told before the first one is made."""

import os

import torch

from foldbelt.files import InputError

COPIES = 8
"""Of a batch's masks in float32: target, logits, their gradients, and what a loss makes of them.

Measured: 8 to 12, with 33 classes, 512×512 pixels and 8 images on a CPU. The least is asked for,
so that nothing is refused that would fit; what the network itself takes comes on top.
"""


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
    need, have = COPIES * 4 * images * classes * size[0] * size[1], _memory(device)
    if have is not None and need > have:
        raise InputError(
            f"Stage {stage}: training on batches of {images} masks of {classes} classes, "
            f"{size[0]}×{size[1]}, takes at least {need / 2**30:.1f} GiB, and there are "
            f"{have / 2**30:.1f} GiB. Set a smaller `batch_size` (and `accumulate`), `crop`, or a "
            "smaller `size` of the channels."
        )


def _memory(device: torch.device) -> int | None:
    """Bytes that the device has; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
