"""Gather what predicts new images from a finished run into a bundle."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foldbelt import registry, store
from foldbelt.bundle import archive, needs, program, wheel
from foldbelt.bundle.manifest import (
    BLEND,
    DATA,
    DECISION,
    NETWORK,
    PREDICT,
    RECIPE,
    STARTED,
    Entry,
    Manifest,
    Member,
    channels_entry,
)
from foldbelt.decide import decision as decisions
from foldbelt.decide.decision import Decision
from foldbelt.files import InputError, PathLike
from foldbelt.formats.image_files import SUFFIXES
from foldbelt.machine import version

_PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "opencv-python-headless", "Pillow", "pandas", "h5py",
    "hdf5plugin", "safetensors", "scipy", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls",
    "tifffile", "segmentation-models-pytorch", "connected-components-3d",
)  # fmt: skip
_DECIDED = ("params", "steps", "gate_on", "metric", "score", "optimistic", "interval")
_ATTRS = ("class_names", "label_names", "size", "grey_range")


def write(
    *,
    recipe: Mapping[str, Any],
    data: PathLike,
    channels: Mapping[str, PathLike],
    members: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, Sequence[PathLike]],
    blend: PathLike,
    decision: PathLike,
    out: PathLike,
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
        Name → ``model``, ``channels``, ``predict`` and ``snapshot``.
    weights
        Name → the member's weights, fold by fold.
    blend, decision
        ``weights.json`` of the blend, and the decision, both of the last round.
    out
        The zip file.

    Raises
    ------
    InputError
        If the decision has a step that looks at the masks of training images.
    """
    _check_steps(decisions.load(decision), decision)
    attrs = store.attrs(data)
    shape = store.shape(data, "image")
    ids = store.read(data, "id").astype(str)
    told = {key: attrs[key] for key in _ATTRS if key in attrs}
    told |= {
        "colours": shape[3] if len(shape) == 4 else 1,
        "suffixes": all(Path(name).suffix.lower() in SUFFIXES for name in ids),
    }
    contents: dict[str, Any] = {
        RECIPE: _without_places(recipe),
        DATA: told,
        BLEND: _content(blend),
        DECISION: {key: value for key, value in _content(decision).items() if key in _DECIDED},
    }
    for name, path in channels.items():
        of_recipe = recipe["channels"][name]
        contents[channels_entry(name)] = {"recipe": of_recipe, "attrs": store.attrs(path)}
    texts: dict[str, str | bytes] = {name: _json(given) for name, given in contents.items()}
    files: dict[str, PathLike] = {}
    listed = []
    for name, member in members.items():
        entries = [
            f"weights/{member['model']}/fold{number}.safetensors"
            for number in range(len(weights[name]))
        ]
        files |= dict(zip(entries, weights[name], strict=True))  # snapshots share them
        told_of = member["channels"], member["predict"], member["snapshot"]
        listed.append(Member(name, NETWORK, *told_of, entries))
    texts |= {wheel.name(): wheel.content()}
    texts |= dict.fromkeys((PREDICT, STARTED), Path(program.__file__).read_bytes())
    digests = {name: _entry(text) for name, text in texts.items()}
    digests |= {
        name: Entry(_digest_of_file(path), Path(path).stat().st_size)
        for name, path in files.items()
    }
    install = _installed()
    needed = needs.packages(
        [needs.architecture(path) for path in files.values()],
        [recipe["channels"][name] for name in channels],
        [str(step["step"]) for step in contents[DECISION].get("steps", [])],
        attrs.get("formats", []),
    )
    manifest = Manifest(
        recipe["run"], recipe["competition"], version("foldbelt"), install, listed, digests,
        {name: install.get(name, "") for name in needed}, wheel.name(),
    )  # fmt: skip
    archive.write(out, {**texts, archive.MANIFEST: manifest.to_text()}, files)
    size = Path(out).stat().st_size / 1e6
    print(f"{len(listed)} members, {len(files)} networks, {size:.1f} MB")


def _entry(content: str | bytes) -> Entry:
    content = content.encode() if isinstance(content, str) else content
    return Entry(hashlib.sha256(content).hexdigest(), len(content))


def _digest_of_file(path: PathLike) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_steps(found: Decision, path: PathLike) -> None:
    """Refuse steps that look at true masks of training images, which stay where they are."""
    names = [str(one["step"]) for one in found.steps]
    looking = [name for name in names if registry.looks_at("neighbours", registry.steps([name]))]
    if looking:
        raise InputError(
            f"{path}: the decision has the step {', '.join(looking)}, which looks at the masks of "
            "neighbouring training images; these do not travel. Leave it out of decision.steps, "
            "and bundle that run."
        )


def _content(path: PathLike) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


def _without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out where files lay on the machine that trained."""
    return {**recipe, "data": {**recipe["data"], "path": None, "truth": None}}


def _installed() -> dict[str, str]:
    given = {name: version(name) for name in _PACKAGES}
    known = {name: number for name, number in given.items() if number is not None}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **known}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"
