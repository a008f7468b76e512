"""Weights on disk: safetensors with one metadata key, so that the same weights give the same bytes.

safetensors writes several metadata keys in random order; one key holding sorted JSON has no order.
"""

import json
from collections.abc import Mapping
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file

from foldbelt.files import InputError, PathLike, atomic

_KEY = "foldbelt"

Weights = Mapping[str, torch.Tensor]


def with_snapshots(tensors: Weights, snapshots: Mapping[int, Weights]) -> dict[str, torch.Tensor]:
    """Join the final weights of a stage, under their own names, with its snapshots.

    Parameters
    ----------
    tensors
        A module's state_dict.
    snapshots
        State_dicts of the same module, numbered from 1.

    Returns
    -------
    dict
        Names of snapshot i begin with ``snapshot{i}.``.
    """
    joined = dict(tensors)
    for number in sorted(snapshots):
        joined |= {f"{_prefix(number)}{name}": each for name, each in snapshots[number].items()}
    return joined


def _prefix(snapshot: int) -> str:
    return f"snapshot{snapshot}."


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


def load(
    path: PathLike, snapshot: int | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the weights of one module.

    Parameters
    ----------
    path
        A .safetensors file.
    snapshot
        Number of a snapshot, from 1; None for the final weights.

    Returns
    -------
    tensors, metadata
        A module's state_dict; the metadata as given to `save`, none if the file is not foldbelt's.

    Raises
    ------
    InputError
        If the file cannot be read, or has no such snapshot.
    """
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            metadata = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            count = metadata.get("snapshots", 0)
            if snapshot is not None and not 1 <= snapshot <= count:
                raise InputError(f"{path} has {count} snapshots, so none of number {snapshot}")
            prefix = "" if snapshot is None else _prefix(snapshot)
            others = () if prefix else tuple(_prefix(number) for number in range(1, count + 1))
            tensors = {
                name.removeprefix(prefix): file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
                if name.startswith(prefix) and not name.startswith(others)
            }
            return tensors, metadata
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: no weights can be read from it ({error}). Delete it to have it made again."
        ) from error
