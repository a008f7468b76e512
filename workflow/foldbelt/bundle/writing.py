"""Gather what predicts new images from a finished run into a bundle."""

import hashlib
import json
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from foldbelt import store
from foldbelt.bundle import archive, needs, program, wheel
from foldbelt.bundle.choosing import EVERYTHING, Choice, Chosen, choose
from foldbelt.bundle.halving import halve, metadata_of
from foldbelt.bundle.manifest import (
    BLEND,
    DATA,
    JOINT,
    MASKS,
    NETWORK,
    PREDICT,
    RECIPE,
    STARTED,
    Entry,
    Manifest,
    Member,
    channels_entry,
    decision_entry,
)
from foldbelt.bundle.reading import Bundle
from foldbelt.files import InputError, PathLike, atomic
from foldbelt.formats.image_files import SUFFIXES
from foldbelt.machine import version

_PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "opencv-python-headless", "Pillow", "pandas", "h5py",
    "hdf5plugin", "safetensors", "scipy", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls",
    "tifffile", "segmentation-models-pytorch", "connected-components-3d",
)  # fmt: skip
_SCORES = ("metric", "score", "optimistic", "interval")
_DECIDED = {
    MASKS: ("params", "steps", "gate_on", *_SCORES),
    "labels": ("params", "exclusive", "blocks", *_SCORES),
    "boxes": ("params", *_SCORES),
    JOINT: ("params", "roles", "level", *_SCORES),
}
_FETCHED = "timm"  # weights that have a name, and no place
_BLOCK = ("name", "labels", "exclusive", "level")
_ATTRS = ("class_names", "label_names", "label_levels", "box_names", "size", "grey_range")


def write(
    *,
    recipe: Mapping[str, Any],
    data: PathLike,
    channels: Mapping[str, PathLike],
    members: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, Sequence[PathLike]],
    outputs: Mapping[str, Sequence[str]],
    blend: PathLike | None,
    decisions: Mapping[str, PathLike],
    out: PathLike,
    choice: Choice = EVERYTHING,
    test: PathLike | None = None,
) -> None:
    """Write a bundle. The same run gives the same bytes.

    Nothing of the training images travels but what was fitted on them: no ids, no scores image by
    image, no paths.

    Parameters
    ----------
    recipe
        The resolved config.
    data
        ``train.h5``.
    channels
        Recipe's name → its channels of the training images, which say what was fitted.
    members
        Name → ``model``, ``channels``, ``predict``, ``snapshot`` and ``folds``.
    weights
        Name → the member's weights, one a fold of its ``folds``.
    outputs
        What the run decides on (``masks``, ``labels``, ``boxes``) → names of the members that are
        blended for it.
    blend
        ``weights.json`` of the masks' blend of the last round; None without masks.
    decisions
        Output → its decision of the last round; ``joint`` → that on labels and boxes together.
    out
        The zip file.
    choice
        Which members and steps of the run stay behind.
    test
        ``test.h5``, where networks were trained on pseudo-labels of its images: the manifest then
        says which files these were, too.

    Raises
    ------
    InputError
        If the decision has a step that looks at the masks of training images, or a gate by labels
        that nobody is left to predict; or if what was written cannot be read back.
    """
    chosen = choose(choice, outputs, blend, decisions, data)
    texts = _texts(recipe, data, channels, chosen)
    listed, files = _listed(members, weights)
    install = _installed()
    steps = chosen.decisions.get(MASKS, {}).get("steps", [])
    needed = needs.packages(
        [metadata_of(path).get("architecture", {}) for path in files.values()],
        [recipe["channels"][name] for name in channels],
        [str(step["step"]) for step in steps],
        store.attrs(data).get("formats", []),
    )
    with tempfile.TemporaryDirectory(prefix="foldbelt-half-") as place:
        travelling = _halved(files, Path(place)) if recipe["bundle"]["half"] else files
        digests = {name: _entry(text) for name, text in texts.items()}
        digests |= {
            name: Entry(_digest_of_file(path), Path(path).stat().st_size)
            for name, path in travelling.items()
        }
        manifest = Manifest(
            recipe["run"],
            recipe["competition"],
            version("foldbelt"),
            install,
            listed,
            {output: list(names) for output, names in outputs.items()},
            JOINT in decisions,
            chosen.scores,
            {"members": list(choice.members), "steps": chosen.steps},
            recipe["bundle"]["half"],
            recipe["bundle"]["licence"],
            recipe["bundle"]["notes"],
            _made_on(files.values()),
            _raw({"train": data, "test": test}),
            digests,
            {name: install.get(name, "") for name in needed},
            wheel.name(),
        )
        with atomic(out) as temporary:
            archive.pack(temporary, {**texts, archive.MANIFEST: manifest.to_text()}, travelling)
            _read_back(temporary, out)
    size = Path(out).stat().st_size / 1e6
    print(f"members: {len(listed)}, networks: {len(files)}, {size:.1f} MB")


def _read_back(path: Path, out: PathLike) -> None:
    """Open what was written, and leave nothing that whoever predicts would be refused."""
    try:
        with Bundle(path):
            pass
    except InputError as error:
        said = str(error).replace(str(path), str(out))
        raise InputError(f"{said}\nNothing was written. This is a fault of foldbelt.") from error


def _texts(
    recipe: Mapping[str, Any], data: PathLike, channels: Mapping[str, PathLike], chosen: Chosen
) -> dict[str, str | bytes]:
    """Give all entries but weights and manifest."""
    contents: dict[str, Any] = {
        RECIPE: _without_places(recipe),
        DATA: _of_images(data),
        **({} if chosen.blend is None else {BLEND: chosen.blend}),
        **{decision_entry(output): _told(output, c) for output, c in chosen.decisions.items()},
    }
    for name, path in channels.items():
        of_recipe = recipe["channels"][name]
        contents[channels_entry(name)] = {"recipe": of_recipe, "attrs": store.attrs(path)}
    code = Path(program.__file__).read_bytes()
    return {
        **{name: _json(given) for name, given in contents.items()},
        wheel.name(): wheel.content(),
        PREDICT: code,
        STARTED: code,
    }


def _of_images(data: PathLike) -> dict[str, Any]:
    """Say of the training images what new ones are read and named by."""
    attrs, shape = store.attrs(data), store.shape(data, "image")
    ids = store.read(data, "id").astype(str)
    return {
        **{key: attrs[key] for key in _ATTRS if key in attrs},
        "colours": shape[3] if len(shape) == 4 else 1,
        "suffixes": all(Path(name).suffix.lower() in SUFFIXES for name in ids),
    }


def _listed(
    members: Mapping[str, Mapping[str, Any]], weights: Mapping[str, Sequence[PathLike]]
) -> tuple[list[Member], dict[str, PathLike]]:
    """Give the members, and the file of each entry of weights; snapshots share theirs."""
    listed, files = [], dict[str, PathLike]()
    for name, member in members.items():
        entries = [
            f"weights/{member['model']}/fold{number}.safetensors" for number in member["folds"]
        ]
        files |= dict(zip(entries, weights[name], strict=True))
        told = member["channels"], member["predict"], member["snapshot"]
        listed.append(Member(name, NETWORK, *told, entries, list(member["folds"])))
    return listed, files


def _raw(parts: Mapping[str, PathLike | None]) -> dict[str, str]:
    """Give the digests by which a run knew the raw files of its parts, where they are known."""
    told = {part: store.attrs(path) for part, path in parts.items() if path is not None}
    inputs = {part: attrs.get("inputs", {}) for part, attrs in told.items()}
    return {part: given["raw"] for part, given in inputs.items() if "raw" in given}


def _halved(files: Mapping[str, PathLike], place: Path) -> dict[str, PathLike]:
    """Write all weights in half precision to a folder."""
    made: dict[str, PathLike] = {}
    for number, (name, path) in enumerate(sorted(files.items())):
        made[name] = place / f"{number}.safetensors"
        halve(path, place / f"{number}.safetensors")
    return made


def _made_on(weights: Iterable[PathLike]) -> list[Any]:
    """List on what networks were trained, each once."""
    made = [one for path in weights for one in metadata_of(path).get("made_on", [])]
    return [json.loads(text) for text in sorted({json.dumps(one, sort_keys=True) for one in made})]


def _entry(content: str | bytes) -> Entry:
    content = content.encode() if isinstance(content, str) else content
    return Entry(hashlib.sha256(content).hexdigest(), len(content))


def _digest_of_file(path: PathLike) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _told(output: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give of a decision what applies it, and how good it is; nothing of single images."""
    content = {key: value for key, value in given.items() if key in _DECIDED[output]}
    if "blocks" in content:
        content["blocks"] = [{key: block[key] for key in _BLOCK} for block in content["blocks"]]
    return content


def _without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out where files lay on the machine that trained, and what was predicted elsewhere."""
    data = {**recipe["data"], "path": None, "truth": None}
    blends = {key: {**recipe[key], "external": {}} for key in ("blend", "labels", "boxes")}
    folds = {name: {**scheme, "keep": None} for name, scheme in recipe["folds"].items()}
    models = {name: _started_nowhere(model) for name, model in recipe["models"].items()}
    return {**recipe, **blends, "data": data, "folds": folds, "models": models}


def _started_nowhere(model: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a model the files from which it started."""
    architecture = dict(model["architecture"])
    if architecture.get("weights") not in (None, _FETCHED):
        architecture["weights"] = None
    return {**model, "start": None, "architecture": architecture}


def _installed() -> dict[str, str]:
    given = {name: version(name) for name in _PACKAGES}
    known = {name: number for name, number in given.items() if number is not None}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **known}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"
