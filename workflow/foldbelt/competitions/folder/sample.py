"""The form of a sample submission of the folder layout."""

from collections.abc import Collection, Iterable

from foldbelt.formats import csv_files

TEST_PREFIX = "test/"
"""In front of the ids of test images where training images bear the same names."""

COLUMNS = ["id", "class", "height", "width", "rle"]


def sample_fault(sample: csv_files.Columns, classes: list[str]) -> str:
    """Say what is wrong with the columns or the classes of a sample; "" if nothing is.

    Parameters
    ----------
    sample
        The table, with the columns id and rle.
    classes
        Names of the classes, of which every image must have one row each.
    """
    unknown = [column for column in sample if column not in COLUMNS]
    if unknown:
        return f"has the columns {', '.join(unknown)}; known are {', '.join(COLUMNS)}"
    if "class" not in sample:
        return "" if len(classes) == 1 else "lacks the column class, though there are several"
    named: dict[str, list[str]] = {}
    for key, name in zip(sample["id"], sample["class"], strict=True):
        named.setdefault(key, []).append(name)
    wrong = sorted(key for key, names in named.items() if sorted(names) != sorted(classes))
    few = ", ".join(wrong[: csv_files.MANY])
    return (
        f"does not list every class once for {few} (classes: {', '.join(classes)})" if wrong else ""
    )


def in_sample(names: Iterable[str], test: Collection[str]) -> list[str]:
    """Give the ids of the test images that a sample means by its names.

    It knows nothing of training images, and so lacks the part in front of ids that collide.
    """
    names = csv_files.match_ids(names, test)
    if not test or not all(key.startswith(TEST_PREFIX) for key in test):
        return names
    return [name if name in test or TEST_PREFIX + name not in test else TEST_PREFIX + name
            for name in names]  # fmt: skip
