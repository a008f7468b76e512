"""Write choices as YAML, every line with its reason."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from foldbelt.init.table import Choice, Item

WIDE = 110
"""Characters of a line; a longer comment stands above what it is about."""


def render(choices: Sequence[Choice], heading: Iterable[str] = ()) -> str:
    """Write a recipe.

    Parameters
    ----------
    choices
        Its lines, in order; those of a section follow each other.
    heading
        Comments at the top.

    Returns
    -------
    str
        YAML, the same for the same choices.
    """
    lines = [f"# {line}".rstrip() for line in heading]
    above: list[str] = []
    for choice in _gathered(choices):
        *path, last = choice.key.split(".")
        common = 0
        while common < min(len(path), len(above)) and path[common] == above[common]:
            common += 1
        for depth in range(common, len(path)):
            lines += [""] * (depth == 0) + ["  " * depth + f"{path[depth]}:"]
        above = path
        lines += _lines(last, choice, "  " * len(path))
    return "\n".join(lines) + "\n"


def _gathered(choices: Sequence[Choice]) -> list[Choice]:
    """Bring the lines of a section together, in the order in which sections first appear."""
    order: dict[str, int] = {}
    for choice in choices:
        parts = choice.key.split(".")
        for depth in range(1, len(parts) + 1):
            order.setdefault(".".join(parts[:depth]), len(order))

    def place(choice: Choice) -> tuple[int, ...]:
        parts = choice.key.split(".")
        return tuple(order[".".join(parts[:depth])] for depth in range(1, len(parts) + 1))

    return sorted(choices, key=place)


def _lines(name: str, choice: Choice, indent: str) -> list[str]:
    asked = [] if not choice.asks else _comment(f"? {choice.asks}", indent)
    if isinstance(choice.value, list) and any(isinstance(item, Item) for item in choice.value):
        lines = [*_above(choice.reason, indent), *asked, f"{indent}{name}:"]
        for item in choice.value:
            mark = "# - " if item.off else "- "
            lines += _with(
                f"{indent}  {mark}{_flow(item.value, inner=True)}", item.reason, indent + "  "
            )
        return lines
    return [*asked, *_with(f"{indent}{name}: {_flow(choice.value)}", choice.reason, indent)]


def _with(line: str, reason: str, indent: str) -> list[str]:
    """Put a reason behind a line, or above it where that would be too wide."""
    if not reason:
        return [line]
    if len(line) + len(reason) + 5 <= WIDE:
        return [f"{line}   # {reason}"]
    return [*_above(reason, indent), line]


def _above(reason: str, indent: str) -> list[str]:
    return _comment(reason, indent) if reason else []


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDE, initial_indent=f"{indent}# ", 
                         subsequent_indent=(
                             f"{indent}#  "
                             " "
                         ), break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _flow(value: Any, inner: bool = False) -> str:
    """Write a value on one line."""
    if inner and isinstance(value, Mapping):
        ((name, options),) = value.items()
        return f"{name}: {_flow(options)}"
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
