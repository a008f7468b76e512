"""Networks by name: `build` makes what a model's `architecture` describes.

One module an architecture. Its ``build(in_channels, mask_channels, label_classes, *, options…)``
returns a module whose ``forward(x)`` takes images (N, C, H, W) of any size and gives a dict of
logits: "mask" (N, K, H, W) and what its heads add ("label" (N, L)). `blocks`, `heads` and
`weights` are what they share.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from foldbelt import members
from foldbelt.files import InputError
from foldbelt.members import models as modules

__all__ = ["build", "modules"]

_SIZES = ("in_channels", "mask_channels", "label_classes")
_OTHERS = ("name", "sha256")  # keys of a spec that are no argument; the digest is for the fetching


def build(
    spec: Mapping[str, Any], in_channels: int, mask_channels: int, label_classes: int
) -> nn.Module:
    """Make a network with random weights, drawn from torch's global generator: seed it first.

    Parameters
    ----------
    spec
        ``{name: unet, …}``: the architecture and its options, as in the config. Options of other
        architectures are left aside, since the config fills all defaults in.
    in_channels
        C, channels of the images.
    mask_channels
        K, classes of the masks.
    label_classes
        L, labels of an image; may be 0.

    Returns
    -------
    nn.Module
        ``forward(x)``, x (N, C, H, W) floating, gives a dict with "mask" logits (N, K, H, W) and,
        if `label_head` and L > 0, "label" logits (N, L).

    Raises
    ------
    InputError
        For unknown architectures and options, and values that they refuse.

    Examples
    --------
    >>> import torch
    >>> model = build({"name": "vanilla", "width": 4, "label_head": True}, 3, 1, 2)
    >>> {name: tuple(logits.shape) for name, logits in model(torch.zeros(2, 3, 101, 101)).items()}
    {'mask': (2, 1, 101, 101), 'label': (2, 2)}
    """
    (module,) = modules(spec)
    every = [f"foldbelt.models.{name}" for name in members.known("models")]
    known = {option for member in every for option in members.options(member)} - {*_SIZES}
    unknown = [key for key in spec if key not in known and key not in _OTHERS]
    if unknown:
        raise InputError(members.unknown_names("option of an architecture", unknown, known))
    if in_channels < 1 or mask_channels < 1 or label_classes < 0:
        raise InputError(
            "a network needs at least one input and one mask channel, and no negative number of "
            f"labels, not {in_channels}, {mask_channels} and {label_classes}"
        )
    own = members.options(module)
    options = {key: value for key, value in spec.items() if key in own}
    return importlib.import_module(module).build(
        in_channels, mask_channels, label_classes, **options
    )
