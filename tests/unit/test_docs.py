"""Pages that are made from the code say what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    """Import a script of docs/ by its path: it is no module of the library."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_rooms_is_in_sync_with_the_imports() -> None:
    rooms = load("make_rooms")
    text = rooms.PAGE.read_text(encoding="utf-8")
    assert rooms.page(text) == text, "make docs renews it"


def test_every_room_is_in_the_table_once_and_says_what_it_is() -> None:
    rooms = load("make_rooms")
    listed = [room for layer in rooms.order() for room in layer]
    package = ROOT / "workflow" / "foldbelt"
    there = {path.stem for path in package.iterdir() if path.name[0] not in "_."}
    assert sorted(listed) == sorted(there)
    assert all(rooms.purpose(room) for room in listed)
