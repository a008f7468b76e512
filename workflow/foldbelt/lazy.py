"""Rooms that import what is asked of them, and no more.

A room's stub (``__init__.pyi``) lists what it re-exports, line by line:
``from .module import name as name``. Type checkers read it, and so does `attach_stub` when the room
is imported; a module is imported when one of its names is first asked for.
"""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_Attached = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


class _Room(ModuleType):
    """A room in which a name that its stub lists is never the module of that name.

    The import of a submodule sets it as an attribute of its package; `rle.encode` has to stay the
    function if there is a module `rle/encode.py`, whichever was imported first.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in self.__dict__["__all__"]:
            if not hasattr(value, name):
                return  # what is listed comes from another module
            value = getattr(value, name)
        super().__setattr__(name, value)


def attach_stub(package: str, file: str) -> _Attached:
    """Give a room what it needs to re-export lazily what its stub lists.

    Parameters
    ----------
    package, file
        ``__name__`` and ``__file__`` of the room; the stub lies beside.

    Returns
    -------
    ``__getattr__``, ``__dir__``, ``__all__``
        Of the room.

    Raises
    ------
    ValueError
        If the stub holds anything but imports from the room's own modules, name by name.
    """
    modules = _listed(Path(file).with_suffix(".pyi"))
    names = sorted(modules)
    room = sys.modules[package]
    room.__class__ = _Room

    def getattr_(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(room, name, value)  # asked for once
        return value

    return getattr_, names.copy, names


def _listed(stub: Path) -> dict[str, str]:
    """Read a stub: name → the module of the room that it comes from."""
    modules: dict[str, str] = {}
    for node in ast.parse(stub.read_bytes()).body:
        if not isinstance(node, ast.ImportFrom) or node.level != 1 or node.module is None:
            raise ValueError(f"{stub}: line {node.lineno} is no `from .module import name`")
        for alias in node.names:
            if alias.name == "*" or alias.asname not in (None, alias.name):
                raise ValueError(f"{stub}: line {node.lineno} renames {alias.name}, or lists all")
            modules[alias.name] = node.module
    return modules
