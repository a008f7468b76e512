"""The network that a model's architecture describes."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from foldbelt import registry
from foldbelt.files import InputError

_SIZES = ("in_channels", "mask_channels", "label_classes", "box_classes", "variant")
# Keys of a spec that are no argument. The digest is for the fetching; the last two say what the
# network is for, see `foldbelt.config.outputs.network_of`.
_OTHERS = ("name", "sha256", "labels", "auxiliary")


def build(
    spec: Mapping[str, Any],
    in_channels: int,
    mask_channels: int,
    label_classes: int,
    box_classes: int = 0,
    label_groups: Sequence[Sequence[int]] = (),
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
        K, classes of the masks; may be 0 where the network predicts none.
    label_classes
        L, labels of an image that are predicted; may be 0.
    box_classes
        Classes of boxes; may be 0, but for a detector.
    label_groups
        Places among the L labels of those of which one holds and no other, so that their
        probabilities sum to 1.

    Returns
    -------
    nn.Module
        ``forward(x)``, x (N, C, H, W) floating, gives a dict with "mask" logits (N, K, H, W); if
        `label_head` and L > 0, "label" logits (N, L); if `depth_head`, "depth" (N, 1); and if
        `deep_supervision`, in training mode, "deep": mask logits (N, K, H, W) of every deeper
        level of the decoder, from deep to shallow. `classifier` gives "label" and, with
        `mask_reduction`, "aux": mask logits (N, K, h, w) at the size of the encoder's map.
        `detector` gives "box", a dict that `foldbelt.models.detector` describes.
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
    module = registry.models(spec)[0]
    plug_ins = [f"foldbelt.models.{name}" for name in registry.known("models")]
    known = {option for name in plug_ins for option in registry.options(name)} - {*_SIZES}
    unknown = [key for key in spec if key not in known and key not in _OTHERS]
    if unknown:
        raise InputError(registry.unknown_names("option of an architecture", unknown, known))
    masks = registry.predicts_masks(spec) or "mask" in spec.get("auxiliary", ())
    if in_channels < 1 or mask_channels < masks or min(label_classes, box_classes) < 0:
        raise InputError(
            "a network needs at least one input channel, one of masks at least a mask channel, and "
            "there is no negative number of labels or classes of boxes: not "
            f"{in_channels}, {mask_channels}, {label_classes} and {box_classes}"
        )
    if registry.predicts_boxes(spec) and not box_classes:
        raise InputError(
            f"architecture {spec['name']!r} predicts boxes, and this data has none; give the "
            "images boxes, or take a network of masks, such as `unet`, or `classifier` for labels"
        )
    own = registry.options(module)
    options = {key: value for key, value in spec.items() if key in own}
    if "box_classes" in own:
        options["box_classes"] = box_classes
    if "variant" in own:
        options["variant"] = str(spec["name"]).partition("/")[2]
    network: nn.Module = importlib.import_module(module).build(
        in_channels, mask_channels, label_classes, **options
    )
    head = getattr(network, "label", None)
    if label_groups and head is not None:
        head.groups = [list(group) for group in label_groups]
    return network
