"""Where something that is made of a bundle may be written."""

from collections.abc import Collection
from pathlib import Path

from foldbelt.bundle.archive import MANIFEST
from foldbelt.files import InputError, PathLike


def refuse_target(bundle: PathLike, out: PathLike, entries: Collection[str]) -> None:
    """Refuse to write over the bundle itself or a part of it, before long work.

    Parameters
    ----------
    bundle
        The zip file, or the folder that it was unpacked to.
    out
        The file to write.
    entries
        Those that its manifest lists.

    Raises
    ------
    InputError
        If the bundle would be spoilt.
    """
    source, target = Path(bundle).resolve(), Path(out).resolve()
    own = {source, source / MANIFEST, *(source / name for name in entries)}
    if target in own:
        raise InputError(
            f"{out} is a part of the bundle, which would be spoilt. Name another file."
        )
