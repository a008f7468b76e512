"""What was read, in numbers that a person can check, and what these numbers forbid."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from foldbelt.competitions import Listing, Look
from foldbelt.formats.csv_files import says_nothing
from foldbelt.formats.findings import Finding
from foldbelt.formats.folders import printable

SHOWN = 6
"""How many kinds of a thing a line lists."""
TOLD = "told"
"""In the list of problems: the action of a row that is none, but should be known."""
_WHITE = {255, 65535}  # what is shown white, of whatever depth


class Read(NamedTuple):
    """What was read of one part.

    Parameters
    ----------
    sizes
        (height, width) of every image.
    looks
        Id and what was met in its files.
    columns
        Of the table, row by row.
    seen, covered
        (K,) how many images hold a class, and the sum over the images of the share that it covers;
        those of test images are all 0.
    """

    sizes: Sequence[tuple[int, int]]
    looks: Sequence[tuple[str, Look]]
    columns: Sequence[Mapping[str, Any]]
    seen: np.ndarray
    covered: np.ndarray


def tell(listing: Listing, part: str, read: Read) -> list[tuple[str, str]]:
    """Print what was read of one part.

    Parameters
    ----------
    listing
        Of which notes and grey range are told.
    part
        Its name.
    read
        What was met.

    Returns
    -------
    list of (str, str)
        The same for the report: what a number is about, and the number.
    """
    if not read.sizes:
        return []
    sizes = _counted(f"{h}×{w}" for h, w in read.sizes)
    kinds = _counted(look.image for _, look in read.looks)
    told = f"Read, {part}: {len(read.sizes)} images, {sizes}"
    lines = [told + f"; stored as {kinds}" * bool(kinds)]
    numbers = [(f"{part} images", f"{len(read.sizes)}"), ("size", sizes)]
    numbers += [("stored as", kinds)] if kinds else []
    masks = _counted(look.mask for _, look in read.looks if look.mask)
    if masks:
        values = _counted(_meant(look.value) for _, look in read.looks if look.value is not None)
        mean = np.mean([row["coverage"] for row in read.columns if "coverage" in row] or [np.nan])
        lines.append(
            f"Masks stored as {masks}" + f"; the object is {values}" * bool(values)
            + f"; mean coverage {mean:.4f}"
        )  # fmt: skip
        numbers += [("masks stored as", masks), *([("the object is", values)] if values else [])]
        numbers.append(("mean coverage of all classes", f"{mean:.4f}"))
    numbers += _of_classes(listing, read)
    gaps = [look.gap for _, look in read.looks if look.gap is not None]
    if gaps:
        low, high = max(low for low, _ in gaps), min(high for _, high in gaps)
        lines.append(f"Of the masks that were cut, no value lies between {low} and {high}")
        numbers.append(("masks that were cut", f"{len(gaps)}; none between {low} and {high}"))
    lines += _ranges(listing)
    numbers += [("grey range", line) for line in _ranges(listing)]
    notes: dict[str, list[str]] = {}
    for key, look in read.looks:
        for note in look.notes:
            notes.setdefault(note, []).append(key)
    understood = [_note(note, keys) for note, keys in list(notes.items())[:SHOWN]]
    hidden = sum(len(keys) for keys in list(notes.values())[SHOWN:])
    understood += [f"{hidden} more files were understood in such ways"] if hidden else []
    lines += understood
    numbers += [("understood", note) for note in understood]
    keys = _of_columns(listing, part)
    lines += [f"{name[0].upper()}{name[1:]}: {text}" for name, text in keys]
    numbers += keys
    print("\n".join(lines))
    return numbers + [("understood", note) for note in listing.notes]


def _of_classes(listing: Listing, read: Read) -> list[tuple[str, str]]:
    """Give how many images hold each class, and how much of the images it covers on average."""
    if not read.seen.any():
        return []
    return [
        (f"class {name}", f"in {count} images, mean coverage {share / len(read.sizes):.4f}")
        for name, count, share in zip(
            listing.classes, read.seen.tolist(), read.covered.tolist(), strict=True
        )
    ]


def _of_columns(listing: Listing, part: str) -> list[tuple[str, str]]:
    """Give of each column how many values it has, and how often none: folds group by such."""
    items = listing.train if part == "train" else listing.test
    said = []
    for name in dict.fromkeys(name for item in items for name in item.columns):
        values = [item.columns.get(name, "") for item in items]
        missing = sum(says_nothing(value) for value in values)
        kinds = len({value for value in values if not says_nothing(value)})
        said.append((f"column {name}", f"{kinds} values, {missing} images without one"))
    return said


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
