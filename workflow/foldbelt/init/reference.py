"""docs/init.md, of which the table is made from the rules: `python -m foldbelt.init.reference`."""

from foldbelt.init.table import rules

START, END = "<!-- rules: made by foldbelt.init.reference -->", "<!-- end of rules -->"


def table() -> str:
    """Give the table of all rules in Markdown, in the order of the recipe."""
    rows = ["| decides | rule | source |", "|---|---|---|"]
    rows += [f"| `{rule.keys}` | {_cell(rule.says)} | {_cell(rule.source)} |" for rule in rules()]
    return "\n".join(rows)


def page(text: str) -> str:
    """Give a page with the table between its two marks renewed."""
    before, rest = text.split(START)
    return f"{before}{START}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    import sys
    from pathlib import Path

    path = Path(sys.argv[1])
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
