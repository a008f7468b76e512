"""A job's output goes both to its log file and to the terminal."""

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from foldbelt.files import InputError, PathLike


class _Tee:
    """Write to several streams, line by line: a killed job's log still has its last epoch."""

    def __init__(self, *streams: TextIO) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
            stream.flush()
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def job(log: PathLike) -> Iterator[None]:
    """Run a job's body with its output copied to `log`.

    An InputError is for the user to correct: the job ends with its message alone. Any other error
    shows its traceback.

    Parameters
    ----------
    log
        The log file; an old one is overwritten.

    Raises
    ------
    SystemExit
        With status 1 if the body raised.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        out, err = _Tee(sys.stdout, file), _Tee(sys.stderr, file)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                yield
            except InputError as error:
                print(f"Error: {error}", file=sys.stderr)
                raise SystemExit(1) from None
            except Exception:
                traceback.print_exc()
                raise SystemExit(1) from None
