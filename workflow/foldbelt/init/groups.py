"""Groups that names or columns betray: images of one patient, section or series."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

COLUMNS = ("patient", "subject", "case", "series", "section", "slide", "study", "scan", "site",
           "position", "group")  # fmt: skip
"""Names of columns that say what images belong together, the most telling first."""
LEAST = 5
"""Fewer groups give no interval, and folds cannot hold them apart."""
LARGEST = 0.4
"""Share of the images that one group may have."""
ALIKE = 0.7
"""How often two images of a group must be more alike than two of different ones."""
_PAIRS = 2000  # drawn, of each kind
_SEPARATORS = "_/. -"  # of the parts of a name; the hyphen last, for the sake of `[…]`


class Grouping(NamedTuple):
    """A proposal.

    Parameters
    ----------
    column
        Of the table, by which folds group; `series` for a part of the names.
    pattern
        Regular expression for `data.series`; "" for a column.
    number
        Of groups.
    reason
        Why.
    """

    column: str
    pattern: str
    number: int
    reason: str


def by_column(columns: Mapping[str, Sequence[Any]]) -> Grouping | None:
    """Propose a column of the table, by its name: one whose values repeat."""
    for name in COLUMNS:
        for column, values in columns.items():
            told = [str(value) for value in values if str(value) not in ("", "nan", "None")]
            if name not in re.split(r"[^a-z]+", column.lower()) or not _fits(told, len(values)):
                continue
            count = len(set(told))
            reason = f"{len(told)} images in {count} groups by the column {column}"
            return Grouping(column, "", count, reason)
    return None


def by_names(ids: Sequence[str], thumbs: Mapping[str, np.ndarray]) -> Grouping | None:
    """Propose a part of the names by which images are alike.

    A run of parts of the names (`_`, `-`, `/`, points and spaces part names) makes groups. What
    decides is whether the images say so, too: of two images of one group, and two of different
    groups, the first are mostly the more alike. The best such run is proposed; of runs as good, the
    one with the fewest groups, which keeps more together. Groups of it are joined by a coarser run
    (the sessions of a patient) where images of different groups that it joins are as clearly the
    more alike: they would leak, too.

    Parameters
    ----------
    ids
        Of all training images.
    thumbs
        Id → (p,) f32 of unit length, of those that were looked at.
    """
    met: list[_Run] = []
    seen: set[tuple[str, ...]] = set()
    for pattern, keys in _runs(ids):
        partition = tuple(keys)
        if partition in seen or not _fits(keys, len(ids)):
            continue
        seen.add(partition)
        groups = dict(zip(ids, keys, strict=True))
        likeness = _likeness(groups, thumbs)
        if likeness is not None and likeness >= ALIKE:
            met.append(_Run(pattern, groups, len(set(keys)), likeness))
    if not met:
        return None
    best = max(met, key=lambda run: (round(run.likeness, 2), -run.number))  # the first of equals
    for run in sorted(met, key=lambda run: run.number):
        if run.number < best.number and _joins(run, best):
            beyond = _likeness(run.groups, thumbs, best.groups)
            if beyond is not None and beyond >= ALIKE:
                best = run
                break
    reason = (
        f"names fall into {best.number} groups, such as {best.groups[ids[0]]}, within which images "
        f"are more alike than across them in {best.likeness:.0%} of the pairs (chance: 50 %)"
    )
    return Grouping("series", best.pattern, best.number, reason)


class _Run(NamedTuple):
    """A run of the parts of names: its pattern, id → group, their number, how alike they are."""

    pattern: str
    groups: dict[str, str]
    number: int
    likeness: float


def _joins(coarse: _Run, fine: _Run) -> bool:
    """Tell whether every group of the finer run lies in one of the coarser."""
    pairs = {(fine.groups[name], coarse.groups[name]) for name in fine.groups}
    return len(pairs) == fine.number


def _fits(keys: Sequence[str], total: int) -> bool:
    """Tell whether groups are neither too few, nor one too large, nor each an image."""
    counts = Counter(keys)
    if not LEAST <= len(counts) <= total * 2 / 3:
        return False
    return max(counts.values()) <= LARGEST * total


def _runs(ids: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Give patterns whose first group is a run of a name's parts, with what it is of every id."""
    met = "".join(sign for sign in _SEPARATORS if any(sign in name for name in ids))
    if met:
        other, sign = f"[^{met}]*", f"[{met}]" if len(met) > 1 else re.escape(met)
        number = min(len(re.split(sign, name)) for name in ids)
        for start in range(number):
            for end in range(start + 1, number + 1 if start else number):
                before = f"(?:{other}{sign}){{{start}}}" if start else ""
                pattern = f"^{before}({sign.join([other] * (end - start))})(?:{sign}|$)"
                yield pattern, _matched(pattern, ids)
    letters = r"^([A-Za-z]+)\d"
    if all(re.search(letters, name) for name in ids):
        yield letters, _matched(letters, ids)


def _matched(pattern: str, ids: Sequence[str]) -> list[str]:
    found = [re.search(pattern, name) for name in ids]
    return [match.group(1) if match else "" for match in found]


def _likeness(
    keys: Mapping[str, str],
    thumbs: Mapping[str, np.ndarray],
    finer: Mapping[str, str] | None = None,
) -> float | None:
    """Give how often two images of a group are more alike than two of different groups.

    With `finer` groups, two of one of these do not count. None if too few pairs can tell.
    """
    known = sorted(thumbs)
    if len(known) < 2 * LEAST:
        return None
    images = np.stack([thumbs[name] for name in known])
    groups = np.unique([keys[name] for name in known], return_inverse=True)[1]
    first, second = np.triu_indices(len(known), 1)
    within = groups[first] == groups[second]
    outside = ~within
    if finer is not None:
        parts = np.unique([finer[name] for name in known], return_inverse=True)[1]
        within &= parts[first] != parts[second]
    if within.sum() < LEAST or not outside.any():
        return None
    random = np.random.default_rng(0)
    picked = []
    for places in (np.flatnonzero(within), np.flatnonzero(outside)):
        chosen = random.choice(places, min(_PAIRS, len(places)), replace=False)
        picked.append((images[first[chosen]] * images[second[chosen]]).sum(axis=1))
    inner, outer = np.sort(picked[0]), np.sort(picked[1])
    below = np.searchsorted(outer, inner, "left") + np.searchsorted(outer, inner, "right")
    return float(below.mean() / 2 / len(outer))
