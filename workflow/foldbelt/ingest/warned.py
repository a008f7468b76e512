"""What decoders say of damaged files while they go on: caught, and laid at a file's door.

libjpeg and libtiff print a warning, without a name, and give what they could make of the rest of
the file: rows of grey. Standard error is watched while a block is decoded. Only if something was
said, the files of the block are decoded again one by one, to find out whose it was; so sound data
cost nothing.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foldbelt.formats.pixels import Undecodable, read

_STDERR = 2
_SPOKEN = re.compile(
    r"Corrupt JPEG data|Premature end of JPEG|Warning: unknown JFIF|Invalid SOS parameters"
    r"|libpng (warning|error): |\[ ?(WARN|ERROR):\d+@|<tifffile\."
    r"|_?(TIFF|LZW|ZIP|ZSTD|LZMA|Fax|PackBits|O?JPEG|LogL|LogLuv|Thunder|NeXT|Pixar)\w*: "
)
"""How lines of libjpeg, libpng, OpenCV, tifffile and libtiff begin: other threads log, too."""
_WORDS = ("corrupt", "premature", "warning", "invalid", "extraneous", "error", "truncated", "bad ")


class Watch:
    """What has been written to standard error since the last look; nothing where there is none."""

    def __init__(self, file: IO[bytes] | None = None, through: int = _STDERR) -> None:
        self._file, self._through = file, through

    def said(self) -> list[str]:
        """Give the new lines; those that no decoder says are passed on."""
        if self._file is None:
            return []
        self._file.seek(0)
        text = self._file.read()
        self._file.seek(0)
        self._file.truncate()
        lines = text.decode(errors="replace").splitlines()
        found = [line.strip() for line in lines if _is_spoken(line)]
        other = [line for line in lines if line.strip() and line.strip() not in found]
        self.pass_on(other)
        return found

    def pass_on(self, lines: Iterable[str]) -> None:
        """Write lines where they would have gone."""
        if self._file is not None:
            os.write(self._through, "".join(f"{line}\n" for line in lines).encode())


@contextmanager
def watching() -> Iterator[Watch]:
    """Catch what the process writes to standard error by C's own means, where it has one."""
    kept = _kept()
    if kept is None:
        yield Watch()
        return
    with tempfile.TemporaryFile(buffering=0) as file:
        os.dup2(file.fileno(), _STDERR)
        watch = Watch(file, kept)
        try:
            yield watch
        finally:
            _flush()
            os.dup2(kept, _STDERR)
            for line in watch.said():
                os.write(kept, f"{line}\n".encode())
            os.close(kept)


def _is_spoken(line: str) -> bool:
    return bool(_SPOKEN.match(line.strip())) and any(word in line.lower() for word in _WORDS)


def _kept() -> int | None:
    """Keep where standard error leads; None of a process that was started without one.

    There any file may have its number.
    """
    if sys.__stderr__ is None:
        return None
    _flush()
    try:
        return os.dup(_STDERR)
    except OSError:
        return None


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


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
