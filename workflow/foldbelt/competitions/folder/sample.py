"""The form of a sample submission of the folder layout."""

import pandas as pd

from foldbelt.formats import csv_files

COLUMNS = ["id", "class", "height", "width", "rle"]


def sample_fault(sample: pd.DataFrame, classes: list[str]) -> str:
    strange = [column for column in sample.columns if column not in COLUMNS]
    if strange:
        return f"has the columns {', '.join(strange)}; known are {', '.join(COLUMNS)}"
    if "class" not in sample:
        return "" if len(classes) == 1 else "lacks the column class, though there are several"
    pairs = sample.groupby("id")["class"].agg(list)
    wrong = [key for key, names in pairs.items() if sorted(names) != sorted(classes)]
    few = ", ".join(map(str, wrong[: csv_files.MANY]))
    return (
        f"does not list every class once for {few} (classes: {', '.join(classes)})" if wrong else ""
    )
