"""What has been predicted so far: a line for every image that is done.

Lines are only added, so that a process that is killed leaves at most its last one broken, which is
then dropped. So is a line that somebody has changed into what no bundle notes, with all after it:
what they noted is done again.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from foldbelt.bundle.places import check_target
from foldbelt.bundle.records import Form, Record, content_of, record_of
from foldbelt.files import InputError

NAME = "journal.jsonl"
_FIRST = b'{"bundle": '


class Noted(NamedTuple):
    """Where an image's line begins, and what is compared before the image is passed over."""

    start: int
    source: str
    size: tuple[int, int]
    picture: str


class Journal:
    """The journal of a folder of predictions; one process at a time has it.

    Parameters
    ----------
    folder
        Where the predictions go.
    bundle
        Identity of the bundle that they come from.
    form
        What it predicts of every image.

    Raises
    ------
    InputError
        If the folder holds the predictions of another bundle, or files that no bundle has written
        and that would be overwritten; or if another process writes to it.
    """

    def __init__(self, folder: Path, bundle: str, form: Form) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"{folder} is a file, or below one; name a folder for what is predicted."
            ) from error
        self.path, self._form = folder / NAME, form
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
        except BlockingIOError as error:
            raise InputError(
                f"{folder}: another process is predicting into this folder; wait for it, or choose "
                "another one."
            ) from error
        except OSError as error:
            raise InputError(
                f"{folder} is on a disk where no file can be locked ({error.strerror}), so a "
                "second process could write there, too; choose a folder on another disk."
            ) from error

    def _begin(self, bundle: str) -> None:
        """Read where the lines begin; drop what is no whole line, but of nobody else's file."""
        self._noted: dict[str, Noted] = {}
        self._file.seek(0)
        start, known = 0, None
        for line in self._file:
            content = content_of(line)
            if not start and not line.startswith(_FIRST) and not _FIRST.startswith(line):
                raise InputError(
                    f"{self.path}: is no journal of predictions, and would be overwritten. Choose "
                    "another folder, or move the file away."
                )
            if content is None:
                break
            if known is None:
                known = content.get("bundle")
                if known != bundle:
                    raise InputError(
                        f"{self.path.parent} holds what another bundle predicted. Choose another "
                        "folder, or empty this one."
                    )
            elif (record := record_of(content, self._form)) is not None:
                self._noted[record.id] = _noted(start, record)
            else:
                break
            start += len(line)
        self._check_folder(begun=known is not None)
        self._file.truncate(start)
        if known is None:
            self._add({"bundle": bundle})
            self.sync()  # before any mask: without this line, masks are taken for somebody else's

    def _check_folder(self, begun: bool) -> None:
        """See to it that nothing is in the way; leave no new journal where something is."""
        try:
            check_target(self.path.parent, begun)
        except InputError:
            if not os.fstat(self._file.fileno()).st_size:
                self.path.unlink()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def noted(self) -> Mapping[str, Noted]:
        """Id → what the last line of that image notes."""
        return self._noted

    def add(self, record: Record) -> None:
        """Note that an image is done."""
        self._noted[record.id] = _noted(self._add(asdict(record)), record)

    def sync(self) -> None:
        """See to it that all lines outlive a loss of power."""
        os.fsync(self._file.fileno())

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Give what was noted of images, in their order, one at a time."""
        for name in names:
            self._file.seek(self._noted[name].start)
            record = record_of(content_of(self._file.readline()) or {}, self._form)
            if record is None:
                raise InputError(f"{self.path} was changed meanwhile. Repeat the command.")
            yield record

    def _add(self, content: dict[str, Any]) -> int:
        """Add a line; give where it begins."""
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(content).encode() + b"\n")
        self._file.flush()
        return start


def _noted(start: int, record: Record) -> Noted:
    return Noted(start, record.source, record.size, record.picture)
