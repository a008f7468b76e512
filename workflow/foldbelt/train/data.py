"""Samples: images and masks at network size, in memory or streamed, augmented, in batches.

A sample depends on the seed, the epoch and its id alone, never on the batch, the worker or what was
read before, so batches may be made in any number of processes.
"""

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from foldbelt import store
from foldbelt.augment import Augment
from foldbelt.files import seed_for
from foldbelt.geometry import Fit, centre
from foldbelt.train.samplers import Parts

Batch = dict[str, torch.Tensor]


class Column:
    """Rows of one dataset: in memory, or read from the file as they are needed.

    Parameters
    ----------
    path, name
        File and dataset.
    ids
        Which rows, in this order.
    memory
        Read all of them now.
    """

    def __init__(self, path: str, name: str, ids: Sequence[str], memory: bool) -> None:
        self.path, self.name = path, name
        self.array = store.read(path, name, ids) if memory else None
        self.rows = None if memory else store.positions(path, ids)
        self._file: h5py.File | None = None
        self._process = 0

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Give some rows, (n, …), in the order asked for."""
        if self.array is not None:
            return self.array[rows]
        if self._file is None or self._process != os.getpid():  # handles do not survive a fork
            self._file, self._process = h5py.File(self.path, "r", locking=False), os.getpid()
        data = self._file[self.name]
        assert self.rows is not None
        out = np.stack([data[row] for row in self.rows[rows]])
        classes = data.attrs.get("classes", 1) if self.name == "mask" else 1
        return np.unpackbits(out, axis=-1, count=int(classes)) if classes > 1 else out

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": 0}


@dataclass(frozen=True)
class Source:
    """Where a set of tiles comes from.

    Attributes
    ----------
    channels, masks
        Files with `x`, and with `mask` (and perhaps `ignore`).
    ids
        The tiles.
    """

    channels: str
    masks: str
    ids: Sequence[str]

    def classes(self) -> int:
        """Number of mask classes."""
        mask = store.read(self.masks, "mask", self.ids[:1])
        return 1 if mask.ndim == 3 else mask.shape[3]

    def has_ignore(self) -> bool:
        """Tell whether some pixels may be unlabelled."""
        return store.has(self.masks, "ignore")


class Tiles:
    """Images, and masks at network size with the ignored pixels as a last plane.

    Parameters
    ----------
    source
        Files and ids.
    fit
        How masks come to network size.
    planes
        Mask classes, plus one if ignored pixels have a plane.
    classes
        Mask classes.
    labels
        (N,L) f32.
    memory
        Hold everything in memory.
    depth
        (N,1) f32, from `foldbelt.train.tables.depths`; None leaves it out of the batches.
    """

    def __init__(
        self,
        source: Source,
        fit: Fit,
        planes: int,
        classes: int,
        labels: np.ndarray,
        memory: bool,
        depth: np.ndarray | None = None,
    ) -> None:
        self.ids = list(source.ids)
        self.fit, self.planes, self.classes, self.labels = fit, planes, classes, labels
        self.depth = depth
        self.x = Column(source.channels, "x", self.ids, memory)
        self.mask = Column(source.masks, "mask", self.ids, memory)
        ignore = planes > classes and source.has_ignore()
        self.ignore = Column(source.masks, "ignore", self.ids, memory) if ignore else None
        self.target = self._fitted(np.arange(len(self.ids))) if memory else None

    def __len__(self) -> int:
        return len(self.ids)

    def images(self, rows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """(n,H,W,C) u8 at network size.

        Where images lie on a larger canvas, `starts` (n,2) are top and left of the windows; by
        default they are the central ones.
        """
        return self._cut(self.x.take(rows), starts)

    def targets(self, rows: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
        """(n,H,W,P) u8 at network size: the classes, then the ignored pixels if there are any."""
        fitted = self._fitted(rows) if self.target is None else self.target[rows]
        return self._cut(fitted, starts)

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Give masks (n,h,w,K) and ignored pixels (n,h,w) at storage size."""
        mask = self.mask.take(rows)
        ignore = None if self.ignore is None else self.ignore.take(rows)
        return mask.reshape(*mask.shape[:3], self.classes), ignore

    def _cut(self, x: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
        if starts is None:
            return centre(x, self.fit.size)
        height, width = self.fit.size
        cut = [
            one[top : top + height, left : left + width]
            for one, (top, left) in zip(x, starts, strict=True)
        ]
        return np.stack(cut)

    def _fitted(self, rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), *self.fit.canvas, self.planes), np.uint8)
        for start in range(0, len(rows), 256):
            part = rows[start : start + 256]
            mask, ignore = self.truth(part)
            out[start : start + len(part), ..., : self.classes] = self.fit.masks(mask)
            if ignore is not None:
                out[start : start + len(part), ..., -1] = self.fit.masks(ignore)
        return out


class Samples(Dataset[Batch]):
    """Batches of augmented samples from several sets of tiles, numbered through.

    Parameters
    ----------
    sets
        The rows of the second set follow those of the first.
    augment
        The pipeline, or None to leave samples as they are; these lie in the centre of the window
        even where their offset is random.
    parts
        What the seeds are derived from, besides epoch and id.
    """

    def __init__(self, sets: Sequence[Tiles], augment: Augment | None, parts: Parts) -> None:
        self.sets, self.augment, self.parts = list(sets), augment, parts
        self.starts = np.cumsum([0, *(len(tiles) for tiles in self.sets)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> Batch:
        """Make one batch (torch's DataLoader calls this with all of its items).

        Parameters
        ----------
        items
            (epoch, row) of every sample.

        Returns
        -------
        dict
            ``x`` (N,H,W,C) u8, ``target`` (N,H,W,P) u8, ``label`` (N,L) f32, ``row`` (N,) int64,
            and ``depth`` (N,1) f32 where the tiles have it.
        """
        rows = np.array([row for _, row in items], np.int64)
        epochs = np.array([epoch for epoch, _ in items], np.int64)
        parts = []
        for tiles, first in zip(self.sets, self.starts[:-1], strict=True):
            here = np.flatnonzero((rows >= first) & (rows < first + len(tiles)))
            if len(here):
                own = rows[here] - first
                parts.append((tiles, here, own, self._windows(tiles, own, epochs[here])))
        back = np.argsort(np.concatenate([here for _, here, _, _ in parts]))

        def gather(arrays: Iterable[np.ndarray]) -> np.ndarray:
            return np.concatenate(list(arrays))[back]

        x = gather(tiles.images(own, windows) for tiles, _, own, windows in parts)
        target = gather(tiles.targets(own, windows) for tiles, _, own, windows in parts)
        label = gather(tiles.labels[own] for tiles, _, own, _ in parts)
        names = gather([tiles.ids[row] for row in own] for tiles, _, own, _ in parts)  # type: ignore[misc]
        if self.augment:
            for number, (epoch, _) in enumerate(items):
                seed = seed_for(*self.parts, "augment", epoch, str(names[number]))
                x[number], target[number] = self.augment(x[number], target[number], seed)
        batch = {"x": x, "target": target, "label": label, "row": rows}
        if all(tiles.depth is not None for tiles in self.sets):
            batch["depth"] = gather(tiles.depth[own] for tiles, _, own, _ in parts)  # type: ignore[index]
        return {
            name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()
        }

    def _windows(self, tiles: Tiles, rows: np.ndarray, epochs: np.ndarray) -> np.ndarray | None:
        """Draw top and left of each sample's window on the canvas, (n,2); None for central ones."""
        if self.augment is None or tiles.fit.canvas == tiles.fit.size:
            return None
        starts = []
        for row, epoch in zip(rows, epochs, strict=True):
            seed = seed_for(*self.parts, "offset", int(epoch), tiles.ids[row])
            starts.append(tiles.fit.window(np.random.default_rng(seed)))
        return np.array(starts)


class Plan:
    """The batches of one epoch, set anew for each: torch's batch sampler."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def set(self, batches: Sequence[np.ndarray], epoch: int) -> None:
        """Lay down batches of rows."""
        self.batches = [[(epoch, int(row)) for row in batch] for batch in batches]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def loader(samples: Samples, plan: Plan, device: torch.device, workers: int) -> DataLoader[Batch]:
    """Make a loader of batches.

    Parameters
    ----------
    samples, plan
        What to load, and in which batches.
    device
        Where they go: for a GPU, they are put into pinned memory.
    workers
        Processes that prepare batches; 0 prepares them between the steps.

    Returns
    -------
    DataLoader
        It leaves torch's global random state alone.
    """
    return DataLoader(
        samples,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_same,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # else every epoch would draw from the global one
        worker_init_fn=_worker if workers else None,
    )


def _same(batch: Any) -> Batch:
    return batch


def _worker(number: int) -> None:
    """Let the trainer alone decide what a signal means; die of its SIGTERM only.

    A scheduler signals the whole process group, and the trainer still needs its workers to finish
    the step and save its state.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    trainer = os.getppid()

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    torch.set_num_threads(1)


def fits(sources: Sequence[Source], size: tuple[int, int], planes: int, budget_gib: float) -> bool:
    """Tell whether images and masks of some sets fit into a memory budget.

    Parameters
    ----------
    sources
        The sets.
    size
        Network size.
    planes
        Mask planes.
    budget_gib
        The budget.

    Returns
    -------
    bool
    """
    total = 0
    for source in sources:
        attrs = store.attrs(source.channels)
        height, width = attrs["source"]
        canvas = attrs.get("canvas", size)
        # Masks are held twice: at network size, and at storage size, where they are scored.
        network = canvas[0] * canvas[1] * (len(attrs["names"]) + planes)
        total += len(source.ids) * (network + height * width * planes)
    return total <= budget_gib * 2**30


def labels_of(mask: np.ndarray, count: int) -> np.ndarray:
    """Derive image labels from masks that have none of their own.

    Parameters
    ----------
    mask
        (N,h,w) or (N,h,w,K).
    count
        1: is there anything; K: which classes are there; 0: no labels.

    Returns
    -------
    (N,count) f32 array
    """
    planes = mask if mask.ndim == 4 else mask[..., None]
    present = np.any(planes, axis=(1, 2))
    if count == 1:
        present = np.any(present, axis=1, keepdims=True)
    return present[:, :count].astype(np.float32)
