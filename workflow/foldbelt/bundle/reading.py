"""A bundle, checked and unpacked."""

import errno
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from foldbelt.bundle import archive, checking
from foldbelt.bundle.archive import MANIFEST, Archive, Folder
from foldbelt.bundle.blaming import blamed
from foldbelt.bundle.halving import metadata_of
from foldbelt.bundle.manifest import (
    BLEND,
    DATA,
    DECISION,
    JOINT,
    MASKS,
    RECIPE,
    Manifest,
    channels_entry,
    decision_entry,
    decisions_of,
    json_of,
    parse,
)
from foldbelt.files import InputError, PathLike, Problem, digest, raise_all

_KEYS = {
    RECIPE: ("competition", "data", "cpu_threads"),
    DATA: ("class_names", "label_names", "size", "colours", "suffixes"),
    BLEND: ("members", "mean", "all", "without"),
    DECISION: ("params",),
    decision_entry("labels"): ("params", "exclusive", "metric"),
    decision_entry("boxes"): ("params",),
    decision_entry(JOINT): ("params", "roles", "level"),
}
_OF_CHANNELS = ("recipe", "attrs")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Bundle:
    """The content of a bundle, in a folder of its own as long as the object lives.

    Every byte is compared with its digest before anything is read from it. Networks are
    safetensors files, everything else is JSON: nothing in a bundle is run.

    Parameters
    ----------
    path
        The zip file, or the folder that it was unpacked to.

    Attributes
    ----------
    path
        The same.
    id
        SHA-256 of the manifest, hence of all content.
    manifest
        What it says of itself.
    recipe, data
        The resolved config; classes, storage size and the like of the training data.
    decisions
        Entry → how members are blended, and what is decided of an output.
    channels
        Recipe's name → its ``recipe`` and the ``attrs`` of what was fitted.

    Raises
    ------
    InputError
        If it is not exactly what a manifest of a known schema says.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._unpacked = self.path
        self._place = None
        if not self.path.is_dir():
            self._place = tempfile.TemporaryDirectory(prefix="foldbelt-bundle-")
            self._unpacked = Path(self._place.name)
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        with archive.opened(self.path) as opened:
            text = opened.text(MANIFEST, archive.MANIFEST_BYTES)
            self.manifest: Manifest = parse(text, self.path)
            _check_names(opened, self.manifest)
            self._unpack(opened)
        if self._place is not None:
            self.file(MANIFEST).write_bytes(text)
        self.id = digest([self.file(MANIFEST)])
        self.recipe, self.data = self._json(RECIPE), self._json(DATA)
        decisions = decisions_of(self.manifest.outputs, self.manifest.joint)
        self.decisions = {name: self._json(name) for name in decisions}
        names = sorted({member.channels for member in self.manifest.members})
        self.channels: Mapping[str, dict[str, Any]] = {
            name: self._json(channels_entry(name)) for name in names
        }
        raise_all(list(self._problems()), f"{self.path} cannot be used", "Fetch it again.")
        self._check_names_of_outputs()

    def blamed(self) -> AbstractContextManager[None]:
        """Tell what goes wrong inside as an `InputError` on this bundle; see `blaming`."""
        return blamed(self.path, self._unpacked)

    def _problems(self) -> Iterator[Problem]:
        """Give all of the contents that is of another type or out of range."""
        yield from checking.problems(RECIPE, self.recipe, checking.RECIPE)
        yield from checking.problems(DATA, self.data, checking.DATA)
        for member in self.manifest.members:
            yield from checking.of_predict(f"{MANIFEST}, member {member.name}", member.predict)
        for name, content in self.channels.items():
            yield from checking.of_channels(channels_entry(name), content)
        outputs = self.manifest.outputs
        if MASKS in outputs:
            yield from checking.of_blend(BLEND, self.decisions[BLEND], outputs[MASKS])
            yield from checking.problems(DECISION, self.decisions[DECISION], checking.DECISION)
        for output, rules in (("boxes", checking.BOXES), (JOINT, checking.JOINT)):
            if decision_entry(output) in self.decisions:
                entry = decision_entry(output)
                yield from checking.problems(entry, self.decisions[entry], rules)
        if "labels" in outputs:
            entry = decision_entry("labels")
            yield from checking.of_labels(entry, self.decisions[entry])
        for output, key in ((MASKS, "class_names"), ("labels", "label_names")):
            if output in outputs and not self.data[key]:
                yield Problem(DATA, f"{key} is empty, and {output} are predicted")

    def _check_names_of_outputs(self) -> None:
        """Refuse decisions on other members or labels than there are."""
        problems = []
        outputs = self.manifest.outputs
        if "boxes" in outputs and "box_names" not in self.data:
            problems.append(Problem(DATA, "lacks box_names"))
        problems += self._other_boxes()
        for output in (output for output in outputs if output != MASKS):
            entry = decision_entry(output)
            try:
                weighed, labels = named_in(self.decisions[entry])
            except (KeyError, TypeError, AttributeError) as error:
                problems.append(Problem(entry, f"is damaged ({error!r})"))
                continue
            strange = sorted(weighed - set(outputs[output]))
            strange += sorted(labels - set(self.data["label_names"]))
            problems += [Problem(entry, f"names {name!r}, which is not there") for name in strange]
        raise_all(problems, f"{self.path} cannot be used", "Fetch it again.")

    def _other_boxes(self) -> Iterator[Problem]:
        """Name weights that predict boxes of other classes than the data."""
        boxed = self.manifest.outputs.get("boxes", [])
        for entry in (w for one in self.manifest.members if one.name in boxed for w in one.weights):
            names = metadata_of(self.file(entry)).get("box_names")
            if names != self.data.get("box_names", names):
                yield Problem(DATA, f"has other box_names than {entry}, which predicts {names}")

    def file(self, name: str) -> Path:
        """Give the file that an entry was unpacked to."""
        return self._unpacked / name

    def close(self) -> None:
        """Delete what was unpacked for this object."""
        if self._place is not None:
            self._place.cleanup()

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unpack(self, opened: Archive | Folder) -> None:
        """Unpack all entries, and compare them with their digests."""
        problems = []
        for name, entry in sorted(self.manifest.entries.items()):
            with self._room(opened):
                found = opened.unpack(name, self.file(name))
            if found != entry.sha256:
                reason = f"has the SHA-256 {found[:12]}…, the manifest says {entry.sha256[:12]}…"
                problems.append(Problem(name, reason))
            elif name.endswith(".safetensors"):
                problems += _of_weights(name, self.file(name))
        hint = "The file was damaged or changed on its way; fetch it again."
        raise_all(problems, f"{self.path} cannot be used", hint)

    @contextmanager
    def _room(self, opened: Archive | Folder) -> Iterator[None]:
        """Say what to do where there is no room for what is unpacked."""
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            size = math.ceil(sum(opened.sizes.values()) / 1e6)
            raise InputError(
                f"{self.path}: there is no room to unpack it in {tempfile.gettempdir()}; it takes "
                f"{size} MB. Make room there, or set TMPDIR to a folder that has some."
            ) from error

    def _json(self, name: str) -> dict[str, Any]:
        content = json_of(self.file(name).read_bytes(), self.path, name)
        missing = [key for key in _KEYS.get(name, _OF_CHANNELS) if key not in content]
        if missing:
            raise InputError(f"{self.path}: {name} lacks {', '.join(missing)}.")
        return content


def named_in(decision: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Give the members and the labels that a decision on labels or boxes names."""
    blocks = decision.get("blocks")
    if blocks is None:
        return set(decision["params"]["weights"]), set()
    members = {n for block in blocks for n in decision["params"][block["name"]]["weights"]}
    return members, {label for block in blocks for label in block["labels"]}


def _check_names(opened: Archive | Folder, manifest: Manifest) -> None:
    """Refuse entries that the manifest does not list, and the other way round, and other sizes."""
    sizes = {name: size for name, size in opened.sizes.items() if name != MANIFEST}
    strange = sorted(sizes.keys() - manifest.entries.keys())
    strange = [] if isinstance(opened, Folder) else strange  # of which nothing is read
    missing = sorted(manifest.entries.keys() - sizes.keys())
    problems = [Problem(name, "is not listed in the manifest") for name in strange]
    problems += [Problem(name, "is listed in the manifest, but not there") for name in missing]
    problems += [
        Problem(name, f"has {sizes[name]} bytes, the manifest says {entry.bytes}")
        for name, entry in sorted(manifest.entries.items())
        if name in sizes and sizes[name] != entry.bytes
    ]
    raise_all(problems, f"{opened.path} cannot be used", "Fetch it again.", most=20)


def _of_weights(name: str, path: Path) -> list[Problem]:
    """Give what of a file of weights is none, or does not fit.

    timm looks up an encoder with a colon in its name elsewhere: in a hub, or a folder.
    """
    if not _is_safetensors(path):
        return [Problem(name, "is no safetensors file")]
    try:
        metadata = metadata_of(path)
    except (SafetensorError, ValueError, RecursionError) as error:
        return [Problem(name, f"cannot be read ({type(error).__name__}: {error})")]
    problems = list(checking.problems(name, metadata, checking.WEIGHTS))
    architecture = metadata.get("architecture") if isinstance(metadata, dict) else None
    encoder = architecture.get("encoder") if isinstance(architecture, dict) else None
    if isinstance(encoder, str) and ":" in encoder:
        reason = f"is of the encoder {encoder}, whose form would be asked of another place"
        problems.append(Problem(name, reason))
    return problems


def _is_safetensors(path: Path) -> bool:
    """Tell whether a file begins as safetensors do: the length of a JSON header, and that."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(1) == b"{" and 8 + length <= path.stat().st_size
