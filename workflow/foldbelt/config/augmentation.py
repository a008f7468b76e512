"""Names and arguments of albumentations' transforms, read from its source without importing it.

A misspelt transform should be found when the config is read, not when the first training starts;
but importing albumentations takes a second, and the config is read by every job. Its files are
searched as text instead (some 50 ms), and of the classes that a config names only the head of
``__init__`` is parsed.

Values are not judged here: `foldbelt.augment.Augment` tries every transform before training.
"""

import ast
import difflib
import functools
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from foldbelt.files import Problem

BATCHED = (
    *("Affine", "Blur", "CoarseDropout", "D4", "ElasticTransform", "GaussNoise", "GaussianBlur"),
    *("GridDistortion", "HorizontalFlip", "MotionBlur", "OneOf", "RandomBrightnessContrast"),
    *("RandomGamma", "RandomResizedCrop", "RandomRotate90", "RandomSizedCrop", "Rotate"),
    *("Sequential", "ShiftScaleRotate", "SomeOf", "SquareSymmetry", "Transpose", "VerticalFlip"),
)
"""Transforms that have a form for whole batches, in `foldbelt.augment._batched`."""
_ROOTS = {"BasicTransform", "BaseCompose"}
_CLASS = re.compile(r"^class (\w+)(?:\(([^)]*)\))?:", re.MULTILINE)
_PUBLIC = re.compile(r"^__all__ = (\[.*?\])", re.MULTILINE | re.DOTALL)
_INIT = re.compile(r"^    def __init__\((.*?)\)(?: -> None)?:$", re.MULTILINE | re.DOTALL)


class _Class(NamedTuple):
    bases: list[str]
    body: str
    public: bool


class _Arguments(NamedTuple):
    known: list[str]
    needed: list[str]
    others: bool  # **kwargs


def check(operations: Iterable[Mapping[str, Any]], where: str = "augment") -> list[Problem]:
    """Find misspelt names and arguments of an augmentation pipeline.

    Parameters
    ----------
    operations
        ``[{HorizontalFlip: {p: 0.5}}, …]``; members of ``OneOf`` and the like under ``transforms``.
    where
        The config's key, for the problems found.

    Returns
    -------
    list of Problem
        Unknown transforms, unknown arguments, and arguments that must be given and are not. None
        where albumentations is not installed: nothing trains there.

    Examples
    --------
    >>> [problem.reason for problem in check([{"HorizontlFlip": {"p": 0.5}}])]
    ["albumentations has no such transform; did you mean 'HorizontalFlip'?"]
    """
    return list(_problems(operations, where)) if transforms() else []


def unbatched(operations: Iterable[Mapping[str, Any]], where: str) -> Iterator[Problem]:
    """Find transforms of a pipeline that have no form for whole batches.

    Parameters
    ----------
    operations, where
        As for `check`.

    Examples
    --------
    >>> given = [{"OneOf": {"transforms": [{"Blur": {}}, {"Perspective": {}}]}}]
    >>> [problem.file for problem in unbatched(given, "augment")]
    ['augment.0.OneOf.transforms.1.Perspective']
    """
    for place, operation in enumerate(operations):
        for name, given in operation.items():
            key = f"{where}.{place}.{name}"
            if name not in BATCHED:
                reason = "has no form for whole batches (`augment_on: device`); these have: "
                yield Problem(key, reason + ", ".join(BATCHED))
            elif isinstance((given or {}).get("transforms"), list):
                yield from unbatched(given["transforms"], f"{key}.transforms")


@functools.cache
def transforms() -> tuple[str, ...]:
    """Names of the transforms of the albumentations installed, sorted; none where it is not."""
    classes = _classes()

    def is_transform(name: str) -> bool:
        known = classes.get(name)
        return name in _ROOTS or (known is not None and any(map(is_transform, known.bases)))

    return tuple(
        sorted(name for name, known in classes.items() if known.public and is_transform(name))
    )


def _problems(operations: Iterable[Mapping[str, Any]], where: str) -> Iterator[Problem]:
    for place, operation in enumerate(operations):
        for name, given in operation.items():
            key = f"{where}.{place}.{name}"
            if name not in transforms():
                reason = "albumentations has no such transform"
                yield Problem(key, reason + _suggest(name, transforms()))
                continue
            arguments = _arguments(name)
            given = dict(given or {})
            if not arguments.others:
                for other in sorted(set(given) - set(arguments.known)):
                    yield Problem(
                        f"{key}.{other}", "unknown key" + _suggest(other, arguments.known)
                    )
            for needed in sorted(set(arguments.needed) - set(given)):
                yield Problem(f"{key}.{needed}", "must be given")
            if isinstance(given.get("transforms"), list):
                yield from _problems(given["transforms"], f"{key}.transforms")


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


@functools.cache
def _classes() -> Mapping[str, _Class]:
    """Every class of albumentations, by name."""
    spec = importlib.util.find_spec("albumentations")
    if spec is None or spec.origin is None:
        return {}
    root = Path(spec.origin).parent
    classes: dict[str, _Class] = {}
    for file in (*root.glob("augmentations/*/*.py"), *root.glob("core/*.py")):
        if file.stem.endswith("functional"):  # large, and without transforms
            continue
        text = file.read_text(encoding="utf-8")
        listed = _PUBLIC.search(text)
        public = set(ast.literal_eval(listed[1])) if listed else set()
        heads = list(_CLASS.finditer(text))
        for head, after in zip_longest(heads, heads[1:]):
            end = after.start() if after else len(text)
            bases = [base.split(".")[-1].strip() for base in (head[2] or "").split(",")]
            classes[head[1]] = _Class(bases, text[head.end() : end], head[1] in public)
    return classes


@functools.cache
def _arguments(name: str) -> _Arguments:
    """Arguments of a class, its own or those of the first base that has any."""
    known = _classes().get(name)
    if known is None:
        return _Arguments([], [], True)
    head = _INIT.search(known.body)
    if head is None:
        return _arguments(known.bases[0])
    function = ast.parse(f"def __init__({head[1]}): ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    names = [argument.arg for argument in given.args[1:]]
    needed = names[: len(names) - len(given.defaults)]
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        names.append(argument.arg)
        needed += [] if default else [argument.arg]
    return _Arguments(names, needed, given.kwarg is not None)
