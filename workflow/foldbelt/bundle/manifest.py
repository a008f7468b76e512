"""What a bundle says of itself, in its manifest.json, and how that is checked."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from foldbelt.bundle.archive import MANIFEST
from foldbelt.files import InputError, PathLike, Problem, raise_all

FORMAT = "foldbelt bundle"
SCHEMA = 1
"""Raised when an older foldbelt could no longer read what is written."""
NETWORK = "network"
KINDS = (NETWORK,)
"""Kinds of members that can be computed here."""
RECIPE, DATA, BLEND, DECISION = "recipe.json", "data.json", "blend.json", "decision.json"
MASKS, JOINT = "masks", "joint"
OUTPUTS = (MASKS, "labels", "boxes")
PREDICT, STARTED = "predict.py", "__main__.py"
"""The program that predicts without foldbelt installed, and the same for `python bundle.zip`."""

_PREDICT = ("batch_size", "scales", "tta", "windows")
_HEX = set("0123456789abcdef")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"([A-Za-z0-9][A-Za-z0-9.!+_-]*)?")


def channels_entry(name: str) -> str:
    """Name the entry of a channel recipe and of what was fitted for it."""
    return f"channels/{name}.json"


def decision_entry(output: str) -> str:
    """Name the entry of the decision on an output, or on labels and boxes together (`JOINT`)."""
    return DECISION if output == MASKS else f"decision/{output}.json"


@dataclass(frozen=True)
class Entry:
    """One file of a bundle.

    Attributes
    ----------
    sha256, bytes
        Of its content.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Member:
    """One member of a blend.

    Attributes
    ----------
    name, kind
        In the run, and one of `KINDS`.
    channels
        Name of the channel recipe that it sees.
    predict
        The model's section ``predict``.
    snapshot
        Of a cyclic schedule, from 1; None for the final weights.
    weights
        Entries, one a fold.
    folds
        The folds that these are of.
    """

    name: str
    kind: str
    channels: str
    predict: Mapping[str, Any]
    snapshot: int | None
    weights: list[str]
    folds: list[int]


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds.

    Attributes
    ----------
    run, competition
        As the recipe names them.
    foldbelt
        Version that wrote it.
    install
        Package → version with which the run was bundled; "python" among them.
    members
        Of all blends.
    outputs
        What is predicted, of `OUTPUTS` → the names of the members that are blended for it.
    joint
        Whether labels and boxes are decided together, too.
    scores
        Output, or "joint" → ``metric``, ``score`` (leave-one-fold-out) of what the bundle holds,
        and ``run``, that of the run with all its members and steps.
    left_out
        ``members`` and ``steps`` of the run that stayed behind.
    half
        Whether weights are in half precision.
    licence, notes
        What the recipe says of them; None where it says nothing.
    made_on
        On what the networks were trained: devices, and versions of what computed.
    raw
        Part → the digest by which the run knew its raw files: ``train``, and ``test`` where
        networks were trained on pseudo-labels.
    entries
        Name → digest and size of every other file of the archive.
    needs
        Those packages of `install` without which it cannot predict, with their versions; "python"
        is none.
    wheel
        The entry that holds foldbelt's code, for `predict.py`.
    """

    run: str
    competition: str
    foldbelt: str | None
    install: Mapping[str, str]
    members: list[Member]
    outputs: Mapping[str, list[str]]
    joint: bool
    scores: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, list[str]]
    half: bool
    licence: str | None
    notes: str | None
    made_on: list[Any]
    raw: Mapping[str, str]
    entries: Mapping[str, Entry]
    needs: Mapping[str, str]
    wheel: str

    def to_text(self) -> str:
        """Give the JSON."""
        content = {"format": FORMAT, "schema": SCHEMA, **asdict(self)}
        return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"


def parse(text: bytes, path: PathLike) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    text
        The JSON.
    path
        The bundle, for messages.

    Raises
    ------
    InputError
        If it is of a newer schema, has a member of an unknown kind, or is none.
    """
    content = json_of(text, path, MANIFEST)
    if content.get("format") != FORMAT:
        raise InputError(f"{path} is no bundle: {MANIFEST} does not say so.")
    schema = content.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise InputError(f"{path}: {MANIFEST} states schema {schema!r}; a number is expected.")
    if schema > SCHEMA:
        raise InputError(
            f"{path} was written by a newer foldbelt ({content.get('foldbelt')}): its schema is "
            f"{schema}, this one reads up to {SCHEMA}. Install that version or a newer one."
        )
    try:
        members = [_member(one) for one in content["members"]]
        entries = {str(name): _entry(one) for name, one in content["entries"].items()}
        install, needs = _packages(content["install"]), _packages(content["needs"])
        wheel = str(content["wheel"])
        if "python" not in install:
            raise ValueError("it names no version of Python")
        names = content["run"], content["competition"]
        outputs = _outputs(content["outputs"], [member.name for member in members])
        joint = bool(content["joint"])
        told = _told(content)
        if not members or not all(isinstance(name, str) for name in names):
            raise ValueError("it names no run, no competition or no member")
        if len({member.name for member in members}) < len(members):
            raise ValueError("two members have one name")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: {MANIFEST} is damaged ({error!r}).") from error
    unknown = [Problem(m.name, f"is of kind {m.kind!r}") for m in members if m.kind not in KINDS]
    known = f"This foldbelt computes: {', '.join(KINDS)}. Take the one that wrote the bundle."
    raise_all(unknown, f"{path} has members of unknown kinds", known)
    needed = {RECIPE, DATA, *decisions_of(outputs, joint), wheel, PREDICT}
    needed |= {channels_entry(member.channels) for member in members}
    needed |= {name for member in members for name in member.weights}
    missing = [Problem(name, "is not listed") for name in sorted(needed - entries.keys())]
    raise_all(missing, f"{path}: {MANIFEST} is damaged")
    made = *names, content.get("foldbelt"), install, members, outputs, joint
    return Manifest(*made, **told, entries=entries, needs=needs, wheel=wheel)


def _told(content: Mapping[str, Any]) -> dict[str, Any]:
    """Read what is there for people alone; nothing is computed with it."""
    left = {str(key): [str(name) for name in names] for key, names in content["left_out"].items()}
    texts = {key: content.get(key) for key in ("licence", "notes")}
    if not all(text is None or isinstance(text, str) for text in texts.values()):
        raise ValueError(f"no texts: {texts}")
    return {
        "scores": {str(key): dict(scores) for key, scores in content["scores"].items()},
        "left_out": left,
        "half": bool(content["half"]),
        **texts,
        "made_on": list(content["made_on"]),
        "raw": {str(part): str(digest) for part, digest in content["raw"].items()},
    }


def decisions_of(outputs: Collection[str], joint: bool) -> list[str]:
    """Name the entries that say how members are blended and what is decided."""
    entries = [decision_entry(output) for output in outputs]
    entries += [BLEND] if MASKS in outputs else []
    return entries + ([decision_entry(JOINT)] if joint else [])


def json_of(text: bytes, path: PathLike, name: str) -> dict[str, Any]:
    """Read an entry that is a JSON object."""
    try:
        content = json.loads(text)
        # Python reads and writes more than JSON has: NaN, infinity, halves of characters.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {name} is no JSON ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: {name} holds no JSON object.")
    return content


def _entry(content: Mapping[str, Any]) -> Entry:
    entry = Entry(str(content["sha256"]), int(content["bytes"]))
    if len(entry.sha256) != 64 or set(entry.sha256) - _HEX or entry.bytes < 0:
        raise ValueError(f"no digest or size: {entry}")
    return entry


def _packages(content: Mapping[str, Any]) -> dict[str, str]:
    """Read packages and their versions, which pip is called with: no option, address or path."""
    packages = {str(name): str(version) for name, version in content.items()}
    strange = [
        f"{name} {version}"
        for name, version in packages.items()
        if not (_PACKAGE.fullmatch(name) and _VERSION.fullmatch(version))
    ]
    if strange:
        raise ValueError(f"no packages with their versions: {strange}")
    return packages


def _outputs(content: Mapping[str, Any], members: Collection[str]) -> dict[str, list[str]]:
    outputs = {str(name): [str(one) for one in names] for name, names in content.items()}
    named = {name for names in outputs.values() for name in names}
    if not outputs or set(outputs) - set(OUTPUTS) or not all(outputs.values()):
        raise ValueError(f"no outputs of members: {outputs}")
    if named != set(members):
        raise ValueError(f"members of no output, or none: {sorted(named ^ set(members))}")
    return {output: outputs[output] for output in OUTPUTS if output in outputs}


def _member(content: Mapping[str, Any]) -> Member:
    member = Member(
        str(content["name"]),
        str(content["kind"]),
        str(content["channels"]),
        dict(content["predict"]),
        content["snapshot"],
        [str(name) for name in content["weights"]],
        [int(number) for number in content["folds"]],
    )
    if member.kind in KINDS:
        missing = [key for key in _PREDICT if key not in member.predict]
        missing += [] if member.weights else ["weights"]
        missing += [] if len(member.folds) == len(member.weights) else ["folds"]
        if missing:
            raise ValueError(f"member {member.name} lacks {', '.join(missing)}")
        numbers = [member.predict["batch_size"], 1 if member.snapshot is None else member.snapshot]
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            raise ValueError(f"member {member.name}: {numbers} are not all numbers above 0")
    return member
