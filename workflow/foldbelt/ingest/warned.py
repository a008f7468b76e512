"""What decoders say of damaged files while they go on: caught, and laid at a file's door.

libjpeg and libtiff print a warning, without a name, and give what they could make of the rest of
the file: rows of grey. Standard error is watched while a block is decoded. Only if something was
said, the files of the block are decoded again one by one, to find out whose it was; so sound data
cost nothing.
"""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foldbelt.formats.pixels import Undecodable, read

_STDERR = 2
_WORDS = ("corrupt", "premature", "warning", "invalid", "extraneous", "error", "truncated", "bad ")


class Watch:
    """What has been written to standard error since the last look."""

    def __init__(self, file: IO[bytes], through: int) -> None:
        self._file, self._through = file, through

    def said(self) -> list[str]:
        """Give the new lines; those that no decoder says are passed on."""
        self._file.seek(0)
        text = self._file.read()
        self._file.seek(0)
        self._file.truncate()
        lines = text.decode(errors="replace").splitlines()
        found = [line.strip() for line in lines if any(w in line.lower() for w in _WORDS)]
        other = [line for line in lines if line.strip() and line.strip() not in found]
        self.pass_on(other)
        return found

    def pass_on(self, lines: Iterable[str]) -> None:
        """Write lines where they would have gone."""
        os.write(self._through, "".join(f"{line}\n" for line in lines).encode())


@contextmanager
def watching() -> Iterator[Watch]:
    """Catch what the process writes to standard error by C's own means."""
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with tempfile.TemporaryFile(buffering=0) as file:
        os.dup2(file.fileno(), _STDERR)
        watch = Watch(file, kept)
        try:
            yield watch
        finally:
            sys.stderr.flush()
            os.dup2(kept, _STDERR)
            for line in watch.said():
                os.write(kept, f"{line}\n".encode())
            os.close(kept)


def whose(paths: Iterable[Path], watch: Watch) -> dict[Path, str]:
    """Decode files one by one, and give what is said of each that is decoded all the same."""
    found = {}
    watch.said()
    for path in paths:
        try:
            read(path)
        except (Undecodable, OSError):
            watch.said()  # a finding of its own
            continue
        lines = watch.said()
        if lines:
            found[path] = lines[0]
    return found
