"""Pairs of images and masks as people name them: `im.png` with `im_mask.gif`, `img1` with `gt1`."""

from collections import Counter
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import NamedTuple

_TRIED = 5  # names on either side from which a rule is guessed
_MOST = 0.5  # share of the images for which a rule has to hold


class Paired(NamedTuple):
    """Which mask belongs to which image.

    Parameters
    ----------
    masks
        Image → mask; both as their names without suffix. Those without a partner are left out.
    note
        What the names have in common, where they are not the same; "" where they are.
    """

    masks: dict[str, str]
    note: str


class _Rule(NamedTuple):
    """What stands before and behind the part of a name that images and masks share."""

    image: tuple[str, str]
    mask: tuple[str, str]


def pair(images: Collection[str], masks: Collection[str]) -> Paired:
    """Pair images with masks: by the same name, one that differs in case, or a common affix.

    A common affix counts only if no two names are the same: it must be the same for all.
    """
    same = {name: name for name in images if name in masks}
    rest, others = [n for n in images if n not in same], [n for n in masks if n not in same]
    if not rest or not others:
        return Paired(same, "")
    if not same:
        rule = _common(sorted(images), sorted(masks))
        if rule is not None:
            return Paired(_by_rule(images, masks, rule), _told(rule))
    folded = _unique(others) if len(_unique(rest)) == len(rest) else {}
    found = {name: folded[name.casefold()] for name in rest if name.casefold() in folded}
    note = f"{len(found)} masks differ from their images' names in case only" if found else ""
    return Paired({**same, **found}, note)


def _unique(names: Iterable[str]) -> dict[str, str]:
    """Give small letters → name, for names that stay different by them."""
    counts = Counter(name.casefold() for name in names)
    return {name.casefold(): name for name in names if counts[name.casefold()] == 1}


def _common(images: list[str], masks: list[str]) -> _Rule | None:
    """Find the affixes by which most names fit; None where there are none."""
    best: tuple[int, _Rule] | None = None
    for image in images[:_TRIED]:
        for mask in masks[:_TRIED]:
            rule = _between(image, mask)
            if rule is None or rule.image == rule.mask:
                continue
            count = len(_by_rule(images, masks, rule))
            if best is None or count > best[0]:
                best = count, rule
    if best is None or best[0] < max(1, _MOST * len(images)):
        return None
    return best[1]


def _between(image: str, mask: str) -> _Rule | None:
    """Guess a rule from one pair: the longest part that both names share is its core."""
    folder, _, name = image.rpartition("/")
    other_folder, _, other = mask.rpartition("/")
    if folder != other_folder:
        return None
    match = SequenceMatcher(None, name, other, autojunk=False).find_longest_match()
    if not match.size:
        return None
    start, other_start = match.a, match.b
    ends = start + match.size, other_start + match.size
    return _Rule((name[:start], name[ends[0] :]), (other[:other_start], other[ends[1] :]))


def _by_rule(images: Iterable[str], masks: Iterable[str], rule: _Rule) -> dict[str, str]:
    cores = {core: mask for mask in masks if (core := _core(mask, rule.mask)) is not None}
    return {image: cores[core] for image in images
            if (core := _core(image, rule.image)) is not None and core in cores}  # fmt: skip


def _core(name: str, affix: tuple[str, str]) -> str | None:
    """Take a prefix and a suffix off a name; None where it lacks them."""
    folder, slash, last = name.rpartition("/")
    before, behind = affix
    fits = last.startswith(before) and last.endswith(behind)
    if not fits or len(last) <= len(before) + len(behind):
        return None
    return folder + slash + last[len(before) : len(last) - len(behind)]


def _told(rule: _Rule) -> str:
    def shown(affix: tuple[str, str]) -> str:
        return f"{affix[0]}*{affix[1]}"

    return f"masks are named {shown(rule.mask)} where images are named {shown(rule.image)}"
