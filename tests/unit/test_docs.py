"""Pages that are made from the code say what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import yaml

from foldbelt import config
from foldbelt.config import outputs

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


def test_recipes_of_the_page_of_outputs_are_valid() -> None:
    text = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    whole = [block for block in blocks if "run" in block]
    assert len(whole) == 1
    for block in blocks:
        made = config.resolve({**whole[0], **block})
        assert set(outputs.models_of(made)) == {"labels", "boxes"}


def test_data_of_the_page_of_outputs_are_valid() -> None:
    text = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|`]+ \| (`\w+: [^|]+) \|", text, re.MULTILINE)
    assert len(rows) > 8
    for row in rows:
        given = ", ".join(re.findall(r"`(\w+: [^`]+)`", row))
        data = {"path": "x", **yaml.safe_load(f"{{{given}}}")}
        data = {"boxes": "b.csv", **data} if data.get("masks") == "from_boxes" else data
        if data.get("masks") is False:
            data["label"] = "view"
        net = {"name": "classifier"} if "masks" in data and not data["masks"] else {"name": "unet"}
        loss = {"label": {"bce": 1}} if net["name"] == "classifier" else {"mask": {"bce": 1}}
        recipe = {"run": "x", "competition": "folder", "data": data}
        recipe["stages"] = {"one": {"loss": loss, "epochs": 1}}
        recipe["models"] = {"net": {"stages": ["one"], "architecture": net}}
        config.resolve(recipe)
