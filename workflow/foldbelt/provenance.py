"""What a result came from: a digest of the code that made it, and the machine it was made on.

A rule declares `params: code=fingerprint(...)`, so that Snakemake redoes its jobs when the code
they run changes, and only then. Modification times do not serve (a `git switch` touches every
script), nor do scripts alone (most of the code lies in the modules they import). The digest is
taken over syntax trees, so that comments, docstrings and formatting leave it alone.

Only the standard library is imported here: every parse of the Snakefile calls `fingerprint` for
each rule, and on a cluster every job parses the Snakefile.
"""

import ast
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from foldbelt.files import InputError, digest
from foldbelt.machine import cpu_model, version

_PACKAGE = Path(__file__).resolve().parent

_MAIN_PACKAGES = (
    "albumentations",
    "connected-components-3d",
    "h5py",
    "matplotlib",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "safetensors",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "snakemake",
    "timm",
    "torch",
    "torchvision",
)

_SKIPPED = {"ctx", "kind", "type_ignores"}

HARMLESS = {"foldbelt.logs", "foldbelt.lazy"}
"""Modules that cannot change a result: they and what they import count in no fingerprint."""

_SCRIPT = "script"  # stands for the name of a script, which may lie anywhere

# (level, module, name): level 0 is absolute; name is None for `import module`.
_Import = tuple[int, str, str | None]


def fingerprint(*modules: str) -> str:
    """Digest the code of some modules and of every foldbelt module that they import.

    Imports are found in the source, also inside functions; nothing is imported or run. Rooms
    re-export lazily: of ``from foldbelt.folds import split`` the one module behind `split` counts,
    of ``from foldbelt import folds`` all that the room's stub lists. Modules that the code finds by
    name at run time (a loss that the config names) cannot be seen: name them.

    Parameters
    ----------
    *modules
        Dotted names ("foldbelt.losses.lovasz") or paths of scripts (with a "/" or ending in ".py";
        relative ones are taken from the current directory). Order and repetition do not matter.

    Returns
    -------
    str
        16 hexadecimal digits. They change with the code, and stay when comments, docstrings,
        formatting, paths, modification times or the version of Python change, or when a module
        appears that none of these imports.

    Raises
    ------
    InputError
        If a module or script does not exist, or cannot be parsed. All unknown ones are named.

    Examples
    --------
    >>> fingerprint("foldbelt.files") == fingerprint("foldbelt.files", "foldbelt")
    True
    """
    return _fingerprint(modules, _PACKAGE)


def upstream(*modules: str) -> list[str]:
    """Dotted names of all foldbelt modules that count in the `fingerprint` of some, sorted.

    Parameters
    ----------
    *modules
        As for `fingerprint`.

    Examples
    --------
    >>> upstream("foldbelt.rle")
    ['foldbelt', 'foldbelt.rle']
    """
    return sorted(name for name, _ in _code(modules, _PACKAGE) if name != _SCRIPT)


def package() -> Path:
    """Folder of the package that is imported."""
    return _PACKAGE


def sources(folder: Path) -> list[Path]:
    """List the files of code in a package: modules and stubs, sorted."""
    return sorted([*folder.rglob("*.py"), *folder.rglob("*.pyi")])


def source_digest() -> str:
    """Digest all files of the package, comments included: what a copy of it depends on."""
    return digest(sources(_PACKAGE))


def packages(*modules: str) -> set[str]:
    """Names under which some modules, and what they import of foldbelt, import anything else.

    Parameters
    ----------
    *modules
        As for `fingerprint`.

    Returns
    -------
    set of str
        Top-level names, those of the standard library left out. Imports inside functions count.

    Examples
    --------
    >>> packages("foldbelt.rle.encoding"), packages("foldbelt.machine")
    ({'numpy'}, set())
    """
    found: set[str] = set()
    for name in upstream(*modules):
        file = _file_of(name, _PACKAGE)
        if file is not None:
            found |= {module.partition(".")[0] for level, module, _ in _parse_file(file)[1]
                      if not level}  # fmt: skip
    return found - sys.stdlib_module_names - {_PACKAGE.name}


def _fingerprint(modules: Iterable[str], package: Path) -> str:
    """`fingerprint` for the package that lies in the folder `package` and bears its name."""
    return hashlib.sha256(repr(sorted(_code(modules, package))).encode()).hexdigest()[:16]


def _code(modules: Iterable[str], package: Path) -> set[tuple[str, str]]:
    """Name and digest of some modules and scripts and of all that they import in the package."""
    scripts: list[str] = []
    waiting: list[str] = []
    unknown: list[str] = []
    for module in modules:
        if "/" in module or module.endswith(".py"):
            (scripts if Path(module).is_file() else unknown).append(module)
        else:
            (waiting if _file_of(module, package) else unknown).append(module)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise InputError(
            f"fingerprint: no such module or script: {names}. Modules are named like "
            f"“{package.name}.files” and looked for in {package}; scripts by their path."
        )

    code = {(_SCRIPT, _parse_file(Path(script))[0]) for script in scripts}
    for script in scripts:
        imports = _parse_file(Path(script))[1]
        waiting += _imported(imports, "__main__", False, package)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name in HARMLESS:
            continue
        seen.add(name)
        file = _file_of(name, package)
        if file is None:  # a missing module changes the digest once it appears
            continue
        digest, imports = _parse_file(file)
        code.add((name, digest))
        waiting += _imported(imports, name, file.name == "__init__.py", package)
        parents = name.split(".")[:-1]
        waiting += [".".join(parents[:depth]) for depth in range(1, len(parents) + 1)]
    return code


def _file_of(name: str, package: Path) -> Path | None:
    """Give the file of a module of the package, None if it has no such module."""
    root, *parts = name.split(".")
    if root != package.name or not all(part.isidentifier() for part in parts):
        return None
    place = os.path.join(package, *parts)  # pathlib would take as long as the parsing
    candidates = (f"{place}/__init__.py", f"{place}.py")[: 2 if parts else 1]
    return next((Path(file) for file in candidates if os.path.isfile(file)), None)


def _imported(
    imports: Iterable[_Import], importer: str, is_package: bool, package: Path
) -> Iterator[str]:
    """Give the dotted names, in the package, of what a module imports."""
    for level, module, name in imports:
        if level:
            here = importer.split(".")
            base = here[: len(here) - level + is_package]
            module = ".".join([*base, module] if module else base)
        if module.split(".")[0] != package.name:
            continue
        yield module
        exports = _exports(module, package)
        if name in exports:  # a name that a room re-exports: the module behind it, and no other
            yield exports[name]
        elif name is None:
            yield from exports.values()  # whatever may be reached through the room
        elif _file_of(f"{module}.{name}", package):  # else an attribute of the module
            yield f"{module}.{name}"
            yield from _exports(f"{module}.{name}", package).values()


def _exports(name: str, package: Path) -> dict[str, str]:
    """Give what a room re-exports lazily, by its stub: name → dotted name of the module behind."""
    stub = os.path.join(package, *name.split(".")[1:], "__init__.pyi")
    if not os.path.isfile(stub):
        return {}
    _, imports = _parse_file(Path(stub))
    return {attribute: f"{name}.{module}" for _, module, attribute in imports if attribute}


def _parse_file(file: Path) -> tuple[str, tuple[_Import, ...]]:
    try:
        return _parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise InputError(f"fingerprint: {file} is not valid Python: {error}") from error


@functools.cache  # by content: a file edited while we run is parsed again
def _parse(source: bytes) -> tuple[str, tuple[_Import, ...]]:
    """Digest the tree of a source, and list what it imports."""
    tree = ast.parse(source)
    pieces: list[str] = []
    imports: list[_Import] = []
    _dump(tree, pieces, imports)
    digest = hashlib.sha256("".join(pieces).encode("utf-8", "surrogatepass")).hexdigest()
    return digest, tuple(imports)


def _dump(value: Any, pieces: list[str], imports: list[_Import]) -> None:
    """Write a tree in a form that all versions of Python share, and collect its imports.

    `ast.dump` is not such a form: each version adds fields (type_params in 3.12), and what it shows
    of empty ones varies. Hence fields that are None or empty are left out, and with them the
    context (load, store), which follows from the place, and a constant's kind (u"").
    """
    kind = type(value)
    if kind is str:  # not repr, which depends on the Unicode tables
        pieces.append(f"str{len(value)}:{value}")
    elif kind is list:
        pieces.append("[")
        for item in value:
            if type(item) is ast.Expr and _is_noise(item):
                continue
            if type(item) is ast.If and _is_type_checking(item):  # never run: its `else` is
                for statement in item.orelse:
                    _dump(statement, pieces, imports)
                continue
            _dump(item, pieces, imports)
            pieces.append(",")
        pieces.append("]")
    elif isinstance(value, ast.AST):
        if isinstance(value, ast.Import):
            imports += [(0, alias.name, None) for alias in value.names]
        elif isinstance(value, ast.ImportFrom):
            imports += [(value.level, value.module or "", alias.name) for alias in value.names]
        pieces.append(f"({kind.__name__}")
        for field in kind._fields:
            if field in _SKIPPED:
                continue
            child = getattr(value, field, None)
            if child is None or child == []:
                continue
            if kind is ast.JoinedStr:
                child = _without_empty(child)
            pieces.append(f" {field}=")
            _dump(child, pieces, imports)
        pieces.append(")")
    else:
        pieces.append(f"{kind.__name__}:{value!r}")


def _is_noise(node: ast.Expr) -> bool:
    """Tell whether a statement is a docstring, or a string that stands alone like one."""
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_type_checking(node: ast.If) -> bool:
    test = node.test
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _without_empty(values: list[ast.expr]) -> list[ast.expr]:
    """Drop the empty strings that some versions put between the parts of an f-string."""
    return [v for v in values if not (isinstance(v, ast.Constant) and v.value == "")]


def environment() -> dict[str, Any]:
    """Describe the machine and the software, for the report.

    Returns
    -------
    dict
        python, platform, cpu {model, count}, memory (bytes), packages {name: version, None where
        missing}, gpus [names], git {commit, dirty}, None outside a repository. Only JSON types.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"model": cpu_model(), "count": os.cpu_count()},
        "memory": _memory(),
        "packages": {name: version(name) for name in _MAIN_PACKAGES},
        "gpus": _gpus(),
        "git": _git(Path(__file__).resolve()),
    }


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpus() -> list[str]:
    output = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return [line.strip() for line in (output or "").splitlines() if line.strip()]


def _git(file: Path) -> dict[str, Any] | None:
    """Give the commit of the repository that tracks `file`, and whether its files are changed."""
    folder = str(file.parent)
    # A copy installed inside someone else's repository must not report that one's commit.
    if _output("git", "-C", folder, "ls-files", "--error-unmatch", str(file)) is None:
        return None
    commit = _output("git", "-C", folder, "rev-parse", "HEAD")
    changed = _output("git", "-C", folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changed)} if commit else None


def _output(*command: str) -> str | None:
    """Run a command and give what it printed, None if it is missing, slow or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
