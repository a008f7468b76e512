"""Write the rooms of the library and their imports into docs/design.md.

`python docs/make_rooms.py` renews the part of the page between its two marks; `make docs` calls it,
and a test says when it is out of date. The order is that of the import contract in pyproject.toml.
"""

import ast
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design.md"
START, END = "<!-- rooms: made by docs/make_rooms.py -->", "<!-- end of rooms -->"


def order() -> list[list[str]]:
    """Lines of rooms as data pass through them, the ground last."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    layers = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    ground = next(place for place, rooms in enumerate(layers) if "registry" in rooms)
    return [*reversed(layers[:ground]), *layers[ground:]]


def imports() -> dict[str, set[str]]:
    """Room → the rooms that its modules import."""
    graph = grimp.build_graph("foldbelt")
    found: dict[str, set[str]] = {}
    for module in graph.modules - {"foldbelt"}:
        room = module.split(".")[1]
        imported = {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module)}
        found.setdefault(room, set()).update(imported - {room})
    return found


def purpose(room: str) -> str:
    """First line of a room's docstring."""
    place = ROOT / "workflow" / "foldbelt" / room
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def table() -> str:
    """The rooms as a table in Markdown."""
    found, layers = imports(), order()
    ground = {"files", "logs", "runtime"}  # imported nearly everywhere
    rows = ["| room | what it is | imports, besides the plainest |", "|---|---|---|"]
    places = {room: place for place, rooms in enumerate(layers) for room in rooms}
    for rooms in layers:
        for room in rooms:
            package = (ROOT / "workflow" / "foldbelt" / room).is_dir()
            name = f"`{room}/`" if package else f"`{room}`"
            below = sorted(found[room] - ground, key=lambda other: (places[other], other))
            listed = ", ".join(below) or "–"
            rows.append(f"| {name} | {purpose(room).rstrip('.')} | {listed} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with its table renewed."""
    before, _, rest = text.partition(START)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{PAGE}: lacks the marks {START} and {END}.")
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
