"""What `foldbelt predict` and a bundle's `predict.py` share: all but how they are asked."""

import os
import sys
import time
from collections.abc import Callable
from functools import partial

from foldbelt.bundle.predicting import Step, predict
from foldbelt.files import PathLike

DEVICES = ("auto", "cpu", "gpu")
"""What a person calls a device; auto: a GPU if there is one."""


def run(
    bundle: PathLike,
    images: PathLike,
    out: PathLike,
    *,
    device: str,
    cpu_threads: int | None,
    sample: PathLike | None,
    table: PathLike | None = None,
    overlays: bool = False,
    progress: Callable[[Step], None],
) -> str:
    """Predict a folder of images; say what was done.

    Parameters
    ----------
    device
        One of `DEVICES`.
    bundle, images, out, cpu_threads, sample, table, overlays, progress
        As for `foldbelt.bundle.predict`.

    Returns
    -------
    str
        A sentence for the person who asked.

    Raises
    ------
    InputError
        As `foldbelt.bundle.predict` does.
    """
    if sys.stderr is None:  # it was closed: the next file that is opened would be taken for it
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    start = time.monotonic()
    done = predict(
        bundle,
        images,
        out,
        device=device,
        cpu_threads=cpu_threads,
        sample=sample,
        table=table,
        overlays=overlays,
        progress=progress,
        told=partial(print, file=sys.stderr),
    )
    each = (time.monotonic() - start) / max(done.new, 1)
    took = f", {each:.3f} s each" if done.new else ""
    return f"{done.images} images are predicted in {out}, {done.new} of them now{took}"
