"""The page of what made a run: its config, versions, hardware and durations."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from foldbelt.report.pages import page, rows
from foldbelt.store.predictions import mixed


def write(config: str, environment: Mapping[str, Any], scores: Mapping[str, Any], out: str) -> None:
    """Write what made this run: its config, versions, hardware and durations.

    Parameters
    ----------
    config
        The run's own config.yaml.
    environment
        What is known of the machine that draws the report, and of its software; values may be
        mappings or lists.
    scores
        The run's scores.json: `made_on`, the machines that trained and predicted, and `seconds`,
        the total of each rule.
    out
        An HTML page.
    """
    text = Path(config).read_text(encoding="utf-8")
    given = yaml.safe_load(text) or {}
    seconds = scores["seconds"]
    total = sum(seconds.values())
    title = f"Provenance of the run “{given.get('run', '')}”" if given.get("run") else "Provenance"
    body = _machines(scores.get("made_on") or [])
    body += "<h2>Where this report was drawn</h2>" + _environment(environment)
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


def _machines(machines: Sequence[Mapping[str, Any]]) -> str:
    """Make the table of what trained and predicted."""
    if not machines:
        return ""
    heads = [str(key) for key in machines[0]]
    lines = [[value for value in machine.values()] for machine in machines]
    differing = mixed(machines)
    note = (
        f"<p><strong>{escape(differing[0].upper() + differing[1:])}.</strong></p>"
        if differing
        else ""
    )
    return "<h2>What trained and predicted</h2>" + note + rows(heads, lines)


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
