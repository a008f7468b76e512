"""Images through a bundle: read, made channels, predicted, blended and decided.

By the functions of the workflow's own stages, which hand on to each other in memory, group by
group: so what comes out is what the workflow would have written, and memory does not grow with the
number of images.
"""

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from foldbelt import channels, competitions, predict, registry, runtime, store, submit
from foldbelt.bundle.answers import Answer
from foldbelt.bundle.manifest import BLEND, DECISION, MASKS, Member, decision_entry
from foldbelt.bundle.reading import Bundle
from foldbelt.bundle.sparing import MOST_THREADS, spared
from foldbelt.competitions import Item, Listing, Reader, Sample
from foldbelt.ensemble import blend
from foldbelt.files import InputError
from foldbelt.formats.findings import Finding
from foldbelt.ingest.streaming import Stream
from foldbelt.models._saved import load_model
from foldbelt.store import Memory

_DECODERS = 4
_BLANK = "blank"
_reading = threading.Lock()  # what decoders say of a file is caught for the whole process
_Network = tuple[torch.nn.Module, dict[str, Any]]  # with its metadata


class _Unreadable(Exception):
    """Leaves the writer without its file appearing."""


class Pipeline:
    """A bundle's networks and decision, ready for images.

    Parameters
    ----------
    bundle
        The bundle, which has to stay open.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    cpu_threads
        Compute threads; None: as many as the run had, on which the last digits depend.

    Attributes
    ----------
    classes, labels, boxes
        Names of the classes of masks, of labels and of the classes of boxes that are predicted;
        empty where the run does not decide on them.
    reader
        What decodes images, as it did the run's own.
    levels
        Columns that say of which units images are, where labels are of units.
    """

    def __init__(
        self, bundle: Bundle, device: str | None = None, cpu_threads: int | None = None
    ) -> None:
        self.bundle, self.device = bundle, _device(device)
        self.cpu_threads = _threads(cpu_threads, bundle)
        with spared():
            runtime.prepare(self.cpu_threads, self.device)  # refuses a GPU that is not there
        outputs, data = bundle.manifest.outputs, bundle.data
        self.classes: list[str] = data["class_names"] if MASKS in outputs else []
        self.labels: list[str] = data["label_names"] if "labels" in outputs else []
        self.boxes: list[str] = data["box_names"] if "boxes" in outputs else []
        self.levels: list[str] = sorted(data.get("label_levels", {})) if self.labels else []
        self.settings = competitions.settings(bundle.recipe["data"])
        self._networks: dict[tuple[str, int | None], _Network] = {}
        self._loading, self._proving = threading.Lock(), threading.Lock()
        self._proved = False
        self._fitted = Memory("fitted")
        with bundle.blamed():
            self.reader = competitions.reader(bundle.manifest.competition)
            for name, content in bundle.channels.items():
                registry.channels(content["recipe"])  # refuses unknown ones
                empty = {"x": np.zeros((0, 1, 1, 1), np.uint8), "id": np.zeros(0, object)}
                store.write(self._fitted / name, empty, attrs=content["attrs"])

    @property
    def computing(self) -> str:
        """Say where it computes: a sentence for people."""
        if self.device != "cpu" and torch.cuda.is_available():
            return f"Computing on the GPU {torch.cuda.get_device_name()}."
        cores, used = os.cpu_count() or 1, self.cpu_threads
        rest = (
            "." if used >= cores else "; more are faster, and may change last digits (--threads)."
        )
        return f"Computing on the CPU, with {used} of {cores} cores{rest}"

    @property
    def size(self) -> tuple[int, int]:
        """Storage size, (h, w)."""
        height, width = self.bundle.data["size"]
        return int(height), int(width)

    @property
    def group(self) -> int:
        """Images that have to be predicted together for a network to see the run's own batches.

        On a CPU the last digits of a convolution depend on the batch.
        """
        return math.lcm(*(int(m.predict["batch_size"]) for m in self.bundle.manifest.members))

    @property
    def image_bytes(self) -> int:
        """Bytes that one image takes in memory: itself, its channels and all predictions of it."""
        height, width = self.bundle.data["size"]
        predictions = 1 + sum(len(member.weights) for member in self.bundle.manifest.members)
        planes = int(self.bundle.data["colours"]) + len(self.classes) * predictions
        made = [content["attrs"] for content in self.bundle.channels.values()]
        channels = sum(math.prod(attrs["size"]) * len(attrs["names"]) for attrs in made)
        return int(height) * int(width) * planes + channels

    def listing(self, root: Path) -> Listing:
        """Say of new images below a folder what was known of the run's own."""
        data = self.bundle.data
        return Listing(
            root,
            self.settings,
            [],
            [],
            self.size,
            int(data["colours"]),
            data["class_names"],
            data["label_names"],
            [],
            ranges=data.get("grey_range", {}),
        )

    def __call__(
        self, items: Sequence[Item], root: Path, reader: Reader | None = None
    ) -> Iterator[Answer | Finding]:
        """Predict a group of images.

        Parameters
        ----------
        items
            The images, whose columns say their height and width, and their units.
        root
            Folder below which they lie.
        reader
            What decodes them; None: what read the run's own images.

        Yields
        ------
        Finding
            For every image that cannot be read; these come first.
        Answer
            For every other one, in their order.

        Raises
        ------
        InputError
            If not even a blank image can be predicted; then it is the bundle's fault.
        """
        if items:
            self._prove(items[0])
        reader = reader or self.reader
        place = Memory("images")
        data = place / "data"
        while items:
            findings = self._store(items, root, reader, data)
            if not findings:
                break
            yield from findings
            unusable = {finding.id for finding in findings}
            items = [item for item in items if item.id not in unusable]
        if items:
            yield from self._predict(items, data, place)

    def _prove(self, item: Item) -> None:
        """Predict a blank image of which the same is known, once, before all others.

        Every sound bundle makes an answer of it; so what goes wrong here is the bundle's fault,
        whatever it is.
        """
        with self._proving:
            if self._proved:
                return
            with self.bundle.blamed():
                height, width = self.bundle.data["size"]
                about = {**item.columns, "height": height, "width": width}
                blank = Item(item.id, Path(_BLANK), (height, width), None, about)
                place = Memory("blank")
                self._store([blank], Path(), cast(Reader, _Blank()), place / "data")
                for answer in self._predict([blank], place / "data", place):
                    self._check(answer)
            self._proved = True

    def _check(self, answer: Answer) -> None:
        """Decide what is decided of all images; refuse other numbers than there are names."""
        found = {"masks": 0 if answer.mask is None else answer.mask.shape[2], "labels": 0}
        if answer.labels is not None or answer.boxes is not None:
            from foldbelt.bundle.finishing import decided, finish  # which masks alone do not need

            labels = finish(self.bundle, [answer]).labels()
            if labels is not None:
                found["labels"] = labels.shape[1]
                decided(labels, self.bundle.decisions[decision_entry("labels")], self.labels)
        for output, names in (("masks", self.classes), ("labels", self.labels)):
            if found[output] != len(names):
                raise InputError(f"{found[output]} {output} are predicted, {len(names)} named.")

    def _store(
        self, items: Sequence[Item], root: Path, reader: Reader, data: Memory
    ) -> list[Finding]:
        """Store images as ingest does; with findings nothing is of use but these."""
        listing = self.listing(root)
        attrs = {
            "class_names": listing.classes,
            "label_names": listing.labels,
            "size": listing.size,
        }
        threads = min(_DECODERS, os.cpu_count() or 1)
        try:
            with (
                _reading,
                ThreadPoolExecutor(threads) as pool,
                store.Writer(data, None, attrs, len(listing.classes)) as writer,
            ):
                findings = Stream(reader, listing, items, False, writer).convert(pool)
                if findings:
                    raise _Unreadable
        except _Unreadable:
            return sorted(set(findings))
        return []

    def _predict(self, items: Sequence[Item], data: Memory, place: Memory) -> Iterator[Answer]:
        """Predict images that are stored, and blend them output by output."""
        for name, content in self.bundle.channels.items():
            channels.build(data, _made(place, name), content["recipe"], self._fitted / name)
        with spared():
            files = {
                member.name: self._member(number, member, data, place)
                for number, member in enumerate(self.bundle.manifest.members)
            }
        labels = self._blended("labels", files, data, place)
        boxes = self._blended("boxes", files, data, place)
        masks = self._masks(files, data, place) if self.classes else None
        for place_of, item in enumerate(items):
            yield Answer(
                item.id,
                (int(item.columns["height"]), int(item.columns["width"])),
                {level: str(item.columns[level]) for level in self.levels},
                None if masks is None else next(masks),
                None if labels is None else labels[place_of],
                None if boxes is None else boxes[place_of],
            )

    def _masks(
        self, files: Mapping[str, Sequence[Memory]], data: Memory, place: Memory
    ) -> Iterator[np.ndarray]:
        """Blend and decide masks; give them in the order of the images."""
        blended = place / "blend"
        blend.run_test(
            members={name: files[name] for name in self.bundle.manifest.outputs[MASKS]},
            weights=self.bundle.file(BLEND),
            out=blended,
        )
        for given in submit.predictions(data, blended, self.bundle.file(DECISION)):
            yield given.mask

    def _blended(
        self, output: str, files: Mapping[str, Sequence[Memory]], data: Memory, place: Memory
    ) -> list[np.ndarray] | None:
        """Blend labels or boxes; None where the run does not decide on them."""
        if output not in self.bundle.manifest.outputs:
            return None
        from foldbelt.bundle.finishing import blended  # which masks alone do not need

        return blended(self.bundle, output, files, data, place)

    def _member(self, number: int, member: Member, data: Memory, place: Memory) -> list[Memory]:
        """Predict the images with every fold's network of a member."""
        files = []
        for fold, weights in enumerate(member.weights):
            files.append(place / f"member{number}-fold{fold}")
            predict.run(
                channels=_made(place, member.channels),
                data=data,
                ids=None,
                weights=str(self.bundle.file(weights)),
                tta=member.predict["tta"],
                scales=member.predict["scales"],
                windows=member.predict["windows"],
                snapshot=member.snapshot,
                batch_size=member.predict["batch_size"],
                out=files[-1],
                cpu_threads=self.cpu_threads,
                device=self.device,
                load=self._network,
            )
        return files

    def _network(
        self, weights: str, snapshot: int | None
    ) -> tuple[torch.nn.Module, dict[str, Any]]:
        """Load a network once."""
        with self._loading:
            if (weights, snapshot) not in self._networks:
                self._networks[weights, snapshot] = load_model(weights, snapshot)
            return self._networks[weights, snapshot]


class _Blank:
    """Reads an image that shows nothing."""

    def read(self, item: Item, listing: Listing) -> Sample:
        """Give a black image of the size and the bands that are wanted."""
        bands = (listing.channels,) if listing.channels > 1 else ()
        return Sample(np.zeros((*item.size, *bands), np.uint8))


def _device(name: str | None) -> str | None:
    """Give torch's word for a device; None for the GPU if there is one."""
    known = {**dict.fromkeys(("auto", None)), "cpu": "cpu", "cuda": "cuda", "gpu": "cuda"}
    if name not in known:
        raise InputError(f"device is {name!r}; say cpu, cuda (or gpu), or None for what there is.")
    return known[name]


def _threads(given: int | None, bundle: Bundle) -> int:
    if given is None:
        return int(bundle.recipe["cpu_threads"])
    if type(given) is not int or not 1 <= given <= MOST_THREADS:
        raise InputError(f"cpu_threads is {given!r}; say a number from 1 to {MOST_THREADS}.")
    return given


def _made(place: Memory, name: str) -> Memory:
    """Give the images' channels; a recipe may have any name."""
    return place / "channels" / name
