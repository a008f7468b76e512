"""The config's reference page, written from its schema and its plug-ins by ``make docs``.

The whole schema is walked, so that no key can be missing. What the schema leaves open (options of
losses, networks and decision steps, which their modules know) is read from the modules' source:
names and defaults from the arguments of `build`, meanings from docstrings. Nothing heavy is
imported.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from foldbelt import registry
from foldbelt.config.resolving import load_schema

Schema = Mapping[str, Any]

_PLUG_INS = {
    "losses": ("stages.<name>.loss.<loss>", "Losses", "A loss is a weight, or `weight` and these."),
    "decide/steps": ("decision.steps.<step>", "Steps of the decision", "`{}` takes the defaults."),
    "models": ("models.<name>.architecture", "Networks", "What keys each network takes."),
}
_GIVEN = {"in_channels", "mask_channels", "label_classes", "box_classes", "variant"}  # by no key


class Key(NamedTuple):
    """One key of the config: its path, its part of the schema, and whether it must be given."""

    path: str
    schema: Schema
    required: bool


def every_key(schema: Schema | None = None) -> Iterator[Key]:
    """Walk the schema; names that a user chooses stand as ``<name>``.

    Yields
    ------
    Key
        Every key, each before those below it.
    """
    root = load_schema() if schema is None else schema
    yield from _keys(root, root, "")


def _keys(part: Schema, root: Schema, prefix: str) -> Iterator[Key]:
    part = _resolved(part, root)
    for option in part.get("oneOf", ()):
        yield from _keys(option, root, prefix)
    for name, below in part.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield Key(path, _resolved(below, root), name in part.get("required", ()))
        yield from _keys(below, root, f"{path}.")
    others = part.get("additionalProperties")
    if isinstance(others, Mapping):
        yield from _keys(others, root, f"{prefix}<name>.")
    items = part.get("items")
    if isinstance(items, Mapping):
        yield from _keys(items, root, prefix)


def _resolved(part: Schema, root: Schema) -> Schema:
    while "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        part = {**root["$defs"][name], **{k: v for k, v in part.items() if k != "$ref"}}
    return part


def document(schema: Schema | None = None) -> str:
    """Write the config's reference page.

    Returns
    -------
    str
        Markdown: a table for the top level, one for every part, and one for the plug-ins' options.
    """
    root = load_schema() if schema is None else schema
    sections: dict[str, list[Key]] = {"": []}
    for key in every_key(root):
        sections.setdefault(_section(key, root), []).append(key)
    titles = {name: f"`{name}`" if name else "Top level" for name in sections}
    contents = [f"[{title}](#{_anchor(title)})" for title in titles.values()]
    contents += [f"[{title}](#{_anchor(title)})" for _, title, _ in _PLUG_INS.values()]
    parts = [
        f"# Configuration\n\n{root['description']}\n"
        "Made from `workflow/schemas/config.schema.yaml` and the plug-ins by `make docs`.\n\n"
        + " · ".join(contents)
    ]
    for name, listed in sections.items():
        parts.append(f"## {titles[name]}\n\n" + _table(listed, name))
    parts += [_plug_ins(room) for room in _PLUG_INS]
    return "\n\n".join(parts) + "\n"


def _section(key: Key, root: Schema) -> str:
    """Name the part of the page on which a key stands: the recipe's part that it belongs to."""
    top, *below = key.path.split(".")
    if not below:
        return ""
    if below[:2] == ["<name>", "architecture"] and len(below) > 2:
        return f"{top}.<name>.architecture"
    named = isinstance(
        _resolved(root["properties"][top], root).get("additionalProperties"), Mapping
    )
    return f"{top}.<name>" if named else top


def _anchor(title: str) -> str:
    """Give the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _table(listed: list[Key], section: str) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for path, part, required in listed:
        name = path.removeprefix(f"{section}.") if section else path
        default = (
            "**required**" if required else _yaml(part["default"]) if "default" in part else ""
        )
        text = part.get("description", "")
        rows.append(f"| `{name}` | {_type(part)} | {default} | {_cell(text)} |")
    return "\n".join(rows)


def _yaml(value: Any) -> str:
    """Write a default as one would in a recipe."""
    if isinstance(value, list | tuple):
        return f"`[{', '.join(_yaml(entry).strip('`') for entry in value)}]`"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key}: {_yaml(entry).strip('`')}" for key, entry in value.items())
        return f"`{{{inside}}}`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
    "array": "list",
    "null": "null",
}


def _type(part: Schema) -> str:
    """Say in words what a value is, with its bounds."""
    if "enum" in part:
        return " or ".join(_yaml(value) for value in part["enum"])
    if "oneOf" in part:
        return " or ".join(_type(option) for option in part["oneOf"])
    if "$ref" in part:
        return _type(_resolved(part, load_schema()))
    kind = part.get("type", "mapping")
    kinds: list[str] = kind if isinstance(kind, list) else [kind]
    words = " or ".join(_WORDS.get(name, name) for name in kinds)
    if kinds == ["array"] and "items" in part:
        words = f"list of {_type(part['items'])}"
    bounds = [
        f"{sign} {part[key]}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in part
    ]
    return f"{words} {', '.join(bounds)}".strip()


class Option(NamedTuple):
    """One argument of a plug-in's `build`."""

    name: str
    default: str
    meaning: str


def options(module: str) -> list[Option]:
    """List the options of a plug-in, with their defaults and meanings.

    Parameters
    ----------
    module
        Dotted name, for instance "foldbelt.losses.dice".

    Examples
    --------
    >>> options("foldbelt.losses.dice")[0][:2]
    ('smooth', '1.0')
    """
    tree = registry.body(module)
    build = next(n for n in tree if isinstance(n, ast.FunctionDef) and n.name == "build")
    given = build.args
    positional: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults))
    positional += given.defaults
    defaults = dict(zip([a.arg for a in given.args], positional, strict=True))
    defaults |= dict(zip([a.arg for a in given.kwonlyargs], given.kw_defaults, strict=True))
    meanings = _meanings(tree)
    return [
        Option(name, _default(module, value), meanings.get(name, ""))
        for name, value in defaults.items()
        if name not in _GIVEN
    ]


def _default(module: str, value: ast.expr | None) -> str:
    if value is None:
        return ""
    try:
        return str(_yaml(ast.literal_eval(value))).strip("`")
    except ValueError:  # a constant of the module
        return _yaml(registry.constant(module, ast.unparse(value))).strip("`")


def _meanings(tree: list[ast.stmt]) -> dict[str, str]:
    """Read what numpydoc sections of a module's functions and classes say of parameters."""
    meanings: dict[str, str] = {}
    for node in tree:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        text = ast.get_docstring(node) or ""
        section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-{3,}$|\Z)", text, re.M | re.S)
        for names, meaning in re.findall(
            r"^(\w[^\n:]*?)(?: : [^\n]*)?\n((?:(?:    [^\n]*)?\n?)+)",
            section[1] if section else "",
            re.M,
        ):
            for name in re.findall(r"\w+", names):
                meanings.setdefault(name, " ".join(meaning.split()))
    return meanings


def _plug_ins(room: str) -> str:
    """Write the table of a room's plug-ins; of networks, the names of their options."""
    where, title, note = _PLUG_INS[room]
    names = {
        name: options(f"foldbelt.{room.replace('/', '.')}.{name}") for name in registry.known(room)
    }
    if room == "models":
        rows = ["| name | takes |", "|---|---|"]
        for name, listed in names.items():
            rows.append(f"| `{name}` | {' '.join(f'`{option.name}`' for option in listed)} |")
    else:
        rows = ["| name | option | default | meaning |", "|---|---|---|---|"]
        for name, listed in names.items():
            for option in listed:
                default = f"`{option.default}`" if option.default else ""
                meaning = _cell(option.meaning)
                rows.append(f"| `{name}` | `{option.name}` | {default} | {meaning} |")
    return f"## {title}\n\n`{where}`. {note}\n\n" + "\n".join(rows)


if __name__ == "__main__":
    print(document(), end="")
