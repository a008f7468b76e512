"""Rooms import what is asked of them, and what their stubs list is what they give."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import foldbelt
from foldbelt.lazy import attach_stub

PACKAGE = Path(foldbelt.__file__).parent
ROOMS = [
    ".".join(["foldbelt", *stub.parent.relative_to(PACKAGE).parts])
    for stub in sorted(PACKAGE.rglob("*.pyi"))
]


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A room `drawer` of two modules, one named like its function."""
    folder = tmp_path / "drawer"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from foldbelt.lazy import attach_stub\n"
        "__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)\n"
    )
    (folder / "__init__.pyi").write_text("from .spoon import spoon as spoon\nfrom .rest import a\n")
    (folder / "spoon.py").write_text("def spoon(): return 1\n")
    (folder / "rest.py").write_text("a = 2\n")
    (folder / "a.py").write_text("other = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("drawer")
    for name in [name for name in sys.modules if name.partition(".")[0] == "drawer"]:
        del sys.modules[name]


def test_a_module_is_imported_when_a_name_of_it_is_asked_for(room):
    assert dir(room) == room.__all__ == ["a", "spoon"]
    assert "drawer.rest" not in sys.modules
    assert room.a == 2
    assert "drawer.rest" in sys.modules
    assert "drawer.spoon" not in sys.modules
    with pytest.raises(AttributeError, match=r"drawer.*fork"):
        room.fork  # noqa: B018


def test_a_listed_name_is_never_the_module_of_that_name(room):
    importlib.import_module("drawer.spoon")
    importlib.import_module("drawer.a")
    assert (room.spoon(), room.a) == (1, 2)
    importlib.reload(sys.modules["drawer.spoon"])
    assert room.spoon() == 1


@pytest.mark.parametrize("line", ["import os", "from ..x import y", "from .x import *"])
def test_a_stub_that_says_more_is_refused(room, tmp_path, line):
    (tmp_path / "drawer" / "__init__.pyi").write_text(line)
    with pytest.raises(ValueError, match="line 1"):
        attach_stub("drawer", room.__file__)


def test_every_stub_lists_what_there_is():
    for name in ROOMS:
        module = importlib.import_module(name)
        assert {attribute for attribute in dir(module) if not hasattr(module, attribute)} == set()


def test_a_room_alone_imports_nothing_heavy():
    code = f"import sys, {', '.join(ROOMS)}; print(*(m for m in ('numpy', 'torch', 'pandas') "
    code += "if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
