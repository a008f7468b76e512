"""The page of problems found in the input."""

from collections.abc import Sequence

import pandas as pd

from foldbelt.report.pages import page, rows

_TOLD = "told"  # the action of rows that are no problems


def write(csv: str, out: str, checked: int | None = None, numbers: Sequence[str] = ()) -> None:
    """Write the problems found in the input as a page.

    Parameters
    ----------
    csv
        data/problems.csv: file, reason, action.
    out
        An HTML page.
    checked
        How many images were looked at, if known.
    numbers
        Tables of what was read of each part: what, read.
    """
    table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    among = f" in {checked:,} images" if checked is not None else ""
    told = table["action"] == _TOLD if "action" in table else pd.Series(False, table.index)
    notes = table.loc[told, "reason"].tolist() if told.any() else []
    table = table[~told]
    beside = "<h2>How files were understood</h2>" + rows(["note"], [[n] for n in notes])
    beside = beside if notes else ""
    read = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in numbers]
    lines = [line for one in read for line in one.itertuples(index=False, name=None)]
    beside += "<h2>What was read</h2>" + rows(["", "read"], lines) if lines else ""
    if not len(table):
        text = "<p>Every input file passed all checks.</p>" + beside
        page(out, f"No problems found{among}", text)
        return
    title = f"{len(table):,} problem{'s' if len(table) > 1 else ''} found{among}"
    body = ""
    if "reason" in table and table["reason"].nunique() < len(table):
        counts = table["reason"].value_counts(sort=False).sort_index()
        counts = counts.sort_values(ascending=False, kind="stable")
        body = "<h2>By reason</h2>" + rows(["reason", "files"], counts.items(), [False, True])
        body += "<h2>Each</h2>"
    body += rows(list(table.columns), table.itertuples(index=False, name=None))
    page(out, title, body + beside)
