"""Numbers from the host to the device."""

from collections.abc import Sequence

import torch


def sent(values: torch.Tensor | Sequence[float], device: torch.device) -> torch.Tensor:
    """Bring numbers to the device without waiting until it has done what it was asked before.

    Plain `torch.tensor(…, device=…)` and indexing by a list would wait.

    Parameters
    ----------
    values
        On the host; lists of float become f32, of int int64.
    device
        Where to.
    """
    return torch.as_tensor(values).to(device, non_blocking=True)
