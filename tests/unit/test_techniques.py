"""docs/techniques.md names keys that exist, and every technique that the config can switch."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
import yaml
from switches import OUTPUTS, SET, allowed

from foldbelt import config, registry
from foldbelt.config import augmentation

PAGE = Path(__file__).parents[2] / "docs" / "techniques.md"
HEAD = ["technique", "from", "key", "reported", "here"]
SCHEMA = config.load_schema()

# What the config says besides techniques: what is computed where, on what data, and for how long.
SETTINGS = (
    "stages.*.loss.mask",
    *("run", "seed", "competition", "device", "cpu_threads", "memory_gib", "tensorboard"),
    *("loader_workers", "retries", "keep", "bundle"),
    *("data", "ablation", "decision.metric", "decision.bootstrap", "predict.batch_size"),
    *("models.*.from", "models.*.channels", "models.*.folds"),
    *("stages.*.epochs", "stages.*.batch_size", "stages.*.validate_every"),
    "stages.*.validate_batch_size",
)


class Key(NamedTuple):
    """A key of the config, and the values that a row gives it (None: any)."""

    path: str
    values: list[Any] | None


def rows(text: str) -> Iterator[list[str]]:
    """Cells of the techniques' tables; other tables have other heads."""
    head: list[str] | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if head is None:
            head = cells
        elif head == HEAD and not set(line) <= set("|-"):
            yield cells


def keys(cell: str) -> list[Key]:
    found = []
    for span in re.findall(r"`([^`]+)`", cell):
        path, colon, value = span.partition(": ")
        if re.fullmatch(r"[\w.*]+", path):
            given = yaml.safe_load(value) if colon else None
            values = given if isinstance(given, list) else [given]
            found.append(Key(path, values if colon else None))
    return found


ROWS = list(rows(PAGE.read_text(encoding="utf-8")))
KEYS = [key for row in ROWS for key in keys(row[2])]


def ends(path: str) -> list[Mapping[str, Any]]:
    """What the schema says at the end of a path, `*` being any name; nothing, if it has no such."""
    parts: list[Mapping[str, Any]] = [SCHEMA]
    for name in path.split("."):
        parts = [inner for part in parts for inner in _inside(part, name)]
    return [one for part in parts for one in _plain(part)]


def _plain(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in part:
        part = SCHEMA["$defs"][part["$ref"].rsplit("/", 1)[1]]
    yield part
    for option in part.get("oneOf", ()):
        yield from _plain(option)


def _inside(part: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    for one in _plain(part):
        if name in one.get("properties", {}):
            yield one["properties"][name]
        elif isinstance(one.get("additionalProperties"), dict):
            yield one["additionalProperties"]


def wrong(key: Key) -> str | None:
    """Say what is wrong with a key; rooms of members, which the schema leaves open, included."""
    for prefix, room in (("stages.*.loss.", "losses"), ("decision.steps.", "decide/steps")):
        if key.path.startswith(prefix):
            member, _, option = key.path.removeprefix(prefix).partition(".")
            if room == "losses" and member in OUTPUTS:
                continue
            if member not in registry.known(room):
                return f"{room} has no {member}"
            module = f"foldbelt.{room.replace('/', '.')}.{member}"
            unknown = option and option not in registry.options(module)
            return f"{member} has no option {option}" if unknown else None
    found = ends(key.path)
    if not found:
        return "no such key"
    enums = [one.get("enum") or one.get("items", {}).get("enum") for one in found]
    for value in key.values or ():
        if not _allows(key.path, value, [each for each in enums if each]):
            return f"{value!r} is no value of it"
    return None


def _allows(path: str, value: Any, enums: list[list[Any]]) -> bool:
    if path == "channels.*.use":
        return value in registry.known("channels")
    if path == "models.*.architecture.encoder":
        return timm.is_model(value) or value in registry.known("models/encoders")
    if path == "models.*.architecture.name":
        return value.split("/")[0] in registry.known("models")
    if path == "stages.*.augment":
        return value in augmentation.transforms()
    return not enums or any(value in each for each in enums)


def mentioned(path: str, value: Any, found: list[Key]) -> bool:
    """Whether a row is about this value of this key (SET and booleans: about the key)."""
    if value is SET or isinstance(value, bool):
        return any(path == key.path or path.startswith(f"{key.path}.") for key in found)
    given = [one for key in found if key.path == path for one in key.values or ()]
    return any(one == value or str(one).split("/")[0] == value for one in given)


def missing(found: list[Key]) -> list[str]:
    every = [(path, value) for path, value in allowed() if value is not None]  # None: without
    return [
        path if value is SET else f"{path}: {value}"
        for path, value in every
        if not _is_setting(path) and not mentioned(path, value, found)
    ]


def _is_setting(path: str) -> bool:
    return any(path == key or path.startswith(f"{key}.") for key in SETTINGS)


def test_every_row_has_all_cells_and_a_key() -> None:
    assert len(ROWS) > 100
    for row in ROWS:
        assert len(row) == len(HEAD), row
        assert row[0], row
        assert row[4], row
        assert keys(row[2]), row
    names = [row[0] for row in ROWS]
    assert len(set(names)) == len(names)


def test_keys_and_values_are_those_of_the_config() -> None:
    problems = {f"{key.path}: {key.values}": wrong(key) for key in KEYS}
    assert not {key: problem for key, problem in problems.items() if problem}


def test_every_switch_of_the_config_has_a_row() -> None:
    assert not missing(KEYS), "\n".join(missing(KEYS))


def test_a_switch_without_a_row_and_a_row_without_a_switch_are_found() -> None:
    without = [
        Key(key.path, [value for value in key.values or () if value not in ("zca", "halves")])
        for key in KEYS
        if key.path not in ("stages.*.cutmix", "stages.*.loss.focal")
    ]
    left_out = {"channels.*.whiten: zca", "pseudo.rule: halves", "stages.*.cutmix"}
    assert set(missing(without)) == left_out | {"stages.*.loss.focal"}
    for path, value in (
        ("stages.*.cutmax", None),
        ("pseudo.rule", ["quarters"]),
        ("stages.*.loss.hinge", None),
        ("stages.*.loss.bce.gamma", None),
        ("decision.steps.snakes", None),
        ("models.*.architecture.encoder", ["resnet34½"]),
        ("predict.tta", ["hflip", "turn"]),
        ("stages.*.augment", ["HorizontlFlip"]),
    ):
        assert wrong(Key(path, value)), path


def test_no_setting_is_named_in_vain() -> None:
    for name in SETTINGS:
        assert ends(name), name
