"""New images to be predicted: their ids, and the studies that they belong to.

As of the competition's own, an id is the file name without its suffix, and a study is named by the
folder in which the image lies, or else by its DICOM header. Images that nobody names a study of are
alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foldbelt.competitions.chest.studies import belonging
from foldbelt.formats import dicom, image_files
from foldbelt.formats.findings import Finding


def listed(
    paths: Sequence[Path], root: Path
) -> tuple[dict[str, Path], dict[str, dict[str, Any]], list[Finding]]:
    """List images.

    Parameters
    ----------
    paths
        Files of a folder, nested ones included.
    root
        The folder.

    Returns
    -------
    files, columns, findings
        Id → file; id → what is known of it: `study`; and what is no image, or of a name that
        another has.
    """
    files, findings = image_files.by_stem(paths, root)
    dicom.read_headers(path for path in files.values() if dicom.is_dicom(path))
    # What is found of images without a study does not matter here: they are alone.
    found = belonging(root.parent, root.name, files, None, {}, ("", False))
    return files, {image: {"study": study} for image, study in found.study.items()}, findings
