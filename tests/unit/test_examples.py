"""The examples in docstrings print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import foldbelt

ROOT = Path(foldbelt.__file__).parent
TEXTS = {path: path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path, text in TEXTS.items()
    if ">>>" in text and "+SKIP" not in text  # skipped ones only show how a call looks
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed
