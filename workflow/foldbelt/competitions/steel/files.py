"""Which files a steel data set consists of. Only the standard library is imported here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.competitions.steel import SAMPLE
from foldbelt.formats.folders import files_in, tables_in

TRAIN = "train.csv"


def files(root: Path, settings: Mapping[str, Any]) -> dict[str, list[Path]]:
    """List the files that reading consumes, by part.

    Parameters
    ----------
    root
        The competition's folder.
    settings
        The config's `data` section.

    Returns
    -------
    dict
        Of `foldbelt.raw_files.PARTS` each → its files. The training data do not depend on the
        sample, so that another set of test images retrains nothing.
    """
    return {
        "train": [*files_in(root / "train_images"), *tables_in(root, [TRAIN])],
        "test": [*files_in(root / "test_images"), *tables_in(root, [SAMPLE])],
        "sample": tables_in(root, [SAMPLE]),
    }
