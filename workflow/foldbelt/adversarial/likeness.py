"""The test-likeness of images, as the adversarial stage wrote it."""

import numpy as np
import pandas as pd

from foldbelt.files import PathLike

COLUMN = "test_likeness"


def read(path: PathLike, part: str | None = None) -> pd.Series:
    """Read the test-likeness of images.

    Parameters
    ----------
    path
        The CSV that :func:`run` wrote.
    part
        train or test; None reads both.

    Returns
    -------
    Series
        float64 by id.
    """
    table = pd.read_csv(path, dtype={"id": str, "part": str}, keep_default_na=False)
    if part is not None:
        table = table[table["part"] == part]
    return table.set_index("id")[COLUMN].astype(np.float64)
