"""What the decisions of labels and of boxes have in common: how their input is checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt.files import InputError, Problem, raise_all

WEIGHTS = ("equal", "fitted")


def check_space(
    space: Mapping[str, Any], default: Mapping[str, Any], choices: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Fill in what a space does not say.

    Parameters
    ----------
    space
        Key → values to try.
    default
        All keys there are; a list where several values can be tried.
    choices
        Key → names that its values may have.

    Raises
    ------
    InputError
        If keys or names are unknown or a list is empty; all offenders are listed.
    """
    wrong = [
        Problem(key, f"is no key; there are {', '.join(default)}")
        for key in space
        if key not in default
    ]
    whole = {**default, **space}
    for key, value in default.items():
        if isinstance(value, list) and (not isinstance(whole[key], list) or not whole[key]):
            wrong.append(Problem(key, f"is {whole[key]!r}; give a list of values"))
    given = isinstance(whole["weights"], Mapping)
    for key, known in (choices if given else {**choices, "weights": WEIGHTS}).items():
        values = whole[key] if isinstance(whole[key], list) else [whole[key]]
        wrong += [
            Problem(key, f"{value!r} is unknown; choose of {', '.join(known)}")
            for value in values
            if value not in known
        ]
    raise_all(wrong, "what to try in a decision")
    return whole


def shares(weights: str | Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Give the members' weights as they are given, which sum to 1; equal ones where none are.

    Parameters
    ----------
    weights
        Of a space: a word, or a number by name; members that it does not name weigh 1.
    names
        Of the members.

    Raises
    ------
    InputError
        If all members weigh 0.

    Examples
    --------
    >>> shares({"a": 3}, ["a", "b"]), shares("fitted", ["a", "b"])
    ({'a': 0.75, 'b': 0.25}, {'a': 0.5, 'b': 0.5})
    """
    if isinstance(weights, str):
        return dict.fromkeys(names, 1 / len(names))
    given = {name: float(weights.get(name, 1)) for name in names}
    total = sum(given.values())
    if not total > 0:
        raise InputError(f"weights: {', '.join(names)} all weigh 0; raise one, or name others.")
    return {name: weight / total for name, weight in given.items()}


def scaled(weights: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, float]:
    """Give weights of a decision beside those of members that it does not know.

    Parameters
    ----------
    weights
        Which sum to 1.
    shares
        Of the others.

    Raises
    ------
    InputError
        If they take all, or more.

    Examples
    --------
    >>> scaled({"a": 0.5, "b": 0.5}, {"c": 0.5})
    {'a': 0.25, 'b': 0.25, 'c': 0.5}
    """
    rest = 1 - sum(shares.values())
    if not rest > 0:
        raise InputError(
            f"{', '.join(shares)}: their weights sum to {1 - rest:g} and leave the others nothing; "
            "lower them."
        )
    return {name: weight * rest for name, weight in weights.items()} | dict(shares)


def check_folds(
    members: Mapping[str, Any],
    known: Mapping[str, np.ndarray],
    labelled: np.ndarray,
    folds: np.ndarray,
    images: int,
    lengths: Mapping[str, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Check what belongs to images.

    Parameters
    ----------
    members, known, labelled, folds
        Of a search; members of which nothing is `known` predicted all images.
    images
        How many there are.
    lengths
        What else has to be so long.

    Returns
    -------
    known, counted
        (members, N) bool; (N,) bool, images that are labelled and were predicted by a member.

    Raises
    ------
    InputError
        If there is no member, lengths differ, or fewer than two folds count.
    """
    if not members:
        raise InputError("there is no member to decide on.")
    lengths = {**lengths, "labelled": len(labelled), "folds": len(folds)}
    wrong = [
        Problem(name, f"has {length} images, not {images}")
        for name, length in lengths.items()
        if length != images
    ]
    raise_all(wrong, "members of a decision")
    everything = np.ones(images, bool)
    there = np.stack([np.asarray(known.get(name, everything), bool) for name in members])
    counted = np.asarray(labelled, bool) & there.any(axis=0)
    if len(np.unique(np.asarray(folds)[counted])) < 2:
        raise InputError("leave-one-fold-out scores need labelled images of at least two folds.")
    return there, counted


def common(
    known: np.ndarray, counted: np.ndarray, use: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Give the images, among some, on which weights can be fitted: those that all predicted.

    Parameters
    ----------
    known
        (members, N) bool, which images each member predicted.
    counted, use
        (N,) bool, the images that are scored, and those of them that may be looked at.
    names
        Of the members.

    Returns
    -------
    (n,) int64 array
        Where they are. There are none where a member was trained on a single fold and this one is
        left out.

    Raises
    ------
    InputError
        If there are none even in all folds.
    """
    together = known.all(axis=0)
    if not (together & counted).any():
        raise InputError(
            "no image was predicted by all members, on which weights could be fitted "
            f"({', '.join(names)}); set weights to equal."
        )
    return np.flatnonzero(together & use)


def number_or_none(value: float) -> float | None:
    """Give a number as JSON can hold it; None for NaN."""
    return None if np.isnan(value) else float(value)
