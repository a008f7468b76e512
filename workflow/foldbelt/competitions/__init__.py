"""Competitions: everything that is particular to one lives in one module here, found by its name.

The stages that read raw files (`foldbelt.ingest`) and write the product (`foldbelt.submission`)
know no competition. They ask the module that the config names, `foldbelt.competitions.<name>`, for
what `Competition` lists:

``scan(root, spec)``
    Looks at names, tables and file headers, decodes nothing, and lists the images with every
    offender it met. Columns known by now (a depth, a patient) belong to the item.
``read(item, listing)``
    Decodes one image and its truth (a mask file, RLE texts, boxes drawn as masks: whatever
    `Item.truth` holds), checks the two against each other and gives the per-image columns and
    labels that only pixels tell. Called from several threads. Offenders are raised as `Spoilt`.
``write_submission(predictions, root, spec, classes)``
    The product as text in the competition's own format, that of the given sample.
``check_submission(text, predictions, root, spec, classes)``
    Reads such a text anew and lists what differs from the predictions; nothing, if all is well.
``METRIC``
    The default metric, a name in `foldbelt.metrics`.
``SURVEY``
    Optional: the member of `foldbelt.survey` that draws synthetic data in the competition's format.

`read_truth(path, ids, shape, classes)` is offered by modules whose hidden truth comes as a table. A
new competition is a new module and touches no other; `_images`, `_tables` and `_pairs` hold what
modules share.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from foldbelt import members
from foldbelt.files import InputError


@dataclass(frozen=True, order=True)
class Finding:
    """One offender in the raw files.

    Parameters
    ----------
    file
        Path below the competition's folder (with the row or id where it is a table).
    reason
        What is wrong and, where it is not plain, what to do.
    id
        The image it spoils: what `on_problem: drop` leaves out. None where no single image is to
        blame (a missing table, a class never seen); such a problem is always fatal.
    """

    file: str
    reason: str
    id: str | None = None


class Spoilt(Exception):
    """One image cannot be used; carries the findings."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)
        super().__init__(
            "; ".join(f"{finding.file}: {finding.reason}" for finding in self.findings)
        )


@dataclass(frozen=True)
class Item:
    """One image that the scan found.

    Parameters
    ----------
    id
        Its name, unique among train and test images.
    image
        The file to decode.
    size
        (height, width) as the file's header tells it.
    truth
        What `read` needs to find the mask; None for a test image.
    columns
        Per-image columns known without decoding.
    """

    id: str
    image: Path
    size: tuple[int, int]
    truth: Any = None
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """What a scan found: the images in order of their ids, the classes and the offenders.

    Parameters
    ----------
    root
        The competition's folder.
    spec
        The config's `data` section, defaults filled (see `settings`).
    train, test
        The images, sorted by id, those with findings included as far as they have a readable file.
    size
        Storage size (height, width); None where no image tells it.
    channels
        1 for grey, 3 for RGB.
    classes
        Names of the K mask channels.
    labels
        Names of the L image labels.
    findings
        Every offender met.
    inputs
        Name → digest of the tables' contents and of the folders' listings (names and sizes).
    """

    root: Path
    spec: Mapping[str, Any]
    train: list[Item]
    test: list[Item]
    size: tuple[int, int] | None
    channels: int
    classes: list[str]
    labels: list[str]
    findings: list[Finding]
    inputs: dict[str, str]


@dataclass(frozen=True)
class Sample:
    """One decoded image, at its original size.

    Parameters
    ----------
    image
        (h, w) or (h, w, 3) u8.
    mask
        (h, w, K) u8 of 0 and 1; None for a test image.
    ignore
        (h, w) bool, True where unlabelled; None where every pixel is labelled.
    labels
        (L,) u8; None for a test image.
    columns
        Per-image columns that only the pixels tell.
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    ignore: np.ndarray | None = None
    labels: np.ndarray | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """What is predicted for one test image: its mask (h, w, K) u8 at original size, and labels."""

    id: str
    mask: np.ndarray
    label_prob: np.ndarray | None = None


class Competition(Protocol):
    """What a module of this package offers."""

    METRIC: str

    def scan(self, root: Path, spec: Mapping[str, Any]) -> Listing: ...

    def read(self, item: Item, listing: Listing) -> Sample: ...

    def write_submission(
        self,
        predictions: Iterable[Prediction],
        root: Path,
        spec: Mapping[str, Any],
        classes: list[str],
    ) -> str: ...

    def check_submission(
        self,
        text: str,
        predictions: Iterable[Prediction],
        root: Path,
        spec: Mapping[str, Any],
        classes: list[str],
    ) -> list[Finding]: ...


DEFAULTS: dict[str, Any] = {
    "on_problem": "error",
    "size": None,
    "color": "grey",
    "ignore": None,
    "classes": None,
    "label": None,
    "series": None,
}


def settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Give the part of the config's `data` section that decides what is read, defaults filled.

    Where the files lie is left out on purpose: the same files elsewhere are the same data.
    """
    filled = {key: spec.get(key, default) for key, default in DEFAULTS.items()}
    if filled["on_problem"] not in ("error", "drop"):
        raise InputError(
            f"data.on_problem is {filled['on_problem']!r}; it must be 'error' or 'drop'."
        )
    if filled["color"] not in ("grey", "rgb"):
        raise InputError(f"data.color is {filled['color']!r}; it must be 'grey' or 'rgb'.")
    if isinstance(filled["size"], int):
        filled["size"] = [filled["size"], filled["size"]]
    return filled


def load(name: str) -> Competition:
    """Find a competition by name.

    Parameters
    ----------
    name
        As the config's `competition` names it: a module of this package.

    Raises
    ------
    InputError
        If there is none of that name; lists those there are.

    Examples
    --------
    >>> load("salt").METRIC
    'salt_score'
    """
    (module,) = members.competition(name)
    return cast(Competition, importlib.import_module(module))
