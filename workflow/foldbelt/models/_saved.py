"""A trained network, rebuilt from its weights file alone."""

from collections.abc import Mapping
from typing import Any

import torch

from foldbelt import label_groups
from foldbelt.files import InputError, PathLike
from foldbelt.models._building import build
from foldbelt.store.weights import load


def load_model(
    path: PathLike, snapshot: int | None = None
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Rebuild a trained module from its weights file alone.

    Parameters
    ----------
    path
        A file that training has written.
    snapshot
        Number of a snapshot, from 1, the earliest; None for the final weights.

    Returns
    -------
    module, metadata
        On the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the file is not one of foldbelt's, does not fit its architecture or has no such snapshot.
    """
    tensors, metadata = load(path, snapshot)
    if "architecture" not in metadata:
        raise InputError(
            f"{path} carries no architecture: it was not written by foldbelt's training."
        )
    module = build(
        _without_files(metadata["architecture"]),
        in_channels=metadata["in_channels"],
        mask_channels=metadata["mask_channels"],
        label_classes=metadata["label_classes"],
        box_classes=len(metadata.get("box_names", [])),
        label_groups=groups_among(metadata),
    )
    fill(module, tensors, path)
    return module.eval(), metadata


def _without_files(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Name no other file of weights: all are in this one, and who forged it could name any."""
    return {key: None if key == "weights" else value for key, value in architecture.items()}


def groups_among(metadata: Mapping[str, Any]) -> list[list[int]]:
    """Give the places of labels that exclude each other among those that a model predicts.

    Parameters
    ----------
    metadata
        Of a weights file: `label_names` and the groups of the data's labels (see
        `foldbelt.label_groups`), and `labels`, those that are predicted, where these are not all.

    Examples
    --------
    >>> metadata = {"label_names": ["a", "b", "c"], "label_groups": [["a", "c"]]}
    >>> groups_among(metadata), groups_among(metadata | {"labels": ["b", "c", "a"]})
    ([[0, 2]], [[1, 2]])
    """
    chosen = metadata.get("labels") or metadata.get("label_names", [])
    return label_groups.places(chosen, label_groups.groups_of(metadata))


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
