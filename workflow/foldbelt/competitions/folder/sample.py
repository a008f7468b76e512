"""The form of a sample submission of the folder layout."""

from collections.abc import Collection, Iterable
from pathlib import Path

from foldbelt.competitions.folder import SAMPLE
from foldbelt.formats import csv_files
from foldbelt.formats.findings import Finding

TEST_PREFIX = "test/"
"""In front of the ids of test images where training images bear the same names."""

COLUMNS = ["id", "class", "height", "width", "rle"]
_FORM = (
    "its form is id,rle, with class where there are several, and with height and width if wanted"
)


def read_sample(root: Path) -> tuple[csv_files.Columns | None, list[str], list[Finding]]:
    """Read a sample submission.

    Returns
    -------
    columns, header, findings
        Usual name → fields, and the header as it is: Kaggle's names are understood. None and a
        finding where it cannot be used, None alone where there is none.
    """
    given, findings = csv_files.read_fields(root, SAMPLE, (), needed=False)
    if given is None:
        return None, [], findings
    usual = csv_files.usual_names(given)
    columns = {usual.get(name, name): fields for name, fields in given.items()}
    absent = [name for name in ("id", "rle") if name not in columns]
    if absent:
        reason = f"lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)} (it has "
        return None, [], [Finding(SAMPLE, f"{reason}{', '.join(given)}); {_FORM}")]
    return columns, list(given), findings


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
