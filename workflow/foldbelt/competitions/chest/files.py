"""Which files a chest data set consists of. Only the standard library is imported here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.competitions.chest import SAMPLE
from foldbelt.formats.folders import files_below, tables_in

STUDY_TABLE = "train_study_level.csv"
IMAGE_TABLE = "train_image_level.csv"
SIZES = "meta.csv"
"""The table of converted images, where `data.sizes` names none."""


def sizes_table(settings: Mapping[str, Any]) -> str:
    """Name the table of converted images, which need not be there."""
    return settings.get("sizes") or SIZES


def files(root: Path, settings: Mapping[str, Any]) -> dict[str, list[Path]]:
    """List the files that reading consumes, by part.

    Parameters
    ----------
    root
        The competition's folder.
    settings
        The config's `data` section, or nothing where the sample alone is asked for.

    Returns
    -------
    dict
        Of `foldbelt.raw_files.PARTS` each → its files. The table of converted images describes
        training and test images, so it belongs to both parts.
    """
    sizes = sizes_table(settings)
    return {
        "train": [
            *files_below(root / "train"),
            *tables_in(root, [STUDY_TABLE, IMAGE_TABLE, sizes]),
        ],
        "test": [*files_below(root / "test"), *tables_in(root, [sizes, SAMPLE])],
        "sample": tables_in(root, [SAMPLE]),
    }
