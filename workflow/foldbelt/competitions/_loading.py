"""The reader and the writer of the competition that the config names."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from foldbelt import registry
from foldbelt.boxes import Boxes
from foldbelt.competitions._reading import Item, Listing, Sample
from foldbelt.competitions._submitting import Prediction, Table
from foldbelt.formats import Finding

if TYPE_CHECKING:
    import pandas as pd


class Reader(Protocol):
    """What `foldbelt.competitions.<name>.read` offers; `settle`, `read_truth` are optional."""

    def scan(
        self, root: Path, settings: Mapping[str, Any], size: tuple[int, int] | None = None
    ) -> Listing: ...

    def settle(self, listing: Listing) -> Listing: ...

    def read(self, item: Item, listing: Listing) -> Sample: ...

    def read_truth(
        self,
        path: str | Path,
        ids: Sequence[str],
        shape: tuple[int, int],
        classes: Sequence[str] | None = None,
    ) -> Iterator[np.ndarray]: ...


class Writer(Protocol):
    """What `foldbelt.competitions.<name>.submit` offers.

    One has the first two functions where masks are submitted, `write_joint` and `check_joint` where
    labels and boxes are, together; `read_predictions` is optional.
    """

    def write_submission(
        self,
        predictions: Iterable[Prediction],
        root: Path,
        settings: Mapping[str, Any],
        classes: list[str],
    ) -> str: ...

    def check_submission(
        self,
        text: str,
        predictions: Iterable[Prediction],
        root: Path,
        settings: Mapping[str, Any],
        classes: list[str],
    ) -> list[Finding]: ...

    def write_joint(
        self,
        ids: Sequence[str],
        labels: np.ndarray,
        boxes: Boxes | None,
        table: Table,
        root: Path,
        settings: Mapping[str, Any],
    ) -> str: ...

    def check_joint(
        self,
        text: str,
        ids: Sequence[str],
        labels: np.ndarray,
        boxes: Boxes | None,
        table: Table,
        root: Path,
        settings: Mapping[str, Any],
    ) -> list[Finding]: ...

    def read_predictions(
        self,
        path: str | Path,
        ids: Sequence[str],
        table: "pd.DataFrame",
        label_names: Sequence[str],
        box_names: Sequence[str],
    ) -> tuple[np.ndarray | None, Boxes | None]: ...


def files(name: str) -> Callable[[Path, Mapping[str, Any]], dict[str, list[Path]]]:
    """Find the function that lists a competition's files by part; see `reader`."""
    module = importlib.import_module(registry.lister(name))
    return cast(Callable[[Path, Mapping[str, Any]], dict[str, list[Path]]], module.files)


def reader(name: str) -> Reader:
    """Find a competition's reader.

    Parameters
    ----------
    name
        As the config's `competition` names it: a package of `foldbelt.competitions`.

    Raises
    ------
    InputError
        If there is none of that name; the message lists the known names.
    """
    return cast(Reader, importlib.import_module(registry.reader(name)))


def writer(name: str) -> Writer:
    """Find a competition's writer.

    Parameters
    ----------
    name
        As the config's `competition` names it: a package of `foldbelt.competitions`.

    Raises
    ------
    InputError
        If there is none of that name; the message lists the known names.
    """
    return cast(Writer, importlib.import_module(registry.writer(name)))
