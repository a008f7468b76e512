"""HTML pages of the report: tables and provenance.

Each page stands alone (no script, no outside resource) and every text that came from a user's file
is escaped: an image may well be called ``<b>.png``.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from foldbelt.files import write_text
from foldbelt.report import style
from foldbelt.report.classes import spoken
from foldbelt.report.scoreboard import by_class, entries

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
td.n, th.n { text-align: right; white-space: nowrap; }
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


def problems(csv: str, out: str, checked: int | None = None) -> None:
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


def scores(path: str, out: str) -> None:
    """Write scores.json as a page with a table.

    Parameters
    ----------
    path
        scores.json.
    out
        An HTML page.
    """
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    baseline = found.get("baseline")
    lines: list[list[str | None]] = []
    strong = []
    for entry in entries(found):
        if entry.kind == "score":
            strong.append(len(lines))
        width = f"{entry.low:.4f} – {entry.high:.4f}" if entry.low is not None else None
        # The hidden score is of other images than the baseline.
        alone = baseline is None or entry.kind in ("baseline", "hidden")
        gain = None if alone else entry.score - baseline
        lines.append(
            [
                entry.label,
                f"{entry.score:.4f}",
                width,
                None if entry.optimistic is None else f"{entry.optimistic:.4f}",
                None if gain is None else f"{gain:+.4f}",
            ]
        )
    head = ["", "score", "95 % interval", "optimistic", "above all-empty"]
    note = (
        "<p>Scores are leave-one-fold-out: each fold is decided with parameters fitted on the "
        "others. “Optimistic” is the score with parameters fitted on the very images that are "
        "scored. Intervals: bootstrap over groups.</p>"
    )
    body = note + rows(head, lines, [False, True, True, True, True], strong)
    body += _like_test(found.get("like_test")) + _classes(found) + _labels(found.get("labels"))
    body += _differences(found.get("differences") or []) + _selected(found.get("select"))
    body += "".join(f"<p><strong>{escape(note)}</strong></p>" for note in found.get("notes") or [])
    page(out, f"Scores ({found['metric']})" if found.get("metric") else "Scores", body)


def _classes(found: Mapping[str, Any]) -> str:
    """Make the table of the classes, and that of their parameters; nothing for a single class."""
    listed = by_class(found)
    if not listed:
        return ""
    lines: list[list[str | None]] = [
        [
            one.label,
            f"{one.positives:,}",
            f"{one.score:.4f}",
            f"{one.low:.4f} – {one.high:.4f}",
            f"{one.baseline:.4f}",
            f"{one.score - (one.baseline or 0):+.4f}",
        ]
        for one in listed
    ]
    each = list(found["classes"].values())
    for line, one in zip(lines, each, strict=True):
        alone = one.get("on_positives")
        line.insert(3, None if alone is None else f"{alone:.4f}")
    names = list(dict.fromkeys(key for one in each for key in one["parameters"]))
    told = [
        [one.label, *(_value(own["parameters"].get(key)) for key in names)]
        for one, own in zip(listed, each, strict=True)
    ]
    head = ["", "images with it", "score", "on these alone", "95 % interval", "all empty"]
    head += ["above all-empty"]
    if any(one.hidden is not None for one in listed):  # else there is no hidden truth to tell of
        head += ["hidden"]
        for line, own in zip(lines, listed, strict=True):
            line.append(None if own.hidden is None else f"{own.hidden:.4f}")
    note = (
        "<p>Of the last blend. A rare class scores high wherever it is left empty, so look at what "
        "it gains over that, and at the images that hold it.</p>"
    )
    text = f"<h2>Classes</h2>{note}" + rows(head, lines, [False, *[True] * (len(head) - 1)])
    heads = ["", *(name.replace("_", " ") for name in names)]
    return text + "<h2>Parameters</h2>" + rows(heads, told, [False, *[True] * len(names)])


def _like_test(found: Mapping[str, Any] | None) -> str:
    """Say what the score would be if the images were drawn like the test images."""
    if not found:
        return ""
    (low, high), (less, more) = found["interval"], found["difference_interval"]
    text = (
        f"As if the images were drawn like the test images: {found['score']:.4f} (95 %: {low:.4f} "
        f"to {high:.4f}), {found['difference']:+.4f} ({less:+.4f} to {more:+.4f}) from the score "
        f"above. Train and test are told apart with an AUC of {found['auc']:.2f} (.5: not at all); "
        f"the weighted images tell as much as {found['effective_images']:.0f} equal ones."
    )
    return f"<p>{escape(style.minus(text))}</p>"


def _labels(found: Mapping[str, Any] | None) -> str:
    """Make the table of how well each member tells the image labels."""
    if not found:
        return ""
    names = list(dict.fromkeys(name for one in found.values() for name in one["auc"]))
    lines = []
    for member, one in found.items():
        areas = [one["auc"].get(name) for name in names]
        told = [None if area is None else f"{area:.3f}" for area in areas]
        lines.append([member.replace("/round", ", round "), f"{one['log_loss']:.4f}", *told])
    note = (
        "<p>Out of fold. AUC: the chance that an image with the label is given a higher "
        "probability than one without; .5 is chance. Log loss: lower is better.</p>"
    )
    head = ["", "log loss", *(f"AUC of {name}" for name in spoken(names))]
    return f"<h2>Image labels</h2>{note}" + rows(head, lines, [False, *[True] * (len(head) - 1)])


def _value(value: Any) -> str | None:
    return f"{value:.4g}" if isinstance(value, float) else value


def _differences(found: Sequence[Mapping[str, Any]]) -> str:
    """Make the table of paired differences."""
    lines = []
    for one in found:
        low, high = one["interval"]
        sure = "yes" if low > 0 or high < 0 else "no: the interval holds zero"
        width = f"{low:+.4f} to {high:+.4f}"
        lines.append([one["of"], one["over"], f"{one['difference']:+.4f}", width, sure])
    if not lines:
        return ""
    head = ["", "over", "difference", "95 % interval", "clear of zero"]
    note = "<p>Both scored on the same images, so that what is easy or hard for both cancels.</p>"
    return f"<h2>Differences</h2>{note}" + rows(head, lines, [False, False, True, True])


def _selected(found: Any) -> str:
    """Say which weights of a stage were kept, and what that means for the scores."""
    if not found:
        return ""
    each = found if isinstance(found, Mapping) else {"all models": found}
    body = "<h2>Weights kept</h2>" + rows(["", ""], [[name, how] for name, how in each.items()])
    if any(word in json.dumps(each) for word in ("best", "stopped early", "plateau")):
        body += (
            '<p class="note">“best” and “stopped early” chose the epoch on the validation fold, '
            "“plateau” the learning rate, so these scores have seen a little of their own answer."
            "</p>"
        )
    return body


def provenance(
    config: str, environment: Mapping[str, Any], seconds: Mapping[str, float], out: str
) -> None:
    """Write what made this run: its config, versions, hardware and durations.

    Parameters
    ----------
    config
        The run's own config.yaml.
    environment
        What is known of the machine and the software; values may be mappings or lists.
    seconds
        Total seconds of each rule.
    out
        An HTML page.
    """
    text = Path(config).read_text(encoding="utf-8")
    given = yaml.safe_load(text) or {}
    total = sum(seconds.values())
    title = f"Provenance of the run “{given.get('run', '')}”" if given.get("run") else "Provenance"
    body = "<h2>Environment</h2>" + _environment(environment)
    body += f"<h2>Durations</h2><p>{escape(duration(total))} of work in all, summed over jobs " + (
        "that may have run side by side.</p>"
    )
    body += _durations(seconds)
    body += "<h2>Config</h2><p>Complete: defaults are filled in. Open a part to read it.</p>"
    for name, part in given.items():
        flow = None if isinstance(part, (dict, list)) else False
        dumped = yaml.safe_dump(
            {name: part}, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=100
        )
        if isinstance(part, (dict, list)) and part:
            head = f"<summary>{escape(str(name))}</summary>"
            body += f"<details>{head}<pre>{escape(dumped)}</pre></details>\n"
        else:
            body += f"<pre>{escape(dumped.strip())}</pre>\n"
    page(out, title, body)


def duration(seconds: float) -> str:
    """Write seconds for people: '3.2 s', '4 min 05 s', '2 h 07 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _environment(environment: Mapping[str, Any]) -> str:
    """Show single facts in one table, and long lists (package versions) in one each."""
    lines, longer = [], ""
    for name, part in environment.items():
        if isinstance(part, Mapping) and len(part) > 3:
            table = rows(["", ""], [[str(key), value] for key, value in part.items()])
            longer += f"<details open><summary>{escape(str(name))}</summary>{table}</details>\n"
        elif name == "memory" and isinstance(part, int):
            lines.append([name, f"{part / 2**30:.1f} GiB"])
        else:
            lines.append([str(name), "none" if part == [] else part])
    return (rows(["", ""], lines) if lines else "") + longer


def _durations(seconds: Mapping[str, float]) -> str:
    total = sum(seconds.values()) or 1.0
    parts = [
        '<div class="wide"><table><thead><tr><th>rule</th><th class="n">total</th>'
        '<th class="n">share</th><th></th></tr></thead><tbody>'
    ]
    for rule, spent in sorted(seconds.items(), key=lambda item: (-item[1], item[0])):
        share = spent / total
        parts.append(
            f'<tr><td>{escape(str(rule))}</td><td class="n">{escape(duration(spent))}</td>'
            f'<td class="n">{100 * share:.1f} %</td>'
            f'<td><span class="bar" style="width:{16 * share:.2f}rem"></span></td></tr>'
        )
    return "\n".join([*parts, "</tbody></table></div>"])
