"""Starting from any checkpoint: which of its tensors fit a network, and which do not and why."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn

from foldbelt.files import InputError, PathLike
from foldbelt.models._pretrained import load

_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "net.")  # of distributed training, …
_COLOURS = 3
_SHOWN = 20  # names a line of the log


@dataclass
class Fitted:
    """What became of the tensors of a network and of a file.

    Attributes
    ----------
    filled
        Names in the network that were taken from the file.
    adapted
        Those of them whose channels were adapted: a first convolution of three colours.
    missing, misshapen
        Names in the network that stay as they were: not in the file, or with both shapes.
    unused
        Names in the file of which nothing was taken.
    """

    filled: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def fit(module: nn.Module, tensors: Mapping[str, Tensor]) -> Fitted:
    """Fill a network with what fits of the tensors of a file; the rest of it stays as it is.

    Programs name the same layer differently: names are taken as they are, less what training
    scripts put before all of them, as those of an encoder, or as segmentation-models-pytorch's, in
    the way by which most numbers fit.

    Parameters
    ----------
    module
        The network, or any part of it.
    tensors
        By name, any floating dtype.
    """
    wanted = module.state_dict()
    first = next((name for name, each in module.named_parameters() if each.ndim == 4), None)
    ways = list(_spellings(tensors))
    taken = [_taken(wanted, way, tensors, first) for way in ways]
    sizes = [sum(wanted[name].numel() for name in each if wanted[name].ndim > 1) for each in taken]
    place = sizes.index(max(sizes))
    way, fitting = ways[place], taken[place]
    found = Fitted()
    with torch.no_grad():
        for name, here in wanted.items():
            if name in fitting:
                given = tensors[way[name]]
                found.filled.append(name)
                if given.shape != here.shape:
                    found.adapted.append(name)
                    given = adapt_input_conv(here.shape[1], given)
                here.copy_(given)
            elif name in way:
                shape = tuple(tensors[way[name]].shape)
                found.misshapen.append(f"{name} ({shape} in the file, {tuple(here.shape)} here)")
            else:
                found.missing.append(name)
    used = {way[name] for name in fitting}
    found.unused = [name for name in tensors if name not in used]
    return found


def begin(module: nn.Module, file: PathLike, strict: bool = False) -> list[str]:
    """Fill a network with what fits of a file of weights.

    Parameters
    ----------
    module
        The network.
    file
        Safetensors, or what `torch.load` reads with ``weights_only=True``.
    strict
        Whether everything has to fit: every tensor of the network and of the file.

    Returns
    -------
    list of str
        What fitted, and what did not and why, for the log.

    Raises
    ------
    InputError
        If the file cannot be read, nothing of it fits, or, with `strict`, not everything.
    """
    found = fit(module, load(file))
    lines = _report(module, found)
    if not any(module.state_dict()[name].ndim > 1 for name in found.filled):
        told = "\n".join(lines[1:])
        raise InputError(
            f"start: nothing in {file} fits the network; is it the file of another one? Names and "
            f"shapes of layers have to be the same.\n{told}"
        )
    counters = [name for name in found.missing if name.endswith("num_batches_tracked")]
    if strict and (found.misshapen or found.unused or len(found.missing) > len(counters)):
        told = "\n".join(lines)
        raise InputError(
            f"start: {file} does not fit the network as a whole; set strict: false to take what "
            f"fits.\n{told}"
        )
    return [f"Starting from {file}.", *lines]


def fill_whole(module: nn.Module, part: str, tensors: Mapping[str, Tensor], file: PathLike) -> None:
    """Fill a network, of which one part must be in the file as a whole.

    Raises
    ------
    InputError
        Listing what the file lacks of the part.
    """
    found = fit(module, tensors)
    names = [name for name in module.state_dict() if name.startswith(f"{part}.")]
    filled = set(found.filled)
    lacking = [
        name for name in names if name not in filled and not name.endswith("num_batches_tracked")
    ]
    if lacking:
        raise InputError(
            f"{file}: lacks {len(lacking)} of the {len(names)} parameters of the {part} "
            f"({_some(lacking, 5)}); is it the file of another one?"
        )


def _spellings(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, str]]:
    """Yield ways to read a file's names, as a network's name → the file's; plainest first."""
    bare = {name: name for name in tensors}
    yield bare
    while bare and any(all(name.startswith(each) for name in bare) for each in _WRAPPERS):
        bare = {name.partition(".")[2]: given for name, given in bare.items()}
        yield bare
    head = "segmentation_head."
    for old, new in ((head, "mask."), ("mask.", head)):
        yield {
            new + name.removeprefix(old) if name.startswith(old) else name: given
            for name, given in bare.items()
        }
    for prefix in ("encoder.", "encoder.model."):
        yield {prefix + name: given for name, given in bare.items()}


def _taken(
    wanted: Mapping[str, Tensor],
    way: Mapping[str, str],
    tensors: Mapping[str, Tensor],
    first: str | None,
) -> set[str]:
    """Names of a network whose shape is the file's, or whose channels can be adapted."""
    found = set()
    for name, here in wanted.items():
        if name not in way:
            continue
        shape = tuple(tensors[way[name]].shape)
        colours = (here.shape[0], _COLOURS, *here.shape[2:]) if name == first else None
        if shape in (tuple(here.shape), colours):
            found.add(name)
    return found


def _report(module: nn.Module, found: Fitted) -> list[str]:
    """Say what fitted, part by part, and what did not and why."""
    state = module.state_dict()
    numbers = [sum(state[name].numel() for name in names) for names in (found.filled, state)]
    parts = Counter(name.partition(".")[0] for name in state)
    filled = Counter(name.partition(".")[0] for name in found.filled)
    shares = ", ".join(f"{part} {filled[part]} of {count}" for part, count in parts.items())
    lines = [
        f"{len(found.filled)} of {len(state)} tensors fit, {numbers[0] / 1e6:.3g} of "
        f"{numbers[1] / 1e6:.3g} million numbers: {shares}."
    ]
    told = {
        "Adapted from three channels": found.adapted,
        "Left as they are, for they are not in the file": found.missing,
        "Left as they are, for their shapes differ": found.misshapen,
        "In the file, and not in the network": found.unused,
    }
    return lines + [f"{what}: {_some(names, _SHOWN)}." for what, names in told.items() if names]


def _some(names: list[str], count: int) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
