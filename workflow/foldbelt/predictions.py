"""Predictions of several models for the same images: whether they agree, and their mean.

Apart from `blend` and `decide`, because pseudo-labels need this and must not depend on those.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from foldbelt import store
from foldbelt.files import InputError, PathLike, Problem, raise_all

BLOCK_BYTES = 2**24  # of pixels in one block

CURE = (
    "Make these predictions again. Predictions made elsewhere are one file of all images, as "
    "`foldbelt.store.write` makes it: `id`, `prob` uint8 at storage size (255 is certain), and "
    "`label_prob` float32 if there are any."
)


def faults(path: PathLike, shape: Sequence[int] | None = None) -> list[Problem]:
    """List what is wrong with the form of a prediction file.

    Parameters
    ----------
    path
        The file.
    shape
        (h, w) or (h, w, K) of a prediction; None: it does not matter.

    Raises
    ------
    InputError
        If it is not a store at all.
    """
    missing = [name for name in ("id", "prob") if not store.has(path, name)]
    if missing:
        return [Problem(str(path), f"lacks {' and '.join(f'`{name}`' for name in missing)}")]
    ids = store.read(path, "id").astype(str)
    names, times = np.unique(ids, return_counts=True)
    found = [Problem(str(path), f"{name} occurs more than once") for name in names[times > 1]]
    kind = _kind(path, "prob")
    if kind is not None and kind != np.uint8:
        found.append(Problem(str(path), f"`prob` is {kind}, not uint8"))
    own = store.shape(path, "prob")
    expected = own[1:] if shape is None else tuple(shape)
    if own != (len(ids), *expected) or len(own) not in (3, 4):
        wanted = ", ".join(map(str, (len(ids), *expected)))
        found.append(Problem(str(path), f"`prob` has the shape {own}, not ({wanted})"))
    if store.has(path, "label_prob"):
        labels = store.shape(path, "label_prob")
        kind = _kind(path, "label_prob")
        if not (kind is None or kind.kind == "f") or len(labels) != 2 or labels[0] != len(ids):
            reason = f"`label_prob` is {kind} of the shape {labels}, not float32 ({len(ids)}, L)"
            found.append(Problem(str(path), reason))
    return found


def _kind(path: PathLike, name: str) -> np.dtype | None:
    """Type of a dataset, read off its first row."""
    return next((block.dtype for _, block in store.blocks(path, name, size=1)), None)


def check(paths: Sequence[PathLike]) -> None:
    """Raise InputError unless all files have the form of predictions, the first one's shape."""
    problems = faults(paths[0])
    shape = None if problems else store.shape(paths[0], "prob")[1:]
    problems += [fault for path in paths[1:] for fault in faults(path, shape)]
    raise_all(problems, "test predictions", CURE)


def same_ids(paths: Sequence[PathLike]) -> list[str]:
    """Give the ids of the first file after making sure that every file holds each exactly once.

    Raises
    ------
    InputError
        Listing every id that a file lacks, repeats or has alone.
    """
    first = store.read(paths[0], "id").astype(str).tolist()
    problems = []
    for path in paths:
        ids = store.read(path, "id").astype(str)
        names, times = np.unique(ids, return_counts=True)
        more = sorted(set(names) - set(first))
        problems += [Problem(str(path), f"{name} is not in {paths[0]}") for name in more]
        lost = sorted(set(first) - set(names))
        problems += [Problem(str(path), f"{name} of {paths[0]} is missing") for name in lost]
        twice = names[times > 1].tolist()
        problems += [Problem(str(path), f"{name} occurs more than once") for name in twice]
    raise_all(problems, "test predictions", CURE)
    return first


def mean_over_files(
    paths: Sequence[PathLike], ids: Sequence[str], use: np.ndarray | None = None
) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
    """Average predictions of the same images, block by block, with equal weights.

    Parameters
    ----------
    paths
        Prediction files.
    ids
        Which images, in which order.
    use
        (files, ids) bool: which file's prediction counts for which image, at least one for each;
        None: all do.

    Yields
    ------
    slice
        Where the block lies among `ids`.
    ndarray
        (n, H, W[, K]) float32, 0 … 255; at least one block comes, an empty one without images.
    ndarray or None
        (n, L) float32 label probabilities, if all files have them.
    """
    labelled = all(store.has(path, "label_prob") for path in paths)
    pixels = max(int(np.prod(store.read(path, "prob", []).shape[1:])) for path in paths)
    size = int(np.clip(BLOCK_BYTES // 4 // pixels, 1, 256))
    for start in range(0, max(len(ids), 1), size):
        some = ids[start : start + size]
        parts = [store.read(path, "prob", some) for path in paths]
        same_shapes(parts, paths)
        own = None if use is None else use[:, start : start + size]
        prob = _mean(parts, own, np.float32)  # of whole numbers: an exact sum
        label = None
        if labelled:
            labels = [store.read(path, "label_prob", some) for path in paths]
            same_shapes(labels, paths)
            label = _mean(labels, own, np.float64).astype(np.float32)
        yield slice(start, start + len(some)), prob, label


def _mean(parts: Sequence[np.ndarray], use: np.ndarray | None, kind: type) -> np.ndarray:
    """Average arrays (n, …), of each image those that `use` (arrays, n) says."""
    number: np.ndarray = np.array(len(parts), kind)
    if use is not None:
        rows = (-1, *[1] * (parts[0].ndim - 1))
        parts = [part * used.reshape(rows) for part, used in zip(parts, use, strict=True)]
        number = use.sum(axis=0).reshape(rows).astype(kind)
    total = np.add.reduce(parts, axis=0, dtype=kind)
    return np.divide(total, number, out=total)


def same_shapes(arrays: Sequence[np.ndarray], paths: Sequence[PathLike]) -> None:
    """Raise InputError unless predictions that are to be averaged have one shape."""
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(f"{p}: {a.shape[1:]}" for p, a in zip(paths, arrays, strict=True))
        raise InputError(f"predictions of different shapes cannot be averaged ({shapes}).")
