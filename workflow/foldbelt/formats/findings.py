"""Findings: what is wrong in a file that somebody gave."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """One problem in the raw files.

    Parameters
    ----------
    file
        Path below the competition's folder (with the row or id where it is a table).
    reason
        What is wrong and, where it is not plain, what to do.
    id
        The image that cannot be used: what `on_problem: drop` leaves out. None where no single
        image is to blame (a missing table, a class never seen); such a problem always stops the
        run.
    late
        Whether it only follows from others: it is told after them.
    """

    file: str
    reason: str
    id: str | None = None
    late: bool = False


class UnusableImage(Exception):
    """One image cannot be used; `findings` say why."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)
        super().__init__(
            "; ".join(f"{finding.file}: {finding.reason}" for finding in self.findings)
        )


class Undecodable(ValueError):
    """A file is not an image that can be used; the message says why."""
