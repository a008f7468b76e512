"""Which images belong together by a column of the table, and which say nothing."""

from collections.abc import Hashable

import pandas as pd

from foldbelt.files import InputError
from foldbelt.formats.csv_files import says_nothing


def keys(rows: pd.DataFrame, group: str | None) -> list[Hashable]:
    """Give each row's group, None where it belongs to none."""
    if group is None:
        return [None] * len(rows)
    values = zip(rows[group].tolist(), rows[group].isna(), strict=True)
    return [None if missing or says_nothing(value) else value for value, missing in values]


def tell_missing(rows: pd.DataFrame, group: str | None, missing: str) -> None:
    """Print how many images lack the key by which they are grouped, or refuse them."""
    if group is None or group == "mosaic" or group not in rows:
        return
    found = keys(rows, group)
    without = [name for name, key in zip(rows["id"], found, strict=True) if key is None]
    if not without:
        return
    told = f"{len(without)} of {len(rows)} images, such as {without[0]}, have no {group}"
    if missing == "error":
        raise InputError(
            f"folds: {told}. Fill the column, or let each of them be a group of its own "
            "(group_missing: alone)."
        )
    print(f"{told}: each of them is a group of its own")
