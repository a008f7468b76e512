"""The component tables of a round: from the members' predictions to one file, in bounded memory.

The parameters for fold f are fitted on a blend that was weighted without the truth of f, so every
distinct vector of weights has its table; with equal or fixed weights that is one.

The file holds the groups ``table/0`` … with the columns of :data:`foldbelt.search.tables.COLUMNS`,
flat, chunked and compressed, and ``offsets`` (N + 1): the rows of image i are offsets[i] up to
offsets[i + 1]. ``gate/0`` … are (N, K) what a gate is compared with, ``truth`` (N, K) the pixels
that are truly on, ``id`` (N) the images. The attributes name the members, their weights, the table
that belongs to each vector of weights, and where the probabilities were cut.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

import cv2
import h5py
import numpy as np

from foldbelt import store
from foldbelt.files import InputError, PathLike, atomic
from foldbelt.search.blends import Blends
from foldbelt.search.gates import gate_values
from foldbelt.search.means import Vector, mix
from foldbelt.search.oof import OutOfFold
from foldbelt.search.tables import COLUMNS, Cuts, Image, Table, describe, joined
from foldbelt.store.geometry import at_size
from foldbelt.store.hdf5 import COMPRESSION
from foldbelt.store.layout import SCHEMA_VERSION

ROWS = 2**16  # of a chunk of the file
PIXELS = 2**24  # of all classes of the images that a worker is given at a time
SEARCHED = ("image", "class", "cut", "area", "inter")


class Piece(NamedTuple):
    """Some images: their rows by table, their label probabilities (n, K or 1) by vector."""

    tables: list[list[Image]]
    labels: list[np.ndarray | None]


def tables_of(vectors: Sequence[Vector], cuts: Cuts) -> list[int]:
    """Number the tables that vectors need: labels matter only where they divide thresholds."""
    keys = [vector if cuts.products else vector.masks for vector in vectors]
    first = list(dict.fromkeys(keys))
    return [first.index(key) for key in keys]


@dataclass(frozen=True)
class Work:
    """Finds the components of some images as several blends see them."""

    blends: Blends
    cuts: Cuts

    @property
    def oof(self) -> OutOfFold:
        """The predictions."""
        return self.blends.oof

    @property
    def vectors(self) -> list[Vector]:
        """The weights that differ."""
        return self.blends.vectors

    def __call__(self, part: slice) -> Piece:
        """Do so for the images of a slice of ``oof.ids``."""
        rows = np.arange(len(self.oof))[part]
        truths = list(store.truth(self.oof.data, self.oof.ids[rows].tolist()))
        table_of = tables_of(self.vectors, self.cuts)
        found: list[dict[int, Image]] = [{} for _ in set(table_of)]
        known: list[dict[int, np.ndarray]] = [{} for _ in self.vectors]
        for fold in np.unique(self.oof.fold[rows]).tolist():
            block = self.oof.read(fold, rows[self.oof.fold[rows] == fold])
            for number, vector in enumerate(self.vectors):
                label = self.oof.gate_labels(block, vector.labels, self.blends.mean)
                if label is not None:
                    known[number] |= dict(zip(block.rows.tolist(), label, strict=True))
                images = found[table_of[number]]
                for row, probs in zip(block.rows.tolist(), block.images(), strict=True):
                    if row in images:
                        continue
                    truth, ignore = truths[row - rows[0]]
                    prob = at_size(mix(probs, vector.masks, *self.blends.mean), truth.shape[:2])
                    own = known[number].get(row)
                    own = None if own is None else own.astype(np.float64)
                    images[row] = describe(prob, truth, ignore, self.cuts, own)
        order = rows.tolist()
        return Piece(
            [[images[row] for row in order] for images in found],
            [np.stack([one[row] for row in order]) if one else None for one in known],
        )


def pieces(work: Work, workers: int = 1) -> Iterator[Piece]:
    """Find the components of all images, some at a time, in the order of ``oof.ids``.

    Parameters
    ----------
    work
        What to do.
    workers
        Processes that share it; what they find does not depend on their number.
    """
    oof = work.oof
    size = int(np.prod(store.original_sizes(oof.data).max(axis=0))) * oof.classes()
    step = int(np.clip(PIXELS // size, 1, 256))
    parts = [slice(start, min(start + step, len(oof))) for start in range(0, len(oof), step)]
    if workers == 1 or len(parts) == 1:
        yield from map(work, parts)
        return
    # Forked, for others would run the script that started this once more; and forked without
    # OpenCV's threads, for which a child would wait in vain.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ProcessPoolExecutor(workers, get_context("fork")) as pool:
            # Not all at once: what is done and not yet taken waits in memory.
            for start in range(0, len(parts), 4 * workers):
                yield from pool.map(work, parts[start : start + 4 * workers])
    finally:
        cv2.setNumThreads(threads)


def in_memory(work: Work, workers: int = 1) -> list[Table]:
    """Make the tables without a file, one a vector."""
    parts = list(pieces(work, workers))
    tables = []
    for number, table in enumerate(tables_of(work.vectors, work.cuts)):
        images = [image for piece in parts for image in piece.tables[table]]
        label = _whole([piece.labels[number] for piece in parts])
        tables.append(joined(images, work.cuts, label))
    return tables


def run(work: Work, out: PathLike, workers: int = 2) -> None:
    """Make the tables and write them.

    Parameters
    ----------
    work
        Whose.
    out
        The file.
    workers
        Processes that share the work.
    """
    table_of = tables_of(work.vectors, work.cuts)
    with atomic(out) as temporary, h5py.File(temporary, "w", locking=False) as file:
        writer = _Writer(file, len(set(table_of)))
        labels: list[list[np.ndarray | None]] = [[] for _ in work.vectors]
        for piece in pieces(work, workers):
            writer.put(piece.tables)
            for one, parts in zip(piece.labels, labels, strict=True):
                parts.append(one)
        peaks, whole = writer.finish(), list(map(_whole, labels))
        for number, label in enumerate(whole):
            gate = gate_values(peaks[table_of[number]] / 255, label)
            file.create_dataset(f"gate/{number}", data=gate, track_times=False)
        ids = np.array([name.encode() for name in work.oof.ids])
        file.create_dataset("id", data=ids, track_times=False)
        content = {
            "schema_version": SCHEMA_VERSION,
            "members": work.oof.members,
            "weights": _plain(work.vectors),
            "mean": work.blends.mean.to_dict(),
            "table": table_of,
            "levels": work.cuts.levels,
            "products": work.cuts.products,
            "gate_on": ["peak" if label is None else "label" for label in whole],
        }
        for name, value in sorted(content.items()):
            file.attrs[name] = json.dumps(value)


def read(path: PathLike, blends: Blends) -> list[Table]:
    """Read the tables of several blends, less what no search looks at.

    Parameters
    ----------
    path
        What :func:`run` wrote.
    blends
        What the tables must be of.

    Raises
    ------
    InputError
        If they are others'.
    """
    oof, vectors = blends.oof, blends.vectors
    with h5py.File(path, "r", locking=False) as file:
        attrs = {name: json.loads(value) for name, value in file.attrs.items()}
        same = attrs["members"] == oof.members and attrs["mean"] == blends.mean.to_dict()
        known = attrs["weights"]
        lost = [vector for vector in _plain(vectors) if vector not in known]
        if not same or lost or file["id"][()].astype(str).tolist() != oof.ids.tolist():
            what = f"weights {lost}" if same and lost else "these members, mean and images"
            raise InputError(f"{path}: holds no table of {what}; delete it and run again.")
        cuts = Cuts(tuple(attrs["levels"]), tuple(attrs["products"]))
        truth, columns = file["truth"][()], {}
        for number in set(attrs["table"]):
            group = file[f"table/{number}"]
            columns[number] = {name: group[name][()] for name in SEARCHED}
        return [
            Table(
                cuts,
                columns[attrs["table"][place]],
                truth,
                file[f"gate/{place}"][()],
                attrs["gate_on"][place],
            )
            for place in map(known.index, _plain(vectors))
        ]


class _Writer:
    """Appends the rows of images to the tables of a file."""

    def __init__(self, file: h5py.File, tables: int) -> None:
        self.file = file
        self.offsets: list[list[int]] = [[0] for _ in range(tables)]
        self.peaks: list[list[np.ndarray]] = [[] for _ in range(tables)]
        self.truth: list[np.ndarray] = []
        self.waiting: list[list[dict[str, np.ndarray]]] = [[] for _ in range(tables)]
        for number in range(tables):
            for name, dtype in COLUMNS.items():
                options: dict[str, Any] = {"chunks": (ROWS,), "maxshape": (None,), **COMPRESSION}
                options |= {"shuffle": np.dtype(dtype).itemsize > 1, "track_times": False}
                file.create_dataset(f"table/{number}/{name}", (0,), dtype, **options)

    def put(self, tables: Sequence[Sequence[Image]]) -> None:
        """Append images to every table."""
        self.truth += [image.truth for image in tables[0]]
        for number, images in enumerate(tables):
            offsets = self.offsets[number]
            for image in images:
                rows = np.full(len(image.columns["area"]), len(offsets) - 1, COLUMNS["image"])
                self.waiting[number].append({"image": rows, **image.columns})
                offsets.append(offsets[-1] + len(rows))
                self.peaks[number].append(image.peak)
            self._write(number, whole_chunks=True)

    def finish(self) -> list[np.ndarray]:
        """Write what is left; give of each table the largest probabilities (N, K)."""
        for number, offsets in enumerate(self.offsets):
            self._write(number, whole_chunks=False)
            data = np.array(offsets, np.int64)
            self.file.create_dataset(f"table/{number}/offsets", data=data, track_times=False)
        self.file.create_dataset("truth", data=np.stack(self.truth), track_times=False)
        return [np.stack(peaks) for peaks in self.peaks]

    def _write(self, number: int, whole_chunks: bool) -> None:
        """Write the rows that wait, all or as many as fill chunks: none is compressed twice."""
        written = len(self.file[f"table/{number}/image"])
        ready = self.offsets[number][-1] - written
        ready = ready // ROWS * ROWS if whole_chunks else ready
        if not ready:
            return
        left = {}
        for name in COLUMNS:
            column = np.concatenate([part[name] for part in self.waiting[number]])
            data = self.file[f"table/{number}/{name}"]
            data.resize(written + ready, axis=0)
            data[written:] = column[:ready]
            left[name] = column[ready:]
        self.waiting[number] = [left]


def _whole(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Put label probabilities together, unless there are none."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _plain(vectors: Sequence[Vector]) -> list[list[list[float]]]:
    """Give vectors as JSON gives them back."""
    return [[list(part) for part in vector] for vector in vectors]
