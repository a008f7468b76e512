"""Weights on disk: safetensors with one metadata key, so that the same weights give the same bytes.

safetensors writes several metadata keys in random order; one key holding sorted JSON has no order.
"""

import json
from collections.abc import Mapping
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file

from foldbelt import models
from foldbelt.files import InputError, PathLike, atomic

_KEY = "foldbelt"


def save(path: PathLike, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> None:
    """Write weights and what is needed to use them, whole or not at all.

    Parameters
    ----------
    path
        The .safetensors file.
    tensors
        A module's state_dict, on any device.
    metadata
        JSON values.
    """
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), allow_nan=False)
    with atomic(path) as temporary:
        save_file(plain, temporary, {_KEY: text})


def load(path: PathLike) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read weights.

    Parameters
    ----------
    path
        A .safetensors file.

    Returns
    -------
    tensors, metadata
        As given to `save`; no metadata if the file is not foldbelt's.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            metadata = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: no weights can be read from it ({error}). Delete it to have it made again."
        ) from error


def load_model(path: PathLike) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Rebuild a trained module from its weights file alone.

    Parameters
    ----------
    path
        A file that training has written.

    Returns
    -------
    module, metadata
        On the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the file is not one of foldbelt's or does not fit its architecture.
    """
    tensors, metadata = load(path)
    if "architecture" not in metadata:
        raise InputError(
            f"{path} carries no architecture: it was not written by foldbelt's training."
        )
    module = models.build(
        metadata["architecture"],
        in_channels=metadata["in_channels"],
        mask_channels=metadata["mask_channels"],
        label_classes=metadata["label_classes"],
    )
    fill(module, tensors, path)
    return module.eval(), metadata


def fill(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: PathLike) -> None:
    """Load tensors into a module, all or none.

    Raises
    ------
    InputError
        If names or shapes differ.
    """
    try:
        module.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise InputError(
            f"{path} does not fit the model: {error}\n"
            "Stages of one model share an architecture; delete weights of another one."
        ) from error
