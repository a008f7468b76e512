"""Which files a folder data set consists of. Only the standard library is imported here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldbelt.competitions.folder import SAMPLE
from foldbelt.formats.folders import files_in, tables_in

META = "meta.csv"
TEST_FOLDERS = ("test", "test_images")


def test_folders(root: Path) -> list[str]:
    """Name the folders of test images that there are; more than one is a mistake."""
    return [name for name in TEST_FOLDERS if (root / name).is_dir()]


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
        Of `foldbelt.raw_files.PARTS` each → its files. `meta.csv` describes training and test
        images, so it belongs to both parts.
    """
    test = [path for folder in test_folders(root) for path in files_in(root / folder)]
    return {
        "train": [*files_in(root / "images"), *files_in(root / "masks"), *tables_in(root, [META])],
        "test": [*test, *tables_in(root, [META, SAMPLE])],
        "sample": tables_in(root, [SAMPLE]),
    }
