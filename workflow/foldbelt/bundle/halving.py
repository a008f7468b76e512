"""Weights in half precision, in half the room.

A tensor stays as it is where numbers of 16 bits do not reach: of integers, and of values above
65,504, such as a variance of large activations. Whoever loads the file gets numbers of 32 bits, for
parameters keep their type when weights are put into them.
"""

import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file

from foldbelt.files import PathLike

_WIDE = (torch.float32, torch.float64)
_KEY = "foldbelt"  # of the metadata, as `foldbelt.store.weights` writes them


def halve(path: PathLike, out: Path) -> None:
    """Write weights anew, of 16 bits where they have more.

    Parameters
    ----------
    path
        A .safetensors file.
    out
        The file to write, with the same metadata.
    """
    with safetensors.safe_open(str(path), "pt") as file:
        names = list(file.keys())
        tensors = {name: _halved(file.get_tensor(name)) for name in names}
        metadata = file.metadata()
    save_file(tensors, out, metadata)


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype not in _WIDE:
        return tensor
    half = tensor.to(torch.float16)
    return half if bool(torch.isfinite(half).all()) else tensor


def metadata_of(path: PathLike) -> dict[str, Any]:
    """Give what training has noted in a weights file."""
    with safetensors.safe_open(str(path), "pt") as file:
        metadata: dict[str, Any] = json.loads((file.metadata() or {}).get(_KEY, "{}"))
    return metadata
