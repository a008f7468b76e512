"""The sample submission, kept with the results."""

import shutil
from pathlib import Path

from foldbelt import competitions
from foldbelt.files import PathLike


def keep_sample(competition: str, root: PathLike, out: PathLike) -> None:
    """Keep the sample submission with the results, so that they can be submitted without raw files.

    Parameters
    ----------
    competition, root
        Its name, and the folder of its files.
    out
        A folder; it stays empty if there is no sample, where none is needed.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for path in competitions.files(competition)(Path(root), {})["sample"]:
        shutil.copyfile(path, folder / path.name)
