"""Which module each name in the config stands for.

A room is a package of this one (`losses`, `models`, `competitions` …) in which every module is a
member and its file name is the name that the config uses, so that a new member is a new file and
touches no other. Modules that start with an underscore, and the few named below, are helpers.

Only the standard library is imported, and nothing of a room: the Snakefile asks here which modules
belong in a job's fingerprint.
"""

import ast
import difflib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foldbelt.files import InputError

_PACKAGE = Path(__file__).resolve().parent
_HELPERS = {"models": {"blocks", "heads", "weights"}, "channels": {"whitening"}}


def known(room: str) -> list[str]:
    """Names of a room's members, sorted; none if the room is a plain module or does not exist.

    Parameters
    ----------
    room
        Name of a package in foldbelt, for instance "losses".

    Examples
    --------
    >>> "lovasz" in known("losses"), "blocks" in known("models")
    (True, False)
    """
    return sorted(
        file.stem
        for file in (_PACKAGE / room).glob("*.py")
        if not file.stem.startswith("_") and file.stem not in _HELPERS.get(room, ())
    )


def find(room: str, names: Iterable[str], what: str) -> list[str]:
    """Dotted names of the modules that some members' names stand for.

    Parameters
    ----------
    room
        Name of a package in foldbelt, as a path: "losses", "models/encoders".
    names
        Members' names, in any order.
    what
        What a member is called in the error message, for instance "loss".

    Returns
    -------
    list of str
        Each once, sorted.

    Raises
    ------
    InputError
        Listing every name that is not a member, and the members there are.
    """
    names = sorted(set(map(str, names)))
    members = known(room)
    unknown = [name for name in names if name not in members]
    if unknown:
        raise InputError(unknown_names(what, unknown, members))
    return [f"foldbelt.{room.replace('/', '.')}.{name}" for name in names]


def unknown_names(what: str, unknown: Iterable[str], members: Iterable[str]) -> str:
    """Word the message for names that are not known, with the nearest known name for each.

    Examples
    --------
    >>> unknown_names("loss", ["lovas"], ["bce", "lovasz"])
    "unknown loss 'lovas' (did you mean 'lovasz'?); known are: bce, lovasz"
    """
    members = sorted(members)
    texts = []
    for name in unknown:
        near = difflib.get_close_matches(name, members, n=1)
        texts.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return f"unknown {what} {', '.join(texts)}; known are: {', '.join(members) or 'none'}"


def options(module: str) -> list[str]:
    """Names of the arguments of a member's `build` function, read from its source.

    Parameters
    ----------
    module
        Dotted name, for instance "foldbelt.models.unet".

    Examples
    --------
    >>> "width" in options("foldbelt.models.vanilla")
    True
    """
    file = _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            return [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
    raise InputError(f"{file}: a member of a room needs a function `build`, and this has none")


@functools.cache
def flag(module: str, name: str, default: bool = False) -> bool:
    """Value of a constant True or False of a member, read from its source.

    Parameters
    ----------
    module
        Dotted name, for instance "foldbelt.losses.cross_entropy".
    name
        Of the constant.
    default
        What a module is taken to say that does not have it.

    Examples
    --------
    >>> flag("foldbelt.losses.bce", "LABELS"), flag("foldbelt.losses.dice", "LABELS")
    (True, False)
    """
    file = _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return bool(ast.literal_eval(node.value))
    return default


def predicts_masks(architecture: Mapping[str, Any]) -> bool:
    """Tell whether the model that an architecture describes gives masks, or labels alone.

    Examples
    --------
    >>> predicts_masks({"name": "unet"}), predicts_masks({"name": "classifier"})
    (True, False)
    """
    return flag(models(architecture)[0], "MASKS", True)


def defines(competition: str, function: str) -> bool:
    """Tell whether a competition's module has a function, without importing it."""
    body = _body("competitions", competition)
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in body)


def metric(competition: str) -> str | None:
    """Name of a competition's own metric, read from its module without importing it.

    Examples
    --------
    >>> metric("salt")
    'salt_score'
    """
    return _constant("competitions", competition, "METRIC")


def survey(competition: str) -> str | None:
    """Name of the synthetic survey that a competition's format has, a member of that room, or None.

    Examples
    --------
    >>> survey("salt"), survey("folder")
    ('seismic', None)
    """
    return _constant("competitions", competition, "SURVEY")


def survey_beside(name: str) -> str | None:
    """What a survey writes beside its folder, besides the truth: the middle of that file's name."""
    return _constant("survey", name, "BESIDE")


def survey_options(name: str) -> list[str]:
    """Keys that a survey needs of the config: its arguments without defaults, less the folder.

    Examples
    --------
    >>> survey_options("seismic")
    ['sections', 'seed']
    """
    for node in _body("survey", name):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            needed = node.args.args[: len(node.args.args) - len(node.args.defaults)]
            return [argument.arg for argument in needed[1:]]
    return []


def steps(named: Iterable[str]) -> list[str]:
    """Modules of the decision's steps."""
    return find("decide/steps", named, "step")


def looks_at(need: str, modules: Iterable[str]) -> bool:
    """Tell whether the NEEDS of any step hold a word, read from their sources.

    Examples
    --------
    >>> looks_at("image", ["foldbelt.decide.steps.holes"])
    False
    """
    for module in modules:
        file = _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assigned = isinstance(node, ast.Assign | ast.AnnAssign)
            if (
                assigned
                and ast.unparse(node).startswith("NEEDS")
                and repr(need) in ast.unparse(node)
            ):
                return True
    return False


def _constant(room: str, member: str, name: str) -> str | None:
    """Value of a constant at the top of a member's module; None where there is none."""
    for node in _body(room, member):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return None


def _body(room: str, member: str) -> list[ast.stmt]:
    """Statements of a member's module; none where there is no such module."""
    file = _PACKAGE / room / f"{member}.py"
    return ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []


def losses(spec: Mapping[str, Any]) -> list[str]:
    """Modules of the losses that a stage names, as {name: weight, …}."""
    return find("losses", spec, "loss")


def models(architecture: Mapping[str, Any]) -> list[str]:
    """Modules of the architecture that a model names, as {name: unet, …}, its own first.

    The name may have a variant, as in `smp/Unet`; an encoder of foldbelt's own has its module, too.
    """
    own = set(known("models/encoders"))
    if "name" not in architecture:
        raise InputError(f"an architecture needs a `name`, one of {', '.join(known('models'))}")
    name, _, variant = str(architecture["name"]).partition("/")
    found = find("models", [name], "architecture")
    if bool(variant) != ("variant" in options(found[0])):
        raise InputError(
            f"architecture {architecture['name']!r}: "
            + (f"{name} has no variants" if variant else f"say which, as {name}/Unet")
        )
    return found + find("models/encoders", {str(architecture.get("encoder"))} & own, "encoder")


def predicts_labels(architecture: Mapping[str, Any]) -> bool:
    """Tell whether the model that an architecture describes gives image labels.

    Examples
    --------
    >>> predicts_labels({"name": "vanilla", "label_head": True}), predicts_labels({"name": "fpn"})
    (True, False)
    """
    return bool(architecture.get("label_head")) or not predicts_masks(architecture)


def channels(recipe: Mapping[str, Any]) -> list[str]:
    """Modules of the channels that a recipe uses; none while the room is one plain module."""
    if not known("channels"):
        return []
    return find("channels", recipe.get("use", ()), "channel")


def competition(name: str) -> list[str]:
    """Module of a competition."""
    return find("competitions", [name], "competition")


def augment(operations: Iterable[Mapping[str, Any] | str]) -> list[str]:
    """Modules of the augmentations that a stage lists and that are foldbelt's own.

    Names that are not members are taken to be albumentations' (which is not imported to see).
    """
    names: set[str] = set()
    for operation in operations:
        names.update([operation] if isinstance(operation, str) else operation)
    return find("augment", names & set(known("augment")), "augmentation")
