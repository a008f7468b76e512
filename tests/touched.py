"""Print the unit tests that a change touches: `python tests/touched.py [REVISION]`.

A test is touched if it, a helper that it imports, or foldbelt code that any of these imports
differs from the revision (by default the last commit), uncommitted and untracked files included.
Plug-ins are found by name at run time, so that a changed module touches all tests that use its
room. Changes of anything else than Python (rules, recipes, the schema, pages) touch the tests that
read such files.
"""

import ast
import subprocess
import sys
from pathlib import Path

from foldbelt import provenance

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PACKAGE = ROOT / "workflow" / "foldbelt"
NOT_PYTHON = (
    "config",
    "docs",
    "examples",
    "init_plain",
    "plan",
    "readme",
    "switches",
    "techniques",
    "variants",
)


def changed(revision: str) -> set[Path]:
    """Files that differ from a revision, or that git does not know."""
    commands = (
        ["git", "diff", "--name-only", revision],
        ["git", "ls-files", "--others", "--exclude-standard"],
    )
    names = [
        name
        for command in commands
        for name in subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    ]
    return {ROOT / name for name in names}


def helpers(test: Path) -> set[Path]:
    """A test and the modules beside it that it imports, and those that they import."""
    waiting, files = [test], set()
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                places = [folder / f"{name}.py" for folder in (TESTS, TESTS / "unit")]
                waiting += [place for place in places if place.is_file()]
    return files


def rooms(modules: list[str]) -> set[str]:
    """Packages in which some modules lie."""
    return {name.rpartition(".")[0] for name in modules if name.count(".") > 1}


def touched(test: Path, files: set[Path]) -> bool:
    """Whether a change of some files touches a test."""
    sources = helpers(test)
    if sources & files:
        return True
    modules = provenance.upstream(*(str(file) for file in sources))
    names = [
        "foldbelt." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        for file in files
        if PACKAGE in file.parents and file.suffix in (".py", ".pyi")
    ]
    names = [name.removesuffix(".__init__") for name in names]
    return bool(set(names) & set(modules) or rooms(names) & rooms(modules))


def main(revision: str = "HEAD") -> None:
    """Print the tests' paths, one a line."""
    files = changed(revision)
    other = any(file.suffix not in (".py", ".pyi") for file in files)
    for test in sorted((TESTS / "unit").glob("test_*.py")):
        reads = other and test.stem.removeprefix("test_") in NOT_PYTHON
        if reads or touched(test, files):
            print(test.relative_to(ROOT))


if __name__ == "__main__":
    main(*sys.argv[1:])
