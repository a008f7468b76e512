"""Deal whole groups to folds: anew, or beside images that keep the fold they have.

Both go by one rule, that of scikit-learn's StratifiedGroupKFold: group after group, those first
whose strata are least even, to the fold in which the strata are then spread most evenly over all
folds, and of several to the smallest.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from foldbelt.files import InputError, seed_for

NEW = -1
"""Stands for the fold of an image that has none yet."""


def deal(strata: Sequence[str], groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Deal all groups.

    Parameters
    ----------
    strata
        The stratum of each of N rows.
    groups : (N,) int64 array
        Numbers from 0.
    count
        Number of folds.
    seed
        Another seed gives other folds.

    Returns
    -------
    (N,) int64 array
        The fold of each row, from 0.
    """
    # Here, not above: code that only reads folds does not wait for scikit-learn.
    from sklearn.model_selection import StratifiedGroupKFold

    codes = _codes(strata, count)
    folds = np.full(len(codes), NEW, np.int64)
    dealer = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # of strata smaller than `count`: what is left after merging
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(dealer.split(codes, codes, groups)):
            folds[held_out] = fold
    return folds


def deal_first(
    values: pd.Series, strata: Sequence[str], groups: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """Fill fold 0 with the groups of the highest mean value, and deal the others as without it."""
    ranked, filled = _ranked(values, groups, np.full(len(groups), NEW))
    ranked = ranked[: len(ranked) - count + 1]  # every other fold needs a group of its own
    filled = filled[: len(ranked)]
    taken = ranked[: int(np.argmin(np.abs(filled - len(groups) / count))) + 1]
    folds = np.zeros(len(groups), np.int64)
    others = np.flatnonzero(~np.isin(groups, taken))
    folds[others] = 1
    if count > 2:
        stratum = [strata[row] for row in others.tolist()]
        folds[others] += deal(stratum, groups[others], count - 1, seed)
    return folds


def deal_more(
    strata: Sequence[str],
    groups: np.ndarray,
    count: int,
    seed: int,
    kept: np.ndarray,
    values: pd.Series | None = None,
) -> np.ndarray:
    """Deal the groups that have no fold yet, so that old and new together are spread evenly.

    Parameters
    ----------
    strata, groups, count, seed
        As for `deal`, of old and new rows.
    kept : (N,) int64 array
        The fold of each row's group, `NEW` where it has none.
    values
        Of each row. Where they are given, new groups of the highest mean value go to fold 0, as
        many as bring it nearest to its share, and the others to the other folds.

    Returns
    -------
    (N,) int64 array
        The fold of each row: `kept`, where it is one.

    Raises
    ------
    InputError
        If a fold has no image in the end.
    """
    folds = kept.copy()
    if values is not None:
        ranked, filled = _ranked(values, groups, kept)
        filled = np.r_[0, filled] + np.count_nonzero(kept == 0)
        taken = ranked[: int(np.argmin(np.abs(filled - len(groups) / count)))]
        folds[np.isin(groups, taken)] = 0
    first = 0 if values is None else 1
    here = np.flatnonzero(folds != 0) if first else np.arange(len(folds))
    stratum = [strata[row] for row in here.tolist()]
    state = np.where(folds[here] == NEW, NEW, folds[here] - first)
    folds[here] = first + _continue(_codes(stratum, count - first), groups[here], state,
                                    count - first, seed)  # fmt: skip
    empty = np.flatnonzero(np.bincount(folds, minlength=count) == 0)
    if len(empty):
        raise InputError(
            f"folds: no image in fold {', '.join(map(str, empty))} of {count}: the table of `keep` "
            "has none there, and there are too few new groups. Ask for fewer folds."
        )
    return folds


def _codes(strata: Sequence[str], count: int) -> np.ndarray:
    _, codes = np.unique(np.array(strata, dtype=str), return_inverse=True)
    if (np.bincount(codes) < count).all():  # too few rows of any kind: scikit-learn refuses
        codes = np.zeros_like(codes)
    return codes.astype(np.int64)


def _ranked(
    values: pd.Series, groups: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank new groups by their mean value, highest first; give how many rows the first ones hold.

    Values that are missing come last.
    """
    means = values.astype(np.float64).groupby(groups).mean().fillna(-np.inf)
    ranked = means.sort_values(ascending=False, kind="stable").index.to_numpy()
    ranked = ranked[np.isin(ranked, groups[kept == NEW])]
    return ranked, np.cumsum(np.bincount(groups, minlength=1)[ranked])


def _continue(
    codes: np.ndarray, groups: np.ndarray, kept: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """Give a fold to each group without one, in the order and by the rule of scikit-learn."""
    kinds = int(codes.max(initial=0)) + 1
    total = np.bincount(codes, minlength=kinds)
    held = np.zeros((count, kinds))
    old = kept != NEW
    np.add.at(held, (kept[old], codes[old]), 1)
    numbers, places = np.unique(groups[~old], return_inverse=True)
    sizes = np.zeros((len(numbers), kinds))
    np.add.at(sizes, (places, codes[~old]), 1)
    order = np.random.default_rng(seed_for(seed, "keep")).permutation(len(numbers))
    order = order[np.argsort(-sizes[order].std(axis=1), kind="stable")]
    fold_of = np.full(len(numbers), NEW, np.int64)
    everyone = np.arange(count)
    for group in order.tolist():
        tried = np.repeat(held[None], count, axis=0)  # one row a fold that the group may go to
        tried[everyone, everyone] += sizes[group]
        uneven = (tried / total).std(axis=1).mean(axis=1)
        best = np.flatnonzero(np.isclose(uneven, uneven.min()))
        fold = int(best[np.argmin(held[best].sum(axis=1))])
        fold_of[group] = fold
        held[fold] += sizes[group]
    folds = kept.copy()
    folds[~old] = fold_of[places]
    return folds
