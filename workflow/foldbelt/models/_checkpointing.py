"""Gradient checkpointing of an encoder (Chen et al. 2016, arXiv:1604.06174): time for memory.

The maps inside the encoder's levels are not kept for the backward pass but computed again there,
level by level. The gradients are the same to the last bit. So would be the weights, but for the
batch norms: their running statistics would take in every batch twice. While a level is computed
again they are left alone.
"""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from foldbelt.files import InputError


def checkpoint(encoder: nn.Module, name: str) -> None:
    """Make an encoder compute its maps again in the backward pass, in place.

    Parameters
    ----------
    encoder
        From `foldbelt.models._encoders.make_encoder`.
    name
        Its name in the config, for the message.

    Raises
    ------
    InputError
        If it cannot.
    """
    switch: Any = getattr(encoder, "set_grad_checkpointing", None)
    # Where maps are caught by hooks, these would fire again and hold on to what they caught.
    hooked = getattr(encoder, "feature_hooks", None) is not None or hasattr(encoder, "hooks")
    if switch is None or hooked:
        raise InputError(
            f"checkpointing: the encoder {name!r} cannot compute its maps again; set it to false, "
            "or take an EfficientNet, DenseNet or residual network (of smp, one whose name begins "
            "with tu-)"
        )
    switch(True)
    count_once(encoder, encoder)


def count_once(network: nn.Module, part: nn.Module) -> None:
    """Make the batch norms of a part take in every batch once, though it is computed twice.

    Parameters
    ----------
    network
        What is called: what the part computes after that has been computed before.
    part
        The network itself, or a module in it.
    """
    network.register_forward_pre_hook(_begin)
    network.register_forward_hook(_end, always_call=True)
    for norm in _norms(part):
        norm.again = False
        norm.register_forward_pre_hook(_hold)
        norm.register_forward_hook(_release, always_call=True)


# Hooks are functions and not methods, and what they know is an attribute of the layer: so a copy of
# a network (its moving average) has its own.


def _norms(encoder: nn.Module) -> list[Any]:
    return [layer for layer in encoder.modules() if isinstance(layer, _BatchNorm)]


def _begin(encoder: nn.Module, _: Any) -> None:
    """Note that what the layers compute is computed for the first time."""
    for norm in _norms(encoder):
        norm.again = False


def _end(encoder: nn.Module, *_: Any) -> None:
    """Note that whatever the layers compute from here on, in the backward pass, is known."""
    for norm in _norms(encoder):
        norm.again = True


def _hold(norm: Any, _: Any) -> None:
    """Keep a batch that comes again out of the running statistics."""
    if norm.again and norm.training:
        norm.usual_momentum, norm.momentum = norm.momentum, 0.0


def _release(norm: Any, *_: Any) -> None:
    """Undo `_hold`, even where the layer was left halfway, all that is needed being known."""
    if norm.again and norm.training:
        norm.momentum = norm.usual_momentum
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.sub_(1)
