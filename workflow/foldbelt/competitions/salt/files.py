"""Which files a salt data set consists of. Only the standard library is imported here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.competitions.salt import SAMPLE
from foldbelt.formats.folders import files_in, tables_in

TRAIN, DEPTHS = "train.csv", "depths.csv"


def folders(root: Path) -> dict[str, str]:
    """Give the folders of images, masks and test images below the root."""
    test = "test/images" if (root / "test" / "images").is_dir() else "test"
    return {"images": "train/images", "masks": "train/masks", "test": test}


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
        Of `foldbelt.raw_files.PARTS` each → its files.
    """
    images, masks, test = (files_in(root / folder) for folder in folders(root).values())
    return {
        "train": [*images, *masks, *tables_in(root, [TRAIN, DEPTHS])],
        "test": [*test, *tables_in(root, [DEPTHS, SAMPLE])],
        "sample": tables_in(root, [SAMPLE]),
    }
