"""What all pages of the report share: the page itself, and tables of escaped text.

Each page stands alone (no script, no outside resource) and every text that came from a user's file
is escaped: an image may well be called ``<b>.png``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from foldbelt.files import write_text
from foldbelt.report import style

CSS = """
body { font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a;
       background: #fff; margin: 1.5rem auto; max-width: 68rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 1.8rem 0 .4rem; }
p { max-width: 46rem; margin: .3rem 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #ddd; vertical-align: top;
         overflow-wrap: anywhere; }
th { border-bottom: 2px solid #444; vertical-align: bottom; overflow-wrap: normal; }
td.n, th.n { text-align: right; }
td.n { white-space: nowrap; }
td:not(.n) { min-width: 7rem; }  /* else wide tables break names letter by letter */
tr.strong td { font-weight: 600; background: #eef5fa; }
details { border: 1px solid #ddd; border-radius: 4px; margin: .4rem 0; padding: .35rem .8rem; }
summary { cursor: pointer; font-weight: 600; }
pre { font: .85rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-x: auto;
      margin: .4rem 0; }
.bar { display: inline-block; height: .7rem; background: #0072B2; min-width: 1px; }
.note { color: #555; }
"""


def page(out: str, title: str, body: str) -> None:
    """Write a page of its own; `title` is escaped, `body` is HTML."""
    head = escape(title)
    write_text(
        out,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{head}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<h1>{head}</h1>\n{body}\n</body>\n</html>\n",
    )


def cell(value: Any) -> str:
    """Write a value for people: short numbers, lists with commas, nothing for what is missing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {cell(part)}" for name, part in value.items())
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(part) for part in value)
    return str(value)


def rows(
    head: Sequence[str],
    lines: Iterable[Sequence[Any]],
    numeric: Sequence[bool] = (),
    strong: Sequence[int] = (),
) -> str:
    """Make an HTML table.

    Parameters
    ----------
    head
        The column heads; all empty: no head.
    lines
        The cells of each row; everything is escaped.
    numeric
        Which columns are set flush right, with true minus signs.
    strong
        Rows (from 0) that stand out.
    """
    flags = [*numeric, *[False] * (len(head) - len(numeric))]
    kinds = [' class="n"' if flag else "" for flag in flags]
    parts = ['<div class="wide"><table>']
    heads = [f"<th{kind}>{escape(str(name))}</th>" for kind, name in zip(kinds, head, strict=True)]
    parts += ["<thead><tr>", *heads, "</tr></thead>"] if any(head) else []
    parts.append("<tbody>")
    for number, line in enumerate(lines):
        texts = [
            style.minus(cell(value)) if flag else cell(value)
            for flag, value in zip(flags, line, strict=True)
        ]
        cells = "".join(
            f"<td{kind}>{escape(text)}</td>" for kind, text in zip(kinds, texts, strict=True)
        )
        parts.append(
            f'<tr class="strong">{cells}</tr>' if number in strong else f"<tr>{cells}</tr>"
        )
    return "\n".join([*parts, "</tbody></table></div>"])


def frame(table: pd.DataFrame) -> str:
    """Make an HTML table of a DataFrame."""
    if table.index.name is not None or any(table.index.names):
        table = table.reset_index()
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    lines = [
        [value.item() if hasattr(value, "item") else value for value in line]
        for line in table.itertuples(index=False, name=None)
    ]
    return rows([str(name) for name in table.columns], lines, numeric)
