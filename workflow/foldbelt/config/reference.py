"""The config's reference page, written from its schema by ``make docs``."""

from collections.abc import Mapping
from typing import Any

import yaml

from foldbelt.config.resolving import load_schema


def document(schema: Mapping[str, Any] | None = None) -> str:
    """Write the config's reference page from its schema.

    Returns
    -------
    str
        Markdown: one table for the top level and one for every part.
    """
    schema = load_schema() if schema is None else schema
    parts = [
        f"# Configuration\n\n{schema['description']}\n"
        "Made from `workflow/schemas/config.schema.yaml` by `make docs`.",
    ]
    parts += ["## Top level\n\n" + _table(schema, schema, "")]
    for name in (
        "data",
        "channels",
        "folds",
        "stage",
        "architecture",
        "model",
        "predict",
        "blend",
        "decision",
        "pseudo",
        "ablation",
    ):
        where = {
            "channels": "channels.<name>",
            "folds": "folds.<name>",
            "stage": "stages.<name>",
        }.get(name, name)
        where = {"model": "models.<name>", "architecture": "models.<name>.architecture"}.get(
            name, where
        )
        parts.append(f"## `{where}`\n\n" + _table(schema["$defs"][name], schema, ""))
    return "\n\n".join(parts) + "\n"


def _table(part: Mapping[str, Any], schema: Mapping[str, Any], prefix: str) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"] if not prefix else []
    for key, value in part.get("properties", {}).items():
        own = value
        if "$ref" in value:
            own = {**schema["$defs"][value["$ref"].rsplit("/", 1)[1]], **value}
        needed = key in part.get("required", [])
        default = (
            "**required**"
            if needed
            else f"`{yaml.safe_dump(own['default'], default_flow_style=True).strip()}`"
            if "default" in own
            else ""
        )
        default = default.replace("\n...", "").replace("\n", " ").replace("|", "\\|")
        text = own.get("description", "")
        rows.append(f"| `{prefix}{key}` | {_type(own)} | {default} | {text} |")
        nested = own if prefix or "$ref" not in value else {}
        for option in [nested, *nested.get("oneOf", [])]:
            if option.get("properties"):
                rows.append(_table(option, schema, f"{prefix}{key}."))
    return "\n".join(rows)


def _type(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "oneOf" in part:
        return " or ".join(_type(option) for option in part["oneOf"])
    kind = part.get("type", "")
    if kind == "array" and "items" in part:
        return f"list of {_type(part['items'])}"
    if "$ref" in part:
        return part["$ref"].rsplit("/", 1)[1]
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


if __name__ == "__main__":
    print(document(), end="")
