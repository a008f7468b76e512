"""How torch computes: threads, determinism, device; and how u8 channels become its input."""

import ctypes
import functools
import inspect
import platform
from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
import torch

from foldbelt.files import InputError
from foldbelt.machine import cpu_model, version

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def prepare(cpu_threads: int, device: str | None = None) -> torch.device:
    """Make torch reproducible and choose the device.

    Sums on a CPU depend on the number of threads, so the config sets that number. On a GPU, an
    operation without a deterministic form gives a warning instead of an error.

    Parameters
    ----------
    cpu_threads
        Compute threads.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch finds it.

    Returns
    -------
    torch.device

    Raises
    ------
    InputError
        If `device` is ``"cuda"`` and torch finds no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device: a GPU is demanded, but torch finds none. Check the driver (nvidia-smi) and "
            "that torch was built for CUDA, or say auto (`device: auto` in a recipe, "
            "`--device auto` to predict)."
        )
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.set_num_threads(cpu_threads)
    if chosen.type == "cpu":
        _keep_freed_memory()
    # The same as use_deterministic_algorithms, which would also load torch's compiler (2 s a job).
    torch.set_deterministic_debug_mode("warn" if chosen.type == "cuda" else "error")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Deterministic mode would fill uninitialised memory, which costs time and is of no use here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return chosen


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed, rather than give it back and ask anew in every step.

    A step frees and takes maps of some MB again and again; glibc gives each back to the system at
    once, and every page of the next one faults. It keeps them from the first large block on that
    was freed, but only below 32 MB, its own bound for these (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def without_compiler(kind: Kind) -> Kind:
    """Give an optimiser's class without what torch wraps its methods in for `torch.compile`.

    The wrappers load the compiler on first use (sympy and torch's distributed tensors with it),
    whether anything is compiled or not: 1.2 s of the processor and 140 MB in every process that
    trains. The methods themselves are the same, and so are the bytes that they compute.

    Parameters
    ----------
    kind
        One of torch's own that is not differentiated through.

    Returns
    -------
    type
        A subclass of the same name.

    Examples
    --------
    >>> sgd = without_compiler(torch.optim.SGD)
    >>> sgd.__name__, issubclass(sgd, torch.optim.SGD)
    ('SGD', True)
    """
    wrapped = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))  # as its wrapper has it
    return cast(Kind, type(kind.__name__, (kind,), methods))


def halved(amp: bool | str, device: torch.device) -> bool:
    """Tell whether a stage computes in bfloat16 on a device.

    Parameters
    ----------
    amp
        False nowhere, True on a GPU, ``"everywhere"`` on a CPU, too.
    """
    return amp == "everywhere" or (amp is True and device.type == "cuda")


def mend_narrow_maps(model: torch.nn.Module) -> None:
    """Let a network learn in bfloat16 on a CPU where its maps are one column wide.

    Of a convolution with a stride, oneDNN 3.13 (torch 2.15) then gives weights' gradients from
    memory that nobody has set: other ones each time, or NaN. One column leaves nothing to stride
    over, and without the stride the same numbers come from another kernel.

    Parameters
    ----------
    model
        Its convolutions are given hooks; what they compute stays.
    """
    for layer in model.modules():
        if not isinstance(layer, torch.nn.Conv2d) or isinstance(layer.padding, str):
            continue
        reach = layer.dilation[1] * (layer.kernel_size[1] - 1)
        if layer.stride[1] > 1 and reach and 2 * layer.padding[1] == reach:  # one column stays one
            layer.register_forward_pre_hook(functools.partial(_stride, layer.stride))


def _stride(own: tuple[int, ...], layer: torch.nn.Conv2d, given: tuple[torch.Tensor, ...]) -> None:
    """Set a convolution's stride by the width of the map that it is given; a hook."""
    layer.stride = (own[0], 1) if given[0].shape[3] == 1 else own


def made_on(device: torch.device) -> dict[str, str | None]:
    """Say what computes, for the metadata of what it makes.

    Returns
    -------
    dict
        device (the model of GPU or CPU), python, torch, timm and cuda (None on a CPU). Equal ones
        give equal bytes; others may differ in the last digits.
    """
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else cpu_model(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__),  # a class of its own, which a state cannot hold
        "timm": version("timm"),
        "cuda": torch.version.cuda if cuda else None,
    }


class Normaliser:
    """Turn u8 images on the host into whitened floats on the device: ``x * scale + offset``.

    Parameters
    ----------
    scale, offset
        One number a channel, from the channels file.
    device
        Where to compute.
    """

    def __init__(
        self, scale: Sequence[float], offset: Sequence[float], device: torch.device
    ) -> None:
        self.device = device
        shape = (1, -1, 1, 1)
        self.scale = torch.tensor(np.asarray(scale), dtype=torch.float32, device=device)
        self.offset = torch.tensor(np.asarray(offset), dtype=torch.float32, device=device)
        self.scale, self.offset = self.scale.reshape(shape), self.offset.reshape(shape)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a batch.

        Parameters
        ----------
        x
            (N,H,W,C) u8 tensor.

        Returns
        -------
        (N,C,H,W) f32 tensor
            On the device; on a GPU in channels-last order, which its tensor cores prefer.
        """
        batch = x.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        if self.device.type == "cpu":
            batch = batch.contiguous()
        return batch.to(torch.float32) * self.scale + self.offset
