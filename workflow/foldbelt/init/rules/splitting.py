"""Rules of the section `folds`: how many, what they balance, what they keep together."""

from collections.abc import Iterator

from foldbelt.init import scale
from foldbelt.init.facts import Facts
from foldbelt.init.table import Choice, Chosen, rule


@rule("folds.base.count", "nnU-Net trains five folds; three cost 60 % of that")
def count(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Five folds below 100 images, where every image to train on counts, and on a GPU; else three,
    or up to five where cores would have nothing to do beside the last of them (four on two cores).
    Never more than half the groups, or half the images."""
    number = scale.folds(facts)
    learnt = facts.train * (number - 1) // number
    reason = f"{facts.train} images: each fold's model trains on {learnt}"
    if facts.grouping is not None and number == max(2, facts.grouping.number // 2):
        reason = f"{facts.grouping.number} groups, and each fold needs two or more"
    yield Choice("folds.base.count", number, reason)


@rule("folds.base.stratify", "stratified cross-validation (Kohavi 1995)")
def stratify(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Folds balance the masks' coverage, or the classes shown where there are several (steel), or
    the label; salt's balance depth, too."""
    by = facts.told("BALANCED")
    if by is None and (facts.kind != "masks" or facts.told("STRATIFY") is not None):
        return  # the defaults are those of the kind, or of the competition
    shown = (
        f"{facts.positive:.0%} of the images have a mask, which covers "
        f"{facts.coverage.sum():.2%} of all pixels"
    )
    yield Choice("folds.base.stratify", list(by or ["coverage"]), shown)


@rule("folds.base.group", "leakage between folds: Kaufman et al. 2012; docs/design.md")
def group(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Salt tiles are grouped by mosaic, radiographs by patient, others by the column or the part of
    the names that betrays a group; near copies (8 bits of a perceptual hash) are kept together
    where there are any."""
    grouped = facts.told("GROUPED")
    if grouped is not None:
        yield Choice("folds.base.group", *grouped)
    elif facts.grouping is not None:
        yield Choice("folds.base.group", facts.grouping.column, facts.grouping.reason)
    elif facts.told("GROUP") is None:
        columns = ", ".join(facts.columns) or "none"
        asks = (
            "do images belong together (patient, place, series)? then a column of meta.csv "
            f"(there: {columns})"
        )
        yield Choice("folds.base.group", None, "no names or columns betray groups", asks)
    if facts.copies:
        reason = f"{facts.copies} of {facts.looked} images have a near copy"
        yield Choice("folds.base.duplicate_distance", 8, reason)
