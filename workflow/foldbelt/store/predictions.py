"""Predictions of several models for the same images: whether they agree, and their mean.

Apart from `blend` and `decide`, because pseudo-labels need this and must not depend on those.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbelt import store
from foldbelt.files import InputError, PathLike, Problem, raise_all

if TYPE_CHECKING:
    import pandas as pd

BLOCK_BYTES = 2**24  # of pixels in one block

CURE = (
    "Make these predictions again. Predictions made elsewhere are one file of all images, as "
    "`foldbelt.store.write` makes it: `id`, `prob` uint8 at storage size (255 is certain), and "
    "`label_prob` float32 if there are any; of a classifier `id` and `label_prob` alone. A column "
    "`fold` of its table says in which fold each image was held out."
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
    masked, labelled = (store.has(path, name) for name in ("prob", "label_prob"))
    missing = [] if store.has(path, "id") else ["`id`"]
    missing += [] if masked or labelled else ["`prob`"]
    if missing:
        return [Problem(str(path), f"lacks {' and '.join(missing)}")]
    ids = store.read(path, "id").astype(str)
    names, times = np.unique(ids, return_counts=True)
    problems = [Problem(str(path), f"{name} occurs more than once") for name in names[times > 1]]
    kind = _kind(path, "prob") if masked else None
    if kind is not None and kind != np.uint8:
        problems.append(Problem(str(path), f"`prob` is {kind}, not uint8"))
    its_shape = store.shape(path, "prob") if masked else ()
    expected = its_shape[1:] if shape is None else tuple(shape)
    if masked and (its_shape != (len(ids), *expected) or len(its_shape) not in (3, 4)):
        wanted = ", ".join(map(str, (len(ids), *expected)))
        problems.append(Problem(str(path), f"`prob` has the shape {its_shape}, not ({wanted})"))
    if labelled:
        labels = store.shape(path, "label_prob")
        kind = _kind(path, "label_prob")
        if not (kind is None or kind.kind == "f") or len(labels) != 2 or labels[0] != len(ids):
            reason = f"`label_prob` is {kind} of the shape {labels}, not float32 ({len(ids)}, L)"
            problems.append(Problem(str(path), reason))
    return problems


def _kind(path: PathLike, name: str) -> np.dtype | None:
    """Type of a dataset, read off its first row."""
    return next((block.dtype for _, block in store.blocks(path, name, size=1)), None)


def check(paths: Sequence[PathLike]) -> None:
    """Raise InputError unless all files have the form of predictions, their masks one shape."""
    first = next((path for path in paths if store.has(path, "prob")), paths[0])
    problems = faults(first)
    shape = None if problems or not store.has(first, "prob") else store.shape(first, "prob")[1:]
    problems += [fault for path in paths if path != first for fault in faults(path, shape)]
    raise_all(problems, "test predictions", CURE)


def with_masks(members: Mapping[str, Sequence[PathLike]], what: str) -> list[bool]:
    """Tell which members predict masks; a classifier has label probabilities alone.

    Parameters
    ----------
    members
        Model → its files, which have the form of predictions.
    what
        Which predictions these are, for the error.

    Raises
    ------
    InputError
        If no member predicts masks, or only some files of one do.
    """
    found, problems = [], []
    for name, paths in members.items():
        has = [store.has(path, "prob") for path in paths]
        found.append(all(has))
        without = [path for path, one in zip(paths, has, strict=True) if not one and any(has)]
        reason = f"lacks `prob`, which other files of {name} have"
        problems += [Problem(str(path), reason) for path in without]
    raise_all(problems, what, CURE)
    if not any(found):
        raise InputError(
            f"{what}: {', '.join(members)} predict image labels and no masks; they need at least "
            "one model that predicts masks beside them."
        )
    return found


def states_folds(path: PathLike) -> bool:
    """Tell whether predictions made elsewhere say which fold each image was held out in."""
    return store.has(path, "table/fold")


def wrong_folds(path: PathLike, fold_of: "pd.Series") -> list[Problem]:
    """List images that predictions made elsewhere held out with others than these folds do.

    Folds may be numbered otherwise; which images are held out together has to be the same.

    Parameters
    ----------
    path
        A file with a column `fold` in its table.
    fold_of
        The fold of each image, by id.
    """
    import pandas as pd

    stated = store.table(path).set_index("id")["fold"]
    both = pd.DataFrame({"stated": stated, "own": fold_of})
    both = both[both["own"].notna()]
    silent = both.index[both["stated"].isna() | (both["stated"].astype(str) == "")]
    if len(silent):
        reason = "states no fold, though there is a column `fold`"
        return [Problem(str(path), f"{name} {reason}") for name in silent]
    known = both.groupby("stated")["own"].agg(lambda own: own.mode().iloc[0])
    twice = known[known.duplicated(keep=False)].index
    wrong = both[(both["own"] != both["stated"].map(known)) | both["stated"].isin(twice)]
    return [
        Problem(str(path), f"{name} was held out in fold {row.stated}, with images of other folds")
        for name, row in wrong.iterrows()
    ]


def made_on(paths: Sequence[PathLike]) -> list[dict[str, Any]]:
    """Say on which devices and with which software predictions and their models were made.

    Parameters
    ----------
    paths
        Files of predictions; of those made elsewhere nothing is known.

    Returns
    -------
    list of dict
        device, python, torch, timm, cuda, and files: of how many predictions this made something.
        The most frequent first.
    """
    files: dict[tuple[tuple[str, Any], ...], set[str]] = {}
    for path in map(str, paths):
        for machine in store.attrs(path).get("made_on", []):
            files.setdefault(tuple(machine.items()), set()).add(path)
    ranked = sorted(files.items(), key=lambda item: (-len(item[1]), str(item[0])))
    return [{**dict(machine), "files": len(those)} for machine, those in ranked]


def mixed(machines: Sequence[Mapping[str, Any]]) -> str:
    """Say what differs between the machines of `made_on`; "" if nothing does.

    Examples
    --------
    >>> old, new = ({"device": "H100", "torch": v, "files": 5} for v in ("2.9", "2.11"))
    >>> mixed([old, new])
    'made with different torch (2.9, 2.11): the members differ in the last digits, or in more'
    """
    keys = [key for machine in machines[:1] for key in machine if key != "files"]
    values = {key: list(dict.fromkeys(str(machine[key]) for machine in machines)) for key in keys}
    parts = [f"{key} ({', '.join(known)})" for key, known in values.items() if len(known) > 1]
    if not parts:
        return ""
    return (
        f"made with different {', '.join(parts)}: the members differ in the last digits, or in more"
    )


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
    paths: Sequence[PathLike],
    ids: Sequence[str],
    use: np.ndarray | None = None,
    size: int | None = None,
) -> Iterator[tuple[slice, np.ndarray | None, np.ndarray | None]]:
    """Average predictions of the same images, block by block, with equal weights.

    Masks are averaged over the files that hold masks, label probabilities over those with them.

    Parameters
    ----------
    paths
        Prediction files.
    ids
        Which images, in which order.
    use
        (files, ids) bool: which file's prediction counts for which image, at least one for each;
        None: all do.
    size
        Images in a block; None: as many as `block_size` says.

    Yields
    ------
    slice
        Where the block lies among `ids`.
    ndarray or None
        (n, H, W[, K]) float32, 0 … 255, if any file has masks; at least one block comes, an empty
        one without images.
    ndarray or None
        (n, L) float32 label probabilities, if any file has them.
    """
    size = size or block_size(paths)
    holds = {n: [store.has(path, n) for path in paths] for n in ("prob", "label_prob")}

    def mean(name: str, rows: slice, kind: type) -> np.ndarray | None:
        own = [path for path, one in zip(paths, holds[name], strict=True) if one]
        if not own:
            return None
        parts = [store.read(path, name, ids[rows]) for path in own]
        same_shapes(parts, own)
        return _mean(parts, None if use is None else use[holds[name], rows], kind)

    for start in range(0, max(len(ids), 1), size):
        rows = slice(start, min(start + size, len(ids)))
        prob = mean("prob", rows, np.float32)  # of whole numbers: an exact sum
        label = mean("label_prob", rows, np.float64)
        yield rows, prob, None if label is None else label.astype(np.float32)


def block_size(paths: Sequence[PathLike]) -> int:
    """Give the number of images of which a block of masks in float32 takes `BLOCK_BYTES`."""
    masked = [path for path in paths if store.has(path, "prob")]
    pixels = max((int(np.prod(store.shape(path, "prob")[1:])) for path in masked), default=1)
    return int(np.clip(BLOCK_BYTES // 4 // pixels, 1, 256))


def _mean(parts: Sequence[np.ndarray], use: np.ndarray | None, kind: type) -> np.ndarray:
    """Average arrays (n, …), of each image those that `use` (arrays, n) says."""
    number: np.ndarray = np.array(len(parts), kind)
    if use is not None:
        rows = (-1, *[1] * (parts[0].ndim - 1))
        parts = [part * used.reshape(rows) for part, used in zip(parts, use, strict=True)]
        number = use.sum(axis=0).reshape(rows).astype(kind)
    total = np.add.reduce(parts, axis=0, dtype=kind)
    return np.divide(total, number, out=total)


def same_shapes(arrays: Sequence[np.ndarray | None], paths: Sequence[PathLike]) -> None:
    """Raise InputError unless predictions that are to be averaged have one shape, or are None."""
    given = [(a, path) for a, path in zip(arrays, paths, strict=True) if a is not None]
    if len({array.shape[1:] for array, _ in given}) > 1:
        shapes = ", ".join(f"{path}: {array.shape[1:]}" for array, path in given)
        raise InputError(f"predictions of different shapes cannot be averaged ({shapes}).")
