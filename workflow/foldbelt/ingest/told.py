"""What was read, in numbers that a person can check, and what these numbers forbid."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from foldbelt.competitions import Listing, Look
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import printable

SHOWN = 6
"""How many kinds of a thing a line lists."""
TOLD = "told"
"""In the list of problems: the action of a row that is none, but should be known."""
_WHITE = {255, 65535}  # what is shown white, of whatever depth


def tell(
    listing: Listing,
    part: str,
    sizes: Sequence[tuple[int, int]],
    looks: Sequence[tuple[str, Look]],
    columns: Sequence[Mapping[str, Any]],
) -> None:
    """Print what was read of one part.

    Parameters
    ----------
    listing
        Of which notes and grey range are told.
    part
        Its name.
    sizes
        (height, width) of every image.
    looks
        Id and what was met in its files.
    columns
        Of the table, row by row; the mean of `coverage` is told.
    """
    if not sizes:
        return
    told = f"Read, {part}: {len(sizes)} images, {_counted(f'{h}×{w}' for h, w in sizes)}"
    kinds = _counted(look.image for _, look in looks)
    lines = [told + f"; stored as {kinds}" * bool(kinds)]
    masks = _counted(look.mask for _, look in looks if look.mask)
    if masks:
        values = _counted(_meant(look.value) for _, look in looks if look.value is not None)
        mean = np.mean([row["coverage"] for row in columns if "coverage" in row] or [np.nan])
        lines.append(
            f"Masks stored as {masks}" + f"; the object is {values}" * bool(values)
            + f"; mean coverage {mean:.4f}"
        )  # fmt: skip
    gaps = [look.gap for _, look in looks if look.gap is not None]
    if gaps:
        low, high = max(low for low, _ in gaps), min(high for _, high in gaps)
        lines.append(f"Of the masks that were cut, no value lies between {low} and {high}")
    lines += _ranges(listing)
    notes: dict[str, list[str]] = {}
    for key, look in looks:
        for note in look.notes:
            notes.setdefault(note, []).append(key)
    lines += [_note(note, keys) for note, keys in list(notes.items())[:SHOWN]]
    hidden = sum(len(keys) for keys in list(notes.values())[SHOWN:])
    lines += [f"{hidden} more files were understood in such ways"] if hidden else []
    print("\n".join(lines))


def noted(listing: Listing) -> list[str]:
    """Give what the list of problems tells besides problems: how files were understood."""
    return [*listing.notes, *_ranges(listing)]


def _ranges(listing: Listing) -> list[str]:
    return [
        f"Grey range of {name}: {_ends(low)} to {_ends(high)} become 0 to 255"
        for name, (low, high) in listing.ranges.items()
    ]


def _ends(value: Any) -> str:
    return ", ".join(f"{number:.6g}" for number in np.atleast_1d(value))


def _note(note: str, keys: Sequence[str]) -> str:
    which = printable(keys[0]) if len(keys) == 1 else f"{len(keys)} images, such as {keys[0]},"
    return f"The mask of {which} {note}"


def _meant(value: int) -> str:
    return "absent" if value == 0 else "what was cut" if value < 0 else f"the value {value}"


def _counted(names: Iterable[str]) -> str:
    """List names with how often each is met, the commonest first."""
    counts = Counter(name for name in names if name).most_common()
    few = ", ".join(f"{name} ({count})" for name, count in counts[:SHOWN])
    return few + f" and {len(counts) - SHOWN} other kinds" * (len(counts) > SHOWN)


def check_values(looks: Sequence[tuple[str, Look]]) -> list[Finding]:
    """Find out whether one unnamed class is the same value in all masks.

    Otherwise the values are rather classes, of which every mask happens to show one.
    """
    others = {look.value for _, look in looks if look.value and not look.full}
    strange = [
        Finding(
            f"masks, {key}",
            f"holds {look.value} everywhere, where other masks hold {min(others)} in objects: is "
            "it empty, and was changed in storing?",
            key,
        )
        for key, look in looks
        if others and look.full and look.value not in {*others, *_WHITE}
    ]
    if strange:
        return strange
    first: dict[int, str] = {}
    counts: Counter[int] = Counter()
    for key, look in looks:
        if look.value is not None and look.value > 0:
            first.setdefault(look.value, key)
            counts[look.value] += 1
    if len(set(counts) - _WHITE) < 2:
        return []
    few = ", ".join(
        f"{value} in {count} (such as {first[value]})" for value, count in counts.most_common(SHOWN)
    )
    return [
        Finding(
            "masks",
            f"every mask holds one value above 0, but not the same: {few}; name what each value is "
            "(data.classes), or take all of them for one object (data.cut: 1)",
        )
    ]
