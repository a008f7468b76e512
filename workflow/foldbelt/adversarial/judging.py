"""Adversarial validation: can a classifier tell training images from test images, and by what?

If it can, a validation score says little about the test. The classifier gets numbers of the images
(:mod:`foldbelt.adversarial.features`) and of their table, never the truth. Every image is judged
by a classifier that was trained neither on it, nor on a copy of it, nor on an image of its series.
The probability of being a test image, its test-likeness, then weights the validation score
(covariate shift: Shimodaira, 2000; Sugiyama, Krauledat and Müller, 2007), chooses a validation set
that is like the test, or orders candidates for pseudo-labels.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldbelt import store
from foldbelt.adversarial import features
from foldbelt.adversarial.likeness import COLUMN
from foldbelt.adversarial.separating import auc, auc_interval, few, judge
from foldbelt.copies import CopyFinder
from foldbelt.files import InputError, PathLike, write_csv, write_json
from foldbelt.level import percent

# Of the truth, of the split, or names of groups: no numbers that an image brings along.
_NOT_OF_THE_IMAGE = ("id", "coverage", "empty", "fold", "group", "series", "mosaic", COLUMN)


def run(
    train: PathLike,
    test: PathLike,
    settings: Mapping[str, Any],
    seed: int,
    out: PathLike,
    report: PathLike,
    threads: int = 1,
    mosaic: PathLike | None = None,
) -> None:
    """Judge all images, and report what separates training from test.

    Parameters
    ----------
    train, test
        Data files. Numeric columns that both tables have are used as well as the images; the
        column ``series`` keeps images together.
    settings
        folds: number of parts, each judged by a classifier trained on the others;
        duplicate_distance: see `foldbelt.folds.run`; None looks for identical images only.
    seed
        Of the parts, the classifiers and the bootstrap.
    out
        CSV of id, part (train or test) and test_likeness in [0, 1], as if there were as many
        training as test images.
    report
        JSON: auc, interval (over groups), accuracy (both parts counting half), images
        {train, test}, groups, folds, classifier, and features, the one that separates best on its
        own first: name, meaning, auc_alone (.5 to 1), higher_in (train or test), train and test
        (medians) and importance (what the AUC loses when the feature is shuffled among images that
        the classifier has not seen).
    threads
        On which images are described; the result does not depend on it.
    mosaic
        The csv of mosaics, whose tiles stay together; None where there are none.

    Raises
    ------
    InputError
        If there are no test images, or too few groups to hold any out.
    """
    table = observe(train, test, threads, mosaic, settings.get("duplicate_distance"))
    rows = table.sort_values(["part", "id"], kind="stable", ignore_index=True)
    names = [str(name) for name in rows if name not in ("id", "part", "group")]
    is_test = (rows["part"] == "test").to_numpy()
    groups = pd.factorize(rows["group"])[0]
    values = rows[names].to_numpy(np.float64)
    likeness, importance, folds = judge(values, is_test, groups, settings["folds"], seed)
    rows[COLUMN] = likeness.round(6)
    low, high = auc_interval(rows[COLUMN].to_numpy(), is_test, groups, seed, folds)
    shown = table[["id", "part"]].merge(rows[["id", "part", COLUMN]], how="left")
    write_csv(out, shown)
    ranked = _ranked(names, values, is_test, importance)
    right = [np.mean(likeness[is_test] > 0.5), np.mean(likeness[~is_test] <= 0.5)]
    content = {
        "auc": auc(rows[COLUMN].to_numpy(), is_test),
        "interval": [low, high],
        "accuracy": float(np.mean(right)),
        "images": {"train": int((~is_test).sum()), "test": int(is_test.sum())},
        "groups": int(groups.max() + 1),
        "folds": folds,
        "classifier": "logistic regression" if few(is_test) else "gradient boosted trees",
        "features": ranked,
    }
    write_json(report, content)
    print(
        f"AUC {content['auc']:.3f} ({percent()}: {low:.3f} to {high:.3f}) between "
        f"{(~is_test).sum()} training and {is_test.sum()} test images; what separates "
        f"best alone: {ranked[0]['meaning']}"
    )


def observe(
    train: PathLike,
    test: PathLike,
    threads: int = 1,
    mosaic: PathLike | None = None,
    distance: int | None = None,
) -> pd.DataFrame:
    """Describe the images of both parts, in bounded memory.

    Parameters
    ----------
    train, test, threads, mosaic
        As for :func:`run`.
    distance
        Of near copies.

    Returns
    -------
    DataFrame
        id, part, group (a number; images that are copies of one another, or share their
        ``series`` or mosaic, have the same), and the numbers, those alike in all images left out.

    Raises
    ------
    InputError
        If one of the files holds no images.
    """
    parts = {"train": train, "test": test}
    empty = [str(path) for path in parts.values() if not store.length(path)]
    if empty:
        raise InputError(
            f"{', '.join(empty)}: no images. Adversarial validation compares training with test "
            "images: set adversarial.enabled to false, and name test_likeness neither in folds nor "
            "in pseudo.order."
        )
    tables = {part: store.table(path) for part, path in parts.items()}
    shared = [
        name
        for name in tables["train"]
        if name not in _NOT_OF_THE_IMAGE
        and all(name in t and pd.api.types.is_numeric_dtype(t[name]) for t in tables.values())
    ]
    described, keys = [], []
    finder = CopyFinder()
    for part, path in parts.items():
        numbers, digests = _described(path, threads, finder)
        known = tables[part]
        columns = known[shared].astype(np.float64).add_prefix("table: ")
        described.append(pd.concat([known[["id"]].assign(part=part), columns, numbers], axis=1))
        series = known["series"].tolist() if "series" in known else [None] * len(known)
        sections = _mosaics(mosaic, known["id"]) if mosaic else [None] * len(known)
        keys += list(zip(digests, series, sections, strict=True))
    table = pd.concat(described, join="inner", ignore_index=True)
    for name in list(table.columns.drop(["id", "part"])):
        if table[name].nunique(dropna=False) == 1:
            table = table.drop(columns=name)
    table["group"] = _groups(keys, [] if distance is None else list(finder.pairs(distance)))
    return table


def _mosaics(path: PathLike, ids: pd.Series) -> list[int]:
    """Give the mosaic of each image, -1 where it has no neighbour."""
    table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
    return ids.map(table.set_index("id")["mosaic"]).fillna(-1).astype(int).tolist()


def _described(path: PathLike, threads: int, finder: CopyFinder) -> tuple[pd.DataFrame, list[str]]:
    """Give the numbers, and a digest, of every image of a file."""
    rows: list[dict[str, float]] = []
    digests: list[str] = []
    for _, images in store.blocks(path, "image"):
        rows += features.of_images(images, threads)
        for image in images:
            finder.add(image)
        digests += [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    return pd.DataFrame(rows), digests


def _groups(keys: Sequence[tuple[Any, ...]], pairs: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """Number what shares a digest, a series or a mosaic, or is a pair of copies; (N,) int."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(keys)
    edges = list(pairs)
    for place in range(len(keys[0])):
        first: dict[Any, int] = {}
        for row, key in enumerate(keys):
            name = key[place]
            if not (name is None or name != name or name in ("", -1, "-1")):
                edges.append((row, first.setdefault(name, row)))
    rows, firsts = np.array(edges).T
    graph = coo_array((np.ones(len(edges), bool), (rows, firsts)), (count, count))
    return connected_components(graph, directed=False)[1]


def _ranked(
    names: Sequence[str], values: np.ndarray, is_test: np.ndarray, importance: np.ndarray
) -> list[dict[str, Any]]:
    """Describe the features, the one that separates best alone first."""
    rows = []
    for name, column, loss in zip(names, values.T, importance, strict=True):
        known = ~np.isnan(column)
        both = known.any() and len(np.unique(is_test[known])) == 2
        alone = auc(column[known], is_test[known]) if both else 0.5
        medians = {
            part: float(np.median(column[known & chosen])) if (known & chosen).any() else None
            for part, chosen in (("train", ~is_test), ("test", is_test))
        }
        rows.append(
            {
                "name": name,
                "meaning": features.meaning(name.removeprefix("table: ")),
                "auc_alone": round(max(alone, 1 - alone), 6),
                "higher_in": "test" if alone >= 0.5 else "train",
                **medians,
                "importance": round(float(loss), 6),
            }
        )
    return sorted(rows, key=lambda row: (-row["auc_alone"], -row["importance"], row["name"]))
