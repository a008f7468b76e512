"""What goes wrong within a bundle, told of the bundle.

The functions that compute name the files that they read, which are gone when somebody reads that,
and say what to do in a run's folder. Whoever has a bundle can only take other packages, or fetch it
again.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from foldbelt.files import InputError, PathLike

_CURE = (
    "Take packages of the versions that its manifest.json lists under `needs` (timm above all), "
    "or fetch the bundle again."
)
_CURE_OF_A_RUN = re.compile(
    r"\s*\b(Stages of one|Delete|Make|Train|Predict|Ingest|Choose)\b[^.]*\.?$"
)
_FULL = ("allocate memory", "Insufficient memory", "out of memory")


@contextmanager
def blamed(path: PathLike, unpacked: Path) -> Iterator[None]:
    """Tell what goes wrong inside as an `InputError` on a bundle.

    What the machine refuses, or has no memory for, is passed on: it is no fault of the bundle.

    Parameters
    ----------
    path
        The bundle.
    unpacked
        The folder that it was unpacked to.
    """
    try:
        yield
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        text = str(error)
        if not isinstance(error, InputError):
            if any(word in text for word in _FULL):
                raise
            text = f"{type(error).__name__}: {text}"
        if text.startswith(str(path)) and path != unpacked:
            raise
        text = _CURE_OF_A_RUN.sub("", text.replace(f"{unpacked}/", ""))
        raise InputError(f"{path} cannot be computed: {text}\n{_CURE}") from error
