"""The page of problems found in the input."""

import pandas as pd

from foldbelt.report.pages import page, rows


def write(csv: str, out: str, checked: int | None = None) -> None:
    """Write the problems found in the input as a page.

    Parameters
    ----------
    csv
        data/problems.csv: file, reason, action.
    out
        An HTML page.
    checked
        How many images were looked at, if known.
    """
    table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    among = f" in {checked:,} images" if checked is not None else ""
    if not len(table):
        page(out, f"No problems found{among}", "<p>Every input file passed all checks.</p>")
        return
    title = f"{len(table):,} problem{'s' if len(table) > 1 else ''} found{among}"
    body = ""
    if "reason" in table and table["reason"].nunique() < len(table):
        counts = table["reason"].value_counts(sort=False).sort_index()
        counts = counts.sort_values(ascending=False, kind="stable")
        body = "<h2>By reason</h2>" + rows(["reason", "files"], counts.items(), [False, True])
        body += "<h2>Each</h2>"
    page(out, title, body + rows(list(table.columns), table.itertuples(index=False, name=None)))
