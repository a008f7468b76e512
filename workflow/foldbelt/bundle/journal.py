"""What has been predicted so far: a line for every image that is done.

Lines are only added, so that a process that is killed leaves at most its last one broken, which is
then dropped.
"""

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from foldbelt.bundle.answers import Answer
from foldbelt.files import InputError
from foldbelt.rle import encode

NAME = "journal.jsonl"
_FIRST = b'{"bundle": '


@dataclass(frozen=True)
class Record:
    """One image that is done.

    Attributes
    ----------
    id
        Its name.
    source
        `foldbelt.files.digest` of the file that was predicted.
    size
        (height, width).
    runs
        Run lengths of its masks, class by class; none where the run has no masks.
    units
        See `Answer`.
    labels
        Probabilities, not yet joined; None for NaN. Of 32 bits, which JSON keeps.
    boxes
        The bytes of (m, 6) float32, in base 64.
    """

    id: str
    source: str
    size: tuple[int, int]
    runs: list[str] = field(default_factory=list)
    units: Mapping[str, str] = field(default_factory=dict)
    labels: list[float | None] | None = None
    boxes: str | None = None

    @classmethod
    def of(cls, answer: Answer, source: str) -> "Record":
        """Note what is predicted of an image."""
        mask, labels, boxes = answer.mask, answer.labels, answer.boxes
        return cls(
            answer.id,
            source,
            answer.size,
            [] if mask is None else [encode(mask[..., k]) for k in range(mask.shape[2])],
            answer.units,
            None if labels is None else [None if p != p else p for p in labels.tolist()],
            None if boxes is None else base64.b64encode(boxes.tobytes()).decode("ascii"),
        )

    def answer(self) -> Answer:
        """Give what was predicted, less the mask."""
        labels = self.labels
        return Answer(
            self.id,
            self.size,
            self.units,
            None,
            None if labels is None else np.array(labels, np.float32),
            None if self.boxes is None else _boxes(self.boxes),
        )


def _boxes(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32).reshape(-1, 6)


class Journal:
    """The journal of a folder of predictions; one process at a time has it.

    Parameters
    ----------
    folder
        Where the predictions go.
    bundle
        Identity of the bundle that they come from.

    Raises
    ------
    InputError
        If the folder holds the predictions of another bundle, or another process writes to it.
    """

    def __init__(self, folder: Path, bundle: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"{folder} is a file, or below one; name a folder for what is predicted."
            ) from error
        self.path = folder / NAME
        self._file = open(self.path, "a+b")  # noqa: SIM115
        try:
            self._lock(folder)
            self._begin(bundle)
        except BaseException:
            self._file.close()
            raise

    def _lock(self, folder: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{folder}: another process is predicting into this folder; wait for it, or choose "
                "another one."
            ) from error

    def _begin(self, bundle: str) -> None:
        """Read where the lines begin; drop what is no whole line, but of nobody else's file."""
        self._places: dict[str, tuple[int, str]] = {}
        self._file.seek(0)
        start, known = 0, None
        for line in self._file:
            content = _content(line)
            if not start and not line.startswith(_FIRST) and not _FIRST.startswith(line):
                raise InputError(
                    f"{self.path}: is no journal of predictions, and would be overwritten. Choose "
                    "another folder, or move the file away."
                )
            if content is None or (known is not None and "bundle" in content):
                break
            if known is None:
                known = content.get("bundle")
                if known != bundle:
                    raise InputError(
                        f"{self.path.parent} holds what another bundle predicted. Choose another "
                        "folder, or empty this one."
                    )
            else:
                self._places[content["id"]] = (start, content["source"])
            start += len(line)
        self._file.truncate(start)
        if known is None:
            self._add({"bundle": bundle})

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def has(self, name: str, source: str) -> bool:
        """Tell whether an image of this content is done."""
        return name in self._places and self._places[name][1] == source

    def add(self, record: Record) -> None:
        """Note that an image is done."""
        self._places[record.id] = (self._add(asdict(record)), record.source)

    def sync(self) -> None:
        """See to it that all lines outlive a loss of power."""
        os.fsync(self._file.fileno())

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Give what was noted of images, in their order, one at a time."""
        for name in names:
            self._file.seek(self._places[name][0])
            content = json.loads(self._file.readline())
            yield Record(**{**content, "size": tuple(content["size"])})

    def _add(self, content: dict[str, Any]) -> int:
        """Add a line; give where it begins."""
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(content).encode() + b"\n")
        self._file.flush()
        return start


def _content(line: bytes) -> dict[str, Any] | None:
    """Read a line; None if it is not whole."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    whole = line.endswith(b"\n") and isinstance(content, dict)
    return content if whole and ("bundle" in content or {"id", "source"} <= set(content)) else None
