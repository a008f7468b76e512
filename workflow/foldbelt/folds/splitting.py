"""Split images into folds: alike in what they show, and with what belongs together in one fold.

Folds are stratified jointly on several columns, and groups (neighbouring tiles, patients, copies of
an image) are never split: a model that trained on one image of a group has seen part of the answer
for the others. `dealing` gives the groups their folds, but for those that have one from an earlier
run (`keeping`).
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.adversarial.likeness import COLUMN
from foldbelt.adversarial.likeness import read as read_likeness
from foldbelt.copies import CopyFinder
from foldbelt.files import InputError, PathLike, Problem, raise_all, seed_for, write_csv
from foldbelt.folds import dealing, grouping, keeping, strata
from foldbelt.store.layout import KNOWN


def split(
    table: pd.DataFrame, count: int, stratify: Sequence[str], group: str | None, seed: int
) -> pd.DataFrame:
    """Deal images to folds.

    Parameters
    ----------
    table
        One row an image, with a column `id`.
    count
        Number of folds, at least 2.
    stratify
        Columns to balance jointly, the most important first. A numeric column of more than ten
        values is put in five bins of equal share, with zero in a bin of its own; any other column
        counts as it is. Where a joint stratum has fewer than `count` images, its last columns are
        left out until it has enough.
    group
        Column of what must not be split, None if there is none. Images with -1, NaN or "" there
        (or a word for nothing, such as "NA") belong to no group.
    seed
        Another seed gives other folds.

    Returns
    -------
    pd.DataFrame
        id and fold (int64, from 0), in the order of `table`. Which image lies in which fold does
        not depend on that order.

    Raises
    ------
    InputError
        If columns are missing, ids occur twice, there are fewer groups than folds, or (where the
        table has `empty`, `coverage` or `boxes`) a fold is left without an image that is not empty.
    """
    return _plan(table, count, stratify, group, seed)[["id", "fold"]]


def run(
    train: PathLike,
    mosaic: PathLike | None,
    scheme: Mapping[str, Any],
    out: PathLike,
    likeness: PathLike | None = None,
    kept: PathLike | None = None,
) -> None:
    """Split the images of a data file, and write the folds.

    Identical images are kept in one fold, besides what `scheme` asks for; images of one grey level
    (black tiles) are not taken for copies.

    Parameters
    ----------
    train
        Data file; its `table/` has the columns that `scheme` names.
    mosaic
        Table of mosaics; needed if the group is "mosaic".
    scheme
        A scheme of the config's `folds`, with its defaults: count, stratify (list of columns),
        group ("mosaic", a column, or None), seed;
        group_missing: "alone" makes a group of every image that lacks one, "error" refuses it;
        sample: about how many images take part, in whole groups drawn at random; None takes all;
        duplicate_distance: bits in which the perceptual hashes of near copies may differ, which
        then stay in one fold as well (see `foldbelt.copies`); None looks for identical
        images only;
        first_fold_by: a column whose highest values go to fold 0, in whole groups by their mean,
        until it has its share; the other folds are dealt from the rest.
    out
        CSV file of id, fold, strata (what the image was balanced as, in words) and group (a number;
        an image that belongs to none has one of its own), of the images that take part. Images
        without any pixel whose truth is known take none: they could teach nothing, and would score
        as if their truth were empty.
    likeness
        CSV of the adversarial stage; gives the column `test_likeness`.
    kept
        CSV file of id and fold, of an earlier run: its images keep their folds, with all that
        belongs to their groups, and the other groups are dealt so that all together are balanced.
        A `sample` is drawn from groups with such images first. Which image lies in which fold does
        not depend on the order of either table.

    Raises
    ------
    InputError
        As `split` does, and if the table of mosaics or of the adversarial stage is missing or
        lacks images, or if the folds kept are not such as `count` and the groups allow.
    """
    table = _with_truth(store.table(train))
    if store.has(train, "boxes"):
        table = _counted(table)
    group = scheme["group"]
    if group == "mosaic":
        table["mosaic"] = _mosaics(mosaic, table["id"])
    if likeness is not None:
        table[COLUMN] = _likeness(likeness, table["id"])
    grouping.tell_missing(table, group, scheme.get("group_missing", "alone"))
    planned = _plan(
        table,
        scheme["count"],
        scheme["stratify"],
        group,
        scheme["seed"],
        copies=_copies(train, scheme["duplicate_distance"]),
        sample=scheme["sample"],
        first=scheme["first_fold_by"],
        units=sorted(store.attrs(train).get("label_levels", {})),
        kept=None if kept is None else keeping.read(kept),
    )
    write_csv(out, planned)


def ids_of(path: PathLike, fold: int) -> list[str]:
    """Give the ids of one fold, in the order of the file.

    Parameters
    ----------
    path
        CSV file that `run` wrote.
    fold
        Number of the fold, from 0.

    Returns
    -------
    list of str
        The ids.

    Raises
    ------
    InputError
        If there is no such fold.
    """
    table = _read(path)
    ids = table.loc[table["fold"] == fold, "id"].tolist()
    if not ids:
        known = ", ".join(map(str, sorted(table["fold"].unique())))
        raise InputError(f"{path}: there is no fold {fold}, only {known or 'an empty table'}.")
    return ids


def balance(folds: PathLike, data: PathLike) -> pd.DataFrame:
    """Describe how alike the folds are.

    Parameters
    ----------
    folds
        CSV file that `run` wrote.
    data
        Data file of the same images.

    Returns
    -------
    pd.DataFrame
        One row a fold: fold, images, groups, and the mean of each numeric column of the data's
        table (of `empty`, the share of empty images), in the table's order; of the numbers of
        boxes, that of the images of which it is known.
    """
    table = _read(folds)
    columns = store.table(data, table["id"].tolist()).drop(columns=["id", "fold"], errors="ignore")
    if store.has(data, "boxes"):
        columns = _counted(columns)
    numeric = columns.select_dtypes(["number", "bool"]).astype(np.float64)
    by = table.groupby("fold")
    sizes = pd.DataFrame({"images": by.size(), "groups": by["group"].nunique()})
    means = numeric.groupby(table["fold"]).mean()
    clash = {name: f"{name} (column)" for name in means if name in sizes}
    return sizes.join(means.rename(columns=clash)).reset_index()


def _counted(table: pd.DataFrame) -> pd.DataFrame:
    """Take the number of boxes out where nobody knows it, which the data write as -1."""
    return table.assign(boxes=table["boxes"].where(table["boxes"] >= 0))


def _with_truth(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the images of which nothing is known, and say how many."""
    if KNOWN not in table or (table[KNOWN] > 0).all():
        return table
    unknown = table["id"][table[KNOWN] == 0]
    print(
        f"{len(unknown)} of {len(table)} images have no pixel whose truth is known, such as "
        f"{unknown.iloc[0]}: they are neither trained on nor scored"
    )
    return table[table[KNOWN] > 0].reset_index(drop=True)


def _read(path: PathLike) -> pd.DataFrame:
    texts = {"id": str, "strata": str, "group": str}
    return pd.read_csv(path, dtype={**texts, "fold": np.int64}, keep_default_na=False)


def _plan(
    table: pd.DataFrame,
    count: int,
    stratify: Sequence[str],
    group: str | None,
    seed: int,
    copies: Mapping[str, str] | None = None,
    sample: int | None = None,
    first: str | None = None,
    units: Sequence[str] = (),
    kept: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Give id, fold, strata and group of each row; `copies` maps ids to what equal images share.

    With `sample`, rows are left out; with `first`, a column fills fold 0. `units` are columns that
    name what images share an answer: that is held out with all of them, whatever the group is.
    `kept` has the folds of an earlier run.
    """
    _check_columns(table, count, stratify, group, first)
    order = np.argsort(table["id"].to_numpy(str), kind="stable")
    rows = table.iloc[order].reset_index(drop=True)
    keys: list[list[Hashable]] = [grouping.keys(rows, column) for column in (group, *units)]
    keys += [[copies.get(name) for name in rows["id"]]] if copies else []
    groups = _join(keys, len(rows))
    folds = np.full(len(rows), dealing.NEW, np.int64)
    if kept is not None:
        folds = keeping.settle(kept, rows["id"].astype(str).tolist(), groups, count)
    if sample is not None:
        old = np.unique(groups[folds != dealing.NEW])
        drawn = np.flatnonzero(np.isin(groups, _sample(groups, sample, seed, old)))
        order, rows, groups = order[drawn], rows.iloc[drawn].reset_index(drop=True), groups[drawn]
        folds = folds[drawn]
    balanced = strata.of(rows, stratify, count)
    group_count = len(np.unique(groups))
    if group_count < count:
        raise InputError(
            f"folds: {len(rows)} images in {group_count} groups cannot be split into {count} "
            "folds. Ask for fewer folds, or group by another column."
        )
    values = None if first is None else rows[first]
    if kept is not None:
        dealt = dealing.deal_more(balanced, groups, count, seed, folds, values)
    elif values is None:
        dealt = dealing.deal(balanced, groups, count, seed)
    else:
        dealt = dealing.deal_first(values, balanced, groups, count, seed)
    rows = rows[["id"]].assign(fold=dealt, strata=balanced, group=groups)
    _check_positives(table.iloc[order], rows["fold"].to_numpy(), count)
    return rows.iloc[np.argsort(order)].reset_index(drop=True)


def _check_columns(
    table: pd.DataFrame,
    count: int,
    stratify: Sequence[str],
    group: str | None,
    first: str | None = None,
) -> None:
    if "id" not in table:
        raise InputError("folds: the table has no column `id`.")
    problems = []
    available = ", ".join(str(column) for column in table.columns if column != "id") or "none"
    wanted = [("stratify", column) for column in stratify]
    wanted += [("group", group)] if group is not None else []
    wanted += [("first", first)] if first is not None else []
    for use, column in wanted:
        if column not in table:
            reason = f"there is no column {column!r}; available: {available}"
            reason += "; data.series makes it from the ids" if column == "series" else ""
            problems.append(Problem(use, reason))
    if first in table and not pd.api.types.is_numeric_dtype(table[first]):
        problems.append(Problem("first", f"the column {first!r} holds no numbers"))
    if count < 2:
        problems.append(Problem("count", f"{count} folds; at least 2 are needed"))
    seen = Counter(table["id"])
    problems += [Problem(str(k), f"this id occurs {n} times") for k, n in seen.items() if n > 1]
    raise_all(problems, "folds", "Correct the scheme's settings, or the table of images.")


def _check_positives(rows: pd.DataFrame, folds: np.ndarray, count: int) -> None:
    column, what = "empty", "are not empty"
    if "empty" in rows:
        positive = rows["empty"].to_numpy(np.float64) == 0
    elif "coverage" in rows:
        positive = rows["coverage"].to_numpy(np.float64) > 0
    elif "boxes" in rows and pd.api.types.is_numeric_dtype(rows["boxes"]):
        positive, column, what = rows["boxes"].to_numpy(np.float64) > 0, "boxes", "have boxes"
    else:
        return
    without = np.flatnonzero(np.bincount(folds[positive], minlength=count) == 0)
    if len(without):
        raise InputError(
            f"folds: no positive image in fold {', '.join(map(str, without))} of {count} "
            f"({positive.sum()} of {len(rows)} images {what}). Ask for fewer folds, "
            f"stratify by `{column}`, or try another seed."
        )


def _join(keys: Sequence[Sequence[Hashable]], count: int) -> np.ndarray:
    """Join the rows that share a key in any of the lists (None is no key).

    Groups are numbered in the order of their first rows.
    """
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for column in keys:
        first: dict[Hashable, int] = {}
        for row, key in enumerate(column):
            if key is not None:
                a, b = root(row), root(first.setdefault(key, row))
                parent[max(a, b)] = min(a, b)
    numbers: dict[int, int] = {}
    roots = [root(row) for row in range(count)]
    return np.array([numbers.setdefault(row, len(numbers)) for row in roots], np.int64)


def _sample(
    groups: np.ndarray, count: int, seed: int, before: Sequence[int] | np.ndarray = ()
) -> np.ndarray:
    """Draw whole groups at random, some before all others, as many as hold nearly `count` rows."""
    shuffled = np.random.default_rng(seed_for(seed, "sample")).permutation(groups.max() + 1)
    shuffled = shuffled[np.argsort(~np.isin(shuffled, before), kind="stable")]
    rows = np.cumsum(np.bincount(groups)[shuffled])
    return shuffled[: int(np.argmin(np.abs(rows - count))) + 1]


def _likeness(path: PathLike, ids: pd.Series) -> np.ndarray:
    likeness = read_likeness(path, "train")
    lost = [
        Problem(str(name), "this id is not in the table") for name in ids if name not in likeness
    ]
    raise_all(lost, f"folds, {Path(path).name}", "Judge the test-likeness again.")
    return likeness.loc[ids].to_numpy()


def _mosaics(path: PathLike | None, ids: pd.Series) -> np.ndarray:
    if path is None:
        raise InputError("folds: the group is `mosaic`, but no table of mosaics was given.")
    table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
    mosaic_of = dict(zip(table["id"], table["mosaic"], strict=True))
    lost = [
        Problem(str(name), "this id is not in the table of mosaics")
        for name in ids
        if name not in mosaic_of
    ]
    raise_all(lost, f"folds, {Path(path).name}", "Make the table of mosaics again.")
    return np.array([mosaic_of[name] for name in ids], np.int64)


def _copies(train: PathLike, most: int | None = None) -> dict[str, str]:
    """Give what copies share by id: for images not of one grey level, the digest of one of them.

    With `most`, near copies as well; see `foldbelt.copies`.
    """
    ids = store.table(train)["id"].tolist()
    finder = CopyFinder()
    digest_of = {}
    for rows, images in store.blocks(train, "image"):
        for name, image in zip(ids[rows], images, strict=True):
            if (image != image[:1, :1]).any():
                digest_of[name] = hashlib.sha256(image.tobytes()).hexdigest()
            if most is not None:
                finder.add(image)
    if most is None:
        return digest_of
    near = finder.groups(most)
    joined = _join([[digest_of.get(name) for name in ids], near], len(ids))
    sizes = np.bincount([label for label in near if label is not None] or [0])
    print(
        f"{sum(label is not None for label in near)} of {len(ids)} images have a near copy; the "
        f"largest of {np.count_nonzero(sizes)} groups has {sizes.max()}"
    )
    return {name: str(group) for name, group in zip(ids, joined, strict=True) if name in digest_of}
