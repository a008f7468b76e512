"""Write a bundle's blend as one ONNX file, and compare it with what the workflow computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from foldbelt import registry, runtime
from foldbelt.bundle.manifest import Member
from foldbelt.bundle.onnx import graph, image
from foldbelt.bundle.onnx.blending import Blending, blending_of
from foldbelt.bundle.onnx.description import describe
from foldbelt.bundle.onnx.graph import LABELS, MASKS
from foldbelt.bundle.onnx.translation import PACKAGES, check_packages, session_of, translate
from foldbelt.bundle.reading import Bundle
from foldbelt.bundle.targets import refuse_target
from foldbelt.channels._resizing import Resizer
from foldbelt.files import InputError, PathLike, Problem, atomic, raise_all, refuse_folder
from foldbelt.models._saved import load_model
from foldbelt.predict.predictor import Predictor, sizes_at
from foldbelt.predict.windows import Windows

TOLERANCE = 1e-3
"""Largest difference of a probability: a quarter of a step of those that a run stores."""
_LARGEST = 2**31 - 2**24  # bytes of weights: protobuf ends at 2 GiB
_PROBES = 3


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    networks
        How many are in the graph.
    source
        Name of the input: ``image`` or ``channels``.
    size
        (h, w) of the input.
    outputs
        Names of what comes out.
    bytes
        Size of the file.
    difference
        Largest difference of a probability to what the workflow computes.
    left_out
        Names of members whose output no graph holds: they predict boxes alone.
    """

    networks: int
    source: str
    size: tuple[int, int]
    outputs: list[str]
    bytes: int
    difference: float
    left_out: list[str]


@dataclass(frozen=True)
class _Loaded:
    """A member with its networks, and what they give."""

    member: Member
    networks: list[nn.Module]
    outputs: list[str]
    labels: list[int]
    attrs: dict[str, Any]
    sizes: list[tuple[int, int]]
    views: list[str]

    @property
    def resizer(self) -> Resizer:
        return Resizer.of(self.attrs)

    @property
    def windows(self) -> Windows | None:
        return Windows.of(self.member.predict["windows"])


def export(
    bundle: PathLike,
    out: PathLike,
    *,
    member: str | None = None,
    views: bool = True,
    cpu_threads: int | None = None,
) -> Exported:
    """Write a bundle's blend of masks and labels as one ONNX file.

    The graph takes images (N, h, w, C) u8, or, where their channels cannot be made by it, channels;
    it gives probabilities of masks (N, h, w, K) f32 and of labels (N, L) f32: those that the run
    decides on, else those by which masks are gated. Normalisation, networks, folds, views, windows
    and the blend's weights are inside; the decision is not, but lies in the metadata.

    Parameters
    ----------
    bundle
        The zip file.
    out
        The ONNX file.
    member
        Export this member alone; None: all that weigh something.
    views
        Whether flips and scales of test-time augmentation are part of the graph; without them it is
        faster by their number, and its probabilities are not those that the decision was found on.
    cpu_threads
        Compute threads of the comparison; None: as many as the run had.

    Raises
    ------
    InputError
        If packages are missing, the bundle cannot be used or not be expressed, its members see
        different inputs, or the file does not compute what the workflow does.
    """
    check_packages()
    refuse_folder(out)
    with Bundle(bundle) as opened:
        refuse_target(bundle, out, opened.manifest.entries)
        device = runtime.prepare(cpu_threads or int(opened.recipe["cpu_threads"]), "cpu")
        with opened.blamed():
            blending = blending_of(opened, member)
            loaded = [_load(opened, blending, one, views) for one in blending.members]
        _check_kinds(bundle, loaded)
        inputs, size = _inputs(opened, bundle, loaded)
        source = "channels" if inputs is None else "image"
        blend = _blend(blending, _members(loaded, inputs)).eval()
        if not blend.outputs:
            names = ", ".join(one.name for one in blending.members)
            raise InputError(f"{bundle}: {names} predict nothing that the run decides on.")
        _check_size(bundle, blend)
        colours = int(opened.data["colours"]) if inputs else len(loaded[0].attrs["names"])
        probes = _probes((*size, colours))
        with torch.inference_mode():
            made = [tuple(part.shape) for part in blend(torch.from_numpy(probes))]
        text = describe(
            opened,
            blending,
            blend,
            source=source,
            size=size,
            made=made[0][1:3] if MASKS in blend.outputs else None,
            views=views,
        )
        content = translate(blend, probes, source, blend.outputs, text)
        expected = _expected(loaded, blend, probes, inputs is not None, device)
    difference = _difference(content, source, probes, expected, torch.get_num_threads())
    if not difference <= TOLERANCE:
        raise InputError(
            f"{bundle}: ONNX Runtime's probabilities differ from torch's by up to "
            f"{difference:.2g}, more than {TOLERANCE:g}. Nothing was written. Other versions of "
            f"{', '.join(PACKAGES)} may agree; please report the network's architecture."
        )
    with atomic(out) as temporary:
        temporary.write_bytes(content)
    networks = sum(len(one.networks) for one in loaded)
    return Exported(
        networks, source, size, blend.outputs, len(content), difference, blending.left_out
    )


def _load(bundle: Bundle, blending: Blending, member: Member, views: bool) -> _Loaded:
    """Load a member's networks, and see what they give of what is wanted."""
    attrs = bundle.channels[member.channels]["attrs"]
    read = [load_model(bundle.file(name), member.snapshot) for name in member.weights]
    networks = [module.float() for module, _ in read]
    metadata = read[0][1]
    size = (int(attrs["size"][0]), int(attrs["size"][1]))
    outputs = ["boxes"] if registry.predicts_boxes(metadata["architecture"]) else []
    if not outputs:
        with torch.inference_mode():
            given = networks[0](torch.zeros(1, len(attrs["names"]), *size))
        masked = "mask" in given and metadata.get("masks", True) and blending.masks is not None
        outputs += [MASKS] if masked else []
        # Labels of their own gate no masks: they are wanted where the run decides on them.
        own = "label_names" in metadata
        outputs += [LABELS] if "label" in given and own == (blending.blocks is not None) else []
    told = metadata.get("labels") or metadata.get("label_names") or blending.labels
    labels = [blending.labels.index(name) for name in told] if LABELS in outputs else []
    predict = member.predict
    sizes = sizes_at(size, predict["scales"]) if views else [size]
    names = list(predict["tta"]) if views else ["none"]
    return _Loaded(member, networks, outputs, labels, attrs, sizes, names)


def _check_kinds(bundle: PathLike, loaded: Sequence[_Loaded]) -> None:
    """Refuse networks whose output has no form of one size."""
    reason = "predicts boxes: how many there are differs from image to image, and no graph of one "
    reason += "size says that"
    boxed = [Problem(one.member.name, reason) for one in loaded if "boxes" in one.outputs]
    hint = "Export the others by --member, and predict boxes by `foldbelt predict`."
    raise_all(boxed, f"{bundle} cannot be exported", hint)


def _inputs(
    bundle: Bundle, path: PathLike, loaded: Sequence[_Loaded]
) -> tuple[list[image.Channels] | None, tuple[int, int]]:
    """Give what makes each member's channels of one image, and the size of that.

    None stands for members that all see the same channels, which cannot be made.
    """
    colours = int(bundle.data["colours"])
    made = [image.channels_of(bundle.channels[one.member.channels], colours) for one in loaded]
    known = [one for one in made if one is not None]
    if len(known) == len(loaded) and len({size for _, size in known}) == 1:
        return [module for module, _ in known], known[0][1]
    if len({one.member.channels for one in loaded}) == 1:
        return None, loaded[0].resizer.size
    seen = [
        Problem(one.member.name, f"sees the channels {one.member.channels}, {_seen(one)}")
        for one in loaded
    ]
    hint = "One graph has one input: export the members one by one, by --member."
    raise_all(seen, f"{path}: its members cannot be joined in one graph", hint)
    raise AssertionError  # there is a member


def _seen(one: _Loaded) -> str:
    (height, width), resizer = one.resizer.size, one.resizer
    return f"{', '.join(one.attrs['names'])} at {height}×{width} ({resizer.mode})"


def _members(
    loaded: Sequence[_Loaded], inputs: Sequence[image.Channels] | None
) -> list[graph.Member]:
    return [
        graph.Member(
            one.networks,
            one.attrs["scale"],
            one.attrs["offset"],
            views=one.views,
            size=one.resizer.size,
            sizes=one.sizes,
            windows=one.windows,
            crop=one.resizer.crop,
            outputs=one.outputs,
            labels=one.labels,
            channels=None if inputs is None else inputs[place],
        )
        for place, one in enumerate(loaded)
    ]


def _blend(blending: Blending, members: Sequence[graph.Member]) -> graph.Blend:
    """Join members as was decided; of members without masks no weights count."""
    masked = any(MASKS in member.outputs for member in members)
    weights = blending.masks if masked else None
    return graph.Blend(members, weights, blending.mean, blending.label_blocks())


def _check_size(bundle: PathLike, blend: nn.Module) -> None:
    size = sum(value.numel() * value.element_size() for value in blend.state_dict().values())
    if size > _LARGEST:
        raise InputError(
            f"{bundle}: its networks have {size / 2**30:.1f} GiB, and an ONNX file holds less than "
            "2. Export the members one by one, by --member."
        )


def _probes(shape: tuple[int, ...]) -> np.ndarray:
    """Draw images (N, h, w, C) u8: smooth ones with noise, of every grey level."""
    random = np.random.default_rng(0)
    height, width, _ = shape
    rows, columns = np.linspace(0, 6, height)[:, None, None], np.linspace(0, 6, width)[:, None]
    phases = random.uniform(0, 6, (2, _PROBES, 1, 1, shape[2]))
    waves = np.sin(rows + phases[0]) * np.cos(columns + phases[1])
    noise = random.normal(0, 25, (_PROBES, *shape))
    return np.clip(128 + 100 * waves + noise, 0, 255).astype(np.uint8)


@torch.inference_mode()
def _expected(
    loaded: Sequence[_Loaded],
    blend: graph.Blend,
    probes: np.ndarray,
    images: bool,
    device: torch.device,
) -> list[np.ndarray]:
    """Predict as the workflow does: its channels, and its predictor, view by view."""
    given = []
    for one in loaded:
        x = image.at_network_size(image.planes(probes, one.attrs), one.attrs) if images else probes
        settings = one.attrs, one.views, device, one.sizes, one.windows, MASKS in one.outputs
        made = [Predictor(network, *settings).average(torch.from_numpy(x))
                for network in one.networks]  # fmt: skip
        parts = {MASKS: [m.masks for m in made], LABELS: [m.labels for m in made]}
        means = {name: torch.stack([p for p in parts[name] if p is not None]).mean(dim=0)
                 for name in one.outputs}  # fmt: skip
        if MASKS in means and one.resizer.crop is not None:
            means[MASKS] = means[MASKS][(..., *one.resizer.crop)]
        given.append(means)
    blended = blend.blended(given)
    if MASKS in blended:
        blended[MASKS] = blended[MASKS].permute(0, 2, 3, 1)
    return [part.numpy() for part in blended.values()]


def _difference(
    content: bytes, source: str, probes: np.ndarray, expected: Sequence[np.ndarray], threads: int
) -> float:
    """Compute a model by ONNX Runtime, all images at once and the first alone; compare."""
    session = session_of(content, threads)
    worst = 0.0
    for count in (len(probes), 1):
        given = session.run(None, {source: probes[:count]})
        for made, wanted in zip(given, expected, strict=True):
            if made.shape != wanted[:count].shape:
                return float("inf")
            worst = max(worst, float(np.abs(made - wanted[:count]).max()))
    return worst
