"""Networks by name: `build` makes what a model's `architecture` describes.

One module an architecture. Its ``build(in_channels, mask_channels, label_classes, *, options…)``
returns a module whose ``forward(x)`` takes images (N, C, H, W) of any size and gives a dict: logits
"mask" (N, K, H, W) and what its heads add, "label" (N, L), "depth" (N, 1) and, in training, "deep",
a list of (N, K, H, W). A module that says ``MASKS = False`` gives "label" alone. A `build` with an
argument `variant` gets what follows the slash in its name. `blocks`, `heads`, `weights` and the
modules with an underscore are what they share, and `encoders` holds encoders of foldbelt's own.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from foldbelt import members
from foldbelt.files import InputError
from foldbelt.members import models as modules
from foldbelt.members import predicts_masks

__all__ = ["build", "modules", "predicts_masks"]

_SIZES = ("in_channels", "mask_channels", "label_classes", "variant")
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
        ``forward(x)``, x (N, C, H, W) floating, gives a dict with "mask" logits (N, K, H, W); if
        `label_head` and L > 0, "label" logits (N, L); if `depth_head`, "depth" (N, 1); and if
        `deep_supervision`, in training mode, "deep": mask logits (N, K, H, W) of every deeper
        level of the decoder, from deep to shallow. `classifier` gives "label" alone.
        Parameters of an encoder are those of ``model.encoder``; `vanilla` has none apart.

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
    module = modules(spec)[0]
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
    if "variant" in own:
        options["variant"] = str(spec["name"]).partition("/")[2]
    return importlib.import_module(module).build(
        in_channels, mask_channels, label_classes, **options
    )
