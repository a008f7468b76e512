"""Out-of-fold predictions of several models, read together with the truth and blended.

The prediction of an image always comes from the models of the fold that left it out; this module
checks that the files say so, and hands out blocks in bounded memory.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from foldbelt import store
from foldbelt.files import InputError, PathLike, Problem, raise_all
from foldbelt.search.means import Mean, Vector, mix_labels
from foldbelt.store.predictions import (
    CURE,
    faults,
    same_shapes,
    states_folds,
    with_masks,
    wrong_folds,
)

if TYPE_CHECKING:
    import pandas as pd

BLOCK_BYTES = 2**24  # of true pixels in one block
FEW = 8  # classes, of which every pixel of a block may have a byte each; more make blocks smaller


@dataclass(frozen=True)
class Block:
    """Some images of one fold.

    Parameters
    ----------
    fold
        Their fold.
    rows
        (n,) their places in :attr:`OutOfFold.ids`, rising.
    probs
        Of each member (n, H, W[, K]) uint8, at storage size, None where it predicts no masks.
    labels
        Of each member (n, L) float32, None where it has no label head.
    """

    fold: int
    rows: np.ndarray
    probs: list[np.ndarray | None]
    labels: list[np.ndarray | None]

    def images(self) -> Iterator[list[np.ndarray | None]]:
        """Give of each image the members' probabilities (H, W[, K]).

        Arrays of one image stay in the processor's cache, those of a block do not.
        """
        for row in range(len(self.rows)):
            yield [None if prob is None else prob[row] for prob in self.probs]


class OutOfFold:
    """The out-of-fold predictions of some members for every image of the training data.

    Parameters
    ----------
    members
        Model → its ``oof.h5`` files, one a fold, in any order, or one file of all images, such as
        predictions made elsewhere.
    data
        ``train.h5``.
    folds
        The csv with id, fold and, if there are groups, group. Images of `data` that it leaves out
        take no part.
    only
        The folds that take part; None for all.

    Attributes
    ----------
    members : list of str
        Names, in the order given.
    ids : ndarray of str
        (N,) the images that have a fold, in the order of `data`.
    fold : ndarray of int
        (N,).
    groups : ndarray of str
        (N,) an image without a group is its own.
    masked, labelled : list of bool
        Which members predict masks, and which label probabilities.
    gating : bool
        Whether labels say which classes there are.

    Raises
    ------
    InputError
        If the files do not hold every image of every member exactly once, in the file of its fold
        where there are several, or are not of the form of predictions; all offenders are listed.
        Also if no member predicts masks.
    """

    def __init__(
        self,
        members: Mapping[str, Sequence[PathLike]],
        data: PathLike,
        folds: PathLike,
        only: Sequence[int] | None = None,
    ) -> None:
        import pandas as pd

        self.members = list(members)
        self.data = data
        table = read_folds(folds, data)
        if only is not None:
            table = table[table["fold"].isin(only)].reset_index(drop=True)
        self.ids = table["id"].to_numpy()
        self.fold = table["fold"].to_numpy(np.int64)
        self.groups = table["group"].to_numpy()
        if not self.members:
            raise InputError("there is no model whose predictions could be read.")
        problems: list[Problem] = []
        shape = store.shape(data, "mask")[1:]
        for path in dict.fromkeys(path for paths in members.values() for path in paths):
            problems += faults(path, shape)
        fold_of = pd.Series(self.fold, index=self.ids)
        readable = [n for n in members if all(store.has(path, "id") for path in members[n])]
        spare = set(store.read(data, "id").astype(str).tolist()) - set(table["id"])
        self.paths = [_by_fold(name, members[name], fold_of, spare, problems) for name in readable]
        for paths in members.values():
            if len(paths) == 1 and not problems and states_folds(paths[0]):
                problems += wrong_folds(paths[0], fold_of)
        raise_all(problems, "out-of-fold predictions", CURE)
        self.masked = with_masks(members, "out-of-fold predictions")
        self.gating = store.labels_are_classes(data)
        self.labelled = [
            all(store.has(path, "label_prob") for path in files.values()) for files in self.paths
        ]

    def __len__(self) -> int:
        return len(self.ids)

    def classes(self) -> int:
        """K, the number of mask classes."""
        paths = self.paths[self.masked.index(True)]
        shape = store.shape(next(iter(paths.values())), "prob")
        return shape[3] if len(shape) == 4 else 1

    def equal(self) -> Vector:
        """Give equal weights: of the members with masks, and of those with labels."""
        return Vector.of([1.0] * len(self.members), self.masked, self.labelled)

    def gate_labels(self, block: Block, weights: Sequence[float], mean: Mean) -> np.ndarray | None:
        """Average a block's label probabilities for the gate.

        Parameters
        ----------
        block
            Of this object.
        weights, mean
            As for :func:`foldbelt.search.means.mix_labels`.

        Returns
        -------
        ndarray or None
            (n, L) float32; None if no member has labels, or they say other things than which
            classes there are: then the gate looks at the pixels.
        """
        return mix_labels(block.labels, weights, *mean) if self.gating else None

    def label_probs(self) -> list[np.ndarray | None]:
        """Give of each member the label probabilities (N, L), in the order of the ids, or None."""
        labels: list[np.ndarray | None] = []
        for files, has in zip(self.paths, self.labelled, strict=True):
            parts = (
                [store.read(files[f], "label_prob", self._ids_of(f)) for f in files] if has else []
            )
            order = np.concatenate([np.flatnonzero(self.fold == f) for f in files])
            labels.append(np.concatenate(parts)[np.argsort(order)] if has else None)
        return labels

    def _ids_of(self, fold: int) -> list[str]:
        return self.ids[self.fold == fold].tolist()

    def blocks(self) -> Iterator[Block]:
        """Give every image once, fold by fold, in the order of the ids within a fold."""
        size = self._block_size()
        for fold in np.unique(self.fold).tolist():
            rows = np.flatnonzero(self.fold == fold)
            ids = self.ids[rows].tolist()
            paths = [files[fold] for files in self.paths]
            probs = _members_blocks(paths, "prob", self.masked, ids, size)
            labels = _members_blocks(paths, "label_prob", self.labelled, ids, size)
            starts = range(0, len(ids), size)
            for start, prob, label in zip(starts, probs, labels, strict=True):
                same_shapes(prob, paths)
                yield Block(fold, rows[start : start + size], list(prob), list(label))

    def runs(self) -> Iterator[list[Block]]:
        """Give runs of images in the order of the ids, each as one block a fold."""
        size = self._block_size()
        for start in range(0, len(self), size):
            fold = self.fold[start : start + size]
            yield [
                self.read(f, start + np.flatnonzero(fold == f)) for f in np.unique(fold).tolist()
            ]

    def read(self, fold: int, rows: np.ndarray) -> Block:
        """Read some images of a fold, by their places in the ids."""
        paths, ids = [files[fold] for files in self.paths], self.ids[rows].tolist()
        probs, labels = (
            [
                store.read(path, name, ids) if one else None
                for path, one in zip(paths, has, strict=True)
            ]
            for name, has in (("prob", self.masked), ("label_prob", self.labelled))
        )
        same_shapes(probs, paths)
        return Block(fold, rows, probs, labels)

    def with_truth(
        self,
    ) -> Iterator[tuple[Block, list[tuple[np.ndarray, np.ndarray | None]]]]:
        """Give the blocks and, of each image, truth (h, w, K) and ignored pixels (h, w) or None.

        The truth has the image's original size; :func:`foldbelt.store.geometry.at_size`
        brings probabilities to it.
        """
        for block in self.blocks():
            yield block, list(store.truth(self.data, self.ids[block.rows].tolist()))

    def _block_size(self) -> int:
        sizes = store.original_sizes(self.data)
        largest = max(int(sizes.prod(axis=1).max()), int(np.prod(store.stored_size(self.data))))
        share = max(FEW, self.classes()) / FEW
        return int(np.clip(BLOCK_BYTES // (largest * share), 1, 256))


def _members_blocks(
    paths: Sequence[PathLike], name: str, has: Sequence[bool], ids: list[str], size: int
) -> Iterator[tuple[np.ndarray | None, ...]]:
    """Read a dataset of all members block by block; None for members that do not have it."""
    datasets = zip(paths, has, strict=True)
    return zip(*(_blocks(path, name, there, ids, size) for path, there in datasets), strict=True)


def _blocks(
    path: PathLike, name: str, has: bool, ids: list[str], size: int
) -> Iterator[np.ndarray | None]:
    if has:
        yield from (part for _, part in store.blocks(path, name, ids, size))
    else:
        yield from (None for _ in range(0, len(ids), size))


def read_folds(path: PathLike, data: PathLike) -> "pd.DataFrame":
    """Read the folds in the order of the data; ids are in both, and in the folds once."""
    import pandas as pd

    table = pd.read_csv(path, dtype={"id": str, "group": str}, keep_default_na=False)
    missing = [column for column in ("id", "fold") if column not in table]
    if missing:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}.")
    ids = store.read(data, "id").astype(str).tolist()
    twice = sorted(set(table["id"][table["id"].duplicated()]))
    problems = [Problem(str(path), f"{name} occurs more than once") for name in twice]
    strange = sorted(set(table["id"]) - set(ids))
    problems += [Problem(str(path), f"{name} is not in {data}") for name in strange]
    raise_all(problems, "folds", "Make the folds again.")
    chosen = set(table["id"])
    ids = [name for name in ids if name in chosen]
    if "group" not in table:
        table["group"] = ""
    table["group"] = table["group"].where(table["group"] != "", "id " + table["id"])
    return table.set_index("id").loc[ids].reset_index()


def _by_fold(
    member: str,
    paths: Sequence[PathLike],
    fold_of: "pd.Series",
    spare: Collection[str],
    problems: list[Problem],
) -> dict[int, PathLike]:
    """Find out which file belongs to which fold; note what does not fit.

    A single file may hold images of the data that take no part (`spare`): it was made elsewhere.
    """
    file_of: dict[int, PathLike] = {}
    seen: dict[str, PathLike] = {}
    for path in paths:
        ids = store.read(path, "id").astype(str).tolist()
        taken = set(spare) if len(paths) == 1 else set()
        strange = [name for name in ids if name not in fold_of.index and name not in taken]
        problems += [Problem(str(path), f"{name} is in no fold") for name in strange]
        again = [name for name in ids if name in seen]
        problems += [Problem(str(path), f"{name} is in {seen[name]}, too") for name in again]
        seen.update(dict.fromkeys(ids, path))
        its_folds = sorted(set(fold_of[[name for name in ids if name in fold_of.index]].tolist()))
        if len(its_folds) > 1 and len(paths) > 1:
            listed = ", ".join(map(str, its_folds))
            problems.append(Problem(str(path), f"holds images of several folds ({listed})"))
        file_of.update(dict.fromkeys(its_folds, path))
    lost = fold_of.index[~fold_of.index.isin(list(seen))]
    problems += [
        Problem(member, f"{name} (fold {fold_of[name]}) is in none of its files") for name in lost
    ]
    return file_of
