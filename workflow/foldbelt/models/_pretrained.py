"""Pretrained weights as a local, checked file: compute nodes have no internet.

`fetch` puts them there once, from a file, an address or timm's own source; building a model only
reads the file. Nothing that could run code is loaded: safetensors, or `torch.load` restricted to
tensors.
"""

import difflib
import hashlib
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from foldbelt.files import InputError, PathLike, atomic

_WRAPPERS = ("state_dict", "model")  # under which training scripts keep the weights


def load(path: PathLike) -> dict[str, Tensor]:
    """Read a file of weights.

    Parameters
    ----------
    path
        A `.safetensors` file, or anything that `torch.load` reads with `weights_only=True`.

    Returns
    -------
    dict
        Tensors by parameter name, on the CPU.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds anything but tensors by name.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"{file}: no such file of weights; fetch it, or set `weights: null` to train without"
        )
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{file}: no readable file of weights: {error}") from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{file}: holds something else than tensors by name")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def fetch(source: str, out: PathLike, sha256: str | None = None) -> None:
    """Bring pretrained weights into a safetensors file.

    Parameters
    ----------
    source
        A file, an https address, or the name of a timm model with or without its tag
        ("resnet34", "resnet34.a1_in1k"), which is downloaded from where timm has it.
    out
        The `.safetensors` file to write. The same source gives the same bytes.
    sha256
        Digest of the source's bytes, as publishers print it (not of `out`).

    Raises
    ------
    InputError
        If there is no such source, it cannot be reached or its digest differs; `out` is not
        written then.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = _obtain(source, Path(folder))
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 is not None and found != sha256.lower():
            raise InputError(
                f"{source}: the SHA-256 is {found} and should be {sha256.lower()}; "
                "the file is damaged or another one"
            )
        state = load(file)
        with atomic(out) as temporary:
            # Copies, because safetensors refuses tensors that share memory.
            save_file(
                {name: tensor.clone().contiguous() for name, tensor in state.items()}, temporary
            )


def _obtain(source: str, folder: Path) -> Path:
    """Path of the source's own file, downloaded into `folder` if need be."""
    if Path(source).is_file():
        return Path(source)
    hub, address = None, source
    if not source.startswith("https://"):
        known = describe(source) if timm.is_model(source) else None
        if known is None or not (known.hf_hub_id or known.url):
            raise InputError(
                f"{source!r} is no file, no https address and no timm model with pretrained weights"
            )
        hub, address = known.hf_hub_id, str(known.url)
        name = known.hf_hub_filename or "model.safetensors"
    try:
        if hub:
            from huggingface_hub import hf_hub_download

            return Path(hf_hub_download(hub, name))
        file = folder / Path(address).name
        torch.hub.download_url_to_file(address, str(file), progress=False)
        return file
    except Exception as error:  # of several HTTP libraries, with no ancestor in common
        raise InputError(
            f"{source}: cannot be downloaded ({type(error).__name__}: {error}); fetch it where "
            "there is internet and give the file's path instead"
        ) from error


def describe(encoder: str) -> Any:
    """What timm knows of a model: a `PretrainedCfg`, or None for models without pretrained weights.

    Raises
    ------
    InputError
        For names and tags that timm does not know, with the nearest that it does.
    """
    name, _, tag = encoder.partition(".")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; similar are {', '.join(near)}" if near else ""
        raise InputError(f"encoder: timm {timm.__version__} has no model {name!r}{hint}")
    tagged = timm.list_pretrained(f"{name}.*")
    if tag and encoder not in tagged:
        raise InputError(f"encoder: {name!r} has no weights {tag!r}; there are {', '.join(tagged)}")
    return timm.get_pretrained_cfg(encoder)


def pretrained(encoder: str, path: PathLike | None) -> dict[str, Any]:
    """Arguments for `timm.create_model` that load a file of weights, checked to be the encoder's.

    Parameters
    ----------
    encoder
        Name of a timm model.
    path
        File of its weights under timm's names (the classifier may be missing), or None.

    Raises
    ------
    InputError
        Listing the parameters that the file lacks.
    """
    if path is None:
        return {"pretrained": False}
    state = load(path)
    with torch.random.fork_rng(devices=[]):  # the decoder's start must not depend on this look
        wanted = timm.create_model(encoder, num_classes=0).state_dict()
    missing = [
        name for name in wanted if name not in state and not name.endswith("num_batches_tracked")
    ]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise InputError(
            f"{path}: lacks {len(missing)} of the {len(wanted)} parameters of encoder {encoder!r} "
            f"({shown}); is it the file of another encoder?"
        )
    return {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}


def forget(encoder: nn.Module) -> None:
    """Drop the copy of the loaded weights that timm keeps in the model's description."""
    for holder in ("pretrained_cfg", "default_cfg"):
        settings = getattr(encoder, holder, None)
        if isinstance(settings, dict):
            settings.pop("state_dict", None)
